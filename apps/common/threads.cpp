// SPDX-License-Identifier: BSD-3-Clause
#include "apps/common/threads.hpp"

#include <norma/norma.hpp>
#include <norma/pthread.h>

#include <cstdlib>
#include <system_error>

#include <fmt/format.h>

#include "apps/common/pages.hpp"
#include "apps/common/split.hpp"
#include "apps/common/usage.hpp"

namespace apps {

namespace {

// In a page of its own, which nobody writes to while the threads work.
struct alignas(kPage) Team {
    const std::function<void(unsigned, const Meet &)> *body = nullptr;
    pthread_barrier_t barrier{};

    void meet() {
        const int result = pthread_barrier_wait(&barrier);
        if (result != 0 && result != PTHREAD_BARRIER_SERIAL_THREAD) {
            throw NodeDied();
        }
    }
};

struct Member {
    Team *team = nullptr;
    unsigned index = 0;
    pthread_t thread{};
};

void take_part(Team &team, unsigned index) {
    (*team.body)(index, [&team] { team.meet(); });
}

void *enter(void *raw) {
    const auto &member = *static_cast<const Member *>(raw);
    try {
        take_part(*member.team, member.index);
    } catch (const NodeDied &) { // the first thread says so
    } catch (const std::exception &error) {
        fmt::print(stderr, "thread {}: {}\n", member.index, error.what());
        std::exit(kExitFailed);
    }
    return nullptr;
}

} // namespace

std::vector<int> run_threads(unsigned count, const std::function<void(unsigned, const Meet &)> &body) {
    Team team{.body = &body};
    if (pthread_barrier_init(&team.barrier, nullptr, count) != 0) {
        throw std::runtime_error("no barrier for so many threads");
    }
    std::vector<Member> others(count - 1);
    std::vector<int> nodes{norma::this_node()};
    for (unsigned index = 1; index < count; ++index) {
        auto &member = others[index - 1];
        member = {.team = &team, .index = index};
        nodes.push_back((nodes.front() + node_for(index, norma::node_count())) % norma::node_count());
        if (const int error = norma_pthread_create_on(nodes.back(), &member.thread, nullptr, enter, &member);
            error != 0) {
            throw std::system_error(error, std::generic_category(), fmt::format("thread {}", index));
        }
    }
    bool died = false;
    try {
        take_part(team, 0);
    } catch (const NodeDied &) {
        died = true;
    }
    for (auto &member : others) {
        died |= pthread_join(member.thread, nullptr) != 0;
    }
    pthread_barrier_destroy(&team.barrier);
    if (died) {
        throw NodeDied();
    }
    return nodes;
}

} // namespace apps

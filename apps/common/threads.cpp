// SPDX-License-Identifier: BSD-3-Clause
#include "apps/common/threads.hpp"

#ifdef APPS_PLAIN_THREADS
#include <pthread.h>
#else
#include <norma/norma.hpp>
#include <norma/pthread.h>

#include "apps/common/workers.hpp"
#endif

#include <cstdlib>
#include <system_error>

#include <fmt/format.h>

#include "apps/common/pages.hpp"
#include "apps/common/split.hpp"
#include "apps/common/usage.hpp"

namespace apps {

namespace {

#ifdef APPS_PLAIN_THREADS
int node_count() {
    return 1;
}
int this_node() {
    return 0;
}
int create_on(int /*node*/, pthread_t *thread, void *(*start)(void *), void *argument) {
    return pthread_create(thread, nullptr, start, argument);
}
void require_job(const char * /*program*/) {}
#else
using norma::node_count;
using norma::this_node;
int create_on(int node, pthread_t *thread, void *(*start)(void *), void *argument) {
    return norma_pthread_create_on(node, thread, nullptr, start, argument);
}
#endif

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

int nodes_for_threads(const char *program) {
    require_job(program);
    return node_count();
}

std::vector<int> run_threads(unsigned count, const std::function<void(unsigned, const Meet &)> &body) {
    Team team{.body = &body};
    if (pthread_barrier_init(&team.barrier, nullptr, count) != 0) {
        throw std::runtime_error("no barrier for so many threads");
    }
    std::vector<Member> others(count - 1);
    std::vector<int> nodes{this_node()};
    for (unsigned index = 1; index < count; ++index) {
        auto &member = others[index - 1];
        member = {.team = &team, .index = index};
        nodes.push_back((nodes.front() + node_for(index, node_count())) % node_count());
        if (const int error = create_on(nodes.back(), &member.thread, enter, &member); error != 0) {
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

// SPDX-License-Identifier: BSD-3-Clause
// Runs a test body on several nodes, each with a transport of its own: in real processes, or, where the network is a
// pretended one, in threads of this one. A body reports failure by throwing; the parent reads how each node ended, and
// kills processes that take too long.
#pragma once

#include "lanes.hpp"
#include "rpc/transport.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace norma::rpc::test {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

inline constexpr unsigned kMaxTestNodes = 4;
inline constexpr std::uint64_t kTestKey = 0x1122334455667788;

inline void require(bool condition, const std::string &what) {
    if (!condition) {
        throw std::runtime_error(what);
    }
}

// Memory that all processes of one test share.
struct Board {
    struct Slot {
        std::atomic<std::uint32_t> address_bytes;
        std::byte address[16 * 1024];
    };
    Slot slots[kMaxTestNodes];
    std::atomic<std::uint32_t> arrived[8]; // one per barrier
    std::atomic<std::uint32_t> flag;       // for the body's own use
};

enum class Wait { spin, block };

struct Plan {
    Kind kind{};
    unsigned nodes = 2;
    Wait wait = Wait::spin;
    std::chrono::seconds limit{100};
    std::function<void(Options &)> options = [](Options &) {};
};

// Thrown where a node that is a thread has died.
struct Died {};

class Node {
  public:
    Node(const Plan &plan, unsigned self, Board &board, Lane &lane)
        : board_(board), plan_(plan), self_(self), lane_(lane) {
        Options options{
            .self = static_cast<NodeId>(self), .kind = plan.kind.name, .job_key = kTestKey, .incarnation = 1};
        plan.options(options);
        start(options);
    }

    // Makes the transport, instead of a former one if there was one, and publishes its address.
    void start(const Options &options) {
        transport.reset();
        Handlers handlers;
        handlers.message = [this](NodeId from, auto record, auto payload) {
            if (on_message) {
                on_message(from, record, payload);
            }
        };
        handlers.down = [this](NodeId peer, const std::string &why) {
            downs.emplace_back(peer, why);
            down_at = Clock::now();
        };
        transport = lane_.make(options, std::move(handlers));
        const auto address = transport->address();
        auto &slot = board_.slots[self_];
        require(address.size() <= sizeof slot.address, "address too long for the test's board");
        std::memcpy(slot.address, address.data(), address.size());
        slot.address_bytes.store(static_cast<std::uint32_t>(address.size()));
    }

    [[noreturn]] void die() {
        lane_.die(static_cast<NodeId>(self_));
        throw Died{};
    }

    void connect(unsigned peer, std::uint32_t incarnation = 1) {
        auto &slot = board_.slots[peer];
        run_until([&] { return slot.address_bytes.load() != 0; }, 10s);
        transport->connect(static_cast<NodeId>(peer), incarnation,
                           std::span<const std::byte>(slot.address, slot.address_bytes.load()));
    }
    void connect_all() {
        for (unsigned peer = 0; peer < plan_.nodes; ++peer) {
            if (peer != self_) {
                connect(peer);
            }
        }
    }

    // All nodes pass, and go on making progress for each other while they wait. A barrier may be used again in rounds.
    void barrier(unsigned number, unsigned round = 0) {
        board_.arrived[number].fetch_add(1);
        run_until([&] { return board_.arrived[number].load() >= plan_.nodes * (round + 1); }, 30s);
    }

    // Spins, whatever the plan says: for conditions that no message announces.
    template <class Done> void run_until(Done done, Clock::duration limit) {
        const auto deadline = Clock::now() + limit;
        while (!done()) {
            if (!transport->progress()) {
                require(Clock::now() < deadline, waited("in vain"));
                std::this_thread::yield(); // the other nodes, and soft devices, need processors too
            }
        }
    }

    // Waits in the way of the plan for a condition that messages bring about. A wake-up that is lost ends in an error:
    // nothing else would end the poll.
    template <class Done> void wait_until(Done done, Clock::duration limit = 50s) {
        if (plan_.wait == Wait::spin) {
            run_until(done, limit);
            return;
        }
        const auto deadline = Clock::now() + limit;
        while (!done()) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
            require(left.count() > 0, waited("in vain"));
            if (transport->progress() || !transport->arm()) {
                continue;
            }
            pollfd ready{transport->event_fd(), POLLIN, 0};
            require(::poll(&ready, 1, static_cast<int>(left.count())) > 0, waited("without being woken"));
        }
    }

    StagingPtr staged(std::size_t bytes, unsigned char fill) {
        auto staging = transport->stage();
        std::memset(staging->data, fill, bytes);
        staging->size = bytes;
        return staging;
    }

    Board &board() { return board_; }
    unsigned self() const { return self_; }
    const Plan &plan() const { return plan_; }

    std::function<void(NodeId, std::span<const std::byte>, std::span<const std::byte>)> on_message;
    std::vector<std::pair<NodeId, std::string>> downs;
    Clock::time_point down_at{};
    std::unique_ptr<Transport> transport;

  private:
    std::string waited(const char *how) const {
        auto text = fmt::format("node {} waited {}, with {} messages", self_, how, transport->counters().received);
        for (const auto &[peer, why] : downs) {
            text += fmt::format("; node {} was down: {}", peer, why);
        }
        return text;
    }

    Board &board_;
    const Plan &plan_;
    unsigned self_;
    Lane &lane_;
};

struct Ended {
    bool killed = false; // as die() does it
    int code = -1;       // exit code otherwise
};

inline Ended run_body(const Plan &plan, unsigned self, Board &board, Lane &lane,
                      const std::function<void(Node &)> &body) {
    try {
        Node node(plan, self, board, lane);
        body(node);
    } catch (const Died &) {
        return {.killed = true, .code = -1};
    } catch (const std::exception &error) {
        fmt::print(stderr, "node {} over {}: {}\n", self, plan.kind.name, error.what());
        return {.killed = false, .code = 1};
    }
    return {.killed = false, .code = 0};
}

// Reaps them in the order in which they end: a dead process that nobody has waited for still looks alive to UCX's
// shared memory transports.
inline std::vector<Ended> reap(const Plan &plan, std::vector<pid_t> children) {
    std::vector<Ended> ended(children.size());
    const auto deadline = Clock::now() + plan.limit;
    for (std::size_t left = children.size(); left != 0; std::this_thread::sleep_for(1ms)) {
        const bool late = Clock::now() > deadline;
        for (std::size_t i = 0; i < children.size(); ++i) {
            if (children[i] > 0 && late) {
                fmt::print(stderr, "node {} over {} did not end in time\n", i, plan.kind.name);
                ::kill(children[i], SIGABRT);
            }
            int status = 0;
            if (children[i] > 0 && ::waitpid(children[i], &status, late ? 0 : WNOHANG) == children[i]) {
                ended[i].killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
                ended[i].code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
                children[i] = 0;
                --left;
            }
        }
    }
    return ended;
}

inline std::vector<Ended> run_processes(const Plan &plan, const std::function<void(Node &)> &body) {
    void *memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc();
    }
    auto *board = new (memory) Board{};
    std::vector<pid_t> children;
    for (unsigned self = 0; self < plan.nodes; ++self) {
        std::fflush(nullptr);
        const auto child = ::fork();
        if (child == 0) {
            const auto lane = make_lane(plan.kind);
            ::_exit(run_body(plan, self, *board, *lane, body).code);
        }
        children.push_back(child);
    }
    const auto ended = reap(plan, children);
    ::munmap(memory, sizeof(Board));
    return ended;
}

inline std::vector<Ended> run_threads(const Plan &plan, const std::function<void(Node &)> &body) {
    const auto lane = make_lane(plan.kind);
    const auto board = std::make_unique<Board>();
    std::vector<Ended> ended(plan.nodes);
    std::vector<std::thread> threads;
    for (unsigned self = 0; self < plan.nodes; ++self) {
        threads.emplace_back([&, self] { ended[self] = run_body(plan, self, *board, *lane, body); });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    if (const auto complaints = lane->complaints(); !complaints.empty()) {
        fmt::print(stderr, "{}: {}\n", plan.kind.name, complaints);
        ended.front().code = 1;
    }
    return ended;
}

inline std::vector<Ended> run_nodes(const Plan &plan, const std::function<void(Node &)> &body) {
    return plan.kind.processes ? run_processes(plan, body) : run_threads(plan, body);
}

} // namespace norma::rpc::test

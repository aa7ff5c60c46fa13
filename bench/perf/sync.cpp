// SPDX-License-Identifier: BSD-3-Clause
// barrier, lock: services of the node servers. Both objects live on node 0; what is measured is the view from node 1.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

struct Participant {
    norma_sync_t object;
    std::size_t rounds;
    double *samples; // of each round, or null
};

void meet(Participant &self) {
    for (std::size_t round = 0; round < self.rounds; ++round) {
        const auto start = Clock::now();
        check(norma_barrier_wait(self.object, nullptr), "norma_barrier_wait");
        if (self.samples != nullptr) {
            self.samples[round] = microseconds_since(start);
        }
    }
}

// A sample is the time until the lock is held.
void take(Participant &self) {
    for (std::size_t round = 0; round < self.rounds; ++round) {
        const auto start = Clock::now();
        check(norma_mutex_lock(self.object), "norma_mutex_lock");
        self.samples[round] = microseconds_since(start);
        check(norma_mutex_unlock(self.object), "norma_mutex_unlock");
    }
}

struct Competitor {
    norma_sync_t mutex;
    std::size_t rounds;
    double *asked, *held; // moments of each round
};

double now_us() {
    return std::chrono::duration<double, std::micro>(Clock::now().time_since_epoch()).count();
}

void compete(Competitor &self) {
    for (std::size_t round = 0; round < self.rounds; ++round) {
        self.asked[round] = now_us();
        check(norma_mutex_lock(self.mutex), "norma_mutex_lock");
        self.held[round] = now_us();
        check(norma_mutex_unlock(self.mutex), "norma_mutex_unlock");
    }
}

std::vector<double> without_warmup(std::span<const double> samples, std::size_t warmup) {
    return {samples.begin() + static_cast<std::ptrdiff_t>(warmup), samples.end()};
}

class Mutex {
  public:
    Mutex() { check(norma_mutex_create(&id_), "norma_mutex_create"); }
    ~Mutex() { norma_sync_destroy(id_); }
    Mutex(const Mutex &) = delete;
    Mutex &operator=(const Mutex &) = delete;
    norma_sync_t id() const { return id_; }

  private:
    norma_sync_t id_ = 0;
};

struct Moments {
    std::span<const double> asked, held;
};

// From one holder to the next, where that was the other node.
std::vector<double> hand_overs(const Moments &one, const Moments &other) {
    std::vector<std::pair<double, int>> takings;
    for (const auto &[moments, node] : {std::pair(one.held, 0), std::pair(other.held, 1)}) {
        for (const double moment : moments) {
            takings.emplace_back(moment, node);
        }
    }
    std::sort(takings.begin(), takings.end());
    std::vector<double> times;
    for (std::size_t taking = 1; taking < takings.size(); ++taking) {
        if (takings[taking].second != takings[taking - 1].second) {
            times.push_back(takings[taking].first - takings[taking - 1].first);
        }
    }
    return times;
}

// How often the other node took the lock while this one waited for it.
std::vector<double> overtakings(const Moments &waiter, const Moments &other) {
    std::vector<double> counts;
    for (std::size_t round = 0; round < waiter.held.size(); ++round) {
        const auto from = std::lower_bound(other.held.begin(), other.held.end(), waiter.asked[round]);
        const auto to = std::lower_bound(from, other.held.end(), waiter.held[round]);
        counts.push_back(static_cast<double>(to - from));
    }
    return counts;
}

// Two nodes that always want the lock. Their clocks can be compared because they are on one machine.
void print_contest(norma_sync_t mutex, std::size_t rounds) {
    const Array<Competitor> competitor(1);
    const Array<double> asked_there(rounds), held_there(rounds);
    std::vector<double> asked_here(rounds), held_here(rounds);
    *competitor.data() = {mutex, rounds, asked_there.data(), held_there.data()};
    Competitor self{mutex, rounds, asked_here.data(), held_here.data()};
    RemoteTask task(kPeer);
    task.start<&compete>(competitor.data());
    compete(self);
    task.join();
    const Moments here{asked_here, held_here}, there{asked_there.span(), held_there.span()};
    const auto times = hand_overs(here, there);
    fmt::print("# lock: two nodes competing: {:.2f} us from one holder to the next (median)\n",
               times.empty() ? 0 : median(times));
    fmt::print("# lock: taken by the other node while one waits: node 0 p99 {} times, node 1 p99 {} times\n",
               summarize(overtakings(here, there)).p99, summarize(overtakings(there, here)).p99);
}

} // namespace

Rows barrier(const TestInfo &test) {
    const auto nodes = static_cast<unsigned>(norma_node_count());
    const std::size_t rounds = test.warmup + test.iterations;
    const Barrier object(nodes);
    const Array<Participant> participants(nodes);
    const Array<double> samples(rounds);
    for (unsigned node = 0; node < nodes; ++node) {
        participants.span()[node] = {object.id(), rounds, node == kPeer ? samples.data() : nullptr};
    }
    const double round_trip = am_lat_us(kPeer, test.iterations);
    std::vector<std::unique_ptr<RemoteTask>> tasks;
    for (unsigned node = 1; node < nodes; ++node) {
        tasks.push_back(std::make_unique<RemoteTask>(static_cast<int>(node)));
        check(norma_barrier_expect(object.id(), tasks.back()->port()), "norma_barrier_expect");
        tasks.back()->start<&meet>(&participants.span()[node]);
    }
    meet(participants.span()[0]);
    for (auto &task : tasks) {
        task->join();
    }
    return {latency_row("barrier", 0, without_warmup(samples.span(), test.warmup), round_trip)};
}

Rows lock(const TestInfo &test) {
    const std::size_t rounds = test.warmup + test.iterations;
    const Mutex object;
    const Array<Participant> participant(1);
    const Array<double> samples(rounds);
    *participant.data() = {object.id(), rounds, samples.data()};
    const double round_trip = am_lat_us(kPeer, test.iterations);
    {
        RemoteTask task(kPeer);
        task.start<&take>(participant.data());
        task.join();
    }
    print_contest(object.id(), test.iterations);
    return {latency_row("lock", 0, without_warmup(samples.span(), test.warmup), round_trip)};
}

} // namespace norma::bench

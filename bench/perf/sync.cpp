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

// A sample is the moment at which the lock is held.
void compete(Participant &self) {
    for (std::size_t round = 0; round < self.rounds; ++round) {
        check(norma_mutex_lock(self.object), "norma_mutex_lock");
        self.samples[round] = std::chrono::duration<double, std::micro>(Clock::now().time_since_epoch()).count();
        check(norma_mutex_unlock(self.object), "norma_mutex_unlock");
    }
}

std::vector<double> without_warmup(std::span<const double> samples, std::size_t warmup) {
    return {samples.begin() + static_cast<std::ptrdiff_t>(warmup), samples.end()};
}

class SyncObject {
  public:
    explicit SyncObject(norma_sync_t id) : id_(id) {}
    ~SyncObject() { norma_sync_destroy(id_); }
    SyncObject(const SyncObject &) = delete;
    SyncObject &operator=(const SyncObject &) = delete;
    norma_sync_t id() const { return id_; }

  private:
    norma_sync_t id_;
};

norma_sync_t make_barrier(unsigned count) {
    norma_sync_t id = 0;
    check(norma_barrier_create(count, &id), "norma_barrier_create");
    return id;
}

norma_sync_t make_mutex() {
    norma_sync_t id = 0;
    check(norma_mutex_create(&id), "norma_mutex_create");
    return id;
}

struct Contest {
    double hand_over_us = 0;
    std::size_t longest_run = 0; // takings by one node without the other, while both wanted the lock
};

// The clocks can be compared because both nodes are on this machine.
Contest judge(std::span<const double> here, std::span<const double> there) {
    const double from = std::max(here.front(), there.front()), to = std::min(here.back(), there.back());
    std::vector<std::pair<double, bool>> takings;
    for (const auto &[moments, node] : {std::pair(here, false), std::pair(there, true)}) {
        for (const double moment : moments) {
            if (moment >= from && moment <= to) {
                takings.emplace_back(moment, node);
            }
        }
    }
    std::sort(takings.begin(), takings.end());
    Contest contest;
    std::size_t run = 0;
    std::vector<double> hand_overs;
    for (std::size_t taking = 0; taking < takings.size(); ++taking) {
        const bool other = taking > 0 && takings[taking].second != takings[taking - 1].second;
        if (other) {
            hand_overs.push_back(takings[taking].first - takings[taking - 1].first);
        }
        run = other ? 1 : run + 1;
        contest.longest_run = std::max(contest.longest_run, run);
    }
    contest.hand_over_us = hand_overs.empty() ? 0 : median(hand_overs);
    return contest;
}

// Two nodes that always want the lock: the median hand-over, and how fair they are to each other.
void print_contest(norma_sync_t mutex, std::size_t rounds) {
    const Array<Participant> participant(1);
    const Array<double> there(rounds);
    std::vector<double> here(rounds);
    *participant.data() = {mutex, rounds, there.data()};
    Participant self{mutex, rounds, here.data()};
    RemoteTask task(kPeer);
    task.start<&compete>(participant.data());
    compete(self);
    task.join();
    const auto contest = judge(here, there.span());
    fmt::print("# lock: two nodes competing: {:.2f} us from one holder to the next, at most {} times in a row by one\n",
               contest.hand_over_us, contest.longest_run);
}

} // namespace

Rows barrier(const TestInfo &test) {
    const auto nodes = static_cast<unsigned>(norma_node_count());
    const std::size_t rounds = test.warmup + test.iterations;
    const SyncObject object(make_barrier(nodes));
    const Array<Participant> participants(nodes);
    const Array<double> samples(rounds);
    for (unsigned node = 0; node < nodes; ++node) {
        participants.span()[node] = {object.id(), rounds, node == kPeer ? samples.data() : nullptr};
    }
    const double round_trip = am_lat_us(kPeer, test.iterations);
    std::vector<std::unique_ptr<RemoteTask>> tasks;
    for (unsigned node = 1; node < nodes; ++node) {
        tasks.push_back(std::make_unique<RemoteTask>(static_cast<int>(node)));
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
    const SyncObject object(make_mutex());
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

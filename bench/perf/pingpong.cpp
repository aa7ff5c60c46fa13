// SPDX-License-Identifier: BSD-3-Clause
// page_pingpong: two nodes write one page in turn. Turns are taken by semaphores, so that no page but the one that is
// measured moves, and a sample is the write alone: the hand-over of the page.
#include <stdexcept>

#include <fmt/format.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

// Until the messages of the semaphore have been dealt with.
constexpr double kSettleUs = 30;

struct Side {
    volatile std::uint64_t *counter;
    std::uint64_t first; // the value the counter has at this side's first turn
    std::size_t turns;
    norma_sync_t mine, theirs;
    double *samples; // of each turn
};

void settle() {
    for (const auto start = Clock::now(); microseconds_since(start) < kSettleUs;) {
    }
}

void play(Side &side) {
    for (std::size_t turn = 0; turn < side.turns; ++turn) {
        Semaphore::wait(side.mine);
        settle();
        const auto expected = side.first + 2 * turn;
        const auto start = Clock::now();
        side.counter[1] = turn; // a write first: reading would fetch the page to be read only
        const double time = microseconds_since(start);
        if (side.counter[0] != expected) {
            throw std::runtime_error(fmt::format("the page counts {} turns, not {}", side.counter[0], expected));
        }
        side.counter[0] = expected + 1;
        side.samples[turn] = time;
        Semaphore::post(side.theirs);
    }
}

} // namespace

Rows page_pingpong(const TestInfo &test) {
    const std::size_t warmup_turns = (test.warmup + 1) / 2, turns = warmup_turns + (test.iterations + 1) / 2;
    const Memory page(kPage);
    const Array<Side> side(1);
    const Array<double> there(turns);
    const Semaphore our_turn, their_turn;
    std::vector<double> here(turns);
    Side ours{&page.word(0), 0, turns, our_turn.id(), their_turn.id(), here.data()};
    *side.data() = {&page.word(0), 1, turns, their_turn.id(), our_turn.id(), there.data()};

    RemoteTask task(kPeer);
    std::vector<double> local(test.iterations);
    const double round_trip = am_lat_us(kPeer, test.iterations);
    LocalFaults(kPeer, local.size()).measure(local);
    task.start<&play>(side.data());
    our_turn.post();
    play(ours);
    task.join();

    std::vector<double> samples(here.begin() + static_cast<std::ptrdiff_t>(warmup_turns), here.end());
    samples.insert(samples.end(), there.span().begin() + static_cast<std::ptrdiff_t>(warmup_turns), there.span().end());
    return {latency_row("page_pingpong", kPage, samples, round_trip + median(local))};
}

} // namespace norma::bench

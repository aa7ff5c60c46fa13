// SPDX-License-Identifier: BSD-3-Clause
// Every call that is made of several steps on several nodes, interrupted at each of its messages by the death of each
// node and task that has a part in it.
#include "tests/simulation/simulate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

namespace norma::sim {
namespace {

std::uint64_t seeds_to_run() {
    const char *text = std::getenv("DRILL_SEEDS");
    return text != nullptr ? std::strtoull(text, nullptr, 0) : 3;
}

struct Count {
    std::uint64_t runs = 0, deaths = 0, done = 0, refused = 0, gone = 0;
    std::map<std::string, std::uint64_t> moments; // what was on its way when somebody died
};

void interrupt(std::uint64_t seed, const Drill &drill, Count &count) {
    const auto report = simulate(seed, nullptr, drill);
    ASSERT_EQ(report.error, "") << "build/release/bin/norma_sim --verbose --seed " << seed << " --drill "
                                << kDrillCalls.at(static_cast<std::size_t>(drill.call)) << " --victim "
                                << kDrillVictims.at(static_cast<std::size_t>(drill.victim)) << " --message "
                                << drill.message;
    const auto &drilled = report.drilled;
    ++count.runs;
    count.deaths += drilled.struck ? 1 : 0;
    count.moments[drilled.moment] += drilled.struck ? 1 : 0;
    ++(!drilled.answered ? count.gone : drilled.status == 0 ? count.done : count.refused);
}

class EveryMessage : public testing::TestWithParam<std::size_t> {};

TEST_P(EveryMessage, AllOrNothing) {
    Count count;
    std::uint64_t most = 0;
    for (std::uint64_t seed = 1; seed <= seeds_to_run(); ++seed) {
        Drill drill{.call = static_cast<Drill::Call>(GetParam()), .victim = {}, .message = 0};
        const auto calm = simulate(seed, nullptr, drill);
        ASSERT_EQ(calm.error, "");
        ASSERT_GT(calm.drilled.messages, 2U);
        most = std::max(most, calm.drilled.messages);
        for (drill.message = 1; drill.message <= calm.drilled.messages; ++drill.message) {
            for (std::size_t victim = 0; victim < kDrillVictims.size(); ++victim) {
                drill.victim = static_cast<Drill::Victim>(victim);
                interrupt(seed, drill, count);
                if (HasFatalFailure()) {
                    return;
                }
            }
        }
    }
    std::string moments;
    for (const auto &[name, times] : count.moments) {
        moments += times > 0 ? fmt::format(" {} {},", name, times) : "";
    }
    fmt::print("{}: up to {} messages, {} runs, {} deaths: done {}, refused {}, the caller gone {}; on their way:{}\n",
               kDrillCalls.at(GetParam()), most, count.runs, count.deaths, count.done, count.refused, count.gone,
               moments.substr(0, moments.size() - 1));
    EXPECT_GT(count.done, 0U);
    EXPECT_GT(count.refused, 0U);
    EXPECT_GT(count.gone, 0U);
    const std::map<Drill::Call, std::vector<std::string>> phases{
        {Drill::Call::create, {"freeze", "snapshot", "spawn", "attach", "page", "reply"}},
        {Drill::Call::clone, {"spawn", "attach", "reply"}},
        {Drill::Call::teleport, {"spawn", "attach", "sync_task_moved", "take_over", "reply"}},
        {Drill::Call::remap, {"vm_pieces", "attach", "reply"}},
        {Drill::Call::remap_copy, {"vm_pieces", "attach", "freeze", "snapshot", "page", "reply"}},
        {Drill::Call::borrow, {"vm_pieces", "attach", "reply"}},
        {Drill::Call::migrate,
         {"spawn", "abort_waits", "furnish", "attach", "give_names", "make_room", "sync_task_moved", "carry_on",
          "pages_held", "home_fetch", "page", "reply"}},
        {Drill::Call::migrate_other,
         {"task_migrate", "spawn", "abort_waits", "furnish", "give_names", "make_room", "sync_task_moved", "carry_on",
          "pages_held", "home_fetch", "page", "reply"}}};
    for (const auto &phase : phases.at(static_cast<Drill::Call>(GetParam()))) {
        EXPECT_GT(count.moments[phase], 0U) << "nobody died when this was on its way: " << phase;
    }
}

// What the source had said last came to the lock's home when the orphan's end had been told there.
TEST(Drill, AMoveOfWhichTheLastWordComesLate) {
    const std::vector<std::pair<std::uint64_t, std::uint64_t>> once_failed{
        {17, 230}, {17, 343}, {18, 27}, {18, 230}, {19, 260}, {20, 104}, {21, 64}, {22, 152}, {22, 268}, {23, 190}};
    for (const auto &[message, seed] : once_failed) {
        const Drill drill{.call = Drill::Call::migrate, .victim = Drill::Victim::source, .message = message};
        EXPECT_EQ(simulate(seed, nullptr, drill).error, "") << "message " << message << ", seed " << seed;
    }
}

INSTANTIATE_TEST_SUITE_P(Simulation, EveryMessage, testing::Range<std::size_t>(0, kDrillCalls.size()),
                         [](const auto &call) { return std::string(kDrillCalls.at(call.param)); });

} // namespace
} // namespace norma::sim

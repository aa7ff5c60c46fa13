// SPDX-License-Identifier: BSD-3-Clause
// Jobs of real processes over each transport, and the verdict on what they have seen. HISTORY_ROUNDS=n has each run n
// times as long.
#include "tests/history/check.hpp"
#include "tests/history/file.hpp"
#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <ostream>
#include <set>

#include <fmt/format.h>
#include <unistd.h>

namespace history {
namespace {

using ::testing::IsEmpty;

struct Lane {
    const char *label;
    const char *transport;
    int nodes;
};

void PrintTo(const Lane &lane, std::ostream *out) {
    *out << lane.label;
}

unsigned longer() {
    const char *wanted = std::getenv("HISTORY_ROUNDS");
    return wanted == nullptr ? 1 : std::max(1U, static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)));
}

class History : public ::testing::TestWithParam<Lane> {
  protected:
    ~History() override { std::filesystem::remove(path_); }

    // What a job of this lane has written when it has ended well.
    File run(const char *what, std::vector<std::string> arguments) {
        const auto &lane = GetParam();
        std::vector<std::string> words{HISTORY_APP, what, path_};
        words.insert(words.end(), arguments.begin(), arguments.end());
        // More node servers than cores: they do better without spinning.
        const auto end = systest::run_words({.nodes = lane.nodes,
                                             .transport = lane.transport,
                                             .env = {"NORMA_WAIT=block"},
                                             .limit = std::chrono::seconds(60 * longer())},
                                            std::move(words));
        EXPECT_FALSE(end.timed_out);
        EXPECT_EQ(end.status, 0);
        EXPECT_EQ(end.err, "");
        EXPECT_THAT(end.left_behind, IsEmpty());
        seconds_ = end.time.count();
        return end.status == 0 ? load(path_) : File{};
    }

    double seconds_ = 0;

  private:
    const std::string path_ =
        (std::filesystem::temp_directory_path() / fmt::format("norma-history-{}", ::getpid())).string();
};

TEST_P(History, EveryWordIsLinearizable) {
    constexpr unsigned kRounds = 6;
    constexpr unsigned kOperations = 1000;
    constexpr unsigned kThreads = 2;
    const auto file =
        run("history", {std::to_string(kRounds * longer()), std::to_string(kOperations), std::to_string(kThreads)});
    if (HasFailure()) {
        return;
    }
    const auto report = check(file.operations);
    EXPECT_THAT(report.faults, IsEmpty());
    EXPECT_GE(report.operations, std::size_t{kRounds} * kOperations * kThreads * file.facts.nodes);
    EXPECT_GT(file.facts.faults, report.operations / 20) << "hardly any page has moved, so this shows nothing";
    std::cout << fmt::format(
        "history: {} operations ({} of them unknown), {} locations, {} rounds, {} faults, {} nodes, "
        "{} teleports, {} clones, {} evictions, {:.1f} s, {}\n",
        report.operations + report.unknown, report.unknown, report.locations, file.facts.rounds, file.facts.faults,
        file.facts.nodes, file.facts.teleports, file.facts.clones, file.facts.evictions, seconds_,
        GetParam().transport);
}

TEST_P(History, LitmusOutcomesAreSequentiallyConsistent) {
    const auto file = run("history_litmus", {std::to_string(2000 * longer())});
    if (HasFailure()) {
        return;
    }
    std::map<std::size_t, std::set<Outcome>> outcomes;
    std::uint64_t rounds = 0;
    for (const auto &seen : file.seen) {
        const auto &shape = shapes().at(seen.shape);
        EXPECT_TRUE(allowed(shape).contains(seen.outcome))
            << shape.name << ": " << describe(shape, seen.outcome) << ", " << seen.times << " times: " << shape.shows;
        outcomes[seen.shape].insert(seen.outcome);
        rounds += seen.times;
    }
    EXPECT_EQ(outcomes.size(), shapes().size());
    EXPECT_EQ(rounds, file.facts.rounds);
    std::string line;
    for (const auto &[number, different] : outcomes) {
        const auto &shape = shapes()[number];
        // Or nothing ran beside anything else, and the test shows nothing.
        EXPECT_GT(different.size(), allowed(shape).size() > 2 ? 1U : 0U) << shape.name;
        line += fmt::format(", {} {} of {}", shape.name, different.size(), allowed(shape).size());
    }
    std::cout << fmt::format("litmus: {} rounds, {} nodes, {:.1f} s, {}; outcomes{}\n", rounds, file.facts.nodes,
                             seconds_, GetParam().transport, line);
}

INSTANTIATE_TEST_SUITE_P(, History,
                         ::testing::Values(Lane{"Ucx", "ucx", 2}, Lane{"Tcp", "tcp", 3}, Lane{"Shm", "shm", 4}),
                         [](const auto &param) { return std::string(param.param.label); });

} // namespace
} // namespace history

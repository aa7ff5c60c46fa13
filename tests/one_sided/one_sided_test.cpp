// SPDX-License-Identifier: BSD-3-Clause
// Runs the cases of one_sided_app over each transport.
#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

namespace systest {
namespace {

struct Run {
    std::string label;
    std::vector<std::string> words;
    int nodes = 2;
    std::string transport{};
    bool as_user = false;
    std::vector<std::string> env{};
    bool node_dies = false; // which the launcher tells
};

void PrintTo(const Run &run, std::ostream *out) {
    *out << run.label;
}

class OneSided : public ::testing::TestWithParam<Run> {};

TEST_P(OneSided, Case) {
    const auto &run = GetParam();
    std::vector<std::string> words{ONE_SIDED_APP};
    words.insert(words.end(), run.words.begin(), run.words.end());
    const auto end =
        run_words({.nodes = run.nodes, .transport = run.transport, .env = run.env, .as_user = run.as_user}, words);
    EXPECT_FALSE(end.timed_out) << "after " << end.time.count() << " s";
    EXPECT_EQ(end.status, 0) << end.err;
    if (!run.node_dies) {
        EXPECT_EQ(end.err, "");
    }
    EXPECT_THAT(end.left_behind, ::testing::IsEmpty());
}

std::vector<Run> runs() {
    const std::vector<std::string> block{"NORMA_WAIT=block"};
    std::vector<Run> all;
    for (const std::string transport : {"tcp", "shm", "ucx"}) {
        const auto add = [&](Run run) {
            run.label += "_" + transport;
            run.transport = transport;
            all.push_back(std::move(run));
        };
        add({.label = "values", .words = {"values"}});
        add({.label = "coherent_buffers", .words = {"coherent_buffers"}});
        add({.label = "vectored", .words = {"vectored"}});
        add({.label = "started", .words = {"started"}});
        add({.label = "atomics", .words = {"atomics", "200"}, .nodes = 3, .env = block});
        add({.label = "types", .words = {"types"}});
        add({.label = "threads", .words = {"threads"}});
        add({.label = "threads_blocking", .words = {"threads"}, .env = block});
        add({.label = "wrong_key", .words = {"wrong_key"}});
        add({.label = "out_of_bounds", .words = {"out_of_bounds"}});
        add({.label = "rights", .words = {"rights"}});
        add({.label = "export_errors", .words = {"export_errors"}});
        add({.label = "coherent_access_refused", .words = {"coherent_access_refused"}, .nodes = 3});
        add({.label = "wiring_under_fire", .words = {"wiring_under_fire"}, .nodes = 3, .env = block});
        add({.label = "owner_takes_no_part", .words = {"owner_takes_no_part"}});
        add({.label = "protection_and_regions", .words = {"protection_and_regions"}});
        add({.label = "region_freed", .words = {"region_freed"}});
        add({.label = "owner_killed", .words = {"owner_killed"}});
        add({.label = "importer_killed", .words = {"importer_killed"}});
        add({.label = "node_killed", .words = {"node_killed"}, .nodes = 3, .node_dies = true});
        add({.label = "owner_teleports", .words = {"owner_teleports"}});
        if (transport != "tcp") {
            add({.label = "owner_stands_still", .words = {"owner_stands_still"}});
            add({.label = "wired_in_pieces", .words = {"wired_in_pieces"}});
            add({.label = "strangers", .words = {"strangers"}, .nodes = 3});
        }
    }
    all.push_back({.label = "region_freed_user", .words = {"region_freed"}, .as_user = true});
    all.push_back({.label = "rules_user", .words = {"coherent_access_refused"}, .nodes = 3, .as_user = true});
    return all;
}

INSTANTIATE_TEST_SUITE_P(, OneSided, ::testing::ValuesIn(runs()), [](const auto &param) { return param.param.label; });

} // namespace
} // namespace systest

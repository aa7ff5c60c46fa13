// SPDX-License-Identifier: BSD-3-Clause
// history_judge FILE: the verdict on a history where there is no test program to ask, in the guests of tests/rxe. Ends
// with 0 if a sequentially consistent memory could have behaved like that, and enough has happened to tell.
#include "tests/history/check.hpp"
#include "tests/history/file.hpp"

#include <cstdio>

#include <fmt/format.h>

namespace {

using namespace history;

bool judge_operations(const File &file) {
    const auto report = check(file.operations);
    for (const auto &fault : report.faults) {
        fmt::print("{}\n", fault);
    }
    fmt::print(
        "history: {} operations ({} of them unknown), {} locations, {} rounds, {} faults, {} nodes, {} teleports, "
        "{} clones, {} evictions, clocks known to {} us\n",
        report.operations + report.unknown, report.unknown, report.locations, file.facts.rounds, file.facts.faults,
        file.facts.nodes, file.facts.teleports, file.facts.clones, file.facts.evictions, file.facts.uncertainty / 1000);
    const bool shows_something = file.facts.faults > report.operations / 20 && file.facts.teleports > 0;
    if (!shows_something) {
        fmt::print("hardly anything has moved, so this shows nothing\n");
    }
    return report.faults.empty() && report.operations > 0 && shows_something;
}

bool judge_litmus(const File &file) {
    bool good = true;
    std::uint64_t rounds = 0;
    for (const auto &seen : file.seen) {
        const auto &shape = shapes().at(seen.shape);
        rounds += seen.times;
        if (!allowed(shape).contains(seen.outcome)) {
            fmt::print("{}: {}, {} times: {}\n", shape.name, describe(shape, seen.outcome), seen.times, shape.shows);
            good = false;
        }
    }
    fmt::print("litmus: {} rounds, {} outcomes, {} nodes\n", rounds, file.seen.size(), file.facts.nodes);
    return good && file.seen.size() > shapes().size(); // or nothing ran beside anything else
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: history_judge FILE\n");
        return 2;
    }
    try {
        const auto file = load(argv[1]);
        const bool good = file.seen.empty() ? judge_operations(file) : judge_litmus(file);
        return good ? 0 : 1;
    } catch (const std::exception &error) {
        fmt::print(stderr, "history_judge: {}\n", error.what());
        return 1;
    }
}

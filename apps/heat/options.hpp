// SPDX-License-Identifier: BSD-3-Clause
// What the user asks of heat, and whether it can be done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace heat {

/// One --teleport-at as given: STEP[:WORKER[:NODE]].
struct TeleportRequest {
    std::uint64_t step = 0;
    std::optional<unsigned> worker;
    std::optional<int> node;
};

struct Options {
    std::string input; // empty: a generated picture
    std::string output = "heat-out";
    std::size_t width = 1024; // of the generated picture
    std::size_t height = 768;
    std::uint64_t steps = 1000;
    std::uint64_t frames = 4;
    std::optional<std::int64_t> workers;
    std::vector<std::string> teleports;
    bool teleport_self = false;
    bool verify = false;
    bool quiet = false;
};

/// A move of a worker that will be made: everything decided.
struct Move {
    std::uint64_t step = 0;
    unsigned worker = 0;
    int from = 0;
    int to = 0;
};

/// Reads "100", "100:2" or "100:2:1". Throws UsageError naming the text.
TeleportRequest parse_teleport(std::string_view text);

/// The number of workers for a plate of `rows` rows. Throws UsageError if the one asked for makes no sense.
unsigned choose_workers(const Options &options, std::size_t rows, int nodes);

/// The moves in the order of their steps. Left open: the last worker, and the node after the one it is on by then.
/// Throws UsageError for steps, workers and nodes that are not there, and for one worker moved twice at one step.
std::vector<Move> plan_moves(const Options &options, unsigned workers, int nodes);

/// Makes the output directory if need be. Throws UsageError if it cannot be made or written.
void prepare_output(const std::string &directory);

} // namespace heat

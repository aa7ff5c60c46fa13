// SPDX-License-Identifier: BSD-3-Clause
// Is there an order of all operations on a location, one after the other, in which every read returns the last value
// written before it, and which agrees with the order in time of operations that did not overlap? (Linearizability of a
// register; of several registers it follows from that of each.)
//
// As every value is written once, each read tells which write it read from, and the question can be answered in
// n log n (Gibbons and Korach, "Testing shared memories", 1997). A write and its reads are a cluster. An update reads
// in one cluster and writes the next, so nothing comes between the two: clusters tied by updates make a chain, and a
// lone cluster is a chain too. Two things can be wrong:
//   * Within a chain the order is known: a write, its reads, the update, the reads of that one, and so on. It must not
//     contradict time: an operation may not end before one begins that the chain has earlier.
//   * Whole chains follow one another. Of two, A must come first if an operation of A ends before one of B begins,
//     that is, if the earliest end in A is before the latest begin in B. Both orders at once are impossible; and if
//     there is a circle of any length then there is a circle of two: go from the chain with the earliest end of all to
//     the one before it in the circle. So pairs are all there is to look for.
#pragma once

#include "tests/history/operation.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace history {

struct Report {
    std::size_t operations = 0; // those that count
    std::size_t unknown = 0;    // left out: never ended, and nobody has seen what they wrote
    std::size_t locations = 0;
    std::vector<std::string> faults; // one for each location that is wrong, with the operations that show it
};

Report check(std::vector<Operation> operations);

std::string describe(const Operation &operation);

} // namespace history

// SPDX-License-Identifier: BSD-3-Clause
// What a job tells of itself when it is over: a file that the job writes and the test reads. On one machine, so in the
// machine's own byte order.
#pragma once

#include "tests/history/litmus.hpp"
#include "tests/history/operation.hpp"

#include <compare>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace history {

struct Facts {
    std::uint64_t nodes = 0;
    std::uint64_t rounds = 0;
    std::uint64_t faults = 0;    // page faults that the node servers have served
    std::uint64_t teleports = 0; // of tasks that took part
    std::uint64_t clones = 0;
    std::uint64_t evictions = 0;   // pages that a thread wanted to be rid of
    std::uint64_t uncertainty = 0; // nanoseconds by which times were stretched; 0: one clock for all
    bool operator==(const Facts &) const = default;
};

// Rounds of a litmus shape that came out like this.
struct Seen {
    std::uint64_t shape = 0; // its place in shapes()
    std::uint64_t times = 0;
    Outcome outcome;
    bool operator==(const Seen &) const = default;
};

struct File {
    Facts facts;
    std::vector<Operation> operations;
    std::vector<Seen> seen;
    bool operator==(const File &) const = default;
};

struct FileError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Both throw FileError, which names the file.
void save(const std::string &path, const File &file);
File load(const std::string &path);

} // namespace history

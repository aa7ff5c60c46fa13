// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/catalogue.hpp"

namespace norma::exploration {

namespace {

Entry entry(Depth depth, const char *name, dsm::NodeId nodes, std::uint64_t pages, unsigned deaths, unsigned suspicions,
            const char *program, Depth compare = Depth::quick) {
    Job job;
    job.name = name;
    job.nodes = nodes;
    job.pages = pages;
    job.program = program;
    job.deaths = deaths;
    job.suspicions = suspicions;
    return {.depth = depth, .job = read_job(job), .compare = compare};
}

} // namespace

const std::vector<Entry> &catalogue() {
    static const std::vector<Entry> kAll = {
        // Every node does anything at any time, for ever: no program of any length can come to another state.
        entry(Depth::quick, "2 nodes", 2, 1, 0, 0, "any"),
        entry(Depth::quick, "2 nodes, 1 dies", 2, 1, 1, 0, "any"),
        entry(Depth::quick, "2 nodes, 1 suspected", 2, 1, 0, 1, "any"),
        // Snapshots. With one page in each stretch, page 1 is the first copy, page 2 the second.
        entry(Depth::quick, "a copy", 2, 1, 0, 0, "0: f0 s0 t0; 0: w0; 1: w0 w0; 1: r1 w1"),
        entry(Depth::quick, "a freeze for nothing, a copy", 2, 1, 0, 0, "0: f0 t0 f0 s0 t0; 1: w0 w0 r1; 0: w0"),
        // The home moves.
        entry(Depth::quick, "a move", 2, 1, 0, 0, "0: m1; 1: w0 w0; 0: w0 r0"),
        entry(Depth::quick, "a move and back", 2, 1, 0, 0, "0: w0 m1 m0; 1: w0 e0; 0: r0 w0"),
        entry(Depth::quick, "a move, a copy", 2, 1, 0, 0, "0: m1 f0 s0 t0; 1: w0; 0: w0; 1: r1"),
        entry(Depth::quick, "a move, 1 dies", 2, 1, 1, 0, "0: m1; 1: w0 w0; 0: w0 r0"),
        // Every node does anything again.
        entry(Depth::quick, "3 nodes, no eviction", 3, 1, 0, 0, "any rw"),
        entry(Depth::normal, "3 nodes, no eviction, 1 dies", 3, 1, 1, 0, "any rw"),
        entry(Depth::normal, "3 nodes, no eviction, 2 die", 3, 1, 2, 0, "any rw"),
        entry(Depth::normal, "3 nodes, no eviction, 1 suspected", 3, 1, 0, 1, "any rw"),
        entry(Depth::normal, "3 nodes", 3, 1, 0, 0, "any", Depth::deep),
        entry(Depth::normal, "3 nodes, 1 dies", 3, 1, 1, 0, "any", Depth::deep),
        entry(Depth::deep, "3 nodes, 2 die", 3, 1, 2, 0, "any"),
        entry(Depth::deep, "3 nodes, 1 suspected", 3, 1, 0, 1, "any"),
        entry(Depth::normal, "2 pages, no eviction", 2, 2, 0, 0, "any rw"),
        entry(Depth::normal, "2 pages, no eviction, 1 dies", 2, 2, 1, 0, "any rw"),
        entry(Depth::deep, "2 pages", 2, 2, 0, 0, "any"),
        // What is too large for that: bounded programs.
        entry(Depth::normal, "3 nodes, 2 pages", 3, 2, 0, 0, "0: w0 r1; 1: r0/2 w0/2; 2: r0/2 w0/2"),
        entry(Depth::normal, "3 nodes, 2 pages, 1 dies", 3, 2, 1, 0, "0: w0; 1: r0/2 w1; 2: r0/2 w0/2"),
        entry(Depth::normal, "3 nodes, 2 pages, evictions", 3, 2, 0, 0, "0: r0; 1: w0/2 e0/2; 2: r0/2 e0 w1"),
        entry(Depth::normal, "4 nodes, 2 die", 4, 1, 2, 0, "1: w0; 2: r0 w0; 3: w0"),
        // Snapshots.
        entry(Depth::normal, "a copy, 3 nodes", 3, 1, 0, 0, "0: f0 s0 t0; 1: w0; 2: w0 r1; 1: w1"),
        entry(Depth::normal, "a copy, 2 pages", 2, 2, 0, 0, "0: f0 s0 t0; 1: w0/2 w1 r2/2; 0: w0/2 r3"),
        entry(Depth::normal, "a copy of a copy", 2, 1, 0, 0, "0: f0 s0 t0 f1 s1 t1; 1: w0 w1; 1: r2; 0: w0"),
        entry(Depth::normal, "two copies, one ends", 2, 1, 0, 0, "0: f0 s0 s0 t0 x1; 1: w0 w1; 0: w0; 1: r2"),
        entry(Depth::normal, "a copy, 3 nodes, 1 dies", 3, 1, 1, 0, "0: f0 s0 t0; 1: w0 r1; 2: w0 w1"),
        entry(Depth::normal, "a copy stays, 1 dies", 2, 1, 1, 0, "0: f0 s0 t0 x0; 1: w0 e0; 1: r1 w1; 0: w1"),
        // The home moves.
        entry(Depth::normal, "a move, 3 nodes", 3, 1, 0, 0, "0: m1; 1: w0; 2: w0 r0; 0: r0"),
        entry(Depth::normal, "a move, 3 nodes, 1 dies", 3, 1, 1, 0, "0: m1; 1: w0; 2: w0 r0"),
        entry(Depth::normal, "a move, 3 nodes, 2 die", 3, 1, 2, 0, "0: m1; 2: w0 w0; 0: w0"),
        entry(Depth::normal, "two moves, 3 nodes, 1 dies", 3, 1, 1, 0, "0: m1 m2; 1: w0; 2: r0"),
        entry(Depth::normal, "a move, 2 pages, evictions", 2, 2, 0, 0, "0: w0 m1; 1: w0/2 e0; 0: r0 w1"),
        entry(Depth::normal, "a move, 1 suspected", 3, 1, 0, 1, "0: m1; 1: w0; 2: w0"),
        entry(Depth::deep, "two moves, 3 nodes, 2 die", 3, 1, 2, 0, "0: m1 m2; 1: w0; 2: r0 w0"),
        entry(Depth::deep, "copies, 3 nodes, 2 die", 3, 1, 2, 0, "0: f0 s0 t0 f1 s1 t1; 1: w0 w1; 2: w0 r2; 0: w0"),
    };
    return kAll;
}

std::vector<Entry> entries_of(Depth depth) {
    std::vector<Entry> entries;
    for (const Entry &one : catalogue()) {
        if (one.depth <= depth) {
            entries.push_back(one);
        }
    }
    return entries;
}

} // namespace norma::exploration

// SPDX-License-Identifier: BSD-3-Clause
// Steps of bodies in time, by threads that share memory and can do nothing but meet.
//
// Space is cut into a fixed number of small cubes, in an order in which neighbours mostly follow each other; each
// thread has a range of them that holds about as many bodies as the others' do. It plants the trees of its cubes in its
// own memory, and moves the bodies that are in them. The moved bodies go, sorted by cube, into a second array: so what
// a thread writes lies together. Everybody reads everything; how far the cubes are cut does not depend on the threads,
// and neither does the order of any sum, so the result is the same, bit for bit, for any number of threads.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "apps/barnes/bodies.hpp"
#include "apps/barnes/tree.hpp"
#include "apps/common/pages.hpp"

namespace barnes {

inline constexpr unsigned kDepth = 3; // how often space is halved in each direction
inline constexpr unsigned kCubes = 1U << (3 * kDepth);
inline constexpr unsigned kMostThreads = kCubes;

struct Settings {
    unsigned threads = 1; // up to kMostThreads
    unsigned steps = 1;
    double time_step = 0.01;
    double openness = 0.5;
    double softening = 0.02;
};

/// In pages of its own: all threads read it all the time.
class alignas(apps::kPage) Simulation {
  public:
    /// Throws std::bad_alloc.
    Simulation(std::span<const Body> initial, const Settings &settings);

    /// Called by every thread, each with its number. `meet` returns when all have called it.
    void work(unsigned thread, const std::function<void()> &meet);

    /// When all are done: the bodies by number.
    std::vector<Body> result() const;

  private:
    struct Root {
        const Forest *forest = nullptr;
        std::uint32_t root = 0;
        Moment moment;
    };
    struct Plan; // of one thread for one step
    struct Top;  // the tree above the cubes

    Plan make_plan(unsigned thread, std::span<const Body> now) const;
    void plant(const Plan &plan, std::span<const Body> now, Forest &forest);
    Top make_top(const Plan &plan) const;
    Vector acceleration_of(const Body &body, std::span<const Body> now, const Top &top) const;
    void pull_from(const Top &top, unsigned level, unsigned index, std::span<const Body> now, std::uint64_t number,
                   Pull &pull) const;
    Body moved(const Body &body, const Vector &acceleration) const;

    Settings settings_;
    std::array<apps::Pages<Body>, 2> bodies_; // a step reads one and writes the other
    apps::Pages<Root> roots_;                 // by cube
};

} // namespace barnes

// SPDX-License-Identifier: BSD-3-Clause
// A tree of cubes over bodies: a cube far enough away attracts like one body (Barnes and Hut).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "apps/barnes/bodies.hpp"
#include "apps/common/pages.hpp"

namespace barnes {

/// How much mass there is, and where its centre is.
struct Moment {
    double mass = 0;
    Vector centre{};

    void add(double more, const Vector &where) {
        for (std::size_t axis = 0; axis < 3; ++axis) {
            centre[axis] += more * where[axis];
        }
        mass += more;
    }
    /// After the last add().
    void finish() {
        for (std::size_t axis = 0; mass > 0 && axis < 3; ++axis) {
            centre[axis] /= mass;
        }
    }
};

struct Cube {
    Vector low{};
    double side = 0;
    /// One of its eight parts; bit `axis` of `octant` says in which half of that axis it lies.
    Cube part(unsigned octant) const;
    unsigned octant_of(const Vector &position) const;
};

/// A cube, and either its parts that are not empty or, if it is small or has few bodies, these.
struct Cell {
    Moment moment;
    double side = 0;
    std::uint32_t first = 0; // of its parts among the tree's cells, or of its bodies in the tree's order
    std::uint32_t count = 0;
    bool leaf = false;
};

/// Adds up what pulls at a place. `openness`: a cube is taken apart if its side is more than that part of its distance.
class Pull {
  public:
    Pull(const Vector &where, double openness, double softening)
        : where_(where), openness2_(openness * openness), softening2_(softening * softening) {}

    bool is_far(const Moment &moment, double side) const;
    void add(double mass, const Vector &from);
    const Vector &acceleration() const { return acceleration_; }

  private:
    Vector where_;
    double openness2_, softening2_;
    Vector acceleration_{};
};

/// The trees of some cubes of one step. Written by one thread, read by all; in a page of its own, as it lies on that
/// thread's stack.
class alignas(apps::kPage) Forest {
  public:
    void clear();
    /// Makes the tree of a cube from the bodies in it; returns its root, for pull(). Their order is kept where they
    /// stay together, so the tree depends on nothing else.
    std::uint32_t plant(std::span<const Body> bodies, std::span<const std::uint32_t> inside, const Cube &cube);
    const Moment &moment(std::uint32_t root) const { return cells_[root].moment; }
    /// Adds what the bodies of a tree do to the one with `number`.
    void pull(std::span<const Body> bodies, std::uint32_t root, std::uint64_t number, Pull &pull) const;

  private:
    void fill(std::span<const Body> bodies, std::uint32_t cell, const Cube &cube, std::vector<std::uint32_t> inside,
              unsigned depth);
    void divide(std::span<const Body> bodies, std::uint32_t cell, const Cube &cube,
                const std::vector<std::uint32_t> &inside, unsigned depth);

    std::vector<Cell> cells_;
    std::vector<std::uint32_t> order_;
};

} // namespace barnes

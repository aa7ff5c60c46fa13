// SPDX-License-Identifier: BSD-3-Clause
#include "apps/barnes/tree.hpp"

#include <array>
#include <cmath>
#include <utility>

namespace barnes {

namespace {

constexpr std::size_t kLeafBodies = 8;
constexpr unsigned kDeepest = 48; // bodies in one place do not come apart

double distance2(const Vector &one, const Vector &other) {
    double sum = 0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        const double d = one[axis] - other[axis];
        sum += d * d;
    }
    return sum;
}

} // namespace

Cube Cube::part(unsigned octant) const {
    Cube part{.low = low, .side = side / 2};
    for (std::size_t axis = 0; axis < 3; ++axis) {
        part.low[axis] += (octant >> axis & 1) != 0 ? part.side : 0;
    }
    return part;
}

unsigned Cube::octant_of(const Vector &position) const {
    unsigned octant = 0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        octant |= position[axis] >= low[axis] + side / 2 ? 1U << axis : 0U;
    }
    return octant;
}

bool Pull::is_far(const Moment &moment, double side) const {
    return side * side < openness2_ * distance2(moment.centre, where_);
}

void Pull::add(double mass, const Vector &from) {
    const double d2 = distance2(from, where_) + softening2_;
    const double factor = mass / (d2 * std::sqrt(d2));
    for (std::size_t axis = 0; axis < 3; ++axis) {
        acceleration_[axis] += factor * (from[axis] - where_[axis]);
    }
}

void Forest::clear() {
    cells_.clear();
    order_.clear();
}

std::uint32_t Forest::plant(std::span<const Body> bodies, std::span<const std::uint32_t> inside, const Cube &cube) {
    const auto root = static_cast<std::uint32_t>(cells_.size());
    cells_.emplace_back();
    fill(bodies, root, cube, {inside.begin(), inside.end()}, 0);
    return root;
}

void Forest::fill(std::span<const Body> bodies, std::uint32_t cell, const Cube &cube, std::vector<std::uint32_t> inside,
                  unsigned depth) {
    Moment moment;
    for (const auto index : inside) {
        moment.add(bodies[index].mass, bodies[index].position);
    }
    moment.finish();
    cells_[cell].moment = moment;
    cells_[cell].side = cube.side;
    if (inside.size() > kLeafBodies && depth < kDeepest) {
        divide(bodies, cell, cube, inside, depth);
        return;
    }
    cells_[cell].leaf = true;
    cells_[cell].first = static_cast<std::uint32_t>(order_.size());
    cells_[cell].count = static_cast<std::uint32_t>(inside.size());
    order_.insert(order_.end(), inside.begin(), inside.end());
}

void Forest::divide(std::span<const Body> bodies, std::uint32_t cell, const Cube &cube,
                    const std::vector<std::uint32_t> &inside, unsigned depth) {
    std::array<std::vector<std::uint32_t>, 8> parts;
    for (const auto index : inside) {
        parts.at(cube.octant_of(bodies[index].position)).push_back(index);
    }
    const auto first = static_cast<std::uint32_t>(cells_.size());
    std::uint32_t next = first;
    for (const auto &part : parts) {
        next += part.empty() ? 0 : 1;
    }
    cells_.resize(next);
    cells_[cell].first = first;
    cells_[cell].count = next - first;
    next = first;
    for (unsigned octant = 0; octant < parts.size(); ++octant) {
        if (!parts.at(octant).empty()) {
            fill(bodies, next++, cube.part(octant), std::move(parts.at(octant)), depth + 1);
        }
    }
}

void Forest::pull(std::span<const Body> bodies, std::uint32_t root, std::uint64_t number, Pull &pull) const {
    const Cell &cell = cells_[root];
    if (cell.leaf) {
        for (std::uint32_t i = cell.first; i < cell.first + cell.count; ++i) {
            const Body &body = bodies[order_[i]];
            if (body.number != number) {
                pull.add(body.mass, body.position);
            }
        }
    } else if (pull.is_far(cell.moment, cell.side)) {
        pull.add(cell.moment.mass, cell.moment.centre);
    } else {
        for (std::uint32_t part = cell.first; part < cell.first + cell.count; ++part) {
            this->pull(bodies, part, number, pull);
        }
    }
}

} // namespace barnes

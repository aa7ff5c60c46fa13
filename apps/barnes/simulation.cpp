// SPDX-License-Identifier: BSD-3-Clause
#include "apps/barnes/simulation.hpp"

#include <algorithm>
#include <numeric>

#include "apps/common/split.hpp"

namespace barnes {

namespace {

// All bodies are inside, also those at its far sides.
Cube cube_around(std::span<const Body> bodies) {
    Vector low = bodies.front().position;
    Vector high = low;
    for (const Body &body : bodies) {
        for (std::size_t axis = 0; axis < 3; ++axis) {
            low[axis] = std::min(low[axis], body.position[axis]);
            high[axis] = std::max(high[axis], body.position[axis]);
        }
    }
    double side = 0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        side = std::max(side, high[axis] - low[axis]);
    }
    return {.low = low, .side = side * (1 + 1e-9) + 1e-12};
}

// The way from the whole down to one of the small cubes, three bits a level.
unsigned index_of(Cube cube, const Vector &position) {
    unsigned index = 0;
    for (unsigned level = 0; level < kDepth; ++level) {
        const unsigned octant = cube.octant_of(position);
        index = index << 3 | octant;
        cube = cube.part(octant);
    }
    return index;
}

Cube cube_with(Cube cube, unsigned index) {
    for (unsigned level = kDepth; level > 0; --level) {
        cube = cube.part(index >> (3 * (level - 1)) & 7U);
    }
    return cube;
}

} // namespace

struct Simulation::Plan {
    Cube all;
    apps::Range cubes;                              // this thread's
    std::vector<std::vector<std::uint32_t>> inside; // the bodies in each of these
    std::size_t first = 0;                          // where its bodies go
};

struct Simulation::Top {
    double side = 0;
    std::array<std::vector<Moment>, kDepth + 1> moments; // by level, 0 being the whole
};

Simulation::Simulation(std::span<const Body> initial, const Settings &settings)
    : settings_(settings), bodies_{apps::Pages<Body>(initial.size()), apps::Pages<Body>(initial.size())},
      roots_(kCubes) {
    std::ranges::copy(initial, bodies_[0].all().begin());
}

std::vector<Body> Simulation::result() const {
    const auto last = bodies_.at(settings_.steps % 2).all();
    std::vector<Body> bodies(last.begin(), last.end());
    std::ranges::sort(bodies, {}, &Body::number);
    return bodies;
}

void Simulation::work(unsigned thread, const std::function<void()> &meet) {
    Forest forest; // read by all until they meet at the end of the step
    for (unsigned step = 0; step < settings_.steps; ++step) {
        const std::span<const Body> now = bodies_.at(step % 2).all();
        auto &next = bodies_.at((step + 1) % 2);
        const Plan plan = make_plan(thread, now);
        plant(plan, now, forest);
        meet();
        const Top top = make_top(plan);
        std::size_t at = plan.first;
        for (const auto &inside : plan.inside) {
            for (const auto index : inside) {
                next[at++] = moved(now[index], acceleration_of(now[index], now, top));
            }
        }
        meet();
    }
}

// Every thread finds out for itself where all bodies are, rather than ask the others.
Simulation::Plan Simulation::make_plan(unsigned thread, std::span<const Body> now) const {
    Plan plan;
    plan.all = cube_around(now);
    std::vector<std::uint32_t> cube_of(now.size());
    std::vector<std::uint64_t> counts(kCubes);
    for (std::size_t i = 0; i < now.size(); ++i) {
        cube_of[i] = index_of(plan.all, now[i].position);
        ++counts[cube_of[i]];
    }
    plan.cubes = apps::split_by_weight(counts, settings_.threads)[thread];
    plan.first =
        std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(plan.cubes.begin), std::size_t{0});
    plan.inside.resize(plan.cubes.size());
    for (std::size_t i = 0; i < now.size(); ++i) {
        if (cube_of[i] >= plan.cubes.begin && cube_of[i] < plan.cubes.end) {
            plan.inside[cube_of[i] - plan.cubes.begin].push_back(static_cast<std::uint32_t>(i));
        }
    }
    return plan;
}

void Simulation::plant(const Plan &plan, std::span<const Body> now, Forest &forest) {
    forest.clear();
    for (std::size_t i = 0; i < plan.cubes.size(); ++i) {
        const auto index = static_cast<unsigned>(plan.cubes.begin + i);
        const auto root = forest.plant(now, plan.inside[i], cube_with(plan.all, index));
        roots_[index] = {.forest = &forest, .root = root, .moment = forest.moment(root)};
    }
}

Simulation::Top Simulation::make_top(const Plan &plan) const {
    Top top;
    top.side = plan.all.side;
    for (const Root &root : roots_.all()) {
        top.moments[kDepth].push_back(root.moment);
    }
    for (unsigned level = kDepth; level > 0; --level) {
        const auto &below = top.moments.at(level);
        auto &here = top.moments.at(level - 1);
        here.resize(below.size() / 8);
        for (std::size_t i = 0; i < below.size(); ++i) {
            here[i / 8].add(below[i].mass, below[i].centre);
        }
        for (Moment &moment : here) {
            moment.finish();
        }
    }
    return top;
}

Vector Simulation::acceleration_of(const Body &body, std::span<const Body> now, const Top &top) const {
    Pull pull(body.position, settings_.openness, settings_.softening);
    pull_from(top, 0, 0, now, body.number, pull);
    return pull.acceleration();
}

void Simulation::pull_from(const Top &top, unsigned level, unsigned index, std::span<const Body> now,
                           std::uint64_t number, Pull &pull) const {
    const Moment &moment = top.moments.at(level)[index];
    if (moment.mass == 0) {
        return;
    }
    if (level == kDepth) {
        roots_[index].forest->pull(now, roots_[index].root, number, pull);
    } else if (pull.is_far(moment, top.side / (1U << level))) {
        pull.add(moment.mass, moment.centre);
    } else {
        for (unsigned octant = 0; octant < 8; ++octant) {
            pull_from(top, level + 1, 8 * index + octant, now, number, pull);
        }
    }
}

Body Simulation::moved(const Body &body, const Vector &acceleration) const {
    Body after = body;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        after.velocity[axis] += acceleration[axis] * settings_.time_step;
        after.position[axis] += after.velocity[axis] * settings_.time_step;
    }
    return after;
}

} // namespace barnes

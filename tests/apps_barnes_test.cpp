// SPDX-License-Identifier: BSD-3-Clause
// Barnes and Hut with plain threads: near to what all pairs of bodies give, and the same bits for any number of
// threads.
#include "apps/barnes/simulation.hpp"

#include <barrier>
#include <cmath>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

namespace {

using barnes::Body;
using barnes::Settings;

std::vector<Body> simulate(const std::vector<Body> &initial, const Settings &settings) {
    barnes::Simulation simulation(initial, settings);
    std::barrier<> barrier(settings.threads);
    {
        std::vector<std::jthread> threads;
        for (unsigned thread = 0; thread < settings.threads; ++thread) {
            threads.emplace_back([&, thread] { simulation.work(thread, [&] { barrier.arrive_and_wait(); }); });
        }
    }
    return simulation.result();
}

// The velocities after one step, from all pairs.
std::vector<barnes::Vector> direct_velocities(const std::vector<Body> &bodies, const Settings &settings) {
    std::vector<barnes::Vector> velocities;
    for (const Body &body : bodies) {
        barnes::Pull pull(body.position, settings.openness, settings.softening);
        for (const Body &other : bodies) {
            if (other.number != body.number) {
                pull.add(other.mass, other.position);
            }
        }
        velocities.push_back(body.velocity);
        for (std::size_t axis = 0; axis < 3; ++axis) {
            velocities.back()[axis] += pull.acceleration()[axis] * settings.time_step;
        }
    }
    return velocities;
}

double length(const barnes::Vector &v) {
    return std::hypot(v[0], v[1], v[2]);
}

// Relative to the change of the velocity.
double mean_error(double openness) {
    const auto bodies = barnes::make_cluster(1000, 3);
    const Settings settings{.openness = openness};
    const auto got = simulate(bodies, settings);
    const auto expected = direct_velocities(bodies, settings);
    double errors = 0;
    for (std::size_t i = 0; i < bodies.size(); ++i) {
        barnes::Vector error{};
        barnes::Vector change{};
        for (std::size_t axis = 0; axis < 3; ++axis) {
            error[axis] = got[i].velocity[axis] - expected[i][axis];
            change[axis] = expected[i][axis] - bodies[i].velocity[axis];
        }
        errors += length(error) / length(change);
    }
    return errors / static_cast<double>(bodies.size());
}

double energy(const std::vector<Body> &bodies, double softening) {
    double sum = 0;
    for (const Body &body : bodies) {
        sum += body.mass * length(body.velocity) * length(body.velocity) / 2;
        for (const Body &other : bodies) {
            if (other.number < body.number) {
                const barnes::Vector apart{body.position[0] - other.position[0], body.position[1] - other.position[1],
                                           body.position[2] - other.position[2]};
                sum -= body.mass * other.mass / std::hypot(length(apart), softening);
            }
        }
    }
    return sum;
}

TEST(Barnes, IsNearToAllPairs) {
    EXPECT_LT(mean_error(0), 1e-9); // every cube is taken apart
    EXPECT_LT(mean_error(0.5), 0.01);
    EXPECT_GT(mean_error(1.0), mean_error(0.5)); // and a cube does count as one
}

TEST(Barnes, KeepsEnergy) {
    const auto bodies = barnes::make_cluster(300, 5);
    const Settings settings{.threads = 2, .steps = 100};
    const double before = energy(bodies, settings.softening);
    EXPECT_LT(before, 0); // it holds together
    EXPECT_NEAR(energy(simulate(bodies, settings), settings.softening), before, 0.02 * std::abs(before));
}

TEST(Barnes, GivesTheSameBitsForAnyThreads) {
    const auto bodies = barnes::make_cluster(2000, 1);
    const auto alone = simulate(bodies, {.threads = 1, .steps = 3});
    for (const unsigned threads : {2U, 3U, 8U, 200U}) {
        const auto result = simulate(bodies, {.threads = threads, .steps = 3});
        EXPECT_EQ(std::memcmp(result.data(), alone.data(), alone.size() * sizeof(Body)), 0) << threads << " threads";
    }
}

TEST(Barnes, TakesWhatIsDegenerate) {
    EXPECT_EQ(simulate(barnes::make_cluster(1, 1), {.threads = 4, .steps = 2}).size(), 1U);
    std::vector<Body> one_place(100); // cannot be told apart, and hardly pull each other
    for (std::size_t i = 0; i < one_place.size(); ++i) {
        one_place[i] = {.mass = 0.01, .position = {1, 2, 3}, .number = i};
    }
    for (const Body &body : simulate(one_place, {.threads = 2, .steps = 2})) {
        EXPECT_NEAR(body.position[0], 1, 1e-6);
        EXPECT_NEAR(body.position[2], 3, 1e-6);
    }
}

} // namespace

// SPDX-License-Identifier: BSD-3-Clause
#include "apps/barnes/bodies.hpp"

#include <cmath>
#include <numbers>

namespace barnes {

namespace {

constexpr double kFarthest = 8; // of Plummer's radius; few bodies would be farther out

class Draw {
  public:
    explicit Draw(std::uint64_t seed) : state_(seed) {}
    /// In [low, high).
    double operator()(double low, double high) {
        std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15; // splitmix64
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        mixed ^= mixed >> 31;
        return low + (high - low) * (static_cast<double>(mixed >> 11) * 0x1p-53);
    }

  private:
    std::uint64_t state_;
};

Vector in_any_direction(Draw &draw, double length) {
    const double z = draw(-1, 1);
    const double angle = draw(0, 2 * std::numbers::pi);
    const double across = std::sqrt(1 - z * z);
    return {length * across * std::cos(angle), length * across * std::sin(angle), length * z};
}

double radius(Draw &draw) {
    for (;;) {
        const double inside = draw(0, 1); // the part of the mass that is nearer to the centre
        const double r = 1 / std::sqrt(std::pow(inside, -2.0 / 3.0) - 1);
        if (r < kFarthest) {
            return r;
        }
    }
}

// As a part of the speed of escape; its density is x^2 (1 - x^2)^3.5, which is below 0.1.
double speed(Draw &draw) {
    for (;;) {
        const double x = draw(0, 1);
        if (draw(0, 0.1) < x * x * std::pow(1 - x * x, 3.5)) {
            return x;
        }
    }
}

void bring_to_rest(std::vector<Body> &bodies) {
    Vector position{};
    Vector velocity{};
    for (const Body &body : bodies) {
        for (std::size_t axis = 0; axis < 3; ++axis) {
            position[axis] += body.mass * body.position[axis];
            velocity[axis] += body.mass * body.velocity[axis];
        }
    }
    for (Body &body : bodies) {
        for (std::size_t axis = 0; axis < 3; ++axis) {
            body.position[axis] -= position[axis];
            body.velocity[axis] -= velocity[axis];
        }
    }
}

} // namespace

std::vector<Body> make_cluster(std::size_t count, std::uint64_t seed) {
    Draw draw(seed);
    std::vector<Body> bodies(count);
    for (std::size_t i = 0; i < count; ++i) {
        const double r = radius(draw);
        const double escape = std::sqrt(2.0) * std::pow(1 + r * r, -0.25);
        bodies[i] = {.mass = 1.0 / static_cast<double>(count),
                     .position = in_any_direction(draw, r),
                     .velocity = in_any_direction(draw, escape * speed(draw)),
                     .number = i};
    }
    bring_to_rest(bodies);
    return bodies;
}

} // namespace barnes

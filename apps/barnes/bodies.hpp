// SPDX-License-Identifier: BSD-3-Clause
// Bodies that attract each other, in units in which the constant of gravitation is 1.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace barnes {

using Vector = std::array<double, 3>;

struct Body {
    double mass = 0;
    Vector position{};
    Vector velocity{};
    std::uint64_t number = 0; // they change places, and keep this
};

/// A cluster of the kind of Plummer's in equilibrium, of mass 1, at rest as a whole; the same in every run.
std::vector<Body> make_cluster(std::size_t bodies, std::uint64_t seed);

} // namespace barnes

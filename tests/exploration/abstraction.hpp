// SPDX-License-Identifier: BSD-3-Clause
// A position as a state of the model.
#pragma once

#include "tests/exploration/job.hpp"
#include "tests/exploration/model.h"

#include <string>

namespace norma::exploration {

struct Abstraction {
    ModelState state{};
    std::array<ModelMessage, kModelNet> flying{}; // by number of packet, as it is in the state
};

Abstraction abstraction_of(const Position &position);
std::string to_text(const ModelState &state, dsm::NodeId nodes, std::uint64_t pages);

} // namespace norma::exploration

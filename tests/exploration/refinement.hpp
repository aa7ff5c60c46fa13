// SPDX-License-Identifier: BSD-3-Clause
// The Murphi model (tests/model/coherence.m) and the production core cannot drift apart: whatever the core does in one
// step of an explored job, the model does by one of its rules, and both end in the same state.
#pragma once

#include "tests/exploration/explorer.hpp"

namespace norma::exploration {

// Compares each step; nothing if the model has not been compiled for jobs of this size, or does not know what is in it.
// The model knows no node that lives on cut off.
Observer refinement_of(const Job &job);

} // namespace norma::exploration

// SPDX-License-Identifier: BSD-3-Clause
// How a joiner and a launcher show each other that they know the job's key, without saying it: codes over what both
// have said, each side's own random number among it, so that no answer of an earlier job or connection is of use
// (HMAC with SHA-256, RFC 2104). What is said afterwards is not protected.
#pragma once

#include <string_view>

#include "runtime/launch.hpp"

namespace norma::rt {

/// 32 random bytes. Throws std::system_error.
launch::Number fresh_number();

launch::Number proof_of_joiner(std::string_view key, const launch::Join &join, const launch::Challenge &challenge);
/// Also says that the welcome is the launcher's; its own field `proof` does not count.
launch::Number proof_of_launcher(std::string_view key, const launch::Join &join, const launch::Challenge &challenge,
                                 const launch::Welcome &welcome);

/// Takes as long wherever the two differ.
bool is_same(const launch::Number &one, const launch::Number &other);

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// What was built: for `norma version`, `norma info` and the header of every measurement.
#pragma once

#include <string_view>

namespace norma::rt {

struct BuildInfo {
    std::string_view version;
    std::string_view commit; // "unknown" in a tree without git; ends in -dirty if it had local changes
    std::string_view compiler;
    std::string_view build_type;
    std::string_view sanitizers; // empty if there are none
};

const BuildInfo &build_info();

} // namespace norma::rt

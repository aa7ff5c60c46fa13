// SPDX-License-Identifier: BSD-3-Clause
// What `norma info` knows, as named facts; how they are printed is the command's business.
#pragma once

#include "runtime/requirements.hpp"

#include <string>
#include <vector>

namespace norma::rt {

struct Fact {
    std::string name;
    std::string value;
};
struct Section {
    std::string title;
    std::vector<Fact> facts;
};

// Looks at this machine. A wrong environment is reported in config_mistakes; the defaults are used then.
Findings find_out(const char *const *environment);

std::vector<Section> describe(const Findings &findings);

struct Setting {
    std::string name, value, fallback, allowed, meaning;
    bool set = false; // by the environment
};
// Every variable that users may set, with what the environment says.
std::vector<Setting> settings(const char *const *environment);

} // namespace norma::rt

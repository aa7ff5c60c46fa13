// SPDX-License-Identifier: BSD-3-Clause
// Whose settings count in a job on several hosts (config.hpp: Scope). Environments are lists of NAME=VALUE.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace norma::rt {

using Environment = std::vector<std::string>;

Environment own_environment();
std::optional<std::string_view> value_in(const Environment &environment, std::string_view name);
void set_in(Environment &environment, std::string_view name, std::string_view value);
void unset_in(Environment &environment, std::string_view name);
// One line per mistake, as config_mistakes().
std::vector<std::string> mistakes_in(const Environment &environment);

// In a job that does not run on one machine alone, for a host with so many of its nodes: unless the user has said
// otherwise.
void set_for_several_hosts(Environment &environment, unsigned nodes_here);
// What the launcher tells a host that joins.
Environment settings_for_joiners(const Environment &job);
// What a host that joins tells the launcher: what has been set there although it must be the same everywhere.
Environment settings_to_agree_on(const Environment &host);
// Why a host with these settings cannot join; nothing if it can.
std::optional<std::string> disagreement(const Environment &job, const Environment &settings);
// The environment of a node server on a host that has joined.
Environment joined_environment(Environment host, const Environment &settings);

} // namespace norma::rt

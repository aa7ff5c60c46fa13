// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/job_settings.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "runtime/config.hpp"

namespace norma::rt {
namespace {

std::string_view name_of(std::string_view setting) {
    return setting.substr(0, setting.find('='));
}

const Variable *variable_of(std::string_view setting) {
    const auto all = variables();
    const auto found = std::ranges::find(all, name_of(setting), &Variable::name);
    return found == all.end() ? nullptr : &*found;
}

template <class Keep> Environment filtered(const Environment &environment, Keep keep) {
    Environment kept;
    std::ranges::copy_if(environment, std::back_inserter(kept), [&](const std::string &setting) {
        const auto *variable = variable_of(setting);
        return variable != nullptr && keep(variable->scope);
    });
    return kept;
}

} // namespace

Environment own_environment() {
    Environment environment;
    for (char **setting = environ; *setting != nullptr; ++setting) {
        environment.emplace_back(*setting);
    }
    return environment;
}

std::optional<std::string_view> value_in(const Environment &environment, std::string_view name) {
    const auto found = std::ranges::find_if(
        environment, [&](const std::string &setting) { return setting.starts_with(fmt::format("{}=", name)); });
    return found == environment.end() ? std::nullopt : std::optional(std::string_view(*found).substr(name.size() + 1));
}

void set_in(Environment &environment, std::string_view name, std::string_view value) {
    unset_in(environment, name);
    environment.push_back(fmt::format("{}={}", name, value));
}

void unset_in(Environment &environment, std::string_view name) {
    std::erase_if(environment, [&](const std::string &setting) { return name_of(setting) == name; });
}

std::vector<std::string> mistakes_in(const Environment &environment) {
    std::vector<const char *> raw;
    for (const auto &setting : environment) {
        raw.push_back(setting.c_str());
    }
    raw.push_back(nullptr);
    return config_mistakes(raw.data());
}

void set_for_several_hosts(Environment &environment, unsigned nodes_here) {
    if (!value_in(environment, "NORMA_HOST_NODES")) {
        set_in(environment, "NORMA_HOST_NODES", std::to_string(nodes_here));
    }
    // Over tcp, the transport would listen on the loopback device alone.
    if (!value_in(environment, "UCX_NET_DEVICES")) {
        set_in(environment, "UCX_NET_DEVICES", "all");
    }
}

Environment settings_for_joiners(const Environment &job) {
    return filtered(job, [](Scope scope) { return scope != Scope::own; });
}

Environment settings_to_agree_on(const Environment &host) {
    return filtered(host, [](Scope scope) { return scope == Scope::job; });
}

std::optional<std::string> disagreement(const Environment &job, const Environment &settings) {
    for (const auto &setting : settings) {
        const auto *variable = variable_of(setting);
        if (variable == nullptr) {
            return fmt::format("{} is not known to the launcher", name_of(setting));
        }
        const auto wanted = value_in(job, variable->name).value_or(variable->fallback);
        if (value_in({setting}, variable->name) != wanted) {
            return fmt::format("{} there, but {}={} in this job", setting, variable->name, wanted);
        }
    }
    return std::nullopt;
}

Environment joined_environment(Environment host, const Environment &settings) {
    unset_in(host, "NORMA_JOB_KEY"); // no node server and no task needs it
    set_for_several_hosts(host, 1);
    for (const auto &setting : settings) {
        if (!value_in(host, name_of(setting))) {
            host.push_back(setting);
        }
    }
    return host;
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// All configuration comes from environment variables whose names start with NORMA_, and all of them stand in the one
// table in config.cpp. The documentation, `norma info`, the defaults and the checks are read from it.
#pragma once

#include "runtime/log.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace norma::rt {

// How a node server waits for work: adaptive spins for `spin`, then blocks.
enum class WaitMode : std::uint8_t { adaptive, spin, block };
// Which cores a node server and its tasks may use when several nodes share a machine.
enum class BindMode : std::uint8_t { none, cores };
// Which userfaultfd is asked for: the best one can get, or the one an ordinary user gets.
enum class UffdMode : std::uint8_t { automatic, user };

// The values in force. A default-made one holds no defaults: only load_config() makes a usable one.
struct Config {
    std::string transport;    // ucx, tcp, shm, verbs
    std::string verbs_device; // empty: any
    std::uint32_t verbs_port = 0;
    std::int32_t verbs_gid_index = -1;
    WaitMode wait{};
    std::chrono::nanoseconds spin{};
    std::chrono::milliseconds call_timeout{};
    std::chrono::milliseconds lease{}; // 0: there is none
    std::uint64_t stack_size = 0;
    std::uint64_t heap = 0; // per node; 0: it is up to the node of the first task
    std::uint64_t window_base = 0;
    std::uint64_t window_size = 0;
    std::uint64_t memory = 0; // 0: the node's share of the machine
    std::uint32_t tasks = 0;
    std::uint32_t prefetch = 0;
    BindMode bind{};
    unsigned host_nodes = 0;                  // 0: all nodes of the job
    unsigned core_share = 0, core_shares = 0; // which part of the cores; 0: as host_nodes says
    std::string bootstrap;                    // auto, pmix, single
    std::string job_key;
    std::string on_signal;
    std::string account; // empty: none is kept on disk
    LogLevel log{};
    UffdMode uffd{};
    int job = 0;      // 0: the only one
    int task_fd = -1; // -1: not a task of a job
};

// A value that was read: number for all kinds but text (a choice's number is its place in the list, a time is in
// nanoseconds, a boolean is 0 or 1), text for choices and text.
struct Value {
    std::int64_t number = 0;
    std::string_view text;
};

// For a job on several hosts, whose setting counts on a host that joins: the launcher's, and another one there is
// refused; the launcher's unless the host has its own; the host's own only.
enum class Scope : std::uint8_t { job, host, own };

struct Variable {
    enum class Kind : std::uint8_t { boolean, integer, bytes, time, address, choice, text };

    std::string_view name;
    Kind kind{};
    std::string_view fallback;              // the default, written as a user would write it
    std::string_view meaning;               // one line
    void (*store)(Config &, const Value &); // where the value goes
    std::string_view choices{};             // choice: the words allowed, with | between
    std::int64_t least = 0;                 // integer, bytes, time (nanoseconds), address: the bounds
    std::int64_t most = 0;
    Scope scope = Scope::job;
    bool internal = false; // set by norma itself, not by users
};

std::span<const Variable> variables();

// What may be written for the variable, e.g. "a time from 0us to 1s: a whole number with us, ms or s".
std::string allowed_values(const Variable &variable);

// what() has one line per mistake, each naming variable, value and what is allowed.
class ConfigError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Reads an environment (`environ`, or any list of NAME=value that ends with a null pointer). Throws ConfigError if a
// value is no good or a variable that starts with NORMA_ is unknown.
Config load_config(const char *const *environment);

// What the environment says for a variable, unchecked; nothing if it is not set.
std::optional<std::string_view> given_value(const char *const *environment, std::string_view name);

// One line per mistake in the environment; empty if load_config() would succeed.
std::vector<std::string> config_mistakes(const char *const *environment);

} // namespace norma::rt

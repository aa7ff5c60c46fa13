// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/config.hpp"

#include "runtime/values.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <map>

namespace norma::rt {
namespace {

using Kind = Variable::Kind;
using namespace std::chrono;

constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kMiB = kKiB * kKiB;
constexpr std::int64_t kTiB = kMiB * kMiB;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kUserTop = 0x7fff'0000'0000; // user addresses end a little above; the stack is there
constexpr std::string_view kPrefix = "NORMA_";

constexpr std::array kVariables = {
    Variable{.name = "NORMA_TRANSPORT",
             .kind = Kind::choice,
             .fallback = "ucx",
             .meaning = "how node servers talk: what UCX thinks best, TCP, shared memory (one machine only), or RDMA",
             .store = [](Config &c, const Value &v) { c.transport = v.text; },
             .choices = "ucx|tcp|shm|verbs"},
    Variable{.name = "NORMA_VERBS_DEVICE",
             .kind = Kind::text,
             .fallback = "",
             .meaning = "the RDMA device for verbs, as `norma info -d` lists it; empty: any",
             .store = [](Config &c, const Value &v) { c.verbs_device = v.text; },
             .scope = Scope::host},
    Variable{.name = "NORMA_VERBS_PORT",
             .kind = Kind::integer,
             .fallback = "0",
             .meaning = "the port of the RDMA device for verbs; 0: any",
             .store = [](Config &c, const Value &v) { c.verbs_port = std::uint32_t(v.number); },
             .most = 255,
             .scope = Scope::host},
    Variable{.name = "NORMA_VERBS_GID_INDEX",
             .kind = Kind::integer,
             .fallback = "-1",
             .meaning = "the index of the RDMA port's GID for verbs; -1: any, RoCE v2 with an IPv4 address preferred",
             .store = [](Config &c, const Value &v) { c.verbs_gid_index = std::int32_t(v.number); },
             .least = -1,
             .most = 65535,
             .scope = Scope::host},
    Variable{.name = "NORMA_WAIT",
             .kind = Kind::choice,
             .fallback = "adaptive",
             .meaning = "how node servers wait: spin a little and then block, spin only, or block at once",
             .store = [](Config &c, const Value &v) { c.wait = WaitMode(v.number); },
             .choices = "adaptive|spin|block",
             .scope = Scope::host},
    Variable{.name = "NORMA_SPIN",
             .kind = Kind::time,
             .fallback = "50us",
             .meaning = "how long a node server spins before it blocks when NORMA_WAIT is adaptive",
             .store = [](Config &c, const Value &v) { c.spin = nanoseconds(v.number); },
             .most = kSecond,
             .scope = Scope::host},
    Variable{
        .name = "NORMA_CALL_TIMEOUT",
        .kind = Kind::time,
        .fallback = "10s",
        .meaning = "how long a call waits for another node before it returns KERN_OPERATION_TIMED_OUT",
        .store = [](Config &c, const Value &v) { c.call_timeout = duration_cast<milliseconds>(nanoseconds(v.number)); },
        .least = kSecond / 1000,
        .most = 24 * 3600 * kSecond},
    Variable{.name = "NORMA_LEASE",
             .kind = Kind::time,
             .fallback = "60s",
             .meaning =
                 "how long a node server may fail to answer the launcher before its node is given up; 0: for ever",
             .store = [](Config &c, const Value &v) { c.lease = duration_cast<milliseconds>(nanoseconds(v.number)); },
             .most = 24 * 3600 * kSecond},
    Variable{.name = "NORMA_STACK_SIZE",
             .kind = Kind::bytes,
             .fallback = "8M",
             .meaning = "the stack of a thread that is made without a size of its own",
             .store = [](Config &c, const Value &v) { c.stack_size = std::uint64_t(v.number); },
             .least = 64 * kKiB,
             .most = kTiB},
    Variable{.name = "NORMA_HEAP",
             .kind = Kind::bytes,
             .fallback = "0",
             .meaning =
                 "heap of a whole program on each node, a part of NORMA_MEMORY; 0: an eighth of the first node's",
             .store = [](Config &c, const Value &v) { c.heap = std::uint64_t(v.number); },
             .most = 64 * kTiB},
    Variable{.name = "NORMA_WINDOW_BASE",
             .kind = Kind::address,
             .fallback = "0x200000000000",
             .meaning = "where coherent memory starts in every task's address space; a multiple of 2 MiB",
             .store = [](Config &c, const Value &v) { c.window_base = std::uint64_t(v.number); },
             .least = 2 * kMiB,
             .most = kUserTop},
    Variable{.name = "NORMA_WINDOW_SIZE",
             .kind = Kind::bytes,
             .fallback = "16T",
             .meaning = "how much address space is set aside for coherent memory, shared out among the nodes",
             .store = [](Config &c, const Value &v) { c.window_size = std::uint64_t(v.number); },
             .least = 1024 * kMiB,
             .most = 64 * kTiB},
    Variable{.name = "NORMA_MEMORY",
             .kind = Kind::bytes,
             .fallback = "0",
             .meaning = "coherent memory the tasks of one node may allocate; 0: the node's share of the machine's",
             .store = [](Config &c, const Value &v) { c.memory = std::uint64_t(v.number); },
             .most = 64 * kTiB,
             .scope = Scope::host},
    Variable{.name = "NORMA_TASKS",
             .kind = Kind::integer,
             .fallback = "4096",
             .meaning = "most tasks that one node may have at a time",
             .store = [](Config &c, const Value &v) { c.tasks = std::uint32_t(v.number); },
             .least = 1,
             .most = 1 << 22,
             .scope = Scope::host},
    Variable{.name = "NORMA_PREFETCH",
             .kind = Kind::integer,
             .fallback = "64",
             .meaning =
                 "most pages fetched with one fault when a task reads or writes page after page; 0: only its own",
             .store = [](Config &c, const Value &v) { c.prefetch = std::uint32_t(v.number); },
             .most = 64},
    Variable{.name = "NORMA_BIND",
             .kind = Kind::choice,
             .fallback = "cores",
             .meaning = "give each node on this machine its share of the cores, or let all use all",
             .store = [](Config &c, const Value &v) { c.bind = BindMode(v.number); },
             .choices = "none|cores",
             .scope = Scope::host},
    Variable{.name = "NORMA_HOST_NODES",
             .kind = Kind::integer,
             .fallback = "0",
             .meaning = "how many nodes of the job share this machine's cores and memory; 0: all of them",
             .store = [](Config &c, const Value &v) { c.host_nodes = unsigned(v.number); },
             .most = 256,
             .scope = Scope::own},
    Variable{.name = "NORMA_BOOTSTRAP",
             .kind = Kind::choice,
             .fallback = "auto",
             .meaning = "auto: norma run is one rank of a job where a launcher with PMIx has started it, else a job of "
                        "its own; or always the one or the other",
             .store = [](Config &c, const Value &v) { c.bootstrap = v.text; },
             .choices = "auto|pmix|single",
             .scope = Scope::own},
    Variable{.name = "NORMA_CORE_SHARE",
             .kind = Kind::integer,
             .fallback = "0",
             .meaning = "which share of the cores that a node server was given it has",
             .store = [](Config &c, const Value &v) { c.core_share = unsigned(v.number); },
             .most = 255,
             .scope = Scope::own,
             .internal = true},
    Variable{.name = "NORMA_CORE_SHARES",
             .kind = Kind::integer,
             .fallback = "0",
             .meaning = "into how many shares they are cut; 0: by NORMA_HOST_NODES",
             .store = [](Config &c, const Value &v) { c.core_shares = unsigned(v.number); },
             .most = 256,
             .scope = Scope::own,
             .internal = true},
    Variable{.name = "NORMA_JOB_KEY",
             .kind = Kind::text,
             .fallback = "",
             .meaning = "for a job on several hosts: the word that nodes of other hosts have to know to join it",
             .store = [](Config &c, const Value &v) { c.job_key = v.text; },
             .scope = Scope::own},
    Variable{.name = "NORMA_ON_SIGNAL",
             .kind = Kind::text,
             .fallback = "",
             .meaning = "what norma run does when a signal comes, instead of ending, as its option --on-signal has it, "
                        "with ; between them",
             .store = [](Config &c, const Value &v) { c.on_signal = v.text; },
             .scope = Scope::own},
    Variable{.name = "NORMA_ACCOUNT",
             .kind = Kind::text,
             .fallback = "",
             .meaning =
                 "a file to which each node adds a line at its end: how its threads spent their time; empty: none",
             .store = [](Config &c, const Value &v) { c.account = v.text; },
             .scope = Scope::host},
    Variable{.name = "NORMA_LOG",
             .kind = Kind::choice,
             .fallback = "warn",
             .meaning = "what is written to standard error",
             .store = [](Config &c, const Value &v) { c.log = LogLevel(v.number); },
             .choices = "error|warn|info|debug",
             .scope = Scope::host},
    Variable{.name = "NORMA_UFFD",
             .kind = Kind::choice,
             .fallback = "auto",
             .meaning = "auto: have faults inside system calls served if one may; user: as an ordinary user gets it",
             .store = [](Config &c, const Value &v) { c.uffd = UffdMode(v.number); },
             .choices = "auto|user",
             .scope = Scope::host},
    Variable{.name = "NORMA_JOB",
             .kind = Kind::integer,
             .fallback = "0",
             .meaning =
                 "the job that norma_attach joins unless it is told: the process id of its norma run; 0: the only one",
             .store = [](Config &c, const Value &v) { c.job = int(v.number); },
             .most = 1 << 22,
             .scope = Scope::own},
    Variable{.name = "NORMA_TASK_FD",
             .kind = Kind::integer,
             .fallback = "-1",
             .meaning = "a task's connection to its node server",
             .store = [](Config &c, const Value &v) { c.task_fd = int(v.number); },
             .least = -1,
             .most = 1'000'000,
             .scope = Scope::own,
             .internal = true},
};

const Variable *find(std::string_view name) {
    const auto *const found = std::ranges::find(kVariables, name, &Variable::name);
    return found == kVariables.end() ? nullptr : found;
}

// Those of `environment` that are ours, by name. The first of two entries counts, as with getenv(3).
std::map<std::string_view, std::string_view> ours(const char *const *environment) {
    std::map<std::string_view, std::string_view> found;
    for (; environment != nullptr && *environment != nullptr; ++environment) {
        const std::string_view entry = *environment;
        const auto equals = entry.find('=');
        if (entry.starts_with(kPrefix) && equals != std::string_view::npos) {
            found.emplace(entry.substr(0, equals), entry.substr(equals + 1));
        }
    }
    return found;
}

std::string unknown_message(std::string_view name) {
    const Variable *nearest = nullptr;
    unsigned distance = 4; // further away is no longer a slip of the finger
    for (const Variable &variable : kVariables) {
        const unsigned here = edit_distance(name, variable.name);
        if (here < distance && !variable.internal) {
            nearest = &variable;
            distance = here;
        }
    }
    return nearest != nullptr ? fmt::format("{}: there is no such variable; did you mean {}?", name, nearest->name)
                              : fmt::format("{}: there is no such variable; `norma info` lists those there are", name);
}

std::optional<Value> parse(const Variable &variable, std::string_view text) {
    std::optional<std::int64_t> number;
    switch (variable.kind) {
    case Kind::boolean:
        number = parse_boolean(text);
        break;
    case Kind::integer:
        number = parse_integer(text);
        break;
    case Kind::bytes:
        number = parse_bytes(text);
        break;
    case Kind::time:
        number = parse_time(text);
        break;
    case Kind::address:
        number = parse_address(text);
        break;
    case Kind::choice:
        number = parse_choice(text, variable.choices);
        break;
    case Kind::text:
        number = 0;
        break;
    }
    const bool bounded = variable.kind == Kind::integer || variable.kind == Kind::bytes ||
                         variable.kind == Kind::time || variable.kind == Kind::address;
    if (!number || (bounded && (*number < variable.least || *number > variable.most))) {
        return std::nullopt;
    }
    return Value{*number, text};
}

// What no single variable can get wrong.
void check_together(const Config &config, std::vector<std::string> &mistakes) {
    if (config.window_base % (2 * kMiB) != 0) {
        mistakes.push_back(fmt::format("NORMA_WINDOW_BASE={:#x}: it must be a multiple of 2 MiB", config.window_base));
    }
    if (config.window_base + config.window_size > std::uint64_t(kUserTop)) {
        mistakes.push_back(fmt::format("NORMA_WINDOW_BASE={:#x} with NORMA_WINDOW_SIZE={}: the window would end above "
                                       "{:#x}, beyond what a process may use",
                                       config.window_base, format_bytes(config.window_size), kUserTop));
    }
}

Config read(const char *const *environment, std::vector<std::string> &mistakes) {
    Config config;
    const auto given = ours(environment);
    for (const Variable &variable : kVariables) {
        const auto entry = given.find(variable.name);
        auto value = entry == given.end() ? std::nullopt : parse(variable, entry->second);
        if (entry != given.end() && !value) {
            mistakes.push_back(
                fmt::format("{}={}: it must be {}", variable.name, entry->second, allowed_values(variable)));
        }
        if (!value) {
            value = parse(variable, variable.fallback);
        }
        variable.store(config, value.value());
    }
    for (const auto &[name, value] : given) {
        if (find(name) == nullptr) {
            mistakes.push_back(unknown_message(name));
        }
    }
    check_together(config, mistakes);
    return config;
}

} // namespace

std::span<const Variable> variables() {
    return kVariables;
}

std::string allowed_values(const Variable &variable) {
    const auto between = [&](auto format) {
        return fmt::format("from {} to {}", format(variable.least), format(variable.most));
    };
    switch (variable.kind) {
    case Kind::boolean:
        return "yes or no (or true, false, on, off, 1, 0)";
    case Kind::integer:
        return fmt::format("a whole number {}", between([](auto n) { return n; }));
    case Kind::bytes:
        return fmt::format("a size {}: a whole number, with K, M, G or T if need be",
                           between([](auto n) { return format_bytes(std::uint64_t(n)); }));
    case Kind::time:
        return fmt::format("a time {}: a whole number with us, ms or s",
                           between([](auto n) { return format_time(nanoseconds(n)); }));
    case Kind::address:
        return fmt::format("an address {} in hexadecimal", between([](auto n) { return fmt::format("{:#x}", n); }));
    case Kind::choice: {
        std::string words(variable.choices);
        std::ranges::replace(words, '|', ' ');
        return fmt::format("one of: {}", words);
    }
    case Kind::text:
        break;
    }
    return "any text";
}

Config load_config(const char *const *environment) {
    std::vector<std::string> mistakes;
    Config config = read(environment, mistakes);
    if (!mistakes.empty()) {
        throw ConfigError(fmt::format("{}", fmt::join(mistakes, "\n")));
    }
    return config;
}

std::optional<std::string_view> given_value(const char *const *environment, std::string_view name) {
    const auto given = ours(environment);
    const auto entry = given.find(name);
    return entry == given.end() ? std::nullopt : std::optional(entry->second);
}

std::vector<std::string> config_mistakes(const char *const *environment) {
    std::vector<std::string> mistakes;
    read(environment, mistakes);
    return mistakes;
}

} // namespace norma::rt

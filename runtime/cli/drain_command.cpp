// SPDX-License-Identifier: BSD-3-Clause
// `norma drain`: takes a node out of a running job.
#include "runtime/cli/commands.hpp"
#include "runtime/cli/job_words.hpp"
#include "runtime/cli/json.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

namespace norma::rt {
namespace {

int drain(std::optional<pid_t> job, std::uint16_t node, std::optional<std::uint16_t> to, bool as_json) {
    const auto chosen = choose_job(job);
    const bool shown = ::isatty(STDERR_FILENO) == 1;
    const auto progress = [shown](const launch::Draining &news) {
        if (shown) {
            fmt::print(stderr, "\r{} tasks and {} left \x1b[K", news.tasks, size_words(news.bytes));
        }
    };
    const auto end = ControlClient(chosen).drain(node, to.value_or(launch::kAnyNode), progress);
    if (shown) {
        fmt::print(stderr, "\r\x1b[K");
    }
    if (!end.why.empty()) {
        fmt::print(stderr, "norma drain: node {} of job {} has not left: {}\n", node, chosen.launcher, end.why);
        return 1;
    }
    if (as_json) {
        fmt::print("{}\n", json::object({{"job", json::number(chosen.launcher)},
                                         {"node", json::number(node)},
                                         {"tasks_moved", json::number(end.moved)}}));
    } else {
        fmt::print("node {} has left the job; {} task{} moved\n", node, end.moved, end.moved == 1 ? "" : "s");
    }
    return 0;
}

} // namespace

int drain_command(int argc, char **argv) {
    CLI::App app{
        "Takes a node out of a job of this machine while it runs: its tasks, memory and services move to other "
        "nodes, then its node server ends.",
        "norma drain"};
    std::uint16_t node = 0;
    std::optional<std::uint16_t> to;
    std::optional<pid_t> job;
    bool as_json = false;
    app.add_option("NODE", node, "the number of the node that is to leave")->required();
    app.add_option("--to", to, "the node where everything is to go (default: tasks go to all others in turn)");
    app.add_option("--job", job, "the process id of its `norma run`, if there are several")->check(CLI::PositiveNumber);
    app.add_flag("--json", as_json, "print how many tasks have moved as an object");
    return run_command_line("drain", app, argc, argv, [&] { return drain(job, node, to, as_json); });
}

} // namespace norma::rt

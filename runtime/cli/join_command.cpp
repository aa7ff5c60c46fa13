// SPDX-License-Identifier: BSD-3-Clause
// `norma join`: adds a node to a job that runs.
#include "runtime/cli/commands.hpp"
#include "runtime/cli/job_words.hpp"
#include "runtime/cli/json.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>

namespace norma::rt {
namespace {

int join(std::optional<pid_t> job, bool as_json) {
    const auto chosen = choose_job(job);
    const auto added = ControlClient(chosen).add_node();
    if (!added.why.empty()) {
        fmt::print(stderr, "norma join: no node has joined job {}: {}\n", chosen.launcher, added.why);
        return 1;
    }
    if (as_json) {
        fmt::print("{}\n", json::object({{"job", json::number(chosen.launcher)}, {"node", json::number(added.node)}}));
    } else {
        fmt::print("{}\n", added.node);
    }
    return 0;
}

} // namespace

int join_command(int argc, char **argv) {
    CLI::App app{"Adds a node on this machine to a job that runs, and prints its number.", "norma join"};
    std::optional<pid_t> job;
    bool as_json = false;
    app.add_option("--job", job, "the process id of its `norma run`, if there are several")->check(CLI::PositiveNumber);
    app.add_flag("--json", as_json, "print it as an object");
    app.footer("A node of another host joins with `norma node --join`, if the job was started with --listen and "
               "--max-nodes.");
    return run_command_line("join", app, argc, argv, [&] { return join(job, as_json); });
}

} // namespace norma::rt

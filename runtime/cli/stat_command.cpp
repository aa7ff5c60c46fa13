// SPDX-License-Identifier: BSD-3-Clause
// `norma stat`: one task, with its threads.
#include "runtime/cli/commands.hpp"
#include "runtime/cli/job_words.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>

namespace norma::rt {
namespace {

void print(const JobView &view, const NodeReport &node, const TaskReport &task) {
    constexpr std::string_view kRow = "{:<10} {}\n";
    fmt::print(kRow, "task:", format_task(task.id) + (task.first ? ", the first of its job" : ""));
    fmt::print(kRow, "job:", view.name.launcher);
    fmt::print(kRow, "node:", node.node);
    fmt::print(kRow, "process:", task.pid);
    fmt::print(kRow, "program:", task.program);
    fmt::print(kRow, "state:", state_word(task.state));
    fmt::print(kRow, "CPU time:", time_words(task.cpu_us));
    fmt::print(kRow, "mapped:", size_words(task.mapped));
    fmt::print(kRow, "wired:", size_words(task.wired));
    fmt::print(kRow, "behind:", size_words(task.behind));
    fmt::print(kRow, "threads:", task.threads);
    for (const auto &thread : task.thread_list) {
        fmt::print("  {:<8} {}{}\n", thread.number,
                   thread.tid == 0 ? "not started" : fmt::format("kernel thread {}", thread.tid),
                   thread.suspend_count == 0 ? "" : fmt::format(", suspended {} times", thread.suspend_count));
    }
}

int show(std::optional<pid_t> job, const std::string &name, bool as_json) {
    const auto id = parse_task(name);
    if (!id) {
        fmt::print(stderr, "norma stat: '{}' is not a task; `norma ps` shows their names, like 0.1\n", name);
        return 2;
    }
    const auto view = ControlClient(choose_job(job)).look(*id);
    for (const auto &node : view.nodes) {
        if (!node.report) {
            continue;
        }
        for (const auto &task : node.report->tasks) {
            if (task.id == *id) {
                as_json ? fmt::print("{}\n", task_json(view, *node.report, task)) : print(view, *node.report, task);
                return 0;
            }
        }
    }
    tell_of_unseen("stat", view);
    fmt::print(stderr, "norma stat: job {} has no task {}\n", view.name.launcher, name);
    return 1;
}

} // namespace

int stat_command(int argc, char **argv) {
    CLI::App app{"Shows one task of a job of this machine.", "norma stat"};
    std::string task;
    std::optional<pid_t> job;
    bool as_json = false;
    app.add_option("TASK", task, "its name, as `norma ps` prints it")->required();
    app.add_option("--job", job, "the process id of its `norma run`, if there are several")->check(CLI::PositiveNumber);
    app.add_flag("--json", as_json, "print it as an object");
    return run_command_line("stat", app, argc, argv, [&] { return show(job, task, as_json); });
}

} // namespace norma::rt

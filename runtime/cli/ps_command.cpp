// SPDX-License-Identifier: BSD-3-Clause
// `norma ps`: the tasks of the jobs of this machine.
#include "runtime/cli/commands.hpp"
#include "runtime/cli/job_words.hpp"
#include "runtime/cli/json.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>

namespace norma::rt {
namespace {

std::vector<JobName> chosen(std::optional<pid_t> launcher) {
    return launcher ? std::vector{choose_job(launcher)} : jobs_here();
}

// A job that ends meanwhile is left out, unless it was asked for.
std::vector<JobView> look_at(std::optional<pid_t> launcher) {
    std::vector<JobView> views;
    for (const auto &name : chosen(launcher)) {
        try {
            views.push_back(ControlClient(name).look(0));
        } catch (const std::exception &) {
            if (launcher) {
                throw;
            }
        }
    }
    return views;
}

template <class Visit> void for_each_task(const std::vector<JobView> &views, Visit visit) {
    for (const auto &view : views) {
        for (const auto &node : view.nodes) {
            if (node.report) {
                for (const auto &task : node.report->tasks) {
                    visit(view, *node.report, task);
                }
            }
        }
    }
}

void print_table(const std::vector<JobView> &views) {
    constexpr std::string_view kRow = "{:>8} {:>5} {:>8} {:>8}  {:<9} {:>7} {:>10} {:>11} {:>11}  {}\n";
    fmt::print(kRow, "JOB", "NODE", "TASK", "PID", "STATE", "THREADS", "CPU", "MAPPED", "WIRED", "PROGRAM");
    for_each_task(views, [&](const JobView &view, const NodeReport &node, const TaskReport &task) {
        fmt::print(kRow, view.name.launcher, node.node, format_task(task.id), task.pid, state_word(task.state),
                   task.threads, time_words(task.cpu_us), size_words(task.mapped), size_words(task.wired),
                   task.program);
    });
}

void print_json(const std::vector<JobView> &views) {
    std::vector<std::string> rows;
    for_each_task(views, [&](const JobView &view, const NodeReport &node, const TaskReport &task) {
        rows.push_back(task_json(view, node, task));
    });
    fmt::print("{}\n", json::lines(rows));
}

} // namespace

int ps_command(int argc, char **argv) {
    CLI::App app{"Lists the tasks of your jobs on this machine (of everybody's, for root).", "norma ps"};
    std::optional<pid_t> job;
    bool as_json = false;
    app.add_option("JOB", job, "only this job: the process id of its `norma run`")->check(CLI::PositiveNumber);
    app.add_flag("--json", as_json, "print a list of objects, one a task");
    return run_command_line("ps", app, argc, argv, [&] {
        const auto views = look_at(job);
        as_json ? print_json(views) : print_table(views);
        for (const auto &view : views) {
            tell_of_unseen("ps", view);
        }
        return 0;
    });
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// `norma migrate`: moves a task that runs to another node.
#include "runtime/cli/commands.hpp"
#include "runtime/cli/job_words.hpp"
#include "runtime/cli/json.hpp"

#include "norma/norma.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <string>
#include <thread>
#include <unistd.h>

namespace norma::rt {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(100);

// Bytes that have not followed the task yet, about; nothing: it has ended or moved on, or nobody knows.
std::uint64_t bytes_behind(const JobName &job, TaskId id) {
    for (const auto &node : ControlClient(job).look(id).nodes) {
        for (const auto &task : node.report ? node.report->tasks : std::vector<TaskReport>{}) {
            if (task.id == id) {
                return task.behind;
            }
        }
    }
    return 0;
}

// The task runs already; this only shows what follows it, and ends when nothing does.
void watch_memory_follow(const JobName &job, TaskId task) {
    constexpr std::size_t kWidth = 30;
    const bool shown = ::isatty(STDERR_FILENO) == 1;
    std::uint64_t most = 0;
    try {
        while (const auto left = bytes_behind(job, task)) {
            most = std::max(most, left);
            if (shown) {
                fmt::print(stderr, "\r[{:<{}}] {} left \x1b[K", std::string((most - left) * kWidth / most, '#'), kWidth,
                           size_words(left));
            }
            std::this_thread::sleep_for(kInterval);
        }
    } catch (const std::exception &) { // the job has ended
    }
    if (shown && most > 0) {
        fmt::print(stderr, "\r\x1b[K");
    }
}

int migrate(std::optional<pid_t> job, const std::string &name, std::uint16_t node, std::uint8_t flags, bool as_json) {
    const auto id = parse_task(name);
    if (!id) {
        fmt::print(stderr, "norma migrate: '{}' is not a task; `norma ps` shows their names, like 0.1\n", name);
        return 2;
    }
    const auto chosen = choose_job(job);
    const auto end = ControlClient(chosen).migrate(*id, node, flags);
    if (end.task == 0) {
        fmt::print(stderr, "norma migrate: task {} of job {} has not moved: {}\n", name, chosen.launcher, end.why);
        return 1;
    }
    if (as_json) {
        fmt::print("{}\n", json::object({{"job", json::number(chosen.launcher)},
                                         {"task", json::text(format_task(end.task))},
                                         {"was", json::text(format_task(*id))},
                                         {"node", json::number(node)}}));
    } else if (end.task == *id) {
        fmt::print("task {} is on node {} already\n", name, node);
    } else {
        fmt::print("task {} is {} on node {} now\n", name, format_task(end.task), node);
    }
    std::fflush(stdout);
    if (flags != NORMA_MIGRATE_LAZY) {
        watch_memory_follow(chosen, end.task);
    }
    return 0;
}

} // namespace

int migrate_command(int argc, char **argv) {
    CLI::App app{"Moves a task of a job of this machine to another node, with all its threads, while it runs.",
                 "norma migrate"};
    std::string task;
    std::uint16_t node = 0;
    std::optional<pid_t> job;
    bool lazy = false, precopy = false, as_json = false;
    app.add_option("TASK", task, "its name, as `norma ps` prints it")->required();
    app.add_option("NODE", node, "the number of the node where it is to go")->required();
    app.add_option("--job", job, "the process id of its `norma run`, if there are several")->check(CLI::PositiveNumber);
    auto *later = app.add_flag("--lazy", lazy, "do not fetch its memory: pages come when they are touched");
    app.add_flag("--precopy", precopy, "fetch its memory first, while it still runs where it is")->excludes(later);
    app.add_flag("--json", as_json, "print what it is called now as an object");
    return run_command_line("migrate", app, argc, argv, [&] {
        const auto flags = lazy ? NORMA_MIGRATE_LAZY : precopy ? NORMA_MIGRATE_PRECOPY : 0;
        return migrate(job, task, node, static_cast<std::uint8_t>(flags), as_json);
    });
}

} // namespace norma::rt

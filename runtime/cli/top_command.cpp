// SPDX-License-Identifier: BSD-3-Clause
// `norma top`: what the nodes and tasks of a job are doing, again and again.
#include "runtime/cli/commands.hpp"
#include "runtime/cli/hottest_pages.hpp"
#include "runtime/cli/job_words.hpp"
#include "runtime/cli/json.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <map>
#include <thread>
#include <unistd.h>
#include <utility>

namespace norma::rt {
namespace {

using Clock = std::chrono::steady_clock;

struct Look {
    JobView view;
    Clock::time_point at;
};

// Between two looks, per second. A node that was not seen in both has none.
struct Rates {
    double reads = 0, writes = 0, zeros = 0, in = 0, out = 0, received = 0, sent = 0;
};

std::optional<Rates> rates(const Look &before, const Look &now, std::size_t node) {
    const auto &a = before.view.nodes[node].report, &b = now.view.nodes[node].report;
    if (!a || !b) {
        return std::nullopt;
    }
    const auto seconds = std::chrono::duration<double>(now.at - before.at).count();
    const auto rate = [&](std::uint64_t NodeReport::*counter) {
        return static_cast<double>((*b).*counter - (*a).*counter) / seconds;
    };
    return Rates{.reads = rate(&NodeReport::faults_read),
                 .writes = rate(&NodeReport::faults_write),
                 .zeros = rate(&NodeReport::zero_filled),
                 .in = rate(&NodeReport::pages_in),
                 .out = rate(&NodeReport::pages_out),
                 .received = rate(&NodeReport::bytes_received),
                 .sent = rate(&NodeReport::bytes_sent)};
}

std::map<TaskId, std::uint64_t> cpu_times(const JobView &view) {
    std::map<TaskId, std::uint64_t> times;
    for (const auto &node : view.nodes) {
        if (node.report) {
            for (const auto &task : node.report->tasks) {
                times[task.id] = task.cpu_us;
            }
        }
    }
    return times;
}

void print_nodes(const Look &before, const Look &now) {
    constexpr std::string_view kRow = "{:>5} {:>6} {:>11} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}\n";
    fmt::print(kRow, "NODE", "TASKS", "RESIDENT", "HOME OF", "READ/s", "WRITE/s", "ZERO/s", "IN/s", "OUT/s",
               "RECV MB/s", "SENT MB/s");
    for (std::size_t index = 0; index < now.view.nodes.size(); ++index) {
        const auto rate = rates(before, now, index);
        if (!rate) {
            continue;
        }
        const auto &node = *now.view.nodes[index].report;
        const auto whole = [](double value) { return fmt::format("{:.0f}", value); };
        const auto megabytes = [](double value) { return fmt::format("{:.1f}", value / 1e6); };
        fmt::print(kRow, index, node.tasks.size(), size_words(node.resident), size_words(node.memory_used),
                   whole(rate->reads), whole(rate->writes), whole(rate->zeros), whole(rate->in), whole(rate->out),
                   megabytes(rate->received), megabytes(rate->sent));
    }
}

void print_tasks(const Look &before, const Look &now) {
    constexpr std::string_view kRow = "{:>8} {:>5} {:>8}  {:<9} {:>7} {:>6} {:>11}  {}\n";
    const auto seconds = std::chrono::duration<double>(now.at - before.at).count();
    const auto earlier = cpu_times(before.view);
    fmt::print(kRow, "TASK", "NODE", "PID", "STATE", "THREADS", "CPU %", "MAPPED", "PROGRAM");
    for (const auto &node : now.view.nodes) {
        if (!node.report) {
            continue;
        }
        for (const auto &task : node.report->tasks) {
            const auto found = earlier.find(task.id); // after a move its process is another one, with a time of its own
            const auto used = found == earlier.end() || found->second > task.cpu_us ? 0 : task.cpu_us - found->second;
            fmt::print(kRow, format_task(task.id), node.report->node, task.pid, state_word(task.state), task.threads,
                       fmt::format("{:.0f}", static_cast<double>(used) / seconds / 1e4), size_words(task.mapped),
                       task.program);
        }
    }
}

constexpr std::size_t kPagesShown = 10;

void print_pages(const Look &before, const Look &now) {
    auto pages = hottest_pages(before.view, now.view);
    if (pages.empty()) {
        return;
    }
    pages.resize(std::min(pages.size(), kPagesShown));
    constexpr std::string_view kRow = "{:>8}  {:<20} {:>12} {:>16}  {}\n";
    const auto seconds = std::chrono::duration<double>(now.at - before.at).count();
    const auto rate = [seconds](std::uint64_t times) { return static_cast<double>(times) / seconds; };
    fmt::print("\nHOTTEST PAGES\n");
    fmt::print(kRow, "WAITS/s", "OBJECT", "OFFSET", "ADDRESS", "NODES: READS, WRITES");
    for (const auto &page : pages) {
        std::vector<std::string> nodes;
        for (const auto &node : page.nodes) {
            for (const auto &[times, what] : {std::pair(node.reads, 'r'), std::pair(node.writes, 'w')}) {
                if (times != 0) {
                    nodes.push_back(fmt::format("{} {} {:.0f}/s", node.node, what, rate(times)));
                }
            }
        }
        fmt::print(kRow, fmt::format("{:.0f}", rate(page.times())), format_object(page),
                   fmt::format("{:#x}", page.offset),
                   page.address == 0 ? std::string("-") : fmt::format("{:#x}", page.address), fmt::join(nodes, ", "));
    }
}

void print_text(const Look &before, const Look &now, bool terminal) {
    if (terminal) {
        fmt::print("\033[H\033[2J");
    }
    fmt::print("job {}: {}\n", now.view.name.launcher, now.view.overview.program);
    print_nodes(before, now);
    fmt::print("\n");
    print_tasks(before, now);
    print_pages(before, now);
    fmt::print("\n");
}

// One line each time, so that a reader can take them one by one.
void print_json(const Look &before, const Look &now) {
    std::vector<std::string> nodes, tasks;
    for (std::size_t index = 0; index < now.view.nodes.size(); ++index) {
        const auto &report = now.view.nodes[index].report;
        if (!report) {
            continue;
        }
        nodes.push_back(node_json(now.view, *report));
        for (const auto &task : report->tasks) {
            tasks.push_back(task_json(now.view, *report, task));
        }
    }
    std::vector<std::string> pages;
    for (const auto &page : hottest_pages(before.view, now.view)) {
        pages.push_back(hottest_page_json(page));
    }
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now.at - before.at).count();
    fmt::print("{}\n", json::object({{"job", json::number(now.view.name.launcher)},
                                     {"interval_us", json::number(us)},
                                     {"nodes", json::list(nodes)},
                                     {"tasks", json::list(tasks)},
                                     {"hottest_pages", json::list(pages)}}));
}

struct CommandLine {
    std::optional<pid_t> job;
    double delay = 1;
    unsigned count = 0;
    bool json = false;
};

void watch(const CommandLine &line) {
    ControlClient client(choose_job(line.job));
    const auto look = [&client] { return Look{client.look(0), Clock::now()}; };
    const bool terminal = ::isatty(STDOUT_FILENO) == 1;
    auto before = look();
    for (unsigned shown = 0; line.count == 0 || shown < line.count; ++shown) {
        std::this_thread::sleep_for(std::chrono::duration<double>(line.delay));
        auto now = look();
        line.json ? print_json(before, now) : print_text(before, now, terminal);
        tell_of_unseen("top", now.view);
        std::fflush(stdout);
        before = std::move(now);
    }
}

} // namespace

int top_command(int argc, char **argv) {
    CLI::App app{"Shows what the nodes and tasks of a job of this machine are doing. Ends with the job.", "norma top"};
    CommandLine line;
    app.add_option("JOB", line.job, "the process id of its `norma run`, if there are several")
        ->check(CLI::PositiveNumber);
    app.add_option("-d,--delay", line.delay, "seconds between two looks; default: 1")->check(CLI::Range(0.05, 3600.0));
    app.add_option("-n,--count", line.count, "how often; default: until the job ends")->check(CLI::PositiveNumber);
    app.add_flag("--json", line.json, "print an object a line, with counters instead of rates");
    app.footer(
        "Rates are per second: faults for reading and writing, pages filled with zeros, pages that came from and\n"
        "went to other nodes, bytes of all messages. RESIDENT is what frames take on the node, HOME OF the size of\n"
        "the memory objects that have their home there. HOTTEST PAGES are those for which threads most often had to\n"
        "wait for another node: where they are, and which nodes read (r) or write (w) them.");
    return run_command_line("top", app, argc, argv, [&line] {
        watch(line);
        return 0;
    });
}

} // namespace norma::rt

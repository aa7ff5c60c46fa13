// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/cli/job_words.hpp"

#include <array>
#include <cstdio>

#include <fmt/format.h>

#include "runtime/cli/json.hpp"

namespace norma::rt {

std::string_view state_word(TaskReport::State state) {
    constexpr std::array<std::string_view, 4> kWords = {"starting", "running", "suspended", "ending"};
    return kWords.at(static_cast<std::size_t>(state));
}

std::string size_words(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    auto amount = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; amount >= 1024 && unit + 1 < kUnits.size(); ++unit) {
        amount /= 1024;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", amount, kUnits.at(unit));
}

std::string time_words(std::uint64_t us) {
    const auto hundredths = us / 10'000;
    return fmt::format("{}:{:02}.{:02}", hundredths / 6000, hundredths / 100 % 60, hundredths % 100);
}

std::string task_json(const JobView &view, const NodeReport &node, const TaskReport &task) {
    json::Members members{{"job", json::number(view.name.launcher)},     {"node", json::number(node.node)},
                          {"task", json::text(format_task(task.id))},    {"pid", json::number(task.pid)},
                          {"state", json::text(state_word(task.state))}, {"first", json::boolean(task.first)},
                          {"threads", json::number(task.threads)},       {"cpu_us", json::number(task.cpu_us)},
                          {"mapped_bytes", json::number(task.mapped)},   {"wired_bytes", json::number(task.wired)},
                          {"behind_bytes", json::number(task.behind)},   {"program", json::text(task.program)}};
    if (!task.thread_list.empty()) {
        std::vector<std::string> threads;
        for (const auto &thread : task.thread_list) {
            threads.push_back(json::object({{"number", json::number(thread.number)},
                                            {"tid", json::number(thread.tid)},
                                            {"suspend_count", json::number(thread.suspend_count)}}));
        }
        members.emplace_back("thread_list", json::list(threads));
    }
    return json::object(members);
}

std::string node_json(const JobView &view, const NodeReport &node) {
    return json::object({{"job", json::number(view.name.launcher)},
                         {"node", json::number(node.node)},
                         {"pid", json::number(node.pid)},
                         {"tasks", json::number(node.tasks.size())},
                         {"memory_used", json::number(node.memory_used)},
                         {"memory_limit", json::number(node.memory_limit)},
                         {"resident_bytes", json::number(node.resident)},
                         {"objects", json::number(node.objects)},
                         {"ports", json::number(node.ports)},
                         {"faults_read", json::number(node.faults_read)},
                         {"faults_write", json::number(node.faults_write)},
                         {"zero_filled", json::number(node.zero_filled)},
                         {"pages_in", json::number(node.pages_in)},
                         {"pages_out", json::number(node.pages_out)},
                         {"poisoned", json::number(node.poisoned)},
                         {"messages_sent", json::number(node.messages_sent)},
                         {"messages_received", json::number(node.messages_received)},
                         {"bytes_sent", json::number(node.bytes_sent)},
                         {"bytes_received", json::number(node.bytes_received)}});
}

int run_command_line(std::string_view command, CLI::App &line, int argc, char **argv, const std::function<int()> &run) {
    try {
        line.parse(argc, argv);
        return run();
    } catch (const CLI::ParseError &error) {
        return line.exit(error) == 0 ? 0 : 2;
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma {}: {}\n", command, error.what());
        return 1;
    }
}

void tell_of_unseen(std::string_view command, const JobView &view) {
    for (std::size_t node = 0; node < view.nodes.size(); ++node) {
        if (!view.nodes[node].report && !view.nodes[node].why.empty()) { // else it has left the job
            fmt::print(stderr, "norma {}: job {}: nothing of node {}: {}\n", command, view.name.launcher, node,
                       view.nodes[node].why);
        }
    }
}

} // namespace norma::rt

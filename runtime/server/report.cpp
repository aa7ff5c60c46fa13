// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/report.hpp"

#include "runtime/server/node.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <unistd.h>

namespace norma::rt {

namespace {

// Of user and system, of a process that may be ending: then what is left of it. proc(5), fields 14 and 15 of stat; the
// second field, in parentheses, may hold anything.
std::uint64_t cpu_us(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const auto end = text.rfind(')');
    if (end == std::string::npos) {
        return 0;
    }
    std::istringstream fields(text.substr(end + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field) {
        fields >> skipped;
    }
    std::uint64_t user = 0, system = 0;
    fields >> user >> system;
    static const auto ticks = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
    return (user + system) * 1'000'000 / ticks;
}

std::uint64_t resident(const Node &node) {
    std::uint64_t bytes = 0;
    for (const auto &[id, use] : node.objects) {
        bytes += node.pager.knows(id) ? node.pager.resident(id) : 0;
    }
    return bytes;
}

TaskReport::State state_of(const Task &task) {
    switch (task.state) {
    case Task::State::starting:
        return TaskReport::State::starting;
    case Task::State::running:
        return task.suspend_count > 0 ? TaskReport::State::suspended : TaskReport::State::running;
    case Task::State::ending:
        break;
    }
    return TaskReport::State::ending;
}

TaskReport report_of(const Node &node, const Task &task, bool with_threads) {
    TaskReport report{.id = task.id,
                      .pid = task.pid,
                      .state = state_of(task),
                      .first = task.first,
                      .threads = 0,
                      .mapped = 0,
                      .wired = 0,
                      .behind = node.following.bytes(task.id),
                      .cpu_us = cpu_us(task.pid),
                      .program = task.program.path,
                      .thread_list = {}};
    for (const auto &entry : task.map.entries()) {
        report.mapped += entry.size;
    }
    for (const auto &[start, piece] : task.wired) {
        report.wired += piece.size;
    }
    for (const auto &[number, thread] : task.threads) {
        report.threads += thread.ended ? 0 : 1;
        if (with_threads && !thread.ended) {
            report.thread_list.push_back({.number = number,
                                          .tid = thread.tid,
                                          .suspend_count = static_cast<std::uint32_t>(thread.suspend_count)});
        }
    }
    return report;
}

constexpr std::size_t kMostNames = 256;

std::vector<HotPageReport> hot_pages_of(const Node &node) {
    std::vector<HotPageReport> pages;
    std::multimap<Stretch, HotPageReport *> unplaced;
    pages.reserve(dsm::HotPages::kMost);
    for (const auto &hot : node.pager.hot_pages().entries()) {
        const auto of_each = node.pager.pages(hot.object);
        auto &page = pages.emplace_back();
        page.stretch = {.object = hot.object, .number = hot.page / of_each};
        page.offset = hot.page % of_each * kMapPage;
        page.reads = hot.reads;
        page.writes = hot.writes;
        unplaced.emplace(page.stretch, &page);
    }
    for (const auto &[id, task] : node.tasks) {
        for (const auto &entry : task->map.entries()) {
            for (auto [at, end] = unplaced.equal_range(entry.stretch); at != end;) {
                auto &page = *at->second;
                if (page.offset >= entry.offset && page.offset - entry.offset < entry.size) {
                    page.address = entry.start + (page.offset - entry.offset);
                    at = unplaced.erase(at);
                } else {
                    ++at;
                }
            }
        }
    }
    return pages;
}

} // namespace

NodeReport report_of(const Node &node, TaskId of) {
    const auto &pages = node.pager.counters();
    const auto &wire = node.transport->counters();
    NodeReport report{.node = node.self,
                      .pid = ::getpid(),
                      .memory_used = node.memory_used,
                      .memory_limit = node.memory_limit,
                      .resident = resident(node),
                      .objects = node.objects.size(),
                      .ports = node.ports.home().ports(),
                      .faults_read = pages.faults_read,
                      .faults_write = pages.faults_write,
                      .zero_filled = pages.zero_filled,
                      .pages_in = pages.pages_in,
                      .pages_out = pages.pages_out,
                      .poisoned = pages.poisoned,
                      .messages_sent = wire.sent,
                      .messages_received = wire.received,
                      .bytes_sent = wire.bytes_sent,
                      .bytes_received = wire.bytes_received,
                      .tasks = {},
                      .hot_pages = hot_pages_of(node),
                      .names = {}};
    for (const auto &[name, object] : node.names) {
        if (report.names.size() < kMostNames) {
            report.names.push_back({.object = object, .name = name});
        }
    }
    for (const auto &[id, task] : node.tasks) {
        if (!task->threads_moved) { // else it is listed where it is now
            report.tasks.push_back(report_of(node, *task, id == of));
        }
    }
    return report;
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/report.hpp"

#include "runtime/launch.hpp"
#include "runtime/values.hpp"

#include <fmt/format.h>

namespace norma::rt {

namespace {

constexpr std::size_t kLeastThreadBytes = 16, kLeastTaskBytes = 62, kHotPageBytes = 56, kLeastNameBytes = 20;

void put_task(rpc::Writer &writer, const TaskReport &task) {
    writer.put(task.id).put(task.pid).put(task.state).put(std::uint8_t{task.first}).put(task.threads);
    writer.put(task.mapped).put(task.wired).put(task.behind).put(task.cpu_us).put_string(task.program);
    writer.put(static_cast<std::uint32_t>(task.thread_list.size()));
    for (const auto &thread : task.thread_list) {
        writer.put(thread.number).put(thread.tid).put(thread.suspend_count);
    }
}

bool get_task(rpc::Reader &reader, TaskReport &task) {
    task.id = reader.get<TaskId>();
    task.pid = reader.get<std::int32_t>();
    task.state = reader.get<TaskReport::State>();
    const auto first = reader.get<std::uint8_t>();
    task.first = first == 1;
    task.threads = reader.get<std::uint32_t>();
    task.mapped = reader.get<std::uint64_t>();
    task.wired = reader.get<std::uint64_t>();
    task.behind = reader.get<std::uint64_t>();
    task.cpu_us = reader.get<std::uint64_t>();
    task.program = reader.get_string();
    task.thread_list.resize(reader.get_count(kLeastThreadBytes));
    for (auto &thread : task.thread_list) {
        thread.number = reader.get<std::uint64_t>();
        thread.tid = reader.get<std::int32_t>();
        thread.suspend_count = reader.get<std::uint32_t>();
    }
    return reader.ok() && first <= 1 && task.state <= TaskReport::State::ending;
}

void put_object(rpc::Writer &writer, const dsm::ObjectId &object) {
    writer.put(object.home).put(object.incarnation).put(object.serial);
}

dsm::ObjectId get_object(rpc::Reader &reader) {
    dsm::ObjectId object;
    object.home = reader.get<std::uint32_t>();
    object.incarnation = reader.get<std::uint32_t>();
    object.serial = reader.get<std::uint64_t>();
    return object;
}

} // namespace

void put_report(rpc::Writer &writer, const NodeReport &report) {
    writer.put(report.node).put(report.pid);
    for (const auto number :
         {report.memory_used, report.memory_limit, report.resident, report.objects, report.ports, report.faults_read,
          report.faults_write, report.zero_filled, report.pages_in, report.pages_out, report.poisoned,
          report.messages_sent, report.messages_received, report.bytes_sent, report.bytes_received}) {
        writer.put(number);
    }
    writer.put(static_cast<std::uint32_t>(report.tasks.size()));
    for (const auto &task : report.tasks) {
        put_task(writer, task);
    }
    writer.put(static_cast<std::uint32_t>(report.hot_pages.size()));
    for (const auto &page : report.hot_pages) {
        put_object(writer, page.stretch.object);
        writer.put(page.stretch.number).put(page.offset).put(page.address).put(page.reads).put(page.writes);
    }
    writer.put(static_cast<std::uint32_t>(report.names.size()));
    for (const auto &named : report.names) {
        put_object(writer, named.object);
        writer.put_string(named.name);
    }
}

std::optional<NodeReport> get_report(rpc::Reader &reader) {
    NodeReport report;
    report.node = reader.get<std::uint16_t>();
    report.pid = reader.get<std::int32_t>();
    for (auto *number : {&report.memory_used, &report.memory_limit, &report.resident, &report.objects, &report.ports,
                         &report.faults_read, &report.faults_write, &report.zero_filled, &report.pages_in,
                         &report.pages_out, &report.poisoned, &report.messages_sent, &report.messages_received,
                         &report.bytes_sent, &report.bytes_received}) {
        *number = reader.get<std::uint64_t>();
    }
    report.tasks.resize(reader.get_count(kLeastTaskBytes));
    for (auto &task : report.tasks) {
        if (!get_task(reader, task)) {
            return std::nullopt;
        }
    }
    report.hot_pages.resize(reader.get_count(kHotPageBytes));
    for (auto &page : report.hot_pages) {
        page.stretch.object = get_object(reader);
        for (auto *number : {&page.stretch.number, &page.offset, &page.address, &page.reads, &page.writes}) {
            *number = reader.get<std::uint64_t>();
        }
    }
    report.names.resize(reader.get_count(kLeastNameBytes));
    for (auto &named : report.names) {
        named.object = get_object(reader);
        named.name = reader.get_string();
    }
    return reader.ok() ? std::optional(std::move(report)) : std::nullopt;
}

std::string format_task(TaskId task) {
    return fmt::format("{}.{}", node_of(task), static_cast<std::uint32_t>(task));
}

std::optional<TaskId> parse_task(std::string_view text) {
    const auto dot = text.find('.');
    if (dot == std::string_view::npos) {
        return std::nullopt;
    }
    const auto node = parse_integer(text.substr(0, dot)), serial = parse_integer(text.substr(dot + 1));
    if (!node || !serial || *node < 0 || *node > UINT16_MAX || *serial < 1 || *serial > UINT32_MAX) {
        return std::nullopt;
    }
    return TaskId(*node) << 48 | TaskId{launch::kOnlyLife} << 32 | TaskId(*serial);
}

} // namespace norma::rt

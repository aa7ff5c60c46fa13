// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/services.hpp"

#include "runtime/server/node.hpp"

namespace norma::rt {

namespace {

void put_ended(rpc::Writer &writer, const EndedTask &task) {
    put_key(writer, task.key);
    writer.put(task.status);
    put_right(writer, task.successor);
    writer.put(std::uint8_t{task.threads_moved}).put(std::uint8_t{task.first});
    put_kin(writer, task.kin);
}

bool get_ended(rpc::Reader &reader, EndedTask &task, unsigned nodes) {
    task.key = get_key(reader);
    task.status = reader.get<int>();
    if (!get_right(reader, task.successor)) {
        return false;
    }
    task.threads_moved = reader.get<bool>();
    task.first = reader.get<bool>();
    task.kin = get_kin(reader);
    const bool is_task = task.successor.kind == Right::Kind::task && node_of(task.successor.task) < nodes;
    return is_task || (task.successor.kind == Right::Kind::none && !task.threads_moved);
}

} // namespace

ServicesView services_of(const Node &node, const MovedFiles &files) {
    auto keys = node.inherited_priv_keys;
    if (node.priv_key.any()) {
        keys.insert(node.priv_key);
    }
    return {.sync = node.sync.home(),
            .families = node.families,
            .groups = node.groups,
            .names = node.names,
            .ended = node.ended,
            .priv_keys = std::move(keys),
            .files = files,
            .ports = node.ports.view()};
}

std::vector<std::byte> encode(const ServicesView &services) {
    rpc::Writer writer;
    services.sync.write(writer);
    services.families.write(writer);
    services.groups.write(writer);
    writer.put(static_cast<std::uint32_t>(services.names.size()));
    for (const auto &[name, object] : services.names) {
        writer.put_string(name);
        put_stretch(writer, {.object = object, .number = 0});
    }
    writer.put(static_cast<std::uint32_t>(services.ended.size()));
    for (const auto &[id, task] : services.ended) {
        writer.put(id);
        put_ended(writer, task);
    }
    writer.put(static_cast<std::uint32_t>(services.priv_keys.size()));
    for (const auto &key : services.priv_keys) {
        put_key(writer, key);
    }
    put_files(writer, services.files);
    put_ports(writer, services.ports);
    return writer.bytes();
}

std::optional<Services> decode_services(std::span<const std::byte> bytes, dsm::NodeId from, unsigned nodes) {
    constexpr std::size_t kLeastNameBytes = 4, kLeastEndedBytes = 8 + kKeyBytes + 4 + kRightBytes + 2 + kKinBytes;
    rpc::Reader reader(bytes);
    Services services(from);
    if (!services.sync.read(reader) || !services.families.read(reader) || !services.groups.read(reader)) {
        return std::nullopt;
    }
    for (auto left = reader.get_count(kLeastNameBytes); left > 0 && reader.ok(); --left) {
        auto name = reader.get_string();
        services.names[std::move(name)] = get_stretch(reader).object;
    }
    for (auto left = reader.get_count(kLeastEndedBytes); left > 0; --left) {
        const auto id = reader.get<TaskId>();
        if (!get_ended(reader, services.ended[id], nodes)) {
            return std::nullopt;
        }
    }
    for (auto left = reader.get_count(kKeyBytes); left > 0; --left) {
        services.priv_keys.insert(get_key(reader));
    }
    return get_files(reader, services.files, nodes) && get_ports(reader, nodes, *services.ports) && reader.done()
               ? std::optional(std::move(services))
               : std::nullopt;
}

void take_over(Node &node, Services services) {
    node.sync.merge(std::move(services.sync));
    node.families.merge(std::move(services.families));
    node.groups.merge(std::move(services.groups));
    node.names.merge(services.names);
    node.ended.merge(services.ended);
    node.inherited_priv_keys.merge(services.priv_keys);
    node.open_files.take_over(std::move(services.files), services.opened);
    node.ports.take_over(*services.ports);
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launch.hpp"

#include "rpc/wire.hpp"

namespace norma::rt::launch {

namespace {

using rpc::Reader;
using rpc::Writer;

constexpr std::uint64_t kJoinMagic = 0x6e694a616d726f4e; // "NormaJin": whoever connects by mistake does not say it

void put_strings(Writer &writer, const std::vector<std::string> &strings) {
    writer.put(static_cast<std::uint32_t>(strings.size()));
    for (const auto &text : strings) {
        writer.put_string(text);
    }
}

std::vector<std::string> get_strings(Reader &reader) {
    std::vector<std::string> strings(reader.get_count(sizeof(std::uint32_t)));
    for (auto &text : strings) {
        text = reader.get_string();
    }
    return strings;
}

std::vector<std::byte> get_copy(Reader &reader) {
    const auto bytes = reader.get_bytes();
    return {bytes.begin(), bytes.end()};
}

void put_number(Writer &writer, const Number &number) {
    for (const auto byte : number) {
        writer.put(byte);
    }
}

Number get_number(Reader &reader) {
    Number number;
    for (auto &byte : number) {
        byte = reader.get<std::byte>();
    }
    return number;
}

// One function each, type first; the order of the fields is the format.
void put(Writer &writer, const Ready &record) {
    writer.put(LaunchMsg::ready).put_bytes(record.address);
}
void put(Writer &writer, const Exited &record) {
    writer.put(LaunchMsg::exited).put(record.status).put_string(record.note);
}
void put(Writer &writer, const Fatal &record) {
    writer.put(LaunchMsg::fatal).put_string(record.why);
}
void put(Writer &writer, const Connected &) {
    writer.put(LaunchMsg::connected);
}
void put(Writer &writer, const Suspect &suspect) {
    writer.put(LaunchMsg::suspect).put(suspect.node).put_string(suspect.why);
}
void put(Writer &writer, const Hosting &) {
    writer.put(LaunchMsg::hosting);
}
// What a joiner of any version says begins in the same way, so that the refusal can name the version.
void put(Writer &writer, const Join &record) {
    Writer rest;
    if (record.version == kJoinVersion) {
        put_number(rest, record.number);
        rest.put(record.node).put_string(record.host);
        put_strings(rest, record.settings);
    }
    const auto unknown = std::as_bytes(std::span(record.host));
    writer.put(LaunchMsg::join).put(kJoinMagic).put(record.version).put(record.wire);
    writer.put_bytes(record.version == kJoinVersion ? std::span<const std::byte>(rest.bytes()) : unknown);
}
void put(Writer &writer, const Challenge &record) {
    writer.put(LaunchMsg::challenge);
    put_number(writer, record.number);
}
void put(Writer &writer, const Proof &record) {
    writer.put(LaunchMsg::proof);
    put_number(writer, record.proof);
}
void put(Writer &writer, const Welcome &record) {
    writer.put(LaunchMsg::welcome);
    put_number(writer, record.proof);
    writer.put(record.node).put(record.nodes).put(record.founders).put(record.places);
    put_strings(writer, record.settings);
    writer.put_string(record.program).put_string(record.cwd);
}
void put(Writer &writer, const Refused &record) {
    writer.put(LaunchMsg::refused).put_string(record.why);
}
void put(Writer &writer, const Ended &record) {
    writer.put(LaunchMsg::ended).put(record.status);
}
void put(Writer &writer, const JobKey &record) {
    writer.put(LaunchMsg::job).put(record.key);
}
void put(Writer &writer, const Start &record) {
    writer.put(LaunchMsg::start).put(static_cast<std::uint16_t>(record.nodes.size()));
    for (const auto &node : record.nodes) {
        writer.put(node.incarnation).put_bytes(node.address);
    }
}
void put(Writer &writer, const Run &record) {
    writer.put(LaunchMsg::run).put_string(record.program);
    put_strings(writer, record.argv);
    put_strings(writer, record.env);
    writer.put_string(record.cwd);
}
void put(Writer &writer, const NodeDown &record) {
    writer.put(LaunchMsg::node_down).put(record.node).put_string(record.why);
}
void put(Writer &writer, const Shutdown &) {
    writer.put(LaunchMsg::shutdown);
}
void put(Writer &writer, const Seen &record) {
    writer.put(LaunchMsg::seen).put(record.number);
    put_report(writer, record.report);
}
void put(Writer &writer, const Here &) {
    writer.put(LaunchMsg::here);
}
void put(Writer &writer, const Migrated &record) {
    writer.put(LaunchMsg::migrated).put(record.number).put(record.task).put_string(record.why);
}
void put(Writer &writer, const Draining &record) {
    writer.put(LaunchMsg::draining).put(record.number).put(record.tasks).put(record.bytes);
}
void put(Writer &writer, const Drained &record) {
    writer.put(LaunchMsg::drained).put(record.number).put(record.moved).put_string(record.why);
}
void put(Writer &writer, const Leaves &record) {
    writer.put(LaunchMsg::leaves).put(record.number).put(record.moved).put(record.successor);
}
void put(Writer &writer, const Served &record) {
    writer.put(LaunchMsg::served).put(record.node);
}
void put(Writer &writer, const Drain &record) {
    writer.put(LaunchMsg::drain).put(record.number).put(record.node).put(record.to);
}
void put(Writer &writer, const Serve &record) {
    writer.put(LaunchMsg::serve).put(record.node);
}
void put(Writer &writer, const NodeLeft &record) {
    writer.put(LaunchMsg::node_left).put(record.node).put(record.successor);
}
void put(Writer &writer, const Look &record) {
    writer.put(LaunchMsg::look).put(record.number).put(record.task);
}
void put(Writer &writer, const StillHere &) {
    writer.put(LaunchMsg::still_here);
}
void put(Writer &writer, const Migrate &record) {
    writer.put(LaunchMsg::migrate).put(record.number).put(record.task).put(record.node);
    writer.put(record.flags);
}
void put(Writer &writer, const Overview &record) {
    writer.put(LaunchMsg::overview).put(record.number).put(record.nodes).put(record.first_task_at);
    writer.put(std::uint8_t{record.running}).put_string(record.program);
}
void put(Writer &writer, const Unseen &record) {
    writer.put(LaunchMsg::unseen).put(record.number).put(record.node).put_string(record.why);
}

void put(Writer &writer, const Newcomer &record) {
    writer.put(LaunchMsg::newcomer).put(record.node).put(record.incarnation).put_bytes(record.address);
    writer.put(std::uint8_t{record.nearby});
}
void put(Writer &writer, const Joined &record) {
    writer.put(LaunchMsg::joined).put(record.node);
}
void put(Writer &writer, const Met &record) {
    writer.put(LaunchMsg::met).put(record.node).put_string(record.why);
}
void put(Writer &writer, const AddNode &record) {
    writer.put(LaunchMsg::add_node).put(record.number);
}
void put(Writer &writer, const NodeAdded &record) {
    writer.put(LaunchMsg::node_added).put(record.number).put(record.node).put_string(record.why);
}
void put(Writer &writer, const CheckpointReached &record) {
    writer.put(LaunchMsg::checkpoint_reached).put(record.number).put(record.step);
    writer.put(std::uint8_t{record.changed}).put_string(record.why);
}
void put(Writer &writer, const Restored &record) {
    writer.put(LaunchMsg::restored).put_string(record.why);
}
void put(Writer &writer, const TakeStep &record) {
    writer.put(LaunchMsg::checkpoint_step).put(record.number).put(record.step);
}
void put(Writer &writer, const Restore &record) {
    writer.put(LaunchMsg::restore).put(record.kind).put(record.node).put_bytes(record.bytes);
}
void put(Writer &writer, const Checkpoint &record) {
    writer.put(LaunchMsg::checkpoint).put(record.number);
}
void put(Writer &writer, const CheckpointRead &record) {
    writer.put(LaunchMsg::checkpoint_read).put(record.number).put(record.node);
}
void put(Writer &writer, const CheckpointTaken &record) {
    writer.put(LaunchMsg::checkpoint_taken).put(record.number).put(record.nodes).put(record.pause_us);
    writer.put_string(record.why);
}
void put(Writer &writer, const CheckpointPiece &record) {
    writer.put(LaunchMsg::checkpoint_piece).put(record.number).put(record.node).put(record.kind);
    writer.put_bytes(record.bytes);
}

std::optional<Record> get_join(Reader &reader) {
    if (reader.get<std::uint64_t>() != kJoinMagic) {
        return std::nullopt;
    }
    Join join;
    join.version = reader.get<std::uint16_t>();
    join.wire = reader.get<std::uint16_t>();
    if (join.version != kJoinVersion) {
        join.host = reader.get_string();
        return join;
    }
    Reader rest(reader.get_bytes());
    join.number = get_number(rest);
    join.node = rest.get<std::uint16_t>();
    join.host = rest.get_string();
    join.settings = get_strings(rest);
    return rest.done() ? std::optional(join) : std::nullopt;
}

Welcome get_welcome(Reader &reader) {
    Welcome welcome;
    welcome.proof = get_number(reader);
    welcome.node = reader.get<std::uint16_t>();
    welcome.nodes = reader.get<std::uint16_t>();
    welcome.founders = reader.get<std::uint16_t>();
    welcome.places = reader.get<std::uint16_t>();
    welcome.settings = get_strings(reader);
    welcome.program = reader.get_string();
    welcome.cwd = reader.get_string();
    return welcome;
}

Start get_start(Reader &reader) {
    Start start;
    const auto nodes = reader.get<std::uint16_t>();
    for (unsigned node = 0; node < nodes && reader.ok(); ++node) {
        const auto incarnation = reader.get<std::uint32_t>();
        start.nodes.push_back({.incarnation = incarnation, .address = get_copy(reader)});
    }
    return start;
}

Run get_run(Reader &reader) {
    Run run;
    run.program = reader.get_string();
    run.argv = get_strings(reader);
    run.env = get_strings(reader);
    run.cwd = reader.get_string();
    return run;
}

std::optional<Record> get_seen(Reader &reader) {
    const auto number = reader.get<std::uint64_t>();
    auto report = get_report(reader);
    return report ? std::optional<Record>(Seen{.number = number, .report = std::move(*report)}) : std::nullopt;
}

std::optional<Record> get_overview(Reader &reader) {
    Overview overview;
    overview.number = reader.get<std::uint64_t>();
    overview.nodes = reader.get<std::uint16_t>();
    overview.first_task_at = reader.get<std::uint16_t>();
    const auto running = reader.get<std::uint8_t>();
    overview.running = running == 1;
    overview.program = reader.get_string();
    return running <= 1 ? std::optional<Record>(std::move(overview)) : std::nullopt;
}

std::optional<CheckpointStep> get_step(Reader &reader) {
    const auto step = reader.get<CheckpointStep>();
    return step <= CheckpointStep::drop ? std::optional(step) : std::nullopt;
}

std::optional<Record> get_reached(Reader &reader) {
    CheckpointReached reached;
    reached.number = reader.get<std::uint64_t>();
    const auto step = get_step(reader);
    reached.step = step.value_or(CheckpointStep::drop);
    reached.changed = reader.get<bool>();
    reached.why = reader.get_string();
    return step ? std::optional<Record>(std::move(reached)) : std::nullopt;
}

std::optional<Record> get_take_step(Reader &reader) {
    const auto number = reader.get<std::uint64_t>();
    const auto step = get_step(reader);
    return step ? std::optional<Record>(TakeStep{.number = number, .step = *step}) : std::nullopt;
}

Restore get_restore(Reader &reader) {
    Restore restore;
    restore.kind = reader.get<std::uint8_t>();
    restore.node = reader.get<std::uint16_t>();
    restore.bytes = get_copy(reader);
    return restore;
}

CheckpointTaken get_taken(Reader &reader) {
    CheckpointTaken taken;
    taken.number = reader.get<std::uint64_t>();
    taken.nodes = reader.get<std::uint16_t>();
    taken.pause_us = reader.get<std::uint64_t>();
    taken.why = reader.get_string();
    return taken;
}

CheckpointPiece get_piece(Reader &reader) {
    CheckpointPiece piece;
    piece.number = reader.get<std::uint64_t>();
    piece.node = reader.get<std::uint16_t>();
    piece.kind = reader.get<std::uint8_t>();
    piece.bytes = get_copy(reader);
    return piece;
}

std::optional<Record> get_record(Reader &reader) {
    switch (reader.get<LaunchMsg>()) {
    case LaunchMsg::ready:
        return Ready{.address = get_copy(reader)};
    case LaunchMsg::exited: {
        const auto status = reader.get<std::int32_t>();
        return Exited{.status = status, .note = reader.get_string()};
    }
    case LaunchMsg::fatal:
        return Fatal{.why = reader.get_string()};
    case LaunchMsg::connected:
        return Connected{};
    case LaunchMsg::hosting:
        return Hosting{};
    case LaunchMsg::suspect: {
        const auto node = reader.get<std::uint16_t>();
        return Suspect{.node = node, .why = reader.get_string()};
    }
    case LaunchMsg::join:
        return get_join(reader);
    case LaunchMsg::challenge:
        return Challenge{.number = get_number(reader)};
    case LaunchMsg::proof:
        return Proof{.proof = get_number(reader)};
    case LaunchMsg::welcome:
        return get_welcome(reader);
    case LaunchMsg::refused:
        return Refused{.why = reader.get_string()};
    case LaunchMsg::ended:
        return Ended{.status = reader.get<std::int32_t>()};
    case LaunchMsg::job:
        return JobKey{.key = reader.get<std::uint64_t>()};
    case LaunchMsg::start:
        return get_start(reader);
    case LaunchMsg::run:
        return get_run(reader);
    case LaunchMsg::node_down: {
        const auto node = reader.get<std::uint16_t>();
        return NodeDown{.node = node, .why = reader.get_string()};
    }
    case LaunchMsg::shutdown:
        return Shutdown{};
    case LaunchMsg::seen:
        return get_seen(reader);
    case LaunchMsg::here:
        return Here{};
    case LaunchMsg::migrated: {
        const auto number = reader.get<std::uint64_t>();
        const auto task = reader.get<TaskId>();
        return Migrated{.number = number, .task = task, .why = reader.get_string()};
    }
    case LaunchMsg::look: {
        const auto number = reader.get<std::uint64_t>();
        return Look{.number = number, .task = reader.get<TaskId>()};
    }
    case LaunchMsg::still_here:
        return StillHere{};
    case LaunchMsg::migrate: {
        const auto number = reader.get<std::uint64_t>();
        const auto task = reader.get<TaskId>();
        const auto node = reader.get<std::uint16_t>();
        return Migrate{.number = number, .task = task, .node = node, .flags = reader.get<std::uint8_t>()};
    }
    case LaunchMsg::draining: {
        const auto number = reader.get<std::uint64_t>();
        const auto tasks = reader.get<std::uint32_t>();
        return Draining{.number = number, .tasks = tasks, .bytes = reader.get<std::uint64_t>()};
    }
    case LaunchMsg::drained: {
        const auto number = reader.get<std::uint64_t>();
        const auto moved = reader.get<std::uint32_t>();
        return Drained{.number = number, .moved = moved, .why = reader.get_string()};
    }
    case LaunchMsg::leaves: {
        const auto number = reader.get<std::uint64_t>();
        const auto moved = reader.get<std::uint32_t>();
        return Leaves{.number = number, .moved = moved, .successor = reader.get<std::uint16_t>()};
    }
    case LaunchMsg::served:
        return Served{.node = reader.get<std::uint16_t>()};
    case LaunchMsg::drain: {
        const auto number = reader.get<std::uint64_t>();
        const auto node = reader.get<std::uint16_t>();
        return Drain{.number = number, .node = node, .to = reader.get<std::uint16_t>()};
    }
    case LaunchMsg::serve:
        return Serve{.node = reader.get<std::uint16_t>()};
    case LaunchMsg::node_left: {
        const auto node = reader.get<std::uint16_t>();
        return NodeLeft{.node = node, .successor = reader.get<std::uint16_t>()};
    }
    case LaunchMsg::overview:
        return get_overview(reader);
    case LaunchMsg::unseen: {
        const auto number = reader.get<std::uint64_t>();
        const auto node = reader.get<std::uint16_t>();
        return Unseen{.number = number, .node = node, .why = reader.get_string()};
    }
    case LaunchMsg::newcomer: {
        const auto node = reader.get<std::uint16_t>();
        const auto incarnation = reader.get<std::uint32_t>();
        auto address = get_copy(reader);
        return Newcomer{
            .node = node, .incarnation = incarnation, .address = std::move(address), .nearby = reader.get<bool>()};
    }
    case LaunchMsg::joined:
        return Joined{.node = reader.get<std::uint16_t>()};
    case LaunchMsg::met: {
        const auto node = reader.get<std::uint16_t>();
        return Met{.node = node, .why = reader.get_string()};
    }
    case LaunchMsg::add_node:
        return AddNode{.number = reader.get<std::uint64_t>()};
    case LaunchMsg::node_added: {
        const auto number = reader.get<std::uint64_t>();
        const auto node = reader.get<std::uint16_t>();
        return NodeAdded{.number = number, .node = node, .why = reader.get_string()};
    }
    case LaunchMsg::checkpoint_reached:
        return get_reached(reader);
    case LaunchMsg::restored:
        return Restored{.why = reader.get_string()};
    case LaunchMsg::checkpoint_step:
        return get_take_step(reader);
    case LaunchMsg::restore:
        return get_restore(reader);
    case LaunchMsg::checkpoint:
        return Checkpoint{.number = reader.get<std::uint64_t>()};
    case LaunchMsg::checkpoint_read: {
        const auto number = reader.get<std::uint64_t>();
        return CheckpointRead{.number = number, .node = reader.get<std::uint16_t>()};
    }
    case LaunchMsg::checkpoint_taken:
        return get_taken(reader);
    case LaunchMsg::checkpoint_piece:
        return get_piece(reader);
    }
    return std::nullopt;
}

} // namespace

std::vector<std::byte> encode(const Record &record) {
    Writer writer;
    std::visit([&writer](const auto &one) { put(writer, one); }, record);
    return writer.bytes();
}

std::optional<Record> decode(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    auto record = get_record(reader);
    return reader.done() ? std::move(record) : std::nullopt;
}

} // namespace norma::rt::launch

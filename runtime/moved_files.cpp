// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/moved_files.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <linux/magic.h>
#include <sys/stat.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr std::size_t kMostMachineBytes = 64;

// Those whose files have the same numbers on all hosts. Of others, two hosts may have been set up from one image.
constexpr std::array<std::uint64_t, 13> kNetworkSystems{
    NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC,  SMB2_SUPER_MAGIC,
    CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC, OCFS2_SUPER_MAGIC,
    0x0bd00bd0, // Lustre
    0x47504653, // GPFS
    0x19830326, // BeeGFS
    0xaad7aaea, // PanFS
    0x01161970, // GFS2
    0x20030528, // OrangeFS
};

void put_mark(rpc::Writer &writer, const FileMark &mark) {
    writer.put_string(mark.machine).put(mark.device).put(mark.inode).put(mark.special).put(mark.size);
    writer.put(mark.written).put(mark.mode).put(mark.system).put(mark.system_id);
}

FileMark get_mark(rpc::Reader &reader) {
    FileMark mark;
    mark.machine = reader.get_string();
    for (auto *value : {&mark.device, &mark.inode, &mark.special, &mark.size}) {
        *value = reader.get<std::uint64_t>();
    }
    mark.written = reader.get<std::int64_t>();
    mark.mode = reader.get<std::uint32_t>();
    mark.system = reader.get<std::uint64_t>();
    mark.system_id = reader.get<std::uint64_t>();
    return mark;
}

bool is_path(const std::string &path) {
    return path.size() < PATH_MAX && path.starts_with('/') && path.find('\0') == std::string::npos;
}

} // namespace

// On one machine the kernel's numbers say it all, and others may be writing the file. On two it must be a file of the
// network with the same number, which looks the same once what was written there has arrived. /dev/null and the like
// have nothing but what they are.
Sameness compare(const FileMark &there, const FileMark &here, bool settled) {
    if (there.mode != here.mode || there.special != here.special) {
        return Sameness::other;
    }
    if (S_ISCHR(here.mode)) {
        return Sameness::same;
    }
    if (!here.machine.empty() && there.machine == here.machine) {
        return there.device == here.device && there.inode == here.inode ? Sameness::same : Sameness::other;
    }
    if (there.inode != here.inode || there.system != here.system || there.system_id != here.system_id ||
        std::ranges::find(kNetworkSystems, here.system) == kNetworkSystems.end()) {
        return Sameness::other;
    }
    const bool agrees = there.size == here.size && there.written == here.written;
    return agrees || !settled ? Sameness::same : Sameness::changed;
}

void put_file(rpc::Writer &writer, const MovedFile &file) {
    writer.put_string(file.path).put(file.stream).put(file.flags).put(file.offset);
    put_mark(writer, file.mark);
}

bool get_file(rpc::Reader &reader, MovedFile &file) {
    file.path = reader.get_string();
    file.stream = reader.get<std::uint8_t>();
    file.flags = reader.get<int>();
    file.offset = reader.get<std::uint64_t>();
    file.mark = get_mark(reader);
    const bool is_stream = file.path.empty() && file.stream <= STDERR_FILENO;
    return reader.ok() && (is_stream || (is_path(file.path) && file.stream == 0)) && are_moved_flags(file.flags) &&
           file.offset <= INT64_MAX && file.mark.machine.size() <= kMostMachineBytes;
}

void put_files(rpc::Writer &writer, const MovedFiles &files) {
    writer.put(static_cast<std::uint32_t>(files.files.size()));
    for (const auto &file : files.files) {
        put_file(writer, file);
    }
    writer.put(static_cast<std::uint32_t>(files.tables.size()));
    for (const auto &[id, table] : files.tables) {
        writer.put(id).put_bytes(encode(table.table)).put(static_cast<std::uint32_t>(table.open.size()));
        for (const auto &[number, file] : table.open) {
            writer.put(number).put(file);
        }
    }
    writer.put(static_cast<std::uint32_t>(files.homes.size()));
    for (const auto &[id, home] : files.homes) {
        writer.put(id).put(static_cast<std::uint32_t>(home.members.size()));
        for (const auto task : home.members) {
            writer.put(task);
        }
        writer.put(static_cast<std::uint32_t>(home.nodes.count()));
        for (dsm::NodeId node = 0; node < dsm::kMaxNodes; ++node) {
            if (home.nodes[node]) {
                writer.put(node);
            }
        }
    }
}

namespace {

bool get_table(rpc::Reader &reader, MovedFiles &files, unsigned nodes) {
    const auto id = reader.get<TableId>();
    auto table = decode_table(reader.get_bytes(), nodes);
    const auto [place, is_new] = files.tables.try_emplace(id);
    if (!table || !is_new || home_of_table(id) >= nodes) {
        return false;
    }
    place->second.table = std::move(*table);
    for (auto left = reader.get_count(8); left > 0; --left) {
        const auto number = reader.get<std::uint32_t>(), file = reader.get<std::uint32_t>();
        if (place->second.table.find(number) == nullptr || file >= files.files.size() ||
            !place->second.open.emplace(number, file).second) {
            return false;
        }
    }
    return reader.ok();
}

bool get_home(rpc::Reader &reader, MovedFiles &files, unsigned nodes) {
    const auto id = reader.get<TableId>();
    const auto [place, is_new] = files.homes.try_emplace(id);
    if (!is_new || !files.tables.contains(id)) {
        return false;
    }
    for (auto left = reader.get_count(sizeof(TaskId)); left > 0; --left) {
        const auto task = reader.get<TaskId>();
        if (node_of(task) >= nodes || !place->second.members.insert(task).second) {
            return false;
        }
    }
    for (auto left = reader.get_count(sizeof(dsm::NodeId)); left > 0; --left) {
        const auto node = reader.get<dsm::NodeId>();
        if (node >= nodes) {
            return false;
        }
        place->second.nodes.set(node);
    }
    return reader.ok();
}

} // namespace

bool get_files(rpc::Reader &reader, MovedFiles &files, unsigned nodes) {
    constexpr std::size_t kLeastTableBytes = 16, kLeastHomeBytes = 16;
    for (auto left = reader.get_count(kLeastMovedFileBytes); left > 0; --left) {
        if (!get_file(reader, files.files.emplace_back())) {
            return false;
        }
    }
    for (auto left = reader.get_count(kLeastTableBytes); left > 0; --left) {
        if (!get_table(reader, files, nodes)) {
            return false;
        }
    }
    for (auto left = reader.get_count(kLeastHomeBytes); left > 0; --left) {
        if (!get_home(reader, files, nodes)) {
            return false;
        }
    }
    return reader.ok();
}

} // namespace norma::rt

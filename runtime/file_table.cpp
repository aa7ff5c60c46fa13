// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/file_table.hpp"

#include "rpc/wire.hpp"

#include <cerrno>

namespace norma::rt {

namespace {

constexpr std::uint64_t kCloseOnExec = 1U << 8, kExact = 1U << 9;
constexpr unsigned kNodeShift = 16;
constexpr std::size_t kFileBytes = 8;

} // namespace

ChangeWords encode(const FileChange &change) {
    return {static_cast<std::uint64_t>(change.kind) | (change.close_on_exec ? kCloseOnExec : 0) |
                (change.exact ? kExact : 0) | std::uint64_t{change.node} << kNodeShift,
            change.number, change.subject};
}

std::optional<FileChange> decode_change(const ChangeWords &words) {
    const auto kind = words[0] & 0xff;
    const auto node = words[0] >> kNodeShift;
    const auto flags = words[0] & 0xff00;
    if (kind > static_cast<std::uint64_t>(FileChange::Kind::end) || node >= dsm::kMaxNodes ||
        (flags & ~(kCloseOnExec | kExact)) != 0 || words[1] >= kMostFiles) {
        return std::nullopt;
    }
    return FileChange{.kind = static_cast<FileChange::Kind>(kind),
                      .close_on_exec = (flags & kCloseOnExec) != 0,
                      .exact = (flags & kExact) != 0,
                      .node = static_cast<dsm::NodeId>(node),
                      .number = static_cast<std::uint32_t>(words[1]),
                      .subject = words[2]};
}

const SharedFile *FileTable::find(std::uint64_t number) const {
    const auto found = number < kMostFiles ? files_.find(static_cast<std::uint32_t>(number)) : files_.end();
    return found == files_.end() ? nullptr : &found->second;
}

int FileTable::decide(FileChange &change) const {
    if (change.kind == FileChange::Kind::duplicate && find(change.subject) == nullptr) {
        return EBADF;
    }
    if (!change.makes_file()) {
        const bool about_a_file = change.kind == FileChange::Kind::close || change.kind == FileChange::Kind::set_flags;
        return about_a_file && find(change.number) == nullptr ? EBADF : 0;
    }
    while (!change.exact && find(change.number) != nullptr) {
        ++change.number;
    }
    return change.number < kMostFiles ? 0 : EMFILE;
}

void FileTable::apply(const FileChange &change) {
    switch (change.kind) {
    case FileChange::Kind::open:
        files_[change.number] = {.node = change.node, .close_on_exec = change.close_on_exec};
        break;
    case FileChange::Kind::duplicate:
        if (const auto *source = find(change.subject)) {
            auto file = *source;
            file.close_on_exec = change.close_on_exec;
            files_[change.number] = file;
        }
        break;
    case FileChange::Kind::close:
        files_.erase(change.number);
        break;
    case FileChange::Kind::set_flags:
        if (const auto found = files_.find(change.number); found != files_.end()) {
            found->second.close_on_exec = change.close_on_exec;
        }
        break;
    case FileChange::Kind::leave:
    case FileChange::Kind::copy:
    case FileChange::Kind::end:
        break;
    }
}

bool FileTable::add(std::uint32_t number, const SharedFile &file) {
    return number < kMostFiles && files_.emplace(number, file).second;
}

std::vector<std::byte> encode(const FileTable &table) {
    rpc::Writer writer;
    writer.put(static_cast<std::uint32_t>(table.files().size()));
    for (const auto &[number, file] : table.files()) {
        writer.put(number).put(file.node).put(file.close_on_exec).put(file.stream);
    }
    return writer.bytes();
}

std::optional<FileTable> decode_table(std::span<const std::byte> bytes, unsigned nodes) {
    rpc::Reader reader(bytes);
    FileTable table;
    const auto count = reader.get_count(kFileBytes);
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto number = reader.get<std::uint32_t>();
        SharedFile file;
        file.node = reader.get<dsm::NodeId>();
        file.close_on_exec = reader.get<bool>();
        file.stream = reader.get<std::uint8_t>();
        if (file.node >= nodes || file.stream > 2 || !table.add(number, file)) {
            return std::nullopt;
        }
    }
    return reader.done() ? std::optional(std::move(table)) : std::nullopt;
}

} // namespace norma::rt

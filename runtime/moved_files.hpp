// SPDX-License-Identifier: BSD-3-Clause
// Open files on their way from a node that leaves to its successor, which opens them again (docs/draining.md): what
// they are, how they are open, and under which numbers of which tables.
#pragma once

#include "runtime/file_table.hpp"

#include <cstdint>
#include <fcntl.h>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace norma::rt {

// Which file it is, as a node sees it.
struct FileMark {
    std::string machine; // other than any other's, and than its own before it was started the last time
    std::uint64_t device = 0, inode = 0, special = 0; // special: the device that it is, or 0
    std::uint64_t size = 0;
    std::int64_t written = 0; // in nanoseconds
    std::uint32_t mode = 0;
    std::uint64_t system = 0, system_id = 0; // the file system: its type, its own id
    bool operator==(const FileMark &) const = default;
};

enum class Sameness : std::uint8_t { same, other, changed }; // changed: maybe the same, and written meanwhile
// Whether two nodes see the same file. `settled`: nobody has written it through the one that leaves since that looked.
Sameness compare(const FileMark &there, const FileMark &here, bool settled);

// Of those that are said of an open file. With others, O_PATH, O_TMPFILE and O_ASYNC among them, it does not go.
inline constexpr int kMovedFlags = O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DIRECT | O_DIRECTORY | O_NOATIME;
constexpr bool are_moved_flags(int flags) {
    return (flags & ~kMovedFlags) == 0 && (flags & O_ACCMODE) != O_ACCMODE;
}

struct MovedFile {
    std::string path;         // empty: it is a standard stream, which every node has
    std::uint8_t stream = 0;  // its number
    int flags = 0;            // O_...
    std::uint64_t offset = 0; // where it is read and written
    FileMark mark{};
    bool operator==(const MovedFile &) const = default;
};

inline constexpr std::size_t kLeastMovedFileBytes = 4 + 1 + 4 + 8 + 4 + 4 * 8 + 8 + 4 + 2 * 8;
void put_file(rpc::Writer &writer, const MovedFile &file);
bool get_file(rpc::Reader &reader, MovedFile &file); // false: no node server sends it

struct MovedFiles {
    struct Table {
        FileTable table;
        std::map<std::uint32_t, std::uint32_t> open; // by number: which of `files`
    };
    struct Home {
        std::set<TaskId> members;
        dsm::NodeSet nodes; // with a copy of the table
    };
    std::vector<MovedFile> files;
    std::map<TableId, Table> tables;
    std::map<TableId, Home> homes; // of some of the tables
};

void put_files(rpc::Writer &writer, const MovedFiles &files);
bool get_files(rpc::Reader &reader, MovedFiles &files, unsigned nodes); // false: they are damaged

} // namespace norma::rt

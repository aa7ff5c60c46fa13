// SPDX-License-Identifier: BSD-3-Clause
// A table of open files that tasks share, on many nodes: what each number stands for, and on which node it is open.
// Each node that has to do with a table has a copy of it; the table's home decides on changes, one after the other.
#pragma once

#include "runtime/right.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace norma::rt {

using TableId = std::uint64_t; // serial 56 | home 8; 0 is none
inline constexpr unsigned kTableNodeBits = 8;
static_assert(dsm::kMaxNodes == 1U << kTableNodeBits);
constexpr dsm::NodeId home_of_table(TableId table) {
    return static_cast<dsm::NodeId>(table & ((1U << kTableNodeBits) - 1));
}

inline constexpr std::uint32_t kMostFiles = 65536; // numbers are below this

struct SharedFile {
    dsm::NodeId node = 0; // where it is open
    bool close_on_exec = false;
    std::uint8_t stream = 0; // 1, 2: it is the job's output, and open on every node

    bool operator==(const SharedFile &) const = default;
};

struct FileChange {
    enum class Kind : std::uint8_t {
        open,      // `number` stands for what `node` knows by the ticket `subject`
        duplicate, // `number` stands for the same as `subject`
        close,
        set_flags,
        leave, // the task `subject` has ended
        copy,  // `subject` is another table, which begins as this one is
        end,   // nobody has the table any more
    };
    Kind kind = Kind::open;
    bool close_on_exec = false;
    bool exact = false; // exactly that number, whatever it stands for; otherwise the first that is free from there on
    dsm::NodeId node = 0;
    std::uint32_t number = 0;
    std::uint64_t subject = 0;

    bool makes_file() const { return kind == Kind::open || kind == Kind::duplicate; }
    bool operator==(const FileChange &) const = default;
};

using ChangeWords = std::array<std::uint64_t, 3>;
ChangeWords encode(const FileChange &change);
std::optional<FileChange> decode_change(const ChangeWords &words); // nothing: it cannot be one

class FileTable {
  public:
    const SharedFile *find(std::uint64_t number) const; // null: it is not open
    const std::map<std::uint32_t, SharedFile> &files() const { return files_; }
    // 0 or an errno value. Of what makes a file, the number is decided: the first that will do.
    int decide(FileChange &change) const;
    void apply(const FileChange &change);
    bool add(std::uint32_t number, const SharedFile &file); // false: the number is taken, or none

  private:
    std::map<std::uint32_t, SharedFile> files_;
};

std::vector<std::byte> encode(const FileTable &table);
// `nodes`: how many there are.
std::optional<FileTable> decode_table(std::span<const std::byte> bytes, unsigned nodes);

} // namespace norma::rt

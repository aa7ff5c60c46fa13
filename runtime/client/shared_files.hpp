// SPDX-License-Identifier: BSD-3-Clause
// Open files that this task shares with others (docs/clone.md). What one of them opens or closes, the service threads
// of the others do as well before the call returns; a file that is open on another node has a stand-in here, which
// takes its number and can do nothing.
#pragma once

#include "runtime/client/program.hpp"
#include "runtime/file_table.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace norma::rt {

enum class Whose : std::uint8_t { own, shared, elsewhere }; // shared: and open on this node

struct SharedNumbers {
    std::atomic<bool> any = false; // this task shares its files
    std::array<std::atomic<Whose>, kMostFiles> whose{};
    ProgramRange program; // its code

    Whose operator[](int fd) const {
        const bool known = any && static_cast<std::size_t>(fd) < kMostFiles;
        return known ? whose[static_cast<std::size_t>(fd)].load(std::memory_order_relaxed) : Whose::own;
    }
    // Whether a call comes from the program itself and not from a library, whose open files are its own affair.
    bool concerns(const void *caller) const { return any && program.holds(caller); }
};
extern SharedNumbers shared_numbers;

inline bool is_elsewhere(int fd) {
    return shared_numbers[fd] == Whose::elsewhere;
}

// Makes the open files of this task ones that it can share, unless they are. 0 or an errno value.
int share_files() noexcept;

// A duplicate under a number that no other task is likely to want; if there is none, anywhere from `least` on.
int duplicate_away(int fd, int least) noexcept;

// These return as the system calls do. What has just been opened gets a number that is free everywhere, or exactly
// `number` if that is not negative.
int publish(int fd, int number = -1) noexcept;
int duplicate_shared(int fd, int number, bool exact, bool close_on_exec) noexcept;
int close_shared(int fd) noexcept;
int set_shared_flags(int fd, bool close_on_exec) noexcept;

// ---- for the service thread: 0 or an errno value ----
int begin_files(int parcel) noexcept; // which it closes
int offer_files() noexcept;           // share_files() of a task whose threads have stopped, to move
void forget_sharing() noexcept;       // it stays: its files are its own, unless they were shared before
// EBUSY: the number is taken, and `free` is one that is not.
int change_file(const FileChange &change, int fd, std::uint64_t &free) noexcept;

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// What a task is made from: the program, and the address space it starts with. Travels to the node of a new task.
#pragma once

#include "dsm/core/core.hpp"
#include "runtime/address_map.hpp"
#include "runtime/ledgers.hpp"
#include "runtime/names.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace norma::rt {

struct Program {
    std::string path;
    std::vector<std::string> argv, env;
    std::string cwd;
    std::string build_id; // of the main program; empty until a task has told
    // Of a whole program (docs/programs.md); empty otherwise.
    Range data{}; // its variables
    Range heap{}; // as many equal parts as the job began with nodes; empty until the first task has it
    // What the heap, of so many parts, keeps at an address.
    enum class HeapPage : std::uint8_t { block, inbox, state };
    HeapPage heap_page(std::uint64_t address, unsigned parts) const;
};

struct SharedStretch {
    Stretch stretch;
    std::uint64_t pages = 0; // 0: not known
};

struct TaskImage {
    Program program;
    bool first = false;      // the job ends with this task
    bool teleported = false; // it replaces its parent
    std::uint64_t token = 0; // its security token
    LedgerMarks ledgers;     // what it draws from
    std::vector<MapEntry> entries;
    std::vector<SharedStretch> stretches; // each stretch of the entries, once
    Slots slots;                          // the ports it starts with
};

// Whether variables can be there: whole pages of a task's address space, outside the window.
bool can_be_data(Range data, const Window &window);

std::vector<std::byte> encode(const TaskImage &image);
// No value: damaged, or a map that does not fit `window`, or a heap that has not so many parts.
std::optional<TaskImage> decode_image(std::span<const std::byte> bytes, const Window &window, unsigned heap_parts);

} // namespace norma::rt

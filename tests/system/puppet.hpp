// SPDX-License-Identifier: BSD-3-Clause
// A puppet is a task with a thread that reads and writes what the first task tells it to, and says what came of it; so
// one thread plays what several tasks do, in an order of its choice.
#pragma once

#include "tests/system/create.hpp"

#include <array>
#include <span>

namespace systest {

/// One read or write of a word.
struct Access {
    vm_address_t address = 0;
    std::uint64_t value = 0; // to be written, or what was read
    bool write = false;
    bool fault = false; // it was not allowed
};

/// Makes a SIGSEGV in do_access a result. For the whole calling process.
void catch_faults();
/// By the calling thread.
void do_access(Access &access);

/// Orders and answers: in memory that all tasks share, however they are made.
struct Seat {
    static constexpr std::size_t kMost = 160;
    norma_sync_t go, done;
    std::size_t count;
    std::array<Access, kMost> accesses;
};
static_assert(sizeof(Seat) <= kPageBytes);

/// Seats for puppets, each a page; there for as long as the calling task.
class Stage {
  public:
    explicit Stage(std::size_t seats);
    Seat &seat(std::size_t index) { return *reinterpret_cast<Seat *>(memory_ + index * kPageBytes); }

  private:
    std::byte *memory_;
};

/// Starts the thread that serves the seat. A seat serves one task at a time.
void put_into(task_t task, Seat &seat);
void begin(Seat &seat, std::span<const Access> orders);
/// Waits for the answers to what was begun; they are there until more is. False after 20 s.
bool finished(Seat &seat);

} // namespace systest

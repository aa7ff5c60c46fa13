// SPDX-License-Identifier: BSD-3-Clause
// Registered memory in pieces of one size, for frames that arrive and for the fronts of those that leave. A slot fits a
// page and its record.
#pragma once

#include "rpc/transport.hpp"
#include "rpc/verbs/provider.hpp"

#include <deque>
#include <memory>
#include <vector>

namespace norma::rpc::verbs {

class Arena;

struct Slot {
    std::byte *data = nullptr;
    std::uint32_t key = 0; // of its registration, for this side
    Arena *arena = nullptr;
};
struct SlotReturn {
    void operator()(Slot *slot) const;
};
using SlotPtr = std::unique_ptr<Slot, SlotReturn>;

class Arena {
  public:
    static constexpr std::size_t kSlotBytes = kPageBytes + 1024;

    Arena(Provider &provider, ibv_pd *pd) : provider_(provider), pd_(pd) {}
    ~Arena();
    Arena(const Arena &) = delete;
    Arena &operator=(const Arena &) = delete;
    // Throws std::runtime_error if no more memory can be registered.
    SlotPtr take();
    void give_back(Slot *slot) { free_.push_back(slot); }

  private:
    static constexpr std::size_t kSlotsPerChunk = 64;
    struct Chunk {
        std::byte *base = nullptr;
        ibv_mr *registration = nullptr;
    };
    void grow();

    Provider &provider_;
    ibv_pd *pd_;
    std::vector<Chunk> chunks_;
    std::deque<Slot> slots_; // stays where it is: the device knows slots by address
    std::vector<Slot *> free_;
};

// Throws std::runtime_error with the size and the kernel's reason.
ibv_mr *register_memory(Provider &provider, ibv_pd *pd, std::byte *base, std::size_t size, int access);

} // namespace norma::rpc::verbs

// SPDX-License-Identifier: BSD-3-Clause
// Slabs: units that hold small blocks of one class, with an atomic bitmap of the free ones. Who takes a bit away has
// the block; who has a block of a slab knows that it stays a slab of its class. An empty slab is given back by taking
// all of its bits.
#pragma once

#include "runtime/heap/slot.hpp"

namespace norma::rt::heap {

// What the heap asks of whoever uses it.
struct Hooks {
    bool (*alive)(std::uint64_t owner);                      // of a slot; false is for ever
    bool (*lost)(std::uint32_t part);                        // its node has died; true is for ever
    void (*broken)(const char *what, const void *address);   // the program did something that it must not
    bool (*gone)(const std::byte *start, std::size_t bytes); // some of it has died with a node; true is for ever
};

// Takes free blocks of a class, from slabs that there are or a new one, until the pile has `wanted` more. False: there
// was not one.
bool refill(const Part &part, unsigned size_class, Pile pile, std::uint32_t wanted, Slot &slot);

// The dead owner of a slot may have left a slab with free blocks unmarked.
void finish_refill(const Geometry &geometry, Slot &slot);

std::uint32_t blocks_free(const Part &part, std::uint32_t unit, unsigned size_class);

// Gives blocks of one part back, whatever they are; neighbours in the same word together, when the next one comes or at
// the end.
class Returns {
  public:
    Returns(const Part &part, const Hooks &hooks) : part_(part), hooks_(hooks) {}
    ~Returns() { commit(); }
    Returns(const Returns &) = delete;
    Returns &operator=(const Returns &) = delete;

    void put(std::byte *block);

  private:
    void commit();
    void complain(const char *what, const std::byte *block) const;
    void put_into_slab(std::uint32_t unit, unsigned size_class, std::byte *block);

    Part part_;
    const Hooks &hooks_;
    std::uint32_t unit_ = 0, word_ = 0;
    unsigned size_class_ = 0;
    std::uint64_t bits_ = 0;
};

} // namespace norma::rt::heap

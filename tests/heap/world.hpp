// SPDX-License-Identifier: BSD-3-Clause
// Memory for a shared heap, and what the heap asks about those who use it: who lives, which node is lost, what broke.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/heap/heap.hpp"

namespace norma::rt::heap::test {

inline constexpr std::size_t kMiB = 1 << 20;

// One at a time: the heap's hooks are plain functions. Shared with forked children.
class World {
  public:
    World(std::uint32_t parts, std::size_t part_bytes);
    ~World(); // whatever broke and was not asked for fails the test
    World(const World &) = delete;
    World &operator=(const World &) = delete;

    const Layout &layout() const { return layout_; }
    Heap &heap() { return heap_; }

    static void die(std::uint64_t owner);
    static void lose(std::uint32_t part);
    // The page has died with a node that is not its part's; the heap has yet to be told that one has.
    void lose_page(const void *address);
    // From now on this process sees a copy of the memory, in which nobody lives but this owner.
    void become_copy(std::uint64_t owner);
    // What the heap has complained of since the last call, one a line.
    static std::string complaints();

    // Gives back what the dead have left and what is on its way. Nobody else may be at work.
    void settle(std::uint64_t owner);
    // Everything is free: no block, nothing kept, and all units.
    void expect_empty();

  private:
    static bool alive(std::uint64_t owner);
    static bool lost(std::uint32_t part);
    static void broken(const char *what, const void *address);
    static bool gone(const std::byte *start, std::size_t bytes);

    Layout layout_;
    Heap heap_;
};

// Memory that forked children share, or this process's own copy of such memory instead.
void *map_shared(std::size_t bytes);
void make_private(void *memory, std::size_t bytes);

// Blocks whose bytes say whose they are: overlapping blocks, and blocks changed by somebody else, are found.
struct Stamped {
    std::byte *block = nullptr;
    std::size_t size = 0;
    std::uint64_t stamp = 0;
};
Stamped stamp(void *block, std::size_t size, std::uint64_t number);
// False: the bytes are not what stamp() wrote; looks at no more than the first `bytes`.
bool intact(const Stamped &block, std::size_t bytes = SIZE_MAX);

} // namespace norma::rt::heap::test

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/program/allocation.hpp"

#include "runtime/program/owner.hpp"
#include "runtime/program/private_code.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <optional>
#include <pthread.h>
#include <unistd.h>

// The C library's own, under the names that it keeps for those who replace the others.
extern "C" {
void *__libc_malloc(std::size_t size);
void *__libc_calloc(std::size_t count, std::size_t size);
void *__libc_realloc(void *block, std::size_t size);
void *__libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void *block);
}

namespace norma::rt {

namespace {

// Set by begin_allocation() before there is a second thread that allocates; read-only afterwards.
std::optional<heap::Heap> shared;
unsigned own_node, parts;
pthread_key_t slot_key;
std::atomic<std::uint64_t> lost_parts{0}; // bit by part
std::array<std::atomic<bool>, 256> dead_nodes;
std::optional<LostPages> lost_pages;

// This thread's place in the heap. Not remembered across anything that may block: after a teleport the thread goes on
// in another process, where its variables are others.
[[gnu::tls_model("initial-exec")]] thread_local heap::Slot *slot;

[[gnu::tls_model("initial-exec")]] thread_local bool only_private;

[[noreturn]] void broken(const char *what, const void *address) {
    char text[128];
    const int size = std::snprintf(text, sizeof text, "norma: heap: %s: %p\n", what, address);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, static_cast<std::size_t>(size));
    std::abort();
}

bool is_lost(std::uint32_t part) {
    return (lost_parts.load(std::memory_order_relaxed) >> part & 1) != 0;
}

bool is_gone(const std::byte *start, std::size_t bytes) {
    return lost_pages->any(start, bytes);
}

void leave(void *held) {
    shared->detach(static_cast<heap::Slot *>(held));
    slot = nullptr;
}

// Of a thread on another node nothing is known but whether that has died.
bool lives(std::uint64_t owner) {
    const auto node = node_of(owner);
    return node == own_node ? is_alive(owner) : !dead_nodes[node].load(std::memory_order_relaxed);
}

unsigned part_to_use() {
    unsigned part = own_node % parts;
    for (unsigned tries = 1; is_lost(part) && tries < parts; ++tries) {
        part = (part + 1) % parts;
    }
    return part;
}

[[gnu::noinline]] heap::Slot *enter() {
    slot = shared->attach(part_to_use(), this_owner(own_node));
    if (slot != nullptr) {
        pthread_setspecific(slot_key, slot);
    }
    return slot;
}

// Null: the part has no slot left for one more thread.
heap::Slot *mine() {
    return slot != nullptr ? slot : enter();
}

void *from_heap(std::size_t size, std::size_t alignment) {
    auto *own = mine();
    void *block = own == nullptr ? nullptr : shared->allocate(own, size, alignment);
    if (block == nullptr) {
        errno = ENOMEM;
    }
    return block;
}

bool from_shared(const void *caller) {
    return shared.has_value() && !only_private && !is_private_code(caller);
}

} // namespace

void begin_allocation(const heap::Layout &layout, unsigned node, LostFrom lost_from) {
    find_private_code();
    own_node = node;
    parts = layout.parts;
    pthread_key_create(&slot_key, leave);
    lost_pages.emplace(std::span(layout.base + node % parts * layout.part_bytes, layout.part_bytes), lost_from);
    shared.emplace(layout, heap::Hooks{.alive = lives, .lost = is_lost, .broken = broken, .gone = is_gone});
}

void allocate_privately(bool from_now_on) {
    only_private = from_now_on;
}

void lose_part(unsigned part, bool with_its_node) {
    if (part < parts) {
        lost_parts.fetch_or(std::uint64_t{1} << part);
    }
    if (with_its_node) {
        dead_nodes.at(part).store(true);
    }
    lost_pages->ask_again();
    shared->beware();
}

void *allocate(std::size_t size, const void *caller) {
    return from_shared(caller) ? from_heap(size, heap::kGrain) : __libc_malloc(size);
}

void *allocate_aligned(std::size_t alignment, std::size_t size, const void *caller) {
    return from_shared(caller) ? from_heap(size, alignment) : __libc_memalign(alignment, size);
}

void *allocate_zeros(std::size_t count, std::size_t size, const void *caller) {
    if (!from_shared(caller)) {
        return __libc_calloc(count, size);
    }
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return nullptr;
    }
    void *block = from_heap(bytes, heap::kGrain);
    if (block != nullptr) {
        std::memset(block, 0, bytes);
    }
    return block;
}

void release(void *block) {
    if (shared.has_value() && shared->contains(block)) {
        const int saved = errno;                  // free() keeps it
        if (auto *own = mine(); own != nullptr) { // else it stays: nobody could say whose it is
            shared->release(own, block);
        }
        errno = saved;
    } else {
        __libc_free(block);
    }
}

void *resize(void *block, std::size_t size, const void *caller) {
    if (block == nullptr) {
        return allocate(size, caller);
    }
    if (!shared.has_value() || !shared->contains(block)) {
        return __libc_realloc(block, size);
    }
    if (size == 0) {
        release(block);
        return nullptr;
    }
    auto *own = mine();
    void *moved = own == nullptr ? nullptr : shared->resize(own, block, size);
    if (moved == nullptr) {
        errno = ENOMEM;
    }
    return moved;
}

std::size_t usable(void *block) {
    if (block == nullptr || (shared.has_value() && shared->contains(block))) {
        return block == nullptr ? 0 : shared->usable(block);
    }
    // The C library keeps no second name for this one.
    static const auto next = reinterpret_cast<std::size_t (*)(void *)>(dlsym(RTLD_NEXT, "malloc_usable_size"));
    return next(block);
}

} // namespace norma::rt

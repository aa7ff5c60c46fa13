// SPDX-License-Identifier: BSD-3-Clause
#include "tests/heap/world.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <span>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/mman.h>

namespace norma::rt::heap::test {
namespace {

constexpr std::size_t kOwners = 1 << 16, kComplaints = 64, kPagesGone = 1024;

struct Complaint {
    std::atomic<const char *> what;
    std::atomic<const void *> address;
};

// In memory that forked children share, too.
struct Shared {
    std::array<std::atomic<bool>, kOwners> dead;
    std::atomic<std::uint64_t> lost;
    std::atomic<std::size_t> broken;
    std::array<Complaint, kComplaints> complaints;
    std::atomic<std::size_t> pages_gone;
    std::array<std::atomic<const std::byte *>, kPagesGone> gone;
};

std::uint64_t only_alive = 0;

Shared &shared() {
    static auto *const memory = static_cast<Shared *>(map_shared(sizeof(Shared)));
    return *memory;
}

Layout make_layout(std::uint32_t parts, std::size_t part_bytes) {
    std::memset(static_cast<void *>(&shared()), 0, sizeof(Shared));
    auto *const memory = static_cast<std::byte *>(map_shared(parts * part_bytes + kUnit));
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    return {memory + ((address + kUnit - 1) / kUnit * kUnit - address), parts, part_bytes};
}

} // namespace

World::World(std::uint32_t parts, std::size_t part_bytes)
    : layout_(make_layout(parts, part_bytes)), heap_(layout_, {&alive, &lost, &broken, &gone}) {}

World::~World() {
    EXPECT_EQ(complaints(), "");
    ::munmap(layout_.base, layout_.parts * layout_.part_bytes);
}

bool World::alive(std::uint64_t owner) {
    return only_alive != 0 ? owner == only_alive : !shared().dead.at(owner).load();
}
void World::die(std::uint64_t owner) {
    shared().dead.at(owner).store(true);
}
bool World::lost(std::uint32_t part) {
    return (shared().lost.load() >> part & 1) != 0;
}
void World::lose(std::uint32_t part) {
    shared().lost.fetch_or(std::uint64_t{1} << part);
}

bool World::gone(const std::byte *start, std::size_t bytes) {
    const auto pages = std::span(shared().gone).first(shared().pages_gone.load());
    return std::any_of(pages.begin(), pages.end(), [&](const std::atomic<const std::byte *> &page) {
        return page.load() < start + bytes && start < page.load() + kPage;
    });
}
void World::lose_page(const void *address) {
    const auto in_page = reinterpret_cast<std::uintptr_t>(address) % kPage;
    shared().gone.at(shared().pages_gone.load()).store(static_cast<const std::byte *>(address) - in_page);
    shared().pages_gone.fetch_add(1);
    heap_.beware();
}

void World::become_copy(std::uint64_t owner) {
    make_private(layout_.base, layout_.parts * layout_.part_bytes);
    only_alive = owner;
}

void World::settle(std::uint64_t owner) {
    for (std::uint32_t part = 0; part < layout_.parts; ++part) {
        heap_.recover(part, owner);
    }
    for (std::uint32_t part = 0; part < layout_.parts; ++part) {
        heap_.drain(part);
    }
}

void World::broken(const char *what, const void *address) {
    if (const std::size_t number = shared().broken.fetch_add(1); number < kComplaints) {
        shared().complaints[number].what.store(what);
        shared().complaints[number].address.store(address);
    }
}

std::string World::complaints() {
    std::ostringstream text;
    for (std::size_t i = 0; i < std::min(kComplaints, shared().broken.load()); ++i) {
        text << shared().complaints[i].what.load() << ' ' << shared().complaints[i].address.load() << '\n';
    }
    shared().broken.store(0);
    return text.str();
}

void World::expect_empty() {
    EXPECT_EQ(heap_.bytes_live(), 0u);
    for (std::uint32_t part = 0; part < layout_.parts; ++part) {
        if (!lost(part)) {
            const Statistics now = heap_.statistics(part);
            EXPECT_EQ(now.units_free, now.units) << "part " << part;
            EXPECT_EQ(now.bytes_taken, 0u) << "part " << part;
            EXPECT_EQ(now.bytes_kept, 0u) << "part " << part;
        }
    }
}

void *map_shared(std::size_t bytes) {
    void *const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc();
    }
    return memory;
}

void make_private(void *memory, std::size_t bytes) {
    const auto *const from = static_cast<std::byte *>(memory);
    const std::vector<std::byte> copy(from, from + bytes);
    if (::mmap(memory, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != memory) {
        throw std::bad_alloc();
    }
    std::memcpy(memory, copy.data(), bytes);
}

namespace {

// Of large blocks only some words, or the tests would do nothing else.
std::size_t step_of(std::size_t size) {
    return size <= kPage ? sizeof(std::uint64_t) : 520;
}

} // namespace

Stamped stamp(void *block, std::size_t size, std::uint64_t number) {
    auto *const bytes = static_cast<std::byte *>(block);
    for (std::size_t at = 0; at < size; at += step_of(size)) {
        const std::uint64_t word = number + at;
        std::memcpy(bytes + at, &word, std::min(sizeof(word), size - at));
    }
    return {bytes, size, number};
}

bool intact(const Stamped &block, std::size_t bytes) {
    bytes = std::min(bytes, block.size);
    for (std::size_t at = 0; at < bytes; at += step_of(block.size)) {
        const std::uint64_t word = block.stamp + at;
        if (std::memcmp(block.block + at, &word, std::min(sizeof(word), bytes - at)) != 0) {
            return false;
        }
    }
    return true;
}

} // namespace norma::rt::heap::test

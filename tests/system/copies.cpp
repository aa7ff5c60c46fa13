// SPDX-License-Identifier: BSD-3-Clause
// Copies of memory that are asked for, by vm_remap and vm_map, on one node and across nodes; and copies of memory that
// a task has at two addresses.
#include "tests/system/app.hpp"

#include <array>
#include <string>
#include <vector>

namespace {

using systest::address_of;
using systest::last_node;
using systest::self;
using systest::shared;
using systest::stranger;
using systest::word;

constexpr std::size_t kPage = 4096;

void put(task_t task, vm_address_t address, long value) {
    CHECK_KERN(KERN_SUCCESS, vm_write(task, address, address_of(&value), sizeof value));
}

long get(task_t task, vm_address_t address) {
    vm_offset_t data = 0;
    mach_msg_type_number_t count = 0;
    CHECK_KERN(KERN_SUCCESS, vm_read(task, address, sizeof(long), &data, &count));
    const auto value = word(data).load();
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), data, count));
    return value;
}

vm_address_t remap(task_t task, vm_size_t size, task_t source, vm_address_t from, boolean_t copy, vm_address_t at = 0) {
    vm_prot_t protection = 0, maximum = 0;
    vm_address_t address = at;
    CHECK_KERN(KERN_SUCCESS, vm_remap(task, &address, size, 0, at == 0 ? TRUE : FALSE, source, from, copy, &protection,
                                      &maximum, VM_INHERIT_COPY));
    CHECK_EQ(VM_PROT_DEFAULT, protection);
    CHECK_EQ(VM_PROT_ALL, maximum);
    return address;
}

kern_return_t map(vm_address_t &address, memory_object_t object, vm_size_t size, vm_offset_t offset = 0) {
    return vm_map(self(), &address, size, 0, TRUE, object, offset, TRUE, VM_PROT_DEFAULT, VM_PROT_DEFAULT,
                  VM_INHERIT_COPY);
}

// One page at two addresses of this task; the second is behind the first if there is room, as there is in `place`.
struct TwoOfOne {
    vm_address_t first, second;
};

TwoOfOne two_of_one() {
    auto place = address_of(systest::shared_bytes(2 * kPage));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), place, 2 * kPage));
    CHECK_KERN(KERN_SUCCESS, vm_allocate(self(), &place, kPage, FALSE));
    const auto second = remap(self(), kPage, self(), place, FALSE, place + kPage);
    word(place) = 1;
    CHECK_EQ(1L, word(second).load());
    return {.first = place, .second = second};
}

} // namespace

// Between tasks on all pairs of nodes: neither sees what the other writes, whoever writes first, and a copy needs
// nobody to live.
SYSTEM_CASE(copies_by_remap) {
    for (int from = 0; from < norma::node_count(); ++from) {
        for (int to = 0; to < norma::node_count(); ++to) {
            auto source = stranger(from);
            const auto target = stranger(to);
            vm_address_t memory = 0;
            CHECK_KERN(KERN_SUCCESS, vm_allocate(source.port(), &memory, 4 * kPage, TRUE));
            put(source.port(), memory + kPage, 11);
            put(source.port(), memory + 2 * kPage, 12);
            const auto there = remap(target.port(), 4 * kPage, source.port(), memory, TRUE);
            put(source.port(), memory, 20); // it was untouched
            put(source.port(), memory + kPage, 21);
            put(target.port(), there + 2 * kPage, 32);
            put(target.port(), there + 3 * kPage, 33);
            const auto here = remap(self(), 4 * kPage, target.port(), there, TRUE); // a copy of the copy
            put(target.port(), there + kPage, 41);
            word(here + 2 * kPage) = 52;
            const auto check = [](task_t task, vm_address_t address, const std::array<long, 4> &expected) {
                for (std::size_t page = 0; page < expected.size(); ++page) {
                    CHECK_EQ(expected.at(page), get(task, address + page * kPage));
                }
            };
            check(source.port(), memory, {20, 21, 12, 0});
            check(target.port(), there, {0, 41, 32, 33});
            check(self(), here, {0, 11, 52, 33});
            CHECK_KERN(KERN_SUCCESS, task_terminate(source.release()));
            check(target.port(), there, {0, 41, 32, 33});
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(target.port(), there, 4 * kPage));
            check(self(), here, {0, 11, 52, 33});
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), here, 4 * kPage));
        }
    }
    return 0;
}

// What writes go on elsewhere meanwhile, a copy has all of them up to some moment, and none after it.
SYSTEM_CASE(copies_of_one_moment) {
    constexpr int kCopies = 100;
    const auto memory = address_of(systest::shared_bytes(3 * kPage));
    auto *const over = shared<std::atomic<bool>>();
    auto writer = systest::spawn(last_node(), [=] {
        for (long i = 1; !*over; ++i) {
            for (std::size_t page = 0; page < 3; ++page) {
                word(memory + page * kPage) = i;
            }
        }
    });
    long last = 0;
    for (int i = 0; i < kCopies; ++i) {
        const auto copy = remap(self(), 3 * kPage, self(), memory, TRUE);
        const std::array<long, 3> seen{word(copy), word(copy + kPage), word(copy + 2 * kPage)};
        CHECK(seen[0] >= seen[1] && seen[1] >= seen[2] && seen[2] >= seen[0] - 1);
        CHECK(seen[2] >= last);
        last = seen[0] - 1;
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), copy, 3 * kPage));
    }
    *over = true;
    JOIN(writer);
    return 0;
}

SYSTEM_CASE(copies_by_map) {
    for (const std::string name : {"a", "b", "c"}) { // of several nodes
        vm_size_t size = 3 * kPage;
        memory_object_t object = MACH_PORT_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_object_open(name.c_str(), &size, &object));
        vm_address_t memory = 0, copy = 0, later = 0;
        CHECK_KERN(KERN_SUCCESS, vm_map(self(), &memory, size, 0, TRUE, object, 0, FALSE, VM_PROT_DEFAULT,
                                        VM_PROT_DEFAULT, VM_INHERIT_SHARE));
        word(memory + kPage) = 1;
        CHECK_KERN(KERN_SUCCESS, map(copy, object, 2 * kPage, kPage));
        word(memory + kPage) = 2;
        word(copy + kPage) = 3;
        CHECK_KERN(KERN_SUCCESS, map(later, object, 2 * kPage, kPage));
        CHECK_EQ(1L, word(copy).load());
        CHECK_EQ(2L, word(later).load());
        CHECK_EQ(0L, word(later + kPage).load());
        CHECK_EQ(0L, word(memory + 2 * kPage).load());
        vm_address_t refused = 0x78;
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(refused, object, 2 * kPage, 2 * kPage));
        // The copies outlive the name and the memory.
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), memory, size));
        CHECK_KERN(KERN_SUCCESS, norma_object_remove(name.c_str()));
        CHECK_SOON(map(refused, object, kPage) == KERN_MEMORY_FAILURE);
        CHECK_EQ(vm_address_t{0x78}, refused);
        CHECK_EQ(1L, word(copy).load());
        CHECK_EQ(3L, word(copy + kPage).load());
        CHECK_EQ(2L, word(later).load());
        for (const auto address : {copy, later}) {
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), address, 2 * kPage));
        }
    }
    return 0;
}

// A task has a page at two addresses: of each a child gets a copy of its own, by COPY, or the page, by SHARE.
SYSTEM_CASE(copies_of_aliases) {
    for (int node = 0; node < norma::node_count(); ++node) {
        for (const bool share : {false, true}) {
            const auto [first, second] = two_of_one();
            CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), second, kPage, share ? VM_INHERIT_SHARE : VM_INHERIT_COPY));
            task_t task = TASK_NULL;
            CHECK_KERN(KERN_SUCCESS, norma_task_create(self(), TRUE, node, &task));
            const norma::task child(task);
            put(task, first, 2);
            CHECK_EQ(1L, word(first).load());
            CHECK_EQ(1L, get(task, second));
            put(task, second, 3);
            CHECK_EQ(2L, get(task, first));
            CHECK_EQ(share ? 3L : 1L, word(first).load());
            word(second) = 4;
            CHECK_EQ(2L, get(task, first));
            CHECK_EQ(share ? 4L : 3L, get(task, second));
            // So it is with a copy of both.
            const auto copy = remap(task, 2 * kPage, self(), first, TRUE);
            put(task, copy, 5);
            CHECK_EQ(4L, get(task, copy + kPage));
            put(task, copy + kPage, 6);
            CHECK_EQ(5L, get(task, copy));
            CHECK_EQ(4L, word(first).load());
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), first, 2 * kPage));
        }
    }
    return 0;
}

// Copies count towards NORMA_MEMORY, and give it back.
SYSTEM_CASE(copies_limit) {
    constexpr vm_size_t kPiece = 24 << 20; // with NORMA_MEMORY=64M
    const auto memory = address_of(systest::shared_bytes(kPiece));
    vm_prot_t protection = 0x55, maximum = 0x66;
    for (int round = 0; round < 20; ++round) {
        const auto copy = remap(self(), kPiece, self(), memory, TRUE);
        vm_address_t another = 0x77;
        CHECK_KERN(KERN_RESOURCE_SHORTAGE, vm_remap(self(), &another, kPiece, 0, TRUE, self(), memory, TRUE,
                                                    &protection, &maximum, VM_INHERIT_COPY));
        CHECK(another == 0x77 && protection == 0x55 && maximum == 0x66);
        word(memory + kPage) = round;
        CHECK_EQ(round == 0 ? 0L : long{round - 1}, word(copy + kPage).load());
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), copy, kPiece));
    }
    return 0;
}

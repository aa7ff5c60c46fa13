// SPDX-License-Identifier: BSD-3-Clause
// vm_map and vm_remap, and the calls on address maps made on tasks other than the caller, on every node.
#include "tests/system/app.hpp"

#include <array>
#include <csignal>
#include <limits>
#include <vector>

namespace {

using systest::address_of;
using systest::kWindow;
using systest::kWindowSize;
using systest::last_node;
using systest::self;
using systest::shared;
using systest::spawn;
using systest::stranger;
using systest::word;

constexpr std::size_t kPage = 4096;
constexpr auto kMost = std::numeric_limits<vm_size_t>::max();

kern_return_t map(task_t task, vm_address_t &address, vm_size_t size, vm_address_t mask, boolean_t anywhere,
                  vm_prot_t protection = VM_PROT_DEFAULT, vm_prot_t maximum = VM_PROT_ALL,
                  vm_inherit_t inheritance = VM_INHERIT_COPY) {
    return vm_map(task, &address, size, mask, anywhere, MACH_PORT_NULL, 0, FALSE, protection, maximum, inheritance);
}

kern_return_t remap(task_t task, vm_address_t &address, vm_size_t size, task_t source, vm_address_t from,
                    vm_address_t mask = 0, boolean_t anywhere = TRUE) {
    vm_prot_t protection = 0x55, maximum = 0x66;
    const auto status =
        vm_remap(task, &address, size, mask, anywhere, source, from, FALSE, &protection, &maximum, VM_INHERIT_SHARE);
    if (status != KERN_SUCCESS) {
        CHECK(protection == 0x55 && maximum == 0x66);
    }
    return status;
}

vm_size_t region_size(task_t task, vm_address_t address) {
    vm_size_t size = 0;
    vm_region_basic_info_data_t info{};
    auto count = VM_REGION_BASIC_INFO_COUNT;
    CHECK_KERN(KERN_SUCCESS, vm_region(task, &address, &size, VM_REGION_BASIC_INFO,
                                       reinterpret_cast<vm_region_info_t>(&info), &count, nullptr));
    return size;
}

// Sizes, places and alignments that can be and that cannot, on one task. `base` is free, and far from everything.
void check_grid(task_t task, vm_address_t base) {
    vm_address_t address = 0;
    for (const vm_size_t size : {vm_size_t{1}, kPage - 1, kPage, kPage + 1, 7 * kPage, vm_size_t{1} << 26}) {
        const auto rounded = (size + kPage - 1) / kPage * kPage;
        for (const vm_address_t mask : {vm_address_t{0}, kPage - 1, 2 * kPage - 1, (vm_address_t{1} << 20) - 1,
                                        (vm_address_t{1} << 32) - 1, vm_address_t{0x5000}, vm_address_t{1} << 13}) {
            address = 0x123;
            CHECK_KERN(KERN_SUCCESS, map(task, address, size, mask, TRUE));
            CHECK_EQ(vm_address_t{0}, address & (mask | (kPage - 1)));
            CHECK(region_size(task, address) >= rounded);
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(task, address, size));
            address = base;
            CHECK_KERN((base & mask) == 0 ? KERN_SUCCESS : KERN_NO_SPACE, map(task, address, size, mask, FALSE));
            CHECK_EQ(base, address);
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(task, base, rounded));
        }
    }
    // Pages 2 and 3 of eight are taken: what touches them has no room, what lies between and around has.
    address = base + 2 * kPage;
    CHECK_KERN(KERN_SUCCESS, map(task, address, 2 * kPage, 0, FALSE));
    for (std::size_t first = 0; first < 8; ++first) {
        for (std::size_t pages = 1; first + pages <= 8; ++pages) {
            address = base + first * kPage;
            const bool free = first + pages <= 2 || first >= 4;
            CHECK_KERN(free ? KERN_SUCCESS : KERN_NO_SPACE, vm_allocate(task, &address, pages * kPage, FALSE));
            CHECK_EQ(base + first * kPage, address);
            if (free) {
                CHECK_KERN(KERN_SUCCESS, vm_deallocate(task, address, pages * kPage));
            }
        }
    }
    // Over a hole: deallocating and nothing else.
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_protect(task, base + kPage, 2 * kPage, FALSE, VM_PROT_READ));
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_inherit(task, base + 3 * kPage, 2 * kPage, VM_INHERIT_NONE));
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_behavior_set(task, base, 8 * kPage, VM_BEHAVIOR_RANDOM));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(task, base, 8 * kPage));
    // Ranges that wrap around, leave the window or are not aligned.
    for (const auto &[start, size, status] : std::initializer_list<std::tuple<vm_address_t, vm_size_t, kern_return_t>>{
             {base + 1, kPage, KERN_INVALID_ARGUMENT},
             {base, kMost, KERN_NO_SPACE},
             {base, kMost - base + 1, KERN_NO_SPACE},
             {base, kWindowSize, KERN_INVALID_ADDRESS},
             {0, kPage, KERN_INVALID_ADDRESS},
             {kWindow - kPage, 2 * kPage, KERN_INVALID_ADDRESS},
             {kWindow + kWindowSize, kPage, KERN_INVALID_ADDRESS},
             {kMost - kPage + 1, kPage, KERN_INVALID_ADDRESS},
             {base, 0, KERN_INVALID_ARGUMENT}}) {
        address = start;
        CHECK_KERN(status, map(task, address, size, 0, FALSE));
        CHECK_EQ(start, address);
    }
    address = 0x77;
    CHECK_KERN(KERN_INVALID_ARGUMENT, map(task, address, 0, 0, TRUE));
    CHECK_KERN(KERN_NO_SPACE, map(task, address, kPage, kMost, TRUE));
    CHECK_KERN(KERN_NO_SPACE, map(task, address, kPage, kWindow, TRUE));
    CHECK_KERN(KERN_INVALID_ARGUMENT, map(task, address, kPage, 0, TRUE, 8));
    CHECK_KERN(KERN_INVALID_ARGUMENT, map(task, address, kPage, 0, TRUE, VM_PROT_READ, -1));
    CHECK_KERN(KERN_INVALID_ARGUMENT, map(task, address, kPage, 0, TRUE, VM_PROT_READ, VM_PROT_READ, 3));
    CHECK_KERN(KERN_PROTECTION_FAILURE, map(task, address, kPage, 0, TRUE, VM_PROT_DEFAULT, VM_PROT_READ));
    CHECK_KERN(KERN_INVALID_ARGUMENT,
               vm_map(task, &address, kPage, 0, TRUE, mach_host_self(), 0, FALSE, 1, 1, VM_INHERIT_COPY));
    CHECK_KERN(KERN_INVALID_ARGUMENT, vm_map(task, nullptr, kPage, 0, TRUE, 0, 0, FALSE, 1, 1, VM_INHERIT_COPY));
    CHECK_EQ(vm_address_t{0x77}, address);
}

void check_attributes(task_t task) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, map(task, address, kPage, 0, TRUE, VM_PROT_READ, VM_PROT_DEFAULT, VM_INHERIT_NONE));
    auto info = REGION_AT(task, address);
    CHECK_EQ(VM_PROT_READ, info.protection);
    CHECK_EQ(VM_PROT_DEFAULT, info.max_protection);
    CHECK_EQ(VM_INHERIT_NONE, info.inheritance);
    // The maximum never rises.
    for (const vm_prot_t maximum : {VM_PROT_ALL, VM_PROT_EXECUTE}) {
        CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(task, address, kPage, TRUE, maximum));
        CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(task, address, kPage, FALSE, maximum));
    }
    CHECK_KERN(KERN_SUCCESS, vm_protect(task, address, kPage, FALSE, VM_PROT_DEFAULT));
    CHECK_KERN(KERN_SUCCESS, vm_protect(task, address, kPage, TRUE, VM_PROT_READ));
    CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(task, address, kPage, TRUE, VM_PROT_DEFAULT));
    CHECK_KERN(KERN_SUCCESS, vm_protect(task, address, kPage, TRUE, VM_PROT_NONE));
    CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(task, address, kPage, FALSE, VM_PROT_READ));
    CHECK_KERN(KERN_SUCCESS, vm_inherit(task, address, kPage, VM_INHERIT_SHARE));
    CHECK_KERN(KERN_SUCCESS, vm_behavior_set(task, address, kPage, VM_BEHAVIOR_RANDOM));
    info = REGION_AT(task, address);
    CHECK_EQ(VM_PROT_NONE, info.protection);
    CHECK_EQ(VM_PROT_NONE, info.max_protection);
    CHECK_EQ(VM_INHERIT_SHARE, info.inheritance);
    CHECK_EQ(VM_BEHAVIOR_RANDOM, info.behavior);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(task, address, kPage));
}

} // namespace

// The same for the task itself, and for tasks that are asked through their ports, on each node.
SYSTEM_CASE(map_grid) {
    check_grid(self(), kWindow + kWindowSize - (vm_size_t{8} << 30));
    check_attributes(self());
    for (int node = 0; node < norma::node_count(); ++node) {
        const auto task = stranger(node);
        check_grid(task.port(), kWindow + kWindowSize - (vm_size_t{4} << 30));
        check_attributes(task.port());
    }
    return 0;
}

// What is done to a task through its port is what its threads find.
SYSTEM_CASE(map_of_others) {
    for (int node = 0; node < norma::node_count(); ++node) {
        auto child = norma::clone_to(node);
        const auto memory = address_of(systest::shared_bytes(kPage)); // the child has it not
        vm_address_t address = memory;
        CHECK_KERN(KERN_SUCCESS, vm_allocate(child.port(), &address, 3 * kPage, FALSE)); // it has other memory there
        word(memory) = 1;
        CHECK_KERN(KERN_SUCCESS, vm_protect(child.port(), address + kPage, kPage, FALSE, VM_PROT_READ));
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(child.port(), address + 2 * kPage, kPage));
        CHECK_KERN(KERN_SUCCESS, vm_inherit(child.port(), address, kPage, VM_INHERIT_NONE));
        child.start([=] {
            CHECK_EQ(0L, word(address).load());
            CHECK_EQ(0L, word(address + kPage).load());
            word(address) = 2;
            CHECK_EQ(VM_INHERIT_NONE, REGION_AT(self(), address).inheritance);
            CHECK_EQ(VM_PROT_READ, REGION_AT(self(), address + kPage).protection);
            word(address + kPage) = 3;
        });
        CHECK_EQ(SIGSEGV, END_OF(child.release()) & 0x7f);
        CHECK_EQ(1L, word(memory).load());
    }
    return 0;
}

// One page at two addresses of a task, and on another node: a write through any of them is seen through all.
SYSTEM_CASE(remap_within_a_task) {
    const auto first = address_of(systest::shared_bytes(3 * kPage));
    word(first + kPage) = 1;
    vm_address_t second = 0;
    CHECK_KERN(KERN_SUCCESS, remap(self(), second, kPage, self(), first + kPage + 77));
    CHECK(second != first + kPage && second % kPage == 0);
    CHECK_EQ(1L, word(second).load());
    auto *const turn = shared<std::atomic<long>>();
    auto child = spawn(last_node(), [=] {
        for (long round = 1; round <= 20; ++round) {
            word(round % 2 != 0 ? first + kPage : second) = 10 * round;
            *turn = 2 * round - 1;
            CHECK_SOON(*turn == 2 * round);
            CHECK_EQ(10 * round + 1, word(first + kPage).load());
            CHECK_EQ(10 * round + 1, word(second).load());
        }
    });
    for (long round = 1; round <= 20; ++round) {
        CHECK_SOON(*turn == 2 * round - 1);
        // It comes for reading through one address, and is written through the other.
        CHECK_EQ(10 * round, word(round % 4 < 2 ? second : first + kPage).load());
        word(round % 4 < 2 ? first + kPage : second) = 10 * round + 1;
        *turn = 2 * round;
    }
    JOIN(child);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), first, 3 * kPage)); // the alias keeps the memory
    CHECK_EQ(201L, word(second).load());
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), second, kPage));
    return 0;
}

// What is copied may be memory of the target, under another address.
SYSTEM_CASE(remap_and_copy) {
    constexpr std::size_t kWords = kPage / sizeof(long);
    for (int node = 0; node < norma::node_count(); ++node) {
        auto child = norma::clone_to(node);
        const auto first = address_of(systest::shared_bytes(2 * kPage));
        vm_address_t there = 0, alias = 0;
        CHECK_KERN(KERN_SUCCESS, remap(child.port(), there, 2 * kPage, self(), first));
        CHECK_KERN(KERN_SUCCESS, remap(child.port(), alias, 2 * kPage, self(), first));
        const auto fill = [&] {
            for (std::size_t i = 0; i < 2 * kWords; ++i) {
                word(first + i * sizeof(long)) = static_cast<long>(i);
            }
        };
        const auto check = [&](std::size_t moved) { // up, by so many words, of the first page's
            for (std::size_t i = 0; i < 2 * kWords; ++i) {
                const bool inside = i >= moved && i < moved + kWords;
                CHECK_EQ(static_cast<long>(inside ? i - moved : i), word(first + i * sizeof(long)).load());
            }
        };
        for (const std::size_t moved : {std::size_t{1}, std::size_t{100}, kWords}) {
            const auto up = moved * sizeof(long);
            fill();
            CHECK_KERN(KERN_SUCCESS, vm_copy(child.port(), there, kPage, alias + up));
            check(moved);
            fill();
            CHECK_KERN(KERN_SUCCESS, vm_write(child.port(), there + up, first, kPage));
            check(moved);
        }
    }
    return 0;
}

// Between tasks on all pairs of nodes; the memory lives as long as any of them has it.
SYSTEM_CASE(remap_across_tasks) {
    for (int from = 0; from < norma::node_count(); ++from) {
        for (int to = 0; to < norma::node_count(); ++to) {
            auto source = stranger(from);
            vm_address_t memory = 0;
            CHECK_KERN(KERN_SUCCESS, vm_allocate(source.port(), &memory, 2 * kPage, TRUE));
            const auto mine = shared<std::atomic<long>>();
            const std::atomic<long> seven = 7;
            CHECK_KERN(KERN_SUCCESS, vm_write(source.port(), memory + kPage, address_of(&seven), sizeof seven));
            auto child = norma::clone_to(to);
            vm_address_t there = 0, here = 0;
            CHECK_KERN(KERN_SUCCESS, remap(child.port(), there, kPage, source.port(), memory + kPage, 0xffff));
            CHECK_EQ(vm_address_t{0}, there & 0xffff);
            CHECK_KERN(KERN_SUCCESS, remap(self(), here, 2 * kPage, source.port(), memory));
            CHECK_EQ(VM_INHERIT_SHARE, REGION_AT(self(), here).inheritance);
            CHECK(REGION_AT(child.port(), there).shared);
            CHECK_KERN(KERN_SUCCESS, task_terminate(source.release()));
            child.start([=] {
                CHECK_EQ(7L, word(there).exchange(8));
                CHECK_SOON(word(there) == 9);
                *mine = 1;
                norma_exit(0);
            });
            CHECK_SOON(word(here + kPage) == 8);
            word(here + kPage) = 9;
            JOIN(child);
            CHECK_EQ(1L, mine->load());
            CHECK_EQ(9L, word(here + kPage).load());
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), here, 2 * kPage));
        }
    }
    return 0;
}

// Pieces with different protections stay what they are; what cannot be is refused, and nothing has changed.
SYSTEM_CASE(remap_rules) {
    for (int node = 0; node < norma::node_count(); ++node) {
        const auto source = stranger(node);
        const auto target = stranger(last_node() - node);
        const auto dst = target.port(), src = source.port();
        vm_address_t memory = 0, address = 0;
        CHECK_KERN(KERN_SUCCESS, vm_allocate(src, &memory, 4 * kPage, TRUE));
        CHECK_KERN(KERN_SUCCESS, vm_protect(src, memory + kPage, kPage, FALSE, VM_PROT_READ));
        CHECK_KERN(KERN_SUCCESS, vm_protect(src, memory + 2 * kPage, kPage, TRUE, VM_PROT_READ));
        vm_prot_t protection = 0, maximum = 0;
        CHECK_KERN(KERN_SUCCESS, vm_remap(dst, &address, 3 * kPage, 0, TRUE, src, memory, FALSE, &protection, &maximum,
                                          VM_INHERIT_NONE));
        CHECK_EQ(VM_PROT_READ, protection);
        CHECK_EQ(VM_PROT_READ, maximum);
        CHECK_EQ(VM_PROT_DEFAULT, REGION_AT(dst, address).protection);
        CHECK_EQ(VM_PROT_READ, REGION_AT(dst, address + kPage).protection);
        CHECK_EQ(VM_PROT_ALL, REGION_AT(dst, address + kPage).max_protection);
        CHECK_EQ(VM_PROT_READ, REGION_AT(dst, address + 2 * kPage).max_protection);
        CHECK_EQ(VM_INHERIT_NONE, REGION_AT(dst, address + 2 * kPage).inheritance);
        CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(dst, address + 2 * kPage, kPage, FALSE, VM_PROT_DEFAULT));

        auto place = address + kPage; // taken
        CHECK_KERN(KERN_NO_SPACE, remap(dst, place, kPage, src, memory, 0, FALSE));
        place = address - kPage; // of these two pages one is
        CHECK_KERN(KERN_NO_SPACE, remap(dst, place, 2 * kPage, src, memory, 0, FALSE));
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(dst, address + kPage, kPage));
        place = address + kPage;
        CHECK_KERN(KERN_SUCCESS, remap(dst, place, kPage, src, memory, 0, FALSE));
        CHECK_EQ(address + kPage, place);
        place = 0x78;
        CHECK_KERN(KERN_INVALID_ARGUMENT, remap(dst, place, kPage, src, memory, 0, FALSE));
        CHECK_KERN(KERN_INVALID_ARGUMENT, remap(dst, place, 0, src, memory));
        CHECK_KERN(KERN_NO_SPACE, remap(dst, place, kPage, src, memory, kMost));
        CHECK_KERN(KERN_INVALID_ARGUMENT,
                   vm_remap(dst, &place, kPage, 0, TRUE, src, memory, FALSE, &protection, &maximum, 3));
        CHECK_KERN(KERN_INVALID_ARGUMENT,
                   vm_remap(dst, &place, kPage, 0, TRUE, src, memory, FALSE, nullptr, &maximum, VM_INHERIT_COPY));
        CHECK_KERN(KERN_INVALID_TASK, remap(dst, place, kPage, TASK_NULL, memory));
        CHECK_KERN(KERN_INVALID_TASK, remap(dst, place, kPage, mach_host_self(), memory));
        CHECK_KERN(KERN_INVALID_TASK, remap(TASK_NULL, place, kPage, src, memory));
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(src, memory + 2 * kPage, kPage));
        CHECK_KERN(KERN_INVALID_ADDRESS, remap(dst, place, 4 * kPage, src, memory)); // a hole in it
        CHECK_KERN(KERN_INVALID_ADDRESS, remap(dst, place, kMost, src, memory));
        CHECK_KERN(KERN_INVALID_ADDRESS, remap(dst, place, kPage, src, kPage));
        CHECK_EQ(vm_address_t{0x78}, place);
    }
    return 0;
}

// Memory that is aliased and given back again and again is not used up, nor is that at addresses of one's choice.
SYSTEM_CASE(remap_gives_back) {
    constexpr vm_size_t kPiece = 8 << 20; // with NORMA_MEMORY=64M
    const vm_address_t chosen = kWindow + kWindowSize - 2 * kPiece;
    for (int round = 0; round < 40; ++round) {
        const auto owner = stranger(round % norma::node_count());
        vm_address_t memory = chosen, alias = 0, again = 0;
        CHECK_KERN(KERN_SUCCESS, vm_allocate(owner.port(), &memory, kPiece, FALSE));
        CHECK_KERN(KERN_SUCCESS, remap(self(), alias, kPiece, owner.port(), memory));
        CHECK_KERN(KERN_SUCCESS, remap(self(), again, kPage, self(), alias + kPage));
        word(again) = round;
        CHECK_EQ(long{round}, word(alias + kPage).load());
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(owner.port(), memory, kPiece));
        CHECK_EQ(long{round}, word(alias + kPage).load());
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), alias, kPiece));
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), again, kPage));
    }
    return 0;
}

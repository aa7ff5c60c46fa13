// SPDX-License-Identifier: BSD-3-Clause
// vm_allocate, vm_deallocate, vm_protect, vm_inherit, vm_region: what they do and what they refuse.
#include "tests/system/app.hpp"

#include <csignal>
#include <limits>
#include <thread>
#include <vector>

namespace {

using systest::address_of;
using systest::kWindow;
using systest::kWindowSize;
using systest::self;
using systest::shared;
using systest::spawn;

constexpr std::size_t kPage = 4096;
constexpr auto kMost = std::numeric_limits<vm_size_t>::max();

vm_address_t allocate(vm_size_t bytes) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(self(), &address, bytes, TRUE));
    return address;
}

kern_return_t allocate_at(vm_address_t where, vm_size_t bytes) {
    vm_address_t address = where;
    const auto status = vm_allocate(self(), &address, bytes, FALSE);
    CHECK_EQ(where, address); // also when it fails
    return status;
}

volatile char &byte_at(vm_address_t address) {
    return *reinterpret_cast<volatile char *>(address);
}

struct Region {
    vm_address_t address = 0;
    vm_size_t size = 0;
    vm_region_basic_info_data_t info{};
    kern_return_t status = KERN_SUCCESS;
};

Region region_from(task_t task, vm_address_t address) {
    Region region{.address = address, .size = 0, .info = {}, .status = KERN_SUCCESS};
    auto count = VM_REGION_BASIC_INFO_COUNT;
    mach_port_t name = 0;
    region.status = vm_region(task, &region.address, &region.size, VM_REGION_BASIC_INFO,
                              reinterpret_cast<vm_region_info_t>(&region.info), &count, &name);
    return region;
}

// The signal a child of this task ends with when it does this.
template <class F> int signal_of(F act) {
    return END_OF(spawn(norma::node_count() - 1, act).release()) & 0x7f;
}

} // namespace

SYSTEM_CASE(memory_allocate) {
    const auto address = allocate(2 * kPage + 1);
    CHECK_EQ(vm_address_t{0}, address % kPage);
    CHECK(address >= kWindow && address < kWindow + kWindowSize);
    for (std::size_t i = 0; i < 3 * kPage; ++i) {
        CHECK_EQ('\0', char{byte_at(address + i)});
    }
    const auto region = region_from(self(), address);
    CHECK_EQ(address, region.address);
    CHECK_EQ(vm_size_t{3 * kPage}, region.size);
    CHECK_EQ(VM_PROT_DEFAULT, region.info.protection);
    CHECK_EQ(VM_PROT_ALL, region.info.max_protection);
    CHECK_EQ(VM_INHERIT_COPY, region.info.inheritance);
    CHECK_EQ(VM_BEHAVIOR_DEFAULT, region.info.behavior);
    CHECK(!region.info.shared);

    CHECK_EQ(KERN_SUCCESS, allocate_at(0x1234567, 0));
    CHECK_EQ(KERN_NO_SPACE, allocate_at(address, kPage));
    CHECK_EQ(KERN_NO_SPACE, allocate_at(address + 2 * kPage, kPage));
    CHECK_EQ(KERN_NO_SPACE, allocate_at(address - kPage, 2 * kPage));
    CHECK_EQ(KERN_INVALID_ARGUMENT, allocate_at(address + 1, kPage));
    CHECK_EQ(KERN_INVALID_ADDRESS, allocate_at(kPage, kPage));
    CHECK_EQ(KERN_INVALID_ADDRESS, allocate_at(kWindow - kPage, kPage));
    CHECK_EQ(KERN_INVALID_ADDRESS, allocate_at(kWindow - kPage, 2 * kPage));
    CHECK_EQ(KERN_INVALID_ADDRESS, allocate_at(kWindow + kWindowSize, kPage));
    CHECK_EQ(KERN_INVALID_ADDRESS, allocate_at(kWindow + kWindowSize - kPage, 2 * kPage));
    vm_address_t none = 0x77000;
    for (const vm_size_t size : {kMost, kMost - kPage, kWindowSize + 1}) {
        CHECK_KERN(KERN_NO_SPACE, vm_allocate(self(), &none, size, TRUE));
    }
    CHECK_EQ(vm_address_t{0x77000}, none);
    CHECK_KERN(KERN_INVALID_ARGUMENT, vm_allocate(self(), nullptr, kPage, TRUE));
    CHECK_KERN(KERN_INVALID_TASK, vm_allocate(TASK_NULL, &none, kPage, TRUE));
    CHECK_KERN(KERN_INVALID_TASK, vm_allocate(mach_host_self(), &none, kPage, TRUE));

    // Where something was, something new can be; and at an address of one's own choice.
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), address, kPage));
    CHECK_EQ(KERN_SUCCESS, allocate_at(address, kPage));
    const vm_address_t chosen = kWindow + kWindowSize - 16 * kPage;
    CHECK_EQ(KERN_SUCCESS, allocate_at(chosen, kPage));
    byte_at(chosen) = 3;
    CHECK_EQ(KERN_NO_SPACE, allocate_at(chosen, kPage));
    auto child = spawn(norma::node_count() - 1, [=] {
        CHECK_EQ(3, int{byte_at(chosen)});
        for (int i = 0; i < 100; ++i) { // nothing of what it is given by itself is what it has already
            CHECK(allocate(kPage) != chosen);
        }
    });
    JOIN(child);
    return 0;
}

SYSTEM_CASE(memory_deallocate) {
    const auto address = allocate(4 * kPage);
    byte_at(address) = 1;
    byte_at(address + 3 * kPage) = 4;
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), address + kPage + 5, kPage)); // rounded outward: pages 1 and 2
    CHECK_EQ(vm_size_t{kPage}, region_from(self(), address).size);
    CHECK_EQ(address + 3 * kPage, region_from(self(), address + kPage).address);
    CHECK_EQ(1, int{byte_at(address)});
    CHECK_EQ(4, int{byte_at(address + 3 * kPage)});
    for (int i = 0; i < 2; ++i) { // the second time there is nothing to do
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), address, 4 * kPage));
    }
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), address, 0));
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_deallocate(self(), address, kMost - kPage)); // wraps
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_deallocate(self(), kPage, kPage));
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_deallocate(self(), kWindow + kWindowSize - kPage, 2 * kPage));
    CHECK_KERN(KERN_INVALID_TASK, vm_deallocate(task_t{4711}, address, kPage));

    const auto fresh = allocate(kPage);
    byte_at(fresh) = 1;
    CHECK_EQ(SIGSEGV, signal_of([=] {
                 CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), fresh, kPage));
                 byte_at(fresh) = 2;
             }));
    CHECK_EQ(1, int{byte_at(fresh)}); // each task has its own map
    return 0;
}

// One thread takes away what another is just being given: the calls may come in any order, and nothing breaks.
SYSTEM_CASE(memory_allocate_and_deallocate_at_once) {
    const vm_address_t place = kWindow + kWindowSize - 64 * kPage;
    std::atomic<bool> over = false;
    std::thread taker([&] {
        while (!over) {
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), place + kPage, kPage));
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), place, 4 * kPage));
        }
    });
    for (int i = 0; i < 500; ++i) {
        const auto status = allocate_at(place, 4 * kPage);
        CHECK(status == KERN_SUCCESS || status == KERN_NO_SPACE);
    }
    over = true;
    taker.join();
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), place, 4 * kPage));
    CHECK_EQ(KERN_SUCCESS, allocate_at(place, 4 * kPage));
    byte_at(place + kPage) = 1;
    return 0;
}

SYSTEM_CASE(memory_protect) {
    const auto address = allocate(4 * kPage);
    for (std::size_t page = 0; page < 4; ++page) {
        byte_at(address + page * kPage) = static_cast<char>(page + 1);
    }
    const auto protect = [=](std::size_t page, std::size_t pages, boolean_t maximum, vm_prot_t protection) {
        return vm_protect(self(), address + page * kPage, pages * kPage, maximum, protection);
    };
    CHECK_EQ(KERN_SUCCESS, protect(1, 1, FALSE, VM_PROT_READ));
    CHECK_EQ(2, int{byte_at(address + kPage)});
    CHECK_EQ(SIGSEGV, signal_of([=] { byte_at(address + kPage) = 9; }));
    CHECK_EQ(KERN_SUCCESS, protect(1, 1, FALSE, VM_PROT_NONE));
    CHECK_EQ(SIGSEGV, signal_of([=] { return int{byte_at(address + kPage)}; }));
    CHECK_EQ(KERN_SUCCESS, protect(1, 1, FALSE, VM_PROT_DEFAULT));
    byte_at(address + kPage) = 22;
    // A child's own protection is its own.
    auto child = spawn(norma::node_count() - 1, [=] {
        CHECK_KERN(KERN_SUCCESS, vm_protect(self(), address, kPage, FALSE, VM_PROT_READ));
        CHECK_EQ(22, int{byte_at(address + kPage)});
    });
    JOIN(child);
    byte_at(address) = 11;

    // The maximum clips the current protection and never rises.
    CHECK_EQ(KERN_SUCCESS, protect(2, 1, TRUE, VM_PROT_READ));
    CHECK_EQ(VM_PROT_READ, region_from(self(), address + 2 * kPage).info.protection);
    CHECK_EQ(KERN_PROTECTION_FAILURE, protect(2, 1, FALSE, VM_PROT_DEFAULT));
    CHECK_EQ(KERN_PROTECTION_FAILURE, protect(2, 1, TRUE, VM_PROT_DEFAULT));
    // All or nothing: page 2 forbids it, a hole does.
    CHECK_EQ(KERN_PROTECTION_FAILURE, protect(0, 4, FALSE, VM_PROT_ALL));
    CHECK_EQ(VM_PROT_DEFAULT, region_from(self(), address).info.protection);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), address + 3 * kPage, kPage));
    CHECK_EQ(KERN_INVALID_ADDRESS, protect(0, 4, FALSE, VM_PROT_READ));
    CHECK_EQ(VM_PROT_DEFAULT, region_from(self(), address).info.protection);
    CHECK_EQ(KERN_INVALID_ARGUMENT, protect(0, 1, FALSE, 64));
    CHECK_EQ(KERN_INVALID_ARGUMENT, protect(0, 1, FALSE, -1));
    CHECK_EQ(KERN_SUCCESS, protect(0, 0, FALSE, VM_PROT_NONE));
    CHECK_EQ(11, int{byte_at(address)});
    return 0;
}

// A protection of its own in the middle of memory that other nodes use: whoever goes through what is around it, at its
// home or elsewhere, finds all of it.
SYSTEM_CASE(memory_protect_middle) {
    constexpr std::size_t kPages = 64;
    for (const std::size_t middle : {4, 21}) {
        for (const int node : {norma::this_node(), norma::node_count() - 1}) {
            const auto address = allocate(kPages * kPage);
            auto other = spawn(norma::node_count() - 1, [=] { byte_at(address) = 1; });
            JOIN(other);
            auto child = spawn(node, [=] {
                CHECK_KERN(KERN_SUCCESS, vm_protect(self(), address + middle * kPage, 2 * kPage, FALSE, VM_PROT_READ));
                for (std::size_t page = 1; page < kPages; ++page) {
                    if (page != middle && page != middle + 1) {
                        byte_at(address + page * kPage) = static_cast<char>(page + 1);
                    }
                }
            });
            JOIN(child);
            for (std::size_t page = 0; page < kPages; ++page) {
                const auto expected = page == middle || page == middle + 1 ? 0 : static_cast<int>(page) + 1;
                CHECK_EQ(expected, int{byte_at(address + page * kPage)});
            }
        }
    }
    return 0;
}

SYSTEM_CASE(memory_behavior) {
    constexpr std::size_t kPages = 300;
    const auto address = allocate(kPages * kPage);
    const auto behave = [&](std::size_t first, std::size_t pages, vm_behavior_t behavior) {
        return vm_behavior_set(self(), address + first * kPage, pages * kPage, behavior);
    };
    CHECK_KERN(KERN_SUCCESS, behave(1, 1, VM_BEHAVIOR_RANDOM)); // it splits
    CHECK_EQ(VM_BEHAVIOR_DEFAULT, region_from(self(), address).info.behavior);
    CHECK_EQ(VM_BEHAVIOR_RANDOM, region_from(self(), address + kPage).info.behavior);
    CHECK_EQ(vm_size_t{(kPages - 2) * kPage}, region_from(self(), address + 2 * kPage).size);
    CHECK_KERN(KERN_INVALID_ARGUMENT, behave(0, 1, 6));
    CHECK_KERN(KERN_INVALID_ARGUMENT, behave(0, 1, -1));
    CHECK_KERN(KERN_SUCCESS, behave(0, 0, VM_BEHAVIOR_SEQUENTIAL));
    CHECK_KERN(KERN_INVALID_ADDRESS, behave(kPages - 1, 2, VM_BEHAVIOR_DONTNEED)); // a hole
    CHECK_KERN(KERN_INVALID_ADDRESS, behave(kPages - 1, 2, VM_BEHAVIOR_SEQUENTIAL));
    CHECK_KERN(KERN_INVALID_TASK, vm_behavior_set(task_t{4711}, address, kPage, VM_BEHAVIOR_RANDOM));

    // No hint changes what memory holds, however it is mixed with the use of the memory.
    auto *numbers = reinterpret_cast<std::atomic<std::uint64_t> *>(address);
    const auto word = [&](std::size_t page) -> auto & {
        return numbers[page * kPage / sizeof *numbers];
    };
    constexpr vm_behavior_t kAll[] = {VM_BEHAVIOR_DONTNEED, VM_BEHAVIOR_SEQUENTIAL, VM_BEHAVIOR_WILLNEED,
                                      VM_BEHAVIOR_RSEQNTL,  VM_BEHAVIOR_DONTNEED,   VM_BEHAVIOR_DEFAULT};
    const auto add = [&] {
        for (std::size_t round = 0; round < std::size(kAll); ++round) {
            CHECK_KERN(KERN_SUCCESS, behave(round, kPages - 2 * round, kAll[round]));
            for (std::size_t page = 0; page < kPages; ++page) {
                word(page).fetch_add(page);
            }
        }
    };
    auto child = systest::spawn(norma::node_count() - 1, add);
    add();
    JOIN(child);
    for (std::size_t page = 0; page < kPages; ++page) {
        CHECK_EQ(2 * std::size(kAll) * page, word(page).load());
    }
    return 0;
}

SYSTEM_CASE(memory_inherit_and_region) {
    const auto address = allocate(4 * kPage);
    CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), address + kPage + 7, 1, VM_INHERIT_NONE)); // page 1, and it splits
    CHECK_EQ(vm_size_t{kPage}, region_from(self(), address).size);
    CHECK_EQ(VM_INHERIT_COPY, region_from(self(), address).info.inheritance);
    const auto second = region_from(self(), address + kPage + 100);
    CHECK_EQ(address + kPage, second.address);
    CHECK_EQ(vm_size_t{kPage}, second.size);
    CHECK_EQ(VM_INHERIT_NONE, second.info.inheritance);
    CHECK_EQ(vm_offset_t{kPage}, second.info.offset);
    CHECK_EQ(vm_size_t{2 * kPage}, region_from(self(), address + 2 * kPage).size);
    for (const vm_inherit_t none : {3U, 4U, ~0U}) { // 3 and 4 are DONATE and ZERO of other systems
        CHECK_KERN(KERN_INVALID_ARGUMENT, vm_inherit(self(), address, kPage, none));
    }
    CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), address, 0, VM_INHERIT_SHARE));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), address + 2 * kPage, kPage));
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_inherit(self(), address, 4 * kPage, VM_INHERIT_SHARE)); // a hole
    CHECK_EQ(VM_INHERIT_COPY, region_from(self(), address).info.inheritance);
    CHECK_EQ(VM_INHERIT_COPY, region_from(self(), address + 3 * kPage).info.inheritance);
    CHECK_KERN(KERN_INVALID_TASK, vm_inherit(task_t{4711}, address, kPage, VM_INHERIT_SHARE));

    CHECK_EQ(KERN_NO_SPACE, region_from(self(), kWindow + kWindowSize - kPage).status);
    auto region = region_from(self(), 0); // and so on, in order, without overlap
    for (vm_address_t end = 0; region.status == KERN_SUCCESS; region = region_from(self(), end)) {
        CHECK(region.address >= end && region.size > 0);
        end = region.address + region.size;
    }
    CHECK_EQ(KERN_NO_SPACE, region.status);
    vm_address_t at = address;
    vm_size_t size = 0;
    auto count = VM_REGION_BASIC_INFO_COUNT - 1;
    vm_region_basic_info_data_t info{};
    mach_port_t name = 0;
    CHECK_KERN(KERN_INVALID_ARGUMENT, vm_region(self(), &at, &size, VM_REGION_BASIC_INFO,
                                                reinterpret_cast<vm_region_info_t>(&info), &count, &name));
    count = VM_REGION_BASIC_INFO_COUNT;
    CHECK_KERN(KERN_INVALID_ARGUMENT,
               vm_region(self(), &at, &size, 99, reinterpret_cast<vm_region_info_t>(&info), &count, &name));
    vm_size_t page = 0;
    CHECK_KERN(KERN_SUCCESS, host_page_size(mach_host_self(), &page));
    CHECK_EQ(vm_size_t{kPage}, page);
    CHECK_KERN(KERN_INVALID_HOST, host_page_size(self(), &page));
    return 0;
}

// With NORMA_MEMORY=64M: no node gives more, what is given back can be had again, and every node has its own.
SYSTEM_CASE(memory_limit) {
    constexpr vm_size_t kPiece = 4 << 20;
    const auto take_all = [] {
        std::vector<vm_address_t> pieces;
        vm_address_t address = 0;
        kern_return_t status = KERN_SUCCESS;
        while ((status = vm_allocate(self(), &address, kPiece, TRUE)) == KERN_SUCCESS) {
            pieces.push_back(address);
        }
        CHECK_EQ(KERN_RESOURCE_SHORTAGE, status);
        return pieces;
    };
    const auto pieces = take_all();
    CHECK(pieces.size() >= 12 && pieces.size() < 16); // a stack is there too
    CHECK_EQ(KERN_RESOURCE_SHORTAGE, allocate_at(kWindow + kWindowSize - kPiece, kPiece));
    for (const auto piece : pieces) {
        byte_at(piece) = 1;
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), piece, kPiece));
    }
    for (int round = 0; round < 20; ++round) { // also if the caller has chosen the address
        CHECK_EQ(KERN_SUCCESS, allocate_at(kWindow + kWindowSize - kPiece, kPiece));
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), kWindow + kWindowSize - kPiece, kPiece));
    }
    CHECK_EQ(pieces.size(), take_all().size());
    // A task elsewhere has that node's memory, and the whole of it.
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(self(), FALSE, norma::node_count() - 1, &child));
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(child, &address, 15 * kPiece, TRUE));
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, vm_allocate(child, &address, 2 * kPiece, TRUE));
    CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(self(), FALSE, norma::node_count() - 1, &child));
    CHECK_KERN(KERN_SUCCESS, vm_allocate(child, &address, 15 * kPiece, TRUE));
    CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    return 0;
}

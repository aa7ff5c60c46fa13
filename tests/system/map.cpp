// SPDX-License-Identifier: BSD-3-Clause
// What tasks do with each other's memory, on one node and across nodes: vm_read, vm_write, vm_copy.
#include "tests/system/app.hpp"

#include <array>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

namespace {

using systest::address_of;
using systest::self;
using systest::shared;
using systest::spawn;
using systest::stranger;

constexpr std::size_t kPage = 4096;

vm_address_t allocate(task_t task, vm_size_t bytes) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(task, &address, bytes, TRUE));
    return address;
}

kern_return_t write(task_t task, vm_address_t address, const void *bytes, std::size_t count) {
    return vm_write(task, address, address_of(bytes), static_cast<mach_msg_type_number_t>(count));
}

std::vector<std::byte> read(task_t task, vm_address_t address, vm_size_t bytes) {
    vm_offset_t data = 0;
    mach_msg_type_number_t count = 0;
    CHECK_KERN(KERN_SUCCESS, vm_read(task, address, bytes, &data, &count));
    CHECK_EQ(bytes, vm_size_t{count});
    CHECK_EQ(vm_address_t{0}, data % kPage);
    const auto *first = reinterpret_cast<const std::byte *>(data);
    std::vector<std::byte> copied(first, first + count);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), data, count));
    return copied;
}

std::vector<std::byte> pattern(std::size_t bytes, std::size_t seed) {
    std::vector<std::byte> made(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
        made[i] = static_cast<std::byte>((i * 7 + i / 251 + seed) % 256);
    }
    return made;
}

std::size_t regions(task_t task) {
    std::size_t found = 0;
    vm_address_t address = 0;
    vm_size_t size = 0;
    vm_region_basic_info_data_t info{};
    auto count = VM_REGION_BASIC_INFO_COUNT;
    for (; vm_region(task, &address, &size, VM_REGION_BASIC_INFO, reinterpret_cast<vm_region_info_t>(&info), &count,
                     nullptr) == KERN_SUCCESS;
         address += size) {
        ++found;
    }
    return found;
}

// Every way to start and end within a page, in a task that is `there`.
void check_round_trip(task_t there) {
    constexpr std::size_t kPages = 5;
    const auto memory = allocate(there, kPages * kPage);
    const auto before = regions(self());
    auto expected = std::vector<std::byte>(kPages * kPage);
    CHECK(read(there, memory, expected.size()) == expected); // never touched: zeros
    std::size_t seed = 0;
    for (const std::size_t from : {std::size_t{0}, std::size_t{1}, kPage - 1, kPage, kPage + 5}) {
        for (const std::size_t size : {std::size_t{1}, kPage - 1, kPage, kPage + 1, 3 * kPage}) {
            const auto bytes = pattern(size, ++seed);
            CHECK_KERN(KERN_SUCCESS, write(there, memory + from, bytes.data(), size));
            std::copy(bytes.begin(), bytes.end(), expected.begin() + static_cast<std::ptrdiff_t>(from));
            CHECK(read(there, memory + from, size) == bytes);
        }
    }
    CHECK(read(there, memory, expected.size()) == expected);
    CHECK_EQ(before, regions(self())); // nothing stays in the caller's map
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(there, memory, kPages * kPage));
}

// The two pages of `memory` can be read and written; page 2 can be read, page 3 nothing, page 4 is a hole.
void check_refusals(task_t there) {
    const auto memory = allocate(there, 5 * kPage);
    CHECK_KERN(KERN_SUCCESS, vm_protect(there, memory + 2 * kPage, kPage, FALSE, VM_PROT_READ));
    CHECK_KERN(KERN_SUCCESS, vm_protect(there, memory + 3 * kPage, kPage, FALSE, VM_PROT_NONE));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(there, memory + 4 * kPage, kPage));
    const auto bytes = pattern(5 * kPage, 3);
    vm_offset_t data = 0x77;
    mach_msg_type_number_t count = 0x78;
    const auto try_read = [&](std::size_t page, std::size_t pages) {
        return vm_read(there, memory + page * kPage, pages * kPage, &data, &count);
    };
    const auto try_write = [&](std::size_t page, std::size_t pages) {
        return write(there, memory + page * kPage, bytes.data(), pages * kPage);
    };
    const auto try_copy = [&](std::size_t from, std::size_t to, std::size_t pages) {
        return vm_copy(there, memory + from * kPage, pages * kPage, memory + to * kPage);
    };
    CHECK_EQ(KERN_PROTECTION_FAILURE, try_write(1, 2));
    CHECK_EQ(KERN_PROTECTION_FAILURE, try_read(2, 2));
    CHECK_EQ(KERN_PROTECTION_FAILURE, try_copy(0, 1, 2));
    CHECK_EQ(KERN_PROTECTION_FAILURE, try_copy(3, 0, 1));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(there, memory + 3 * kPage, kPage));
    CHECK_EQ(KERN_INVALID_ADDRESS, try_write(0, 4));
    CHECK_EQ(KERN_INVALID_ADDRESS, try_read(2, 2));
    CHECK_EQ(KERN_INVALID_ADDRESS, try_copy(2, 3, 1));
    CHECK_EQ(KERN_INVALID_ADDRESS, try_copy(3, 0, 1));
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_read(there, kPage, kPage, &data, &count));
    constexpr auto kMost = std::numeric_limits<vm_address_t>::max();
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_read(there, kMost - 5, 100, &data, &count)); // wraps
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_copy(there, memory, kMost - kPage, memory));
    CHECK_KERN(KERN_INVALID_ARGUMENT, vm_read(there, memory, vm_size_t{1} << 32, &data, &count));
    CHECK_KERN(KERN_INVALID_ARGUMENT, vm_read(there, memory, kPage, nullptr, &count));
    CHECK_KERN(KERN_INVALID_ARGUMENT, vm_read(there, memory, kPage, &data, nullptr));
    CHECK_EQ(vm_offset_t{0x77}, data);
    CHECK_EQ(mach_msg_type_number_t{0x78}, count);
    CHECK(read(there, memory, 3 * kPage) == std::vector<std::byte>(3 * kPage)); // nothing was done by any of these

    CHECK_KERN(KERN_SUCCESS, vm_write(there, memory + 4 * kPage, 0, 0)); // no bytes: anywhere
    CHECK_KERN(KERN_SUCCESS, vm_copy(there, memory + 4 * kPage, 0, kMost));
    CHECK_KERN(KERN_SUCCESS, vm_read(there, memory + 4 * kPage, 0, &data, &count));
    CHECK_EQ(vm_offset_t{0}, data);
    CHECK_EQ(mach_msg_type_number_t{0}, count);
    CHECK_KERN(KERN_SUCCESS, try_write(0, 2));
    CHECK_KERN(KERN_SUCCESS, try_copy(2, 1, 1)); // zeros
    CHECK(read(there, memory + kPage, kPage) == std::vector<std::byte>(kPage));
    CHECK(read(there, memory, kPage) == pattern(kPage, 3));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(there, memory, 5 * kPage));
}

void check_copies(task_t there) {
    constexpr std::size_t kBytes = 8 * kPage;
    const auto memory = allocate(there, kBytes);
    auto expected = pattern(kBytes, 9);
    CHECK_KERN(KERN_SUCCESS, write(there, memory, expected.data(), kBytes));
    constexpr std::array<std::array<std::size_t, 3>, 6> kCopies{{{0, 4 * kPage, 2 * kPage},
                                                                 {kPage, kPage + 1, 3 * kPage},
                                                                 {kPage + 1, kPage, 3 * kPage},
                                                                 {5, 2 * kPage + 9, 5 * kPage + 3},
                                                                 {3 * kPage, 0, 5 * kPage},
                                                                 {77, 77, kPage}}};
    for (const auto &[from, to, bytes] : kCopies) {
        CHECK_KERN(KERN_SUCCESS, vm_copy(there, memory + from, bytes, memory + to));
        std::memmove(&expected[to], &expected[from], bytes);
        CHECK(read(there, memory, kBytes) == expected);
    }
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(there, memory, kBytes));
}

} // namespace

// A task that never ran, on each node, this one's included; and the caller itself.
SYSTEM_CASE(map_read_write) {
    std::vector<norma::task> tasks;
    for (int node = 0; node < norma::node_count(); ++node) {
        tasks.push_back(stranger(node));
    }
    tasks.push_back(norma::clone_to(norma::node_count() - 1)); // it has this task's stack, too
    for (const auto &task : tasks) {
        check_round_trip(task.port());
        check_refusals(task.port());
        check_copies(task.port());
    }
    check_round_trip(self());
    check_refusals(self());
    check_copies(self());
    vm_offset_t data = 0;
    mach_msg_type_number_t count = 0;
    const auto mine = allocate(self(), kPage);
    for (const task_t wrong : {TASK_NULL, task_t{4711}, mach_host_self()}) {
        CHECK_KERN(KERN_INVALID_TASK, vm_read(wrong, mine, kPage, &data, &count));
        CHECK_KERN(KERN_INVALID_TASK, vm_write(wrong, mine, mine, 1));
        CHECK_KERN(KERN_INVALID_TASK, vm_copy(wrong, mine, 1, mine));
    }
    const auto ended = tasks.back().port();
    tasks.back().terminate();
    CHECK_KERN(KERN_INVALID_TASK, vm_read(ended, mine, kPage, &data, &count));
    // From one's own memory to one's own, where it overlaps.
    auto expected = pattern(3 * kPage, 1);
    const auto place = allocate(self(), 4 * kPage);
    std::memcpy(reinterpret_cast<void *>(place), expected.data(), expected.size());
    CHECK_KERN(KERN_SUCCESS, vm_write(self(), place + 100, place, 3 * kPage));
    CHECK(read(self(), place + 100, 3 * kPage) == expected);
    return 0;
}

// What is written is what the threads of the task see, and those of everybody who shares the memory; and it is not lost
// with whoever wrote it.
SYSTEM_CASE(map_written_for_others) {
    struct Words {
        std::atomic<int> turn;
        std::atomic<long> answer;
    };
    const int there = norma::node_count() - 1;
    auto *const words = shared<Words>();
    auto child = norma::clone_to(there);
    const auto memory = allocate(child.port(), 3 * kPage); // this task has it not
    child.start([=] {
        auto *numbers = reinterpret_cast<std::atomic<long> *>(memory);
        for (int round = 1; round <= 50; ++round) {
            numbers[round] = 2 * round;
            words->turn = 2 * round - 1;
            CHECK_SOON(words->turn == 2 * round);
            words->answer = numbers[round] + numbers[512 + round];
        }
        norma_exit(0);
    });
    for (int round = 1; round <= 50; ++round) {
        CHECK_SOON(words->turn == 2 * round - 1);
        const auto at = static_cast<std::size_t>(round);
        long number = 0;
        const auto bytes = read(child.port(), memory + at * sizeof number, sizeof number);
        std::memcpy(&number, bytes.data(), sizeof number);
        CHECK_EQ(2L * round, number);
        number = 1000 + round;
        CHECK_KERN(KERN_SUCCESS, write(child.port(), memory + (512 + at) * sizeof number, &number, sizeof number));
        words->turn = 2 * round;
        CHECK_SOON(words->turn == (round < 50 ? 2 * round + 1 : 100) && words->answer == 1000 + 3 * round);
    }
    JOIN(child);
    return 0;
}

// Threads on all nodes, and the task itself in its own memory: no write is lost, whichever way it was made.
SYSTEM_CASE(map_write_stress) {
    constexpr int kRounds = 300;
    struct Page {
        std::array<std::atomic<long>, 8> words;
    };
    auto *const page = shared<Page>();
    const auto me = self();
    std::vector<norma::task> tasks;
    for (int node = 0; node < norma::node_count(); ++node) {
        tasks.push_back(spawn(node, [=] {
            auto &mine = page->words.at(static_cast<std::size_t>(node));
            for (int i = 1; i <= kRounds; ++i) {
                CHECK_EQ(long{i - 1}, mine.load());
                mine = i;
            }
        }));
    }
    std::atomic<bool> over = false;
    std::thread reader([&] {
        while (!over) {
            (void)page->words[7].load();
        }
    });
    for (long i = 1; i <= kRounds; ++i) {
        CHECK_KERN(KERN_SUCCESS, write(me, address_of(&page->words[6]), &i, sizeof i));
        CHECK_EQ(i, page->words[6].load());
    }
    over = true;
    reader.join();
    for (auto &task : tasks) {
        JOIN(task);
    }
    CHECK_EQ(long{kRounds}, page->words[6].load());
    return 0;
}

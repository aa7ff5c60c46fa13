// SPDX-License-Identifier: BSD-3-Clause
// task_create and norma_task_create: what becomes of each region of the parent, and the same regions in clones and
// teleports.
#include "tests/system/create.hpp"

#include <array>
#include <csignal>
#include <vector>

namespace {

using systest::address_of;
using systest::child_of_mine;
using systest::Maker;
using systest::set_inheritance;
using systest::shared_bytes;
using systest::spawn;
using systest::truly_shared;

constexpr std::size_t kPage = systest::kPageBytes;
using Turn = std::atomic<int>;

int node_after(int steps) {
    return (norma::this_node() + steps) % norma::node_count();
}

// The first word of each page.
volatile int &word(void *memory, std::size_t page) {
    return *reinterpret_cast<volatile int *>(static_cast<std::byte *>(memory) + page * kPage);
}

std::byte *filled(std::size_t pages, int first) {
    auto *const memory = shared_bytes(pages * kPage);
    for (std::size_t i = 0; i < pages; ++i) {
        word(memory, i) = first + static_cast<int>(i);
    }
    return memory;
}

std::vector<Maker> creators() {
    std::vector<Maker> all{{.how = Maker::How::create, .node = 0}};
    for (int step = 0; step < norma::node_count(); ++step) {
        all.push_back({.how = Maker::How::create_on, .node = node_after(step)});
    }
    return all;
}

// Runs `check` in the first task, and in tasks of the other nodes, whose memory has its home elsewhere.
template <class F> int everywhere(F check) {
    check();
    for (int step = 1; step < norma::node_count(); ++step) {
        auto child = spawn(node_after(step), check);
        JOIN(child);
    }
    return 0;
}

// What either writes the other does not see: on a page that the parent writes first, one that the child does, one that
// only the child writes and one that nobody writes.
void check_copy(const Maker &maker, std::byte *memory) {
    auto *const turn = truly_shared<Turn>();
    const auto child = child_of_mine(maker, [=] {
        CHECK_SOON(*turn == 1);
        CHECK_EQ(1, word(memory, 0));
        word(memory, 0) = 200;
        word(memory, 1) = 201;
        *turn = 2;
        CHECK_SOON(*turn == 3);
        CHECK_EQ(200, word(memory, 0));
        CHECK_EQ(201, word(memory, 1));
        CHECK_EQ(3, word(memory, 2));
        word(memory, 2) = 202;
        *turn = 4;
        CHECK_SOON(*turn == 5);
        CHECK_EQ(202, word(memory, 2));
        CHECK_EQ(4, word(memory, 3));
    });
    word(memory, 0) = 100;
    *turn = 1;
    CHECK_SOON(*turn == 2);
    CHECK_EQ(100, word(memory, 0));
    CHECK_EQ(2, word(memory, 1));
    word(memory, 1) = 101;
    *turn = 3;
    CHECK_SOON(*turn == 4);
    CHECK_EQ(3, word(memory, 2));
    *turn = 5;
    CHECK_EQ(0, END_OF(child));
    CHECK_EQ(100, word(memory, 0));
    CHECK_EQ(101, word(memory, 1));
    CHECK_EQ(4, word(memory, 3));
}

void check_share(const Maker &maker, std::byte *memory) {
    auto *const turn = truly_shared<Turn>();
    const auto child = child_of_mine(maker, [=] {
        CHECK_SOON(*turn == 1);
        CHECK_EQ(100, word(memory, 0));
        word(memory, 0) = 200;
        word(memory, 1) = 201;
        *turn = 2;
    });
    word(memory, 0) = 100;
    *turn = 1;
    CHECK_SOON(*turn == 2);
    CHECK_EQ(200, word(memory, 0));
    CHECK_EQ(201, word(memory, 1));
    CHECK_EQ(0, END_OF(child));
}

int fault_of_child(const Maker &maker, volatile int *place) {
    return END_OF(child_of_mine(maker, [place] { *place = 1; })) & 0x7f;
}

} // namespace

SYSTEM_CASE(create_copy) {
    return everywhere([] {
        for (const auto &maker : creators()) {
            check_copy(maker, filled(4, 1));
        }
    });
}

// The home of the memory is neither the parent's node nor the child's.
SYSTEM_CASE(create_copy_of_other_homes) {
    for (int home = 0; home < norma::node_count(); ++home) {
        auto *const memory = systest::bytes_of_node(home, 4 * kPage);
        for (const auto &maker : creators()) {
            for (std::size_t i = 0; i < 4; ++i) {
                word(memory, i) = static_cast<int>(i) + 1;
            }
            check_copy(maker, memory);
        }
    }
    return 0;
}

SYSTEM_CASE(create_share) {
    return everywhere([] {
        for (const auto &maker : creators()) {
            auto *const memory = filled(2, 1);
            set_inheritance(memory, 2 * kPage, VM_INHERIT_SHARE);
            check_share(maker, memory);
        }
    });
}

// A hole in the child of task_create; shared by a clone, and again a hole in what the clone creates.
SYSTEM_CASE(create_none) {
    auto *const memory = filled(3, 1);
    set_inheritance(memory + kPage, kPage, VM_INHERIT_NONE);
    auto *const hole = &word(memory, 1);
    for (const auto &maker : creators()) {
        CHECK_EQ(SIGSEGV, fault_of_child(maker, hole));
        CHECK_EQ(2, *hole);
        const auto child = child_of_mine(maker, [=] {
            CHECK_EQ(1, word(memory, 0));
            CHECK_EQ(3, word(memory, 2));
            CHECK_EQ(VM_INHERIT_COPY, REGION_AT(mach_task_self(), address_of(memory)).inheritance);
        });
        CHECK_EQ(0, END_OF(child));
    }
    for (int step = 0; step < norma::node_count(); ++step) {
        const Maker clone{.how = Maker::How::clone, .node = node_after(step)};
        const auto child = child_of_mine(clone, [=] {
            CHECK_EQ(VM_INHERIT_NONE, REGION_AT(mach_task_self(), address_of(memory) + kPage).inheritance);
            *hole = *hole + 10;
            for (const auto &maker : creators()) {
                CHECK_EQ(SIGSEGV, fault_of_child(maker, hole));
            }
        });
        CHECK_EQ(0, END_OF(child));
        CHECK_EQ(2 + 10 * (step + 1), *hole);
    }
    return 0;
}

// Memory that nobody has touched: zeros for both, and what one writes then the other does not see. (Of a clone it
// does.)
SYSTEM_CASE(create_untouched) {
    return everywhere([] {
        for (const auto &maker : creators()) {
            auto *const memory = shared_bytes(4 * kPage);
            auto *const turn = truly_shared<Turn>();
            const auto child = child_of_mine(maker, [=] {
                CHECK_SOON(*turn == 1);
                CHECK_EQ(0, word(memory, 0));
                word(memory, 1) = 5;
                *turn = 2;
                CHECK_EQ(0, word(memory, 2));
            });
            word(memory, 0) = 6;
            *turn = 1;
            CHECK_SOON(*turn == 2);
            CHECK_EQ(0, word(memory, 1));
            CHECK_EQ(0, END_OF(child));
            auto *const fresh = shared_bytes(2 * kPage);
            check_share({.how = Maker::How::clone, .node = node_after(1)}, fresh);
        }
    });
}

// Protection, maximum, behaviour, inheritance and address are kept; wiring is not, and does not stop a copy.
SYSTEM_CASE(create_attributes) {
    auto *const memory = filled(6, 1);
    const auto address = address_of(memory);
    const auto self = mach_task_self();
    CHECK_KERN(KERN_SUCCESS, vm_protect(self, address, kPage, FALSE, VM_PROT_READ));
    CHECK_KERN(KERN_SUCCESS, vm_protect(self, address, kPage, TRUE, VM_PROT_READ));
    CHECK_KERN(KERN_SUCCESS, vm_behavior_set(self, address + kPage, kPage, VM_BEHAVIOR_RANDOM));
    set_inheritance(memory + 2 * kPage, kPage, VM_INHERIT_SHARE);
    CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), self, address + 3 * kPage, kPage, VM_PROT_DEFAULT));
    for (const auto &maker : creators()) {
        task_t child = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, maker(self, &child));
        const auto first = REGION_AT(child, address);
        CHECK_EQ(VM_PROT_READ, first.protection);
        CHECK_EQ(VM_PROT_READ, first.max_protection);
        CHECK_EQ(VM_INHERIT_COPY, first.inheritance);
        CHECK(!first.shared);
        CHECK_EQ(VM_BEHAVIOR_RANDOM, REGION_AT(child, address + kPage).behavior);
        const auto third = REGION_AT(child, address + 2 * kPage);
        CHECK_EQ(VM_INHERIT_SHARE, third.inheritance);
        CHECK(third.shared);
        CHECK_EQ(0, int{REGION_AT(child, address + 3 * kPage).user_wired_count});
        CHECK_EQ(vm_offset_t{3 * kPage}, REGION_AT(child, address + 3 * kPage).offset);
        CHECK_KERN(KERN_FAILURE, task_resume(child)); // its suspend count is 0
        CHECK_KERN(KERN_SUCCESS, task_terminate(child));
        const auto reader = child_of_mine(maker, [=] {
            CHECK_EQ(4, word(memory, 3));
            word(memory, 3) = 400;
            CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(mach_task_self(), address, kPage, FALSE, VM_PROT_DEFAULT));
        });
        CHECK_EQ(0, END_OF(reader));
        CHECK_EQ(4, word(memory, 3));
        CHECK_EQ(SIGSEGV, fault_of_child(maker, &word(memory, 0)));
    }
    return 0;
}

SYSTEM_CASE(create_without_memory) {
    filled(1, 1);
    for (const int node : {0, norma::node_count() - 1}) {
        task_t child = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_create(mach_task_self(), FALSE, node, &child));
        CHECK_NO_MEMORY(child);
        CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    }
    return 0;
}

SYSTEM_CASE(create_errors) {
    task_t child = 0x1234;
    const auto self = mach_task_self();
    CHECK_KERN(KERN_INVALID_ARGUMENT, task_create(self, nullptr, 0, TRUE, nullptr));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_create(self, TRUE, 0, nullptr));
    for (const int node : {-1, norma::node_count(), 1 << 16, 1 << 30}) {
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_create(self, TRUE, node, &child));
    }
    for (const task_t parent : {TASK_NULL, task_t{9999}, task_t{mach_host_self()}, task_t{mach_thread_self()}}) {
        CHECK_KERN(KERN_INVALID_TASK, task_create(parent, nullptr, 0, TRUE, &child));
        CHECK_KERN(KERN_INVALID_TASK, norma_task_create(parent, TRUE, 0, &child));
    }
    CHECK_EQ(task_t{0x1234}, child);
    std::error_code error;
    const auto none = norma::create_on(norma::node_count(), error);
    CHECK(error == norma::errc::invalid_argument && !none);
    return 0;
}

// The C++ layer: a callable reaches a child that shares nothing else.
SYSTEM_CASE(create_and_run) {
    auto *const memory = filled(1, 7);
    for (int step = 0; step < norma::node_count(); ++step) {
        auto child = norma::create_on(node_after(step));
        child.run([memory] {
            word(memory, 0) = word(memory, 0) + 1;
            return int{word(memory, 0)};
        });
        JOIN(child, 8);
        CHECK_EQ(7, word(memory, 0));
    }
    return 0;
}

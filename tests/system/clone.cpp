// SPDX-License-Identifier: BSD-3-Clause
// norma_task_clone: what the child has, whatever becomes of the parent.
#include "tests/system/app.hpp"

#include <array>
#include <csignal>

namespace {

using systest::address_of;
using systest::shared;
using systest::shared_bytes;
using systest::spawn;

constexpr std::size_t kPage = 4096;

int node_after(int steps) {
    return (norma::this_node() + steps) % norma::node_count();
}

struct Words {
    std::atomic<int> from_parent, from_child, turn;
};

void set(vm_address_t address, std::size_t bytes, vm_inherit_t inheritance) {
    CHECK_KERN(KERN_SUCCESS, vm_inherit(mach_task_self(), address, bytes, inheritance));
}

// Both directions, on pages touched before the clone, by the child first, and by the parent first.
void check_sharing(int node) {
    auto *touched = shared<Words>();
    auto *child_first = shared<Words>();
    auto *parent_first = shared<Words>();
    touched->from_parent = 11;
    auto child = spawn(node, [=] {
        CHECK_EQ(11, touched->from_parent.load());
        touched->from_child = 21;
        child_first->from_child = 22;
        touched->turn = 1;
        CHECK_SOON(touched->turn == 2);
        CHECK_EQ(12, parent_first->from_parent.load());
        parent_first->from_child = 23;
    });
    CHECK_SOON(touched->turn == 1);
    CHECK_EQ(21, touched->from_child.load());
    CHECK_EQ(22, child_first->from_child.load());
    parent_first->from_parent = 12;
    touched->turn = 2;
    JOIN(child);
    CHECK_EQ(23, parent_first->from_child.load());
}

} // namespace

SYSTEM_CASE(clone_sharing) {
    for (int step = 0; step < norma::node_count(); ++step) { // the own node first
        check_sharing(node_after(step));
    }
    return 0;
}

// All three attributes are shared, and are as they were in the child, also seen by the child itself.
SYSTEM_CASE(clone_inheritance) {
    constexpr std::array kAttributes{VM_INHERIT_SHARE, VM_INHERIT_COPY, VM_INHERIT_NONE};
    auto *const memory = shared_bytes(3 * kPage);
    auto *const words = reinterpret_cast<volatile int *>(memory);
    constexpr std::size_t kStride = kPage / sizeof(int);
    for (std::size_t i = 0; i < 3; ++i) {
        set(address_of(memory) + i * kPage, kPage, kAttributes.at(i));
        words[i * kStride] = static_cast<int>(i) + 1;
    }
    auto child = norma::clone_to(node_after(1));
    for (std::size_t i = 0; i < 3; ++i) {
        const auto info = REGION_AT(child.port(), address_of(memory) + i * kPage);
        CHECK_EQ(kAttributes.at(i), info.inheritance);
        CHECK(info.shared);
        CHECK(REGION_AT(mach_task_self(), address_of(memory) + i * kPage).shared);
    }
    child.run([=] {
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK_EQ(static_cast<int>(i) + 1, words[i * kStride]);
            CHECK_EQ(i, std::size_t{REGION_AT(mach_task_self(), address_of(memory) + i * kPage).inheritance});
            words[i * kStride] = words[i * kStride] + 10;
        }
    });
    JOIN(child);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK_EQ(static_cast<int>(i) + 11, words[i * kStride]);
    }
    // What the parent changes from now on is its own affair.
    auto other = norma::clone_to(node_after(1));
    set(address_of(memory), 3 * kPage, VM_INHERIT_NONE);
    CHECK_EQ(VM_INHERIT_SHARE, REGION_AT(other.port(), address_of(memory)).inheritance);
    return 0;
}

SYSTEM_CASE(clone_without_memory) {
    auto *const memory = shared_bytes(kPage);
    memory[0] = std::byte{1};
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(mach_task_self(), FALSE, node_after(1), &child));
    CHECK_NO_MEMORY(child);
    // It can be given memory, and runs.
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(child, &address, kPage, TRUE));
    thread_t thread = THREAD_NULL;
    const auto entry = [](void *place) { norma_exit(*static_cast<int *>(place) + 7); };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(child, entry, reinterpret_cast<void *>(address), 0, &thread));
    CHECK_EQ(7 << 8, END_OF(child));
    return 0;
}

SYSTEM_CASE(clone_protection) {
    auto *const memory = shared_bytes(2 * kPage);
    memory[0] = std::byte{5};
    CHECK_KERN(KERN_SUCCESS, vm_protect(mach_task_self(), address_of(memory), kPage, FALSE, VM_PROT_READ));
    CHECK_KERN(KERN_SUCCESS, vm_protect(mach_task_self(), address_of(memory), kPage, TRUE, VM_PROT_READ));
    auto child = norma::clone_to(node_after(1));
    const auto info = REGION_AT(child.port(), address_of(memory));
    CHECK_EQ(VM_PROT_READ, info.protection);
    CHECK_EQ(VM_PROT_READ, info.max_protection);
    CHECK_EQ(VM_PROT_DEFAULT, REGION_AT(child.port(), address_of(memory) + kPage).protection);
    child.run([memory] {
        CHECK(memory[0] == std::byte{5});
        CHECK_KERN(KERN_PROTECTION_FAILURE,
                   vm_protect(mach_task_self(), address_of(memory), kPage, FALSE, VM_PROT_DEFAULT));
        memory[kPage] = std::byte{6};
        *const_cast<volatile std::byte *>(memory) = std::byte{7};
    });
    CHECK_EQ(SIGSEGV, END_OF(child.release()));
    CHECK(memory[0] == std::byte{5} && memory[kPage] == std::byte{6});
    return 0;
}

namespace {

struct Family {
    std::atomic<int> generations, go;
};

// A line of descendants, each on the next node and with a page of its own that all later ones have.
void descend(Family *family, std::array<std::atomic<int> *, 4> pages, std::size_t generation) {
    for (std::size_t i = 0; i < generation; ++i) {
        CHECK_EQ(static_cast<int>(i) + 100, pages.at(i)->load());
    }
    if (generation < pages.size()) {
        pages.at(generation) = shared<std::atomic<int>>();
        *pages.at(generation) = static_cast<int>(generation) + 100;
        auto child = norma::clone_to((norma::this_node() + 1) % norma::node_count());
        child.run([=] { descend(family, pages, generation + 1); });
        child.release(); // it outlives this task
        family->generations.fetch_add(1);
        if (generation > 0) {
            return; // and is there no more when its descendants read its page
        }
    } else {
        CHECK_SOON(family->go == 1);
        for (auto *page : pages) {
            page->fetch_add(1000);
        }
        family->generations.fetch_add(1);
    }
}

} // namespace

SYSTEM_CASE(clone_generations) {
    auto *family = shared<Family>();
    descend(family, {}, 0);
    CHECK_SOON(family->generations == 4);
    family->go = 1;
    CHECK_SOON(family->generations == 5);
    return 0;
}

// Memory lives on when the task that made it is ended, with data that was on its node alone.
SYSTEM_CASE(clone_parent_dies) {
    auto *sum = shared<std::atomic<long>>();
    auto *ready = shared<std::atomic<int>>();
    auto parent = norma::clone_to(node_after(1));
    vm_address_t made = 0;
    constexpr std::size_t kPages = 100;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(parent.port(), &made, kPages * kPage, TRUE));
    parent.start([=] {
        for (std::size_t i = 0; i < kPages; ++i) {
            *reinterpret_cast<volatile long *>(made + i * kPage) = static_cast<long>(i);
        }
        *ready = 1;
    });
    CHECK_SOON(*ready == 1);
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(parent.port(), TRUE, node_after(2), &child)); // by port, to a third node
    int node = -1;
    CHECK_KERN(KERN_SUCCESS, norma_port_location_hint(mach_task_self(), child, &node));
    CHECK_EQ(node_after(2), node);
    const auto dead = parent.port();
    parent.terminate();
    CHECK_KERN(KERN_INVALID_TASK, norma_task_clone(dead, TRUE, 0, &child));
    struct Order {
        vm_address_t made;
        std::atomic<long> *sum;
    };
    // The child has no memory made since, so the order travels in a page that it has.
    auto *order = reinterpret_cast<Order *>(reinterpret_cast<std::byte *>(ready) + 64);
    *order = {made, sum};
    thread_t thread = THREAD_NULL;
    const auto add_up = [](void *place) {
        const auto *given = static_cast<Order *>(place);
        for (std::size_t i = 0; i < kPages; ++i) {
            given->sum->fetch_add(*reinterpret_cast<volatile long *>(given->made + i * kPage));
        }
        norma_exit(3);
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(child, add_up, order, 0, &thread));
    CHECK_EQ(3 << 8, END_OF(child));
    CHECK_EQ(static_cast<long>(kPages * (kPages - 1) / 2), sum->load());
    return 0;
}

SYSTEM_CASE(clone_errors) {
    task_t child = 0x1234;
    for (const int node : {-1, norma::node_count(), 1 << 16, 1 << 30}) {
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_clone(mach_task_self(), TRUE, node, &child));
    }
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_clone(mach_task_self(), TRUE, 0, nullptr));
    for (const task_t parent : {TASK_NULL, task_t{9999}, task_t{mach_host_self()}, task_t{mach_thread_self()}}) {
        CHECK_KERN(KERN_INVALID_TASK, norma_task_clone(parent, TRUE, 0, &child));
    }
    CHECK_EQ(task_t{0x1234}, child);
    std::error_code error;
    const auto none = norma::clone_to(norma::node_count(), error);
    CHECK(error == norma::errc::invalid_argument && !none);
    return 0;
}

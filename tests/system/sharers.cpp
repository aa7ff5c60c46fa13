// SPDX-License-Identifier: BSD-3-Clause
// Who shares what, as vm_region says: with tasks on the same node and on others, of memory of either, and of copies.
#include "tests/system/app.hpp"

#include <array>

namespace {

using systest::self;
using systest::stranger;
using systest::word;

constexpr std::size_t kPage = 4096;

bool shared(task_t task, vm_address_t address) {
    return REGION_AT(task, address).shared != 0;
}

vm_address_t allocate(task_t task) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(task, &address, kPage, TRUE));
    return address;
}

void end(task_t task) {
    CHECK_KERN(KERN_SUCCESS, task_terminate(task));
    END_OF(task);
}

task_t clone_of(task_t task, int node) {
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(task, TRUE, node, &child));
    return child;
}

task_t child_of(task_t task, int node) {
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_create(task, TRUE, node, &child));
    return child;
}

// A task on `home` allocates, its clone is on `other`; whichever goes, the one that is left is alone.
void check_clone(int home, int other) {
    const auto parent = stranger(home).release();
    const auto memory = allocate(parent);
    CHECK(!shared(parent, memory));
    const auto child = clone_of(parent, other);
    CHECK(shared(parent, memory));
    CHECK(shared(child, memory));
    const auto third = clone_of(child, home);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(child, memory, kPage));
    CHECK(shared(parent, memory));
    CHECK(shared(third, memory));
    end(parent);
    CHECK_SOON(!shared(third, memory));
    end(third);
    end(child);
}

// Memory whose home is a node where nobody has it any more.
void check_left_alone(int home, int other) {
    const auto parent = stranger(home).release();
    const auto memory = allocate(parent);
    const auto child = clone_of(parent, other);
    end(parent);
    CHECK_SOON(!shared(child, memory));
    const auto beside = clone_of(child, other);
    CHECK(shared(child, memory));
    CHECK(shared(beside, memory));
    end(beside);
    CHECK_SOON(!shared(child, memory));
    end(child);
}

// A lazy copy on another node than its original, and then on a third one, too.
void check_copy(int home, int other, int third) {
    const auto parent = stranger(home).release();
    const auto memory = allocate(parent);
    const long value = 5;
    CHECK_KERN(KERN_SUCCESS, vm_write(parent, memory, systest::address_of(&value), sizeof value));
    const auto child = child_of(parent, other);
    CHECK_SOON(!shared(child, memory));
    CHECK(!shared(parent, memory));
    const auto clone = clone_of(child, third);
    CHECK(shared(child, memory));
    CHECK(shared(clone, memory));
    CHECK(!shared(parent, memory));
    end(child);
    CHECK_SOON(!shared(clone, memory));
    const auto copy = child_of(clone, other); // a copy of the copy
    CHECK_SOON(!shared(clone, memory) && !shared(copy, memory));
    for (const auto task : {clone, copy, parent}) {
        end(task);
    }
}

} // namespace

SYSTEM_CASE(memory_shared) {
    const int nodes = norma::node_count();
    for (int home = 0; home < nodes; ++home) {
        for (int other = 0; other < nodes; ++other) {
            check_clone(home, other);
            check_left_alone(home, other);
            check_copy(home, other, (other + 1) % nodes);
        }
    }
    const auto mine = allocate(self());
    const auto other = stranger(systest::last_node()).release();
    vm_address_t there = 0;
    vm_prot_t protection = 0, maximum = 0;
    CHECK_KERN(KERN_SUCCESS,
               vm_remap(other, &there, kPage, 0, TRUE, self(), mine, FALSE, &protection, &maximum, VM_INHERIT_NONE));
    CHECK(shared(self(), mine));
    CHECK(shared(other, there));
    const auto child = child_of(other, 0); // which has a hole there
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), mine, kPage));
    CHECK_SOON(!shared(other, there));
    end(child);
    end(other);
    return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
// What must be refused, and by whom: the owner is there and unharmed after each.
#include "tests/one_sided/owner.hpp"

namespace {

using systest::import;
using systest::kBoth;
using systest::OwnerState;
using systest::shared;
using systest::start_owner;
using systest::wait_for_turn;

constexpr vm_size_t kBytes = 100'000; // not whole pages: what is exported ends in the middle of one

void check_alive(norma_region_t region) {
    std::uint64_t word = 0;
    CHECK_KERN(KERN_SUCCESS, norma_get(region, 0, &word, sizeof word));
}

void no_op(OwnerState *s) {
    wait_for_turn(s, 1);
}

} // namespace

SYSTEM_CASE(wrong_key) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, no_op);
    const auto region = import(state->key);
    norma_region_t none = 77;
    for (const int word : {1, 2, 3}) {
        for (const int bit : {0, 17, 63}) {
            auto wrong = state->key;
            wrong.words[word] ^= std::uint64_t{1} << bit;
            CHECK_KERN(KERN_INVALID_CAPABILITY, norma_region_import(&wrong, &none, nullptr, nullptr));
        }
    }
    auto wrong = state->key;
    wrong.words[0] ^= 1; // a task that never was
    CHECK_KERN(KERN_INVALID_TASK, norma_region_import(&wrong, &none, nullptr, nullptr));
    wrong.words[0] = ~std::uint64_t{0}; // on a node that never was
    CHECK_KERN(KERN_INVALID_CAPABILITY, norma_region_import(&wrong, &none, nullptr, nullptr));
    wrong = {};
    CHECK(norma_region_import(&wrong, &none, nullptr, nullptr) != KERN_SUCCESS);
    CHECK_EQ(77U, none);
    char byte = 0;
    CHECK_KERN(KERN_INVALID_VALUE, norma_get(0, 0, &byte, 1));
    CHECK_KERN(KERN_INVALID_VALUE, norma_get(region + 1, 0, &byte, 1));
    CHECK_KERN(KERN_INVALID_VALUE, norma_get(region + (std::uint64_t{1} << 32), 0, &byte, 1));
    check_alive(region);
    CHECK_KERN(KERN_SUCCESS, norma_region_release(region));
    CHECK_KERN(KERN_INVALID_VALUE, norma_region_release(region));
    CHECK_KERN(KERN_INVALID_VALUE, norma_get(region, 0, &byte, 1));
    state->turn = 1;
    JOIN(owner);
    return 0;
}

SYSTEM_CASE(out_of_bounds) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kBytes, kBoth, no_op);
    const auto region = import(state->key);
    static char bytes[2 * kBytes];
    const struct {
        vm_offset_t offset;
        vm_size_t bytes;
    } wrong[] = {{kBytes, 1},          {kBytes - 1, 2},           {0, kBytes + 1},          {kBytes + 4096, 8},
                 {~vm_offset_t{0}, 1}, {~vm_offset_t{0} - 7, 16}, {vm_offset_t{1} << 40, 8}};
    for (const auto &access : wrong) {
        CHECK_KERN(KERN_INVALID_ADDRESS, norma_get(region, access.offset, bytes, access.bytes));
        CHECK_KERN(KERN_INVALID_ADDRESS, norma_put(region, access.offset, bytes, access.bytes));
        check_alive(region);
    }
    CHECK_KERN(KERN_SUCCESS, norma_get(region, kBytes, bytes, 0));
    CHECK_KERN(KERN_SUCCESS, norma_put(region, kBytes - 1, bytes, 1));
    for (const vm_offset_t offset : {kBytes, kBytes - 7, vm_size_t{1}, vm_size_t{4}, ~vm_size_t{7}}) {
        std::uint64_t before = 5;
        CHECK_KERN(KERN_INVALID_ADDRESS, norma_fetch_add(region, offset, 1, &before));
        CHECK_KERN(KERN_INVALID_ADDRESS, norma_compare_swap(region, offset, 0, 1, &before));
        CHECK_EQ(5U, before);
    }
    // A large one out of bounds is refused as a whole: its first bytes do not arrive.
    bytes[0] = 1;
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_put(region, 0, bytes, 2 * kBytes));
    CHECK_KERN(KERN_SUCCESS, norma_get(region, 0, bytes, 1));
    CHECK_EQ(0, static_cast<int>(bytes[0]));
    state->turn = 1;
    JOIN(owner);
    return 0;
}

SYSTEM_CASE(rights) {
    auto *state = shared<OwnerState>();
    std::uint64_t word = 0;
    {
        auto owner = start_owner(1, state, kBytes, VM_PROT_READ, no_op);
        const auto region = import(state->key);
        CHECK_KERN(KERN_SUCCESS, norma_get(region, 0, &word, sizeof word));
        CHECK_KERN(KERN_PROTECTION_FAILURE, norma_put(region, 0, &word, sizeof word));
        CHECK_KERN(KERN_PROTECTION_FAILURE, norma_fetch_add(region, 0, 1, &word));
        CHECK_KERN(KERN_PROTECTION_FAILURE, norma_compare_swap(region, 0, 0, 1, &word));
        check_alive(region);
        state->turn = 1;
        JOIN(owner);
    }
    auto owner = start_owner(1, state, kBytes, VM_PROT_WRITE, no_op);
    const auto region = import(state->key);
    CHECK_KERN(KERN_SUCCESS, norma_put(region, 0, &word, sizeof word));
    CHECK_KERN(KERN_PROTECTION_FAILURE, norma_get(region, 0, &word, sizeof word));
    CHECK_KERN(KERN_PROTECTION_FAILURE, norma_fetch_add(region, 0, 1, &word));
    state->turn = 1;
    JOIN(owner);
    return 0;
}

SYSTEM_CASE(export_errors) {
    norma_key_t key{};
    const auto task = mach_task_self();
    const auto host = mach_host_self();
    vm_address_t plain = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(task, &plain, 4 * 4096, TRUE));
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_region_export(plain, 4096, VM_PROT_READ, &key));
    CHECK_KERN(KERN_SUCCESS, vm_wire(host, task, plain + 4096, 4096, VM_PROT_READ));
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_region_export(plain + 4095, 2, VM_PROT_READ, &key));
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_region_export(plain + 8191, 2, VM_PROT_READ, &key));
    CHECK_KERN(KERN_PROTECTION_FAILURE, norma_region_export(plain + 4096, 8, VM_PROT_WRITE, &key));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_region_export(plain + 4096, 0, VM_PROT_READ, &key));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_region_export(plain + 4096, 8, VM_PROT_NONE, &key));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_region_export(plain + 4096, 8, VM_PROT_EXECUTE, &key));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_region_export(plain + 4096, 8, VM_PROT_READ, nullptr));
    CHECK_KERN(KERN_SUCCESS, norma_region_export(plain + 4097, 4095, VM_PROT_READ, &key));
    CHECK_KERN(KERN_SUCCESS, norma_region_withdraw(&key));
    CHECK_KERN(KERN_INVALID_CAPABILITY, norma_region_withdraw(&key));

    CHECK_KERN(KERN_SUCCESS, vm_wire(host, task, plain, 0, kBoth));
    CHECK_KERN(KERN_INVALID_HOST, vm_wire(MACH_PORT_NULL, task, plain, 4096, kBoth));
    CHECK_KERN(KERN_INVALID_TASK, vm_wire(host, MACH_PORT_NULL, plain, 4096, kBoth));
    CHECK_KERN(KERN_INVALID_ARGUMENT, vm_wire(host, task, plain, 4096, VM_PROT_EXECUTE));
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_wire(host, task, plain, ~vm_size_t{0}, kBoth));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(task, plain + 2 * 4096, 4096));
    CHECK_KERN(KERN_INVALID_ADDRESS, vm_wire(host, task, plain, 4 * 4096, kBoth));
    CHECK_KERN(KERN_SUCCESS, vm_protect(task, plain, 4096, FALSE, VM_PROT_READ));
    CHECK_KERN(KERN_PROTECTION_FAILURE, vm_wire(host, task, plain, 4096, kBoth));
    // Memory of another node's.
    auto other = systest::spawn(1, [plain] {
        CHECK_KERN(KERN_INVALID_HOST, vm_wire(mach_host_self(), mach_task_self(), plain, 4096, VM_PROT_READ));
    });
    JOIN(other);
    return 0;
}

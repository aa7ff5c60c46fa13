// SPDX-License-Identifier: BSD-3-Clause
// What is allowed while pages are wired.
#include "tests/one_sided/owner.hpp"

#include <csetjmp>
#include <vector>

namespace {

using systest::import;
using systest::kBoth;
using systest::OwnerState;
using systest::shared;
using systest::shared_bytes;
using systest::start_owner;
using systest::wait_for_turn;

sigjmp_buf after_fault;
volatile std::sig_atomic_t fault_signal;

void on_fault(int signal) {
    fault_signal = signal;
    siglongjmp(after_fault, 1);
}

template <class Touch> int signal_of(Touch touch) {
    struct sigaction action {};
    action.sa_handler = on_fault;
    sigaction(SIGBUS, &action, nullptr);
    fault_signal = 0;
    if (sigsetjmp(after_fault, 1) == 0) {
        touch();
    }
    std::signal(SIGBUS, SIG_DFL);
    return fault_signal;
}

vm_address_t address_of(const volatile void *pointer) {
    return reinterpret_cast<vm_address_t>(pointer);
}

} // namespace

// Other nodes do not get wired pages, whether they have held them before or not, and get the others as ever.
SYSTEM_CASE(coherent_access_refused) {
    constexpr std::size_t kPage = 4096, kPages = 20;
    auto *bytes = reinterpret_cast<volatile unsigned char *>(shared_bytes(kPages * kPage));
    auto *turn = shared<std::atomic<int>>();
    for (std::size_t page = 0; page < kPages; ++page) {
        bytes[page * kPage] = static_cast<unsigned char>(page);
    }
    auto other = systest::spawn(1, [bytes, turn] {
        bytes[5 * kPage] = 50;                           // the only copy is here
        CHECK_EQ(6, static_cast<int>(bytes[6 * kPage])); // and a second one of this
        *turn = 1;
        CHECK_SOON(*turn == 2);
        CHECK_EQ(SIGBUS, signal_of([bytes] { (void)bytes[5 * kPage]; }));
        CHECK_EQ(SIGBUS, signal_of([bytes] { bytes[6 * kPage] = 1; }));
        CHECK_EQ(SIGBUS, signal_of([bytes] { (void)bytes[7 * kPage]; }));
        for (const std::size_t page : {0, 1, 2, 3, 4, 10, 11, 12}) { // fetching ahead stops before the wired ones
            CHECK_EQ(page, static_cast<std::size_t>(bytes[page * kPage]));
        }
        *turn = 3;
        CHECK_SOON(*turn == 4);
        CHECK_EQ(9, static_cast<int>(bytes[9 * kPage]));                  // wired, but not touched then
        CHECK_EQ(SIGBUS, signal_of([bytes] { (void)bytes[5 * kPage]; })); // that one stays as it was
    });
    CHECK_SOON(*turn == 1);
    CHECK_KERN(KERN_SUCCESS,
               vm_wire(mach_host_self(), mach_task_self(), address_of(bytes + 5 * kPage), 5 * kPage, kBoth));
    CHECK_EQ(50, static_cast<int>(bytes[5 * kPage]));
    CHECK_EQ(6, static_cast<int>(bytes[6 * kPage]));
    *turn = 2;
    CHECK_SOON(*turn == 3);
    bytes[8 * kPage] = 80; // as ever
    CHECK_KERN(KERN_SUCCESS,
               vm_wire(mach_host_self(), mach_task_self(), address_of(bytes), kPages * kPage, VM_PROT_NONE));
    *turn = 4;
    JOIN(other);
    auto third = systest::spawn(norma::node_count() - 1, [bytes] {
        CHECK_EQ(50, static_cast<int>(bytes[5 * kPage]));
        CHECK_EQ(80, static_cast<int>(bytes[8 * kPage]));
    });
    JOIN(third);
    return 0;
}

// Nodes that write pages all the time while they are being wired: what is wired is the last that was written.
SYSTEM_CASE(wiring_under_fire) {
    constexpr std::size_t kPage = 4096, kPages = 100;
    struct State {
        std::atomic<int> started;
        std::atomic<std::uint64_t> written[256]; // by each node: up to this one, every page holds it or a later one
    };
    auto *state = shared<State>();
    auto *words = reinterpret_cast<volatile std::uint64_t *>(shared_bytes(kPages * kPage));
    std::vector<norma::task> writers;
    for (int node = 1; node < norma::node_count(); ++node) {
        writers.push_back(systest::spawn(node, [words, state, node] {
            ++state->started;
            struct sigaction action {};
            action.sa_handler = [](int) { ::_exit(7); }; // the end that is wanted
            sigaction(SIGBUS, &action, nullptr);
            for (std::uint64_t round = 1;; ++round) {
                for (std::size_t page = 0; page < kPages; ++page) {
                    words[page * kPage / 8 + static_cast<std::size_t>(node)] = round;
                }
                state->written[node] = round;
            }
        }));
    }
    CHECK_SOON(state->started == norma::node_count() - 1 && state->written[1] > 2);
    CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), mach_task_self(), address_of(words), kPages * kPage, kBoth));
    std::vector<std::uint64_t> seen;
    for (std::size_t word = 0; word < kPages * kPage / 8; ++word) {
        seen.push_back(std::uint64_t{words[word]});
    }
    for (auto &writer : writers) {
        JOIN(writer, 7);
    }
    for (std::size_t word = 0; word < seen.size(); ++word) {
        CHECK_EQ(seen[word], std::uint64_t{words[word]});
    }
    for (int node = 1; node < norma::node_count(); ++node) {
        for (std::size_t page = 0; page < kPages; ++page) {
            CHECK(words[page * kPage / 8 + static_cast<std::size_t>(node)] >= state->written[node]);
        }
    }
    return 0;
}

// The owner computes, or is stopped; its accesses are carried out all the same. And its thread for that does not show.
SYSTEM_CASE(owner_takes_no_part) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, 4096, kBoth, [](OwnerState *s) {
        auto *word = reinterpret_cast<std::atomic<std::uint64_t> *>(s->address);
        while (word->load() != 12) { // no call of the library
        }
        s->ready = 2;
        wait_for_turn(s, 1);
    });
    const auto region = import(state->key);
    std::uint64_t before = 0;
    CHECK_KERN(KERN_SUCCESS, norma_fetch_add(region, 0, 5, &before));
    CHECK_KERN(KERN_SUCCESS, task_suspend(owner.port()));
    CHECK_KERN(KERN_SUCCESS, norma_fetch_add(region, 0, 7, &before));
    CHECK_EQ(5U, before);
    CHECK_EQ(1, state->ready.load());
    thread_act_array_t list = nullptr;
    mach_msg_type_number_t count = 0;
    CHECK_KERN(KERN_SUCCESS, task_threads(owner.port(), &list, &count));
    CHECK_EQ(1U, count);
    CHECK_KERN(KERN_SUCCESS, task_resume(owner.port()));
    CHECK_SOON(state->ready == 2);
    state->turn = 1;
    JOIN(owner);
    return 0;
}

SYSTEM_CASE(protection_and_regions) {
    constexpr vm_size_t kPage = 4096;
    const auto task = mach_task_self();
    const auto address = systest::wired_memory(4 * kPage);
    CHECK_EQ(1, static_cast<int>(REGION_AT(task, address).user_wired_count));
    norma_key_t key{};
    CHECK_KERN(KERN_SUCCESS, norma_region_export(address, 4 * kPage, kBoth, &key));
    const auto region = import(key); // of oneself: allowed
    std::uint64_t word = 3;
    CHECK_KERN(KERN_SUCCESS, norma_put(region, 8, &word, sizeof word));
    CHECK_EQ(3U, reinterpret_cast<std::uint64_t *>(address)[1]);
    CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(task, address + kPage, kPage, FALSE, VM_PROT_READ));
    CHECK_KERN(KERN_SUCCESS, norma_put(region, kPage, &word, sizeof word));
    // Wiring for less ends the export; unwiring a part leaves the rest.
    CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), task, address, 4 * kPage, VM_PROT_READ));
    CHECK_KERN(KERN_INVALID_CAPABILITY, norma_get(region, 0, &word, sizeof word));
    CHECK_KERN(KERN_PROTECTION_FAILURE, norma_region_export(address, kPage, kBoth, &key));
    CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), task, address + kPage, kPage, VM_PROT_NONE));
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_region_export(address, 2 * kPage, VM_PROT_READ, &key));
    CHECK_KERN(KERN_SUCCESS, norma_region_export(address, kPage, VM_PROT_READ, &key));
    CHECK_KERN(KERN_SUCCESS, norma_region_export(address + 2 * kPage, 2 * kPage, VM_PROT_READ, &key));
    CHECK_EQ(0, static_cast<int>(REGION_AT(task, address).user_wired_count));
    CHECK_KERN(KERN_SUCCESS, vm_protect(task, address + kPage, kPage, FALSE, VM_PROT_READ));
    return 0;
}

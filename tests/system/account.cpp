// SPDX-License-Identifier: BSD-3-Clause
// A program of which is known where its time goes: account_test looks whether the nodes say so.
#include "tests/system/app.hpp"

#include <chrono>
#include <thread>

namespace {

constexpr std::size_t kPages = 512, kPage = 4096;

struct Meeting {
    norma::barrier barrier;
    std::atomic<int> waits;
};

} // namespace

// Node 0 waits for node 1, which sleeps for a second meanwhile, and then reads pages of node 0's one by one.
SYSTEM_CASE(account) {
    auto *pages = systest::shared_bytes(kPages * kPage);
    for (std::size_t page = 0; page < kPages; ++page) {
        pages[page * kPage] = std::byte{1};
    }
    auto *meeting = systest::shared<Meeting>();
    meeting->barrier = norma::barrier::create(2);
    auto child = systest::spawn(1, [pages, meeting] {
        CHECK_SOON(meeting->waits.load() == 1);
        // A call and then, without a fault in between, the sleep. Each page will be a fault.
        CHECK_KERN(KERN_SUCCESS,
                   vm_behavior_set(systest::self(), systest::address_of(pages), kPages * kPage, VM_BEHAVIOR_RANDOM));
        std::this_thread::sleep_for(std::chrono::seconds(1));
        meeting->barrier.wait();
        int sum = 0;
        for (std::size_t page = 0; page < kPages; ++page) {
            sum += std::to_integer<int>(pages[page * kPage]);
        }
        CHECK_EQ(static_cast<int>(kPages), sum);
    });
    meeting->waits.store(1);
    meeting->barrier.wait();
    JOIN(child);
    return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
// What the tests of other kernels ask of such calls, where no case of ours did; README.md says which is which.
#include "tests/system/create.hpp"

#include <array>
#include <limits>
#include <vector>

namespace {

using systest::address_of;
using systest::child_of_mine;
using systest::kWindow;
using systest::kWindowSize;
using systest::Maker;
using systest::shared_bytes;
using systest::spawn;
using systest::truly_shared;

constexpr vm_size_t kPage = systest::kPageBytes;
constexpr auto kMost = std::numeric_limits<vm_size_t>::max();

volatile std::uint64_t &word_at(vm_address_t address) {
    return *reinterpret_cast<volatile std::uint64_t *>(address);
}

vm_address_t allocate(vm_size_t bytes) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(mach_task_self(), &address, bytes, TRUE));
    return address;
}
kern_return_t allocate_at(vm_address_t address, vm_size_t bytes) {
    return vm_allocate(mach_task_self(), &address, bytes, FALSE);
}
void deallocate(vm_address_t address, vm_size_t bytes) {
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), address, bytes));
}

// ---- Every combination of reads and writes before and after a copy is made ------------------------------------------

enum class Does : std::uint8_t { nothing, reads, writes };
constexpr std::array kAll{Does::nothing, Does::reads, Does::writes};

struct CowPage {
    Does before, parent, child; // what is done before the child is made, and what each does then
    bool child_first;
};

constexpr std::uint64_t kBefore = 1, kParent = 2, kChild = 3;

std::vector<CowPage> cow_pages() {
    std::vector<CowPage> pages;
    for (const auto before : kAll) {
        for (const auto parent : kAll) {
            for (const auto child : kAll) {
                pages.push_back({before, parent, child, false});
                pages.push_back({before, parent, child, true});
            }
        }
    }
    return pages;
}

std::uint64_t value_before(const CowPage &page) {
    return page.before == Does::writes ? kBefore : 0;
}

void act(Does what, vm_address_t address, std::uint64_t expected, std::uint64_t written) {
    if (what == Does::reads) {
        CHECK_EQ(expected, std::uint64_t{word_at(address)});
    } else if (what == Does::writes) {
        word_at(address) = written;
    }
}

void check_cow(const Maker &maker) {
    const auto pages = cow_pages();
    const auto base = address_of(shared_bytes(pages.size() * kPage));
    auto *const turn = truly_shared<std::atomic<int>>();
    for (std::size_t i = 0; i < pages.size(); ++i) {
        act(pages[i].before, base + i * kPage, 0, kBefore);
    }
    const auto child = child_of_mine(maker, [=] {
        const auto mine = cow_pages();
        for (const bool first : {true, false}) {
            CHECK_SOON(*turn == (first ? 1 : 3));
            for (std::size_t i = 0; i < mine.size(); ++i) {
                if (mine[i].child_first == first) {
                    act(mine[i].child, base + i * kPage, value_before(mine[i]), kChild);
                }
            }
            turn->fetch_add(1);
        }
        CHECK_SOON(*turn == 5);
        for (std::size_t i = 0; i < mine.size(); ++i) {
            const auto expected = mine[i].child == Does::writes ? kChild : value_before(mine[i]);
            CHECK_EQ(expected, std::uint64_t{word_at(base + i * kPage)});
        }
    });
    for (const bool parent_first : {true, false}) {
        CHECK_SOON(*turn == (parent_first ? 0 : 2));
        for (std::size_t i = 0; i < pages.size(); ++i) {
            if (pages[i].child_first != parent_first) {
                act(pages[i].parent, base + i * kPage, value_before(pages[i]), kParent);
            }
        }
        turn->fetch_add(1);
    }
    CHECK_SOON(*turn == 4);
    for (std::size_t i = 0; i < pages.size(); ++i) {
        const auto expected = pages[i].parent == Does::writes ? kParent : value_before(pages[i]);
        CHECK_EQ(expected, std::uint64_t{word_at(base + i * kPage)});
    }
    *turn = 5;
    CHECK_EQ(0, END_OF(child));
    deallocate(base, pages.size() * kPage);
}

// ---- Allocation ---------------------------------------------------------------------------------------------------

// Whatever the size: aligned, whole pages of zeros, all of it usable, and nothing else fits on any part of it.
void check_size(vm_size_t bytes) {
    const auto address = allocate(bytes);
    const vm_size_t pages = (bytes + kPage - 1) / kPage;
    CHECK_EQ(vm_address_t{0}, address % kPage);
    for (vm_address_t at = address; at < address + pages * kPage; at += sizeof(std::uint64_t)) {
        CHECK_EQ(std::uint64_t{0}, std::uint64_t{word_at(at)});
        word_at(at) = at;
    }
    const auto check_taken = [&] {
        for (vm_address_t at = address + kPage - pages * kPage; at < address + pages * kPage; at += kPage) {
            CHECK_EQ(KERN_NO_SPACE, allocate_at(at, bytes));
        }
    };
    check_taken();
    CHECK_KERN(KERN_SUCCESS, vm_protect(mach_task_self(), address, bytes, FALSE, VM_PROT_NONE));
    check_taken(); // also if nobody may look at it
    CHECK_KERN(KERN_SUCCESS, vm_protect(mach_task_self(), address, bytes, FALSE, VM_PROT_READ));
    for (vm_address_t at = address; at < address + pages * kPage; at += sizeof(std::uint64_t)) {
        CHECK_EQ(std::uint64_t{at}, std::uint64_t{word_at(at)});
    }
    deallocate(address + 1, bytes - 1); // whatever it touches
    CHECK_EQ(KERN_SUCCESS, allocate_at(address, bytes));
    CHECK_EQ(std::uint64_t{0}, std::uint64_t{word_at(address)});
    deallocate(address, 1); // the first page
    CHECK_EQ(KERN_SUCCESS, allocate_at(address, kPage));
    deallocate(address, pages * kPage);
}

// The lowest gap that is big enough.
void check_first_fit() {
    std::array<vm_address_t, 5> pieces{};
    for (auto &piece : pieces) {
        piece = allocate(2 * kPage);
    }
    for (std::size_t i = 1; i < pieces.size(); ++i) {
        CHECK(pieces.at(i) > pieces.at(i - 1));
    }
    deallocate(pieces[3], 2 * kPage);
    deallocate(pieces[1], 2 * kPage);
    const auto large = allocate(3 * kPage);
    CHECK(large > pieces[0] && large != pieces[1] && large != pieces[3]);
    CHECK_EQ(pieces[1], allocate(2 * kPage));
    CHECK_EQ(pieces[3], allocate(2 * kPage));
    for (const auto piece : pieces) {
        deallocate(piece, 2 * kPage);
    }
    deallocate(large, 3 * kPage);
}

// Pages 2, 5 and 6 of eight are free: every range of them, with the two next to them on either side.
void check_partial_holes() {
    const vm_address_t base = kWindow + kWindowSize - 64 * kPage;
    CHECK_EQ(KERN_SUCCESS, allocate_at(base, 8 * kPage));
    const auto is_free = [](vm_size_t page) { return page == 2 || page == 5 || page == 6 || page > 7; };
    for (vm_size_t page = 0; page < 8; ++page) {
        word_at(base + page * kPage) = page + 1;
        if (is_free(page)) {
            deallocate(base + page * kPage, kPage);
        }
    }
    for (vm_size_t first = 0; first < 10; ++first) {
        bool fits = true;
        for (vm_size_t count = 1; first + count <= 10; ++count) {
            fits = fits && is_free(first + count - 1);
            CHECK_EQ(fits ? KERN_SUCCESS : KERN_NO_SPACE, allocate_at(base + first * kPage, count * kPage));
            if (fits) {
                CHECK_EQ(std::uint64_t{0}, std::uint64_t{word_at(base + first * kPage)});
                word_at(base + first * kPage) = 77;
                deallocate(base + first * kPage, count * kPage);
            }
        }
    }
    for (vm_size_t page = 0; page < 8; ++page) {
        if (!is_free(page)) {
            CHECK_EQ(std::uint64_t{page + 1}, std::uint64_t{word_at(base + page * kPage)});
        }
    }
    deallocate(base, 8 * kPage);
}

// Ranges whose end is beyond the last address, or the last of the window.
void check_wrap_around() {
    const auto self = mach_task_self();
    const auto address = allocate(kPage);
    word_at(address) = 5;
    const vm_address_t last = kMost - (kPage - 1);
    for (const auto &[start, size] : {std::pair{address, kMost - kPage}, std::pair{address, kMost},
                                      std::pair{last, 2 * kPage}, std::pair{last, kPage}}) {
        CHECK(allocate_at(start, size) != KERN_SUCCESS);
        CHECK_KERN(KERN_INVALID_ADDRESS, vm_deallocate(self, start, size));
        CHECK_KERN(KERN_INVALID_ADDRESS, vm_protect(self, start, size, FALSE, VM_PROT_NONE));
        CHECK_KERN(KERN_INVALID_ADDRESS, vm_inherit(self, start, size, VM_INHERIT_NONE));
        CHECK_KERN(KERN_INVALID_ADDRESS, vm_behavior_set(self, start, size, VM_BEHAVIOR_RANDOM));
    }
    CHECK_EQ(VM_INHERIT_COPY, REGION_AT(self, address).inheritance);
    CHECK_EQ(VM_PROT_DEFAULT, REGION_AT(self, address).protection);
    CHECK_EQ(std::uint64_t{5}, std::uint64_t{word_at(address)});
    deallocate(address, kPage);
}

} // namespace

SYSTEM_CASE(cow_combinations) {
    check_cow({.how = Maker::How::create, .node = 0});
    for (int node = 0; node < norma::node_count(); ++node) {
        check_cow({.how = Maker::How::create_on, .node = node});
    }
    return 0;
}

// By the first task, and by one on the last node.
SYSTEM_CASE(allocation_grid) {
    const auto check = [] {
        for (const vm_size_t bytes : {vm_size_t{2}, kPage - 1, kPage, kPage + 1, 3 * kPage, 7 * kPage + 1}) {
            check_size(bytes);
        }
        check_first_fit();
        check_partial_holes();
        check_wrap_around();
    };
    check();
    auto child = spawn(norma::node_count() - 1, check);
    JOIN(child);
    return 0;
}

// Many children at once, which compute in their own copies and end in their own ways: each one's parent is told of
// that one, and has its own values still. Then one after the other, very short ones.
SYSTEM_CASE(create_and_exit) {
    constexpr int kChildren = 24;
    auto *const memory = shared_bytes(kPage);
    auto &value = word_at(address_of(memory));
    value = 1000;
    std::array<task_t, kChildren> children{};
    for (int i = 0; i < kChildren; ++i) {
        const Maker maker{.how = Maker::How::create_on, .node = i % norma::node_count()};
        children.at(static_cast<std::size_t>(i)) = child_of_mine(maker, [=] {
            auto &mine = word_at(address_of(memory));
            for (int step = 0; step < i; ++step) {
                mine = mine + 1;
            }
            norma_exit(static_cast<int>(mine) - 1000 + 200); // 200 .. 223
        });
    }
    value = 5;
    for (int i = kChildren - 1; i >= 0; --i) {
        const auto child = children.at(static_cast<std::size_t>(i));
        CHECK_EQ((200 + i) << 8, END_OF(child));
        for (int other = 0; other < i; ++other) {
            CHECK(children.at(static_cast<std::size_t>(other)) != child);
        }
    }
    CHECK_EQ(std::uint64_t{5}, std::uint64_t{value});
    for (int status = 0; status < 256; status += 15) {
        const Maker maker{.how = Maker::How::create_on, .node = status % norma::node_count()};
        CHECK_EQ(status << 8, END_OF(child_of_mine(maker, [=] { norma_exit(status); })));
    }
    return 0;
}

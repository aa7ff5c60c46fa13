// SPDX-License-Identifier: BSD-3-Clause
// What an address map says of a task's memory, besides what is in it, and what others do with it on the way.
#include "tests/migration/moving.hpp"

#include <array>
#include <cstring>

namespace {

using namespace moving;

constexpr vm_size_t kPage = 4096;

vm_address_t allocate(vm_size_t bytes) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(self(), &address, bytes, TRUE));
    return address;
}

std::atomic<long> &word_at(vm_address_t address) {
    return systest::word(address);
}

// Three pages whose children would get one thing each.
SYSTEM_CASE(inheritance_moves) {
    return moved_when_ready(2, [] {
        constexpr std::array kKinds{VM_INHERIT_NONE, VM_INHERIT_COPY, VM_INHERIT_SHARE};
        const auto start = allocate(kKinds.size() * kPage);
        for (std::size_t i = 0; i < kKinds.size(); ++i) {
            CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), start + i * kPage, kPage, kKinds.at(i)));
            word_at(start + i * kPage) = 1;
        }
        be_moved();
        for (std::size_t i = 0; i < kKinds.size(); ++i) {
            CHECK_EQ(kKinds.at(i), REGION_AT(self(), start + i * kPage).inheritance);
        }
        task_t child = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, task_create(self(), nullptr, 0, TRUE, &child));
        for (std::size_t i = 1; i < kKinds.size(); ++i) {
            word_at(start + i * kPage) = 2;
        }
        vm_offset_t data = 0;
        mach_msg_type_number_t count = 0;
        CHECK_KERN(KERN_INVALID_ADDRESS, vm_read(child, start, kPage, &data, &count));
        for (std::size_t i = 1; i < kKinds.size(); ++i) {
            CHECK_KERN(KERN_SUCCESS, vm_read(child, start + i * kPage, kPage, &data, &count));
            CHECK_EQ(static_cast<long>(i), word_at(data).load());
        }
        CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    });
}

// Once the homes of all memory have followed, one node has every part of the heap, and must have room for a copy of
// them.
SYSTEM_CASE(copies_fit_where_all_memory_is) {
    return moved_when_ready(2, [] {
        be_moved();
        for (int i = 0; i < 25; ++i) { // the homes come within a part of that time
            task_t child = TASK_NULL;
            CHECK_KERN(KERN_SUCCESS, task_create(self(), nullptr, 0, TRUE, &child));
            CHECK_KERN(KERN_SUCCESS, task_terminate(child));
            rest(20ms);
        }
    });
}

SYSTEM_CASE(protection_moves) {
    return moved_when_ready(2, [] {
        const auto start = allocate(3 * kPage);
        word_at(start) = 5;
        CHECK_KERN(KERN_SUCCESS, vm_protect(self(), start, kPage, FALSE, VM_PROT_READ));
        CHECK_KERN(KERN_SUCCESS, vm_protect(self(), start + kPage, kPage, TRUE, VM_PROT_NONE));
        be_moved();
        CHECK_EQ(VM_PROT_READ, REGION_AT(self(), start).protection);
        CHECK_EQ(VM_PROT_NONE, REGION_AT(self(), start + kPage).max_protection);
        CHECK_EQ(VM_PROT_DEFAULT, REGION_AT(self(), start + 2 * kPage).protection);
        CHECK_EQ(5L, word_at(start).load());
        const long other = 6;
        const auto source = systest::address_of(&other);
        CHECK_KERN(KERN_PROTECTION_FAILURE, vm_write(self(), start, source, sizeof other));
        CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(self(), start + kPage, kPage, FALSE, VM_PROT_READ));
        CHECK_KERN(KERN_SUCCESS, vm_protect(self(), start, kPage, FALSE, VM_PROT_DEFAULT));
        word_at(start) = 6;
    });
}

// A page of a copy comes when it is written: some are before a move, some after, and some are on neither side.
SYSTEM_CASE(lazy_copies_move) {
    constexpr std::size_t kPages = 64;
    const auto original = allocate(kPages * kPage);
    for (std::size_t i = 0; i < kPages; ++i) {
        word_at(original + i * kPage) = 1;
    }
    over = false;
    static vm_address_t where;
    where = original;
    auto child = systest::spawn(0, [] {
        vm_address_t copy = 0;
        vm_prot_t now = 0, most = 0;
        CHECK_KERN(KERN_SUCCESS,
                   vm_remap(self(), &copy, kPages * kPage, 0, TRUE, self(), where, TRUE, &now, &most, VM_INHERIT_NONE));
        for (std::size_t i = 0; i < kPages; i += 4) {
            word_at(copy + i * kPage) = 2;
        }
        be_moved();
        for (std::size_t i = 0; i < kPages; ++i) {
            CHECK_EQ(i % 4 == 0 ? 2L : 1L, word_at(copy + i * kPage).load());
            word_at(copy + i * kPage) = 4;
        }
    });
    CHECK_SOON(ready == 1);
    for (std::size_t i = 0; i < kPages; i += 2) {
        word_at(original + i * kPage) = 3;
    }
    move_about(child.port(), 3);
    over = true;
    JOIN(child);
    for (std::size_t i = 0; i < kPages; ++i) {
        CHECK_EQ(i % 2 == 0 ? 3L : 1L, word_at(original + i * kPage).load());
    }
    return 0;
}

SYSTEM_CASE(one_memory_at_two_addresses_moves) {
    return moved_while(4, [] {
        const auto one = allocate(4 * kPage);
        vm_address_t other = 0;
        vm_prot_t now = 0, most = 0;
        CHECK_KERN(KERN_SUCCESS,
                   vm_remap(self(), &other, 4 * kPage, 0, TRUE, self(), one, FALSE, &now, &most, VM_INHERIT_SHARE));
        CHECK(one != other);
        for (long i = 0; !over; ++i) {
            const auto offset = static_cast<vm_size_t>(i) % 4 * kPage;
            word_at(one + offset) = i;
            CHECK_EQ(i, word_at(other + offset).load());
            word_at(other + offset) = -i;
            CHECK_EQ(-i, word_at(one + offset).load());
        }
    });
}

// Who shares nothing else with the task writes there, too.
SYSTEM_CASE(named_object_moves) {
    static constexpr auto map = [] {
        vm_size_t size = kPage;
        memory_object_t object = MACH_PORT_NULL;
        vm_address_t address = 0;
        CHECK_KERN(KERN_SUCCESS, norma_object_open("shared by name", &size, &object));
        CHECK_KERN(KERN_SUCCESS, vm_map(self(), &address, kPage, 0, TRUE, object, 0, FALSE, VM_PROT_DEFAULT,
                                        VM_PROT_ALL, VM_INHERIT_NONE));
        CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self(), object));
        return address;
    };
    static std::atomic<long> added;
    added = 0;
    over = false;
    auto child = systest::spawn(0, [] {
        for (const auto mine = map(); !over;) {
            ++word_at(mine);
            ++added;
        }
    });
    const auto mine = map();
    for (int i = 0; i < 4; ++i) {
        for (int k = 0; k < 1000; ++k) {
            ++word_at(mine);
        }
        added += 1000;
        move_to(node_after(i), child.port());
    }
    over = true;
    JOIN(child);
    CHECK_EQ(added.load(), word_at(mine).load());
    CHECK_KERN(KERN_SUCCESS, norma_object_remove("shared by name"));
    return 0;
}

struct Mailbox {
    std::atomic<long> question, answer;
};
std::atomic<vm_address_t> mailbox;

// Others reach the memory that it shares with nobody, by its name, before, while and after it moves.
SYSTEM_CASE(others_read_and_write_its_memory) {
    mailbox = 0;
    over = false;
    auto child = systest::spawn(0, [] {
        auto &mine = *reinterpret_cast<Mailbox *>(allocate(kPage));
        mailbox = systest::address_of(&mine);
        while (!over) {
            mine.answer = mine.question * 2;
        }
    });
    CHECK_SOON(mailbox != 0);
    std::thread mover([task = child.port()] { move_about(task, 4); });
    for (long question = 1; question < 40; ++question) {
        CHECK_KERN(KERN_SUCCESS, vm_write(child.port(), mailbox, systest::address_of(&question), sizeof question));
        CHECK_SOON([&] {
            vm_offset_t data = 0;
            mach_msg_type_number_t count = 0;
            CHECK_KERN(KERN_SUCCESS, vm_read(child.port(), mailbox, sizeof(Mailbox), &data, &count));
            const auto got = reinterpret_cast<const Mailbox *>(data)->answer.load();
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), data, count));
            return got == question * 2;
        }());
    }
    mover.join();
    over = true;
    JOIN(child);
    return 0;
}

// Copies of all of its memory, made while it moves: each is of one moment.
SYSTEM_CASE(copies_of_it_are_of_one_moment) {
    static std::atomic<vm_address_t> place;
    place = 0;
    over = false;
    auto child = systest::spawn(0, [] {
        const auto mine = allocate(2 * kPage);
        CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), mine, 2 * kPage, VM_INHERIT_COPY));
        place = mine;
        for (long i = 1; !over; ++i) {
            word_at(mine) = i;
            word_at(mine + kPage) = i;
        }
    });
    CHECK_SOON(place != 0);
    for (int i = 0; i < 4; ++i) {
        std::thread mover([task = child.port(), i] { move_to(node_after(i), task); });
        task_t copy = TASK_NULL;
        auto status = norma_task_create(child.port(), TRUE, i % norma::node_count(), &copy);
        mover.join();
        CHECK_KERN(KERN_SUCCESS, status);
        vm_offset_t data = 0;
        mach_msg_type_number_t count = 0;
        CHECK_KERN(KERN_SUCCESS, vm_read(copy, place, 2 * kPage, &data, &count));
        const auto first = word_at(data).load(), second = word_at(data + kPage).load();
        CHECK(first == second || first == second + 1);
        CHECK_KERN(KERN_SUCCESS, task_terminate(copy));
    }
    over = true;
    JOIN(child);
    return 0;
}

} // namespace

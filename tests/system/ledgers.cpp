// SPDX-License-Identifier: BSD-3-Clause
// Ledgers that bind, and security tokens.
#include "tests/system/create.hpp"

#include <array>
#include <fmt/format.h>
#include <string>
#include <vector>

namespace {

using systest::address_of;
using systest::child_of_mine;
using systest::Maker;
using systest::shared_bytes;
using systest::spawn;
using systest::truly_shared;

constexpr std::size_t kPage = systest::kPageBytes;
constexpr vm_size_t kPiece = 1 << 20;
using Array = std::array<ledger_t, NORMA_LEDGER_COUNT>;

ledger_t ledger_of(task_t task, int which) {
    ledger_t ledger = LEDGER_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_get_ledger(task, which, &ledger));
    return ledger;
}

// A ledger for `bytes` under the one that this task draws from.
ledger_t ledger_for(int which, ledger_item_t bytes) {
    const auto mine = ledger_of(mach_task_self(), which);
    ledger_t made = LEDGER_NULL;
    CHECK_KERN(KERN_SUCCESS, ledger_create(mine, mine, &made, bytes));
    return made;
}

struct Reading {
    ledger_item_t balance, limit;
};

Reading read(ledger_t ledger) {
    Reading reading{};
    CHECK_KERN(KERN_SUCCESS, ledger_read(ledger, &reading.balance, &reading.limit));
    return reading;
}

// A child without memory that draws from these.
task_t child_with(Array ledgers) {
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, task_create(mach_task_self(), ledgers.data(), NORMA_LEDGER_COUNT, FALSE, &child));
    return child;
}

int pieces_for(task_t task, vm_address_t *last) {
    int pieces = 0;
    kern_return_t status = KERN_SUCCESS;
    while ((status = vm_allocate(task, last, kPiece, TRUE)) == KERN_SUCCESS) {
        ++pieces;
    }
    CHECK_EQ(KERN_RESOURCE_SHORTAGE, status);
    return pieces;
}

// A ledger of 8 pieces, a task on `node` that draws from it or from its like: exactly 8 can be had there.
void check_eight(task_t task) {
    vm_address_t last = 0;
    CHECK_EQ(8, pieces_for(task, &last));
    const auto ledger = ledger_of(task, NORMA_LEDGER_PAGED);
    CHECK_EQ(8 * kPiece, read(ledger).balance);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(task, last, kPiece));
    CHECK_EQ(7 * kPiece, read(ledger).balance);
    CHECK_KERN(KERN_SUCCESS, vm_allocate(task, &last, kPiece, TRUE));
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, vm_allocate(task, &last, kPage, TRUE));
    CHECK_KERN(KERN_SUCCESS, task_terminate(task));
    CHECK_EQ(ledger_item_t{0}, read(ledger).balance);
}

int last_node() {
    return norma::node_count() - 1;
}

} // namespace

// The quota is one for all tasks that draw from a ledger, per node; what is given back can be had again.
SYSTEM_CASE(ledger_memory) {
    const auto ledger = ledger_for(NORMA_LEDGER_PAGED, 8 * kPiece);
    for (int round = 0; round < 2; ++round) {
        const auto child = child_with({LEDGER_NULL, ledger, LEDGER_NULL});
        CHECK_EQ(LEDGER_ITEM_INFINITY, read(ledger_of(child, NORMA_LEDGER_WIRED)).limit);
        CHECK_EQ(ledger, ledger_of(child, NORMA_LEDGER_PAGED));
        check_eight(child);
    }
    const auto child = child_with({LEDGER_NULL, ledger, LEDGER_NULL});
    vm_address_t last = 0;
    CHECK_EQ(8, pieces_for(child, &last));
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, vm_allocate(child_with({LEDGER_NULL, ledger, LEDGER_NULL}), &last, kPage, TRUE));
    for (int node = 0; node < norma::node_count();
         ++node) { // its children draw from the same, or elsewhere from its like
        task_t grandchild = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_create(child, FALSE, node, &grandchild));
        if (node == norma::this_node()) {
            CHECK_KERN(KERN_RESOURCE_SHORTAGE, vm_allocate(grandchild, &last, kPage, TRUE));
            continue;
        }
        check_eight(grandchild);
        CHECK_KERN(KERN_SUCCESS, norma_task_clone(child, FALSE, node, &grandchild));
        check_eight(grandchild);
    }
    CHECK_EQ(8 * kPiece, read(ledger).balance);
    // More is to be had for who is given more.
    CHECK_KERN(KERN_SUCCESS, ledger_transfer(ledger_of(mach_task_self(), NORMA_LEDGER_PAGED), ledger, kPiece));
    CHECK_EQ(1, pieces_for(child, &last));
    CHECK_KERN(KERN_SUCCESS, ledger_terminate(ledger));
    CHECK_KERN(KERN_INVALID_LEDGER, ledger_read(ledger, nullptr, nullptr));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(child, last, kPiece));
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, vm_allocate(child, &last, kPage, TRUE));
    return 0;
}

// A copy is charged in full, where the memory lives, to who inherits it; what is refused has changed nothing.
SYSTEM_CASE(ledger_copies) {
    constexpr std::size_t kBytes = 4 * kPiece;
    struct Shared {
        std::atomic<int> refused, made;
    };
    auto *const shared = truly_shared<Shared>();
    const auto own = shared_bytes(kBytes);
    systest::set_inheritance(own, kBytes, VM_INHERIT_COPY);
    own[0] = std::byte{1};
    const auto count = [=] { // the stack of this thread is charged, too
        std::vector<task_t> children;
        task_t child = TASK_NULL;
        kern_return_t status = KERN_SUCCESS;
        int node = 0;
        while ((status = norma_task_create(mach_task_self(), TRUE, node, &child)) == KERN_SUCCESS) {
            children.push_back(child);
            node = (node + 1) % norma::node_count();
        }
        CHECK_EQ(KERN_RESOURCE_SHORTAGE, status);
        shared->made = static_cast<int>(children.size());
        own[0] = std::byte{2};
        for (const auto made : children) {
            CHECK_KERN(KERN_SUCCESS, task_terminate(made));
        }
        CHECK_SOON(norma_task_create(mach_task_self(), TRUE, last_node(), &child) == KERN_SUCCESS);
        CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    };
    auto *const place = systest::place_for(count);
    const auto mine = read(ledger_of(mach_task_self(), NORMA_LEDGER_PAGED)).balance; // what a child inherits, and more
    Array ledgers{LEDGER_NULL, ledger_for(NORMA_LEDGER_PAGED, kBytes / 2), LEDGER_NULL};
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, task_create(mach_task_self(), ledgers.data(), 2, TRUE, &child));
    CHECK_EQ(ledger_item_t{0}, read(ledgers[1]).balance);
    ledgers[1] = ledger_for(NORMA_LEDGER_PAGED, 4 * mine);
    CHECK_KERN(KERN_SUCCESS, task_create(mach_task_self(), ledgers.data(), 2, TRUE, &child));
    CHECK(read(ledgers[1]).balance >= kBytes && read(ledgers[1]).balance <= mine);
    CHECK_EQ(mine, read(ledger_of(mach_task_self(), NORMA_LEDGER_PAGED)).balance);
    systest::start_in(child, place);
    CHECK_EQ(0, END_OF(child));
    CHECK(shared->made >= 1 && shared->made <= 4);
    CHECK_SOON(read(ledgers[1]).balance == 0);
    CHECK_EQ(1, std::to_integer<int>(own[0]));
    return 0;
}

// Memory stays charged where it was allocated when its task goes on elsewhere, and goes back there.
SYSTEM_CASE(ledger_teleport) {
    const auto ledger = ledger_for(NORMA_LEDGER_PAGED, 8 * kPiece);
    auto child = child_with({LEDGER_NULL, ledger, LEDGER_NULL});
    vm_address_t first = 0, second = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(child, &first, 6 * kPiece, TRUE));
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(child, TRUE, last_node(), &child));
    const auto there = ledger_of(child, NORMA_LEDGER_PAGED);
    CHECK_EQ(8 * kPiece, read(there).limit);
    CHECK_KERN(KERN_SUCCESS, vm_allocate(child, &second, 7 * kPiece, TRUE));
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, vm_allocate(child, &second, 2 * kPiece, TRUE));
    CHECK_EQ(7 * kPiece, read(there).balance);
    CHECK_EQ(6 * kPiece, read(ledger).balance);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(child, first, 6 * kPiece));
    CHECK_SOON(read(ledger).balance == 0);
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(child, TRUE, 0, &child));
    CHECK_EQ(ledger, ledger_of(child, NORMA_LEDGER_PAGED)); // the same as ever
    CHECK_KERN(KERN_SUCCESS, vm_allocate(child, &first, 8 * kPiece, TRUE));
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, vm_allocate(child, &first, kPage, TRUE));
    CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    CHECK_SOON(read(ledger).balance == 0 && read(there).balance == 0);
    return 0;
}

// No way around a quota: ledgers made under it are a part of it, on every node.
SYSTEM_CASE(ledger_subdivided) {
    const auto top = ledger_for(NORMA_LEDGER_PAGED, 8 * kPiece);
    const auto child = child_with({LEDGER_NULL, top, LEDGER_NULL});
    vm_address_t last = 0;
    task_t remote = TASK_NULL;
    for (int round = 0; round < 3; ++round) {
        ledger_t part = LEDGER_NULL;
        CHECK_KERN(KERN_RESOURCE_SHORTAGE, ledger_create(top, top, &part, 9 * kPiece));
        CHECK_KERN(KERN_RESOURCE_SHORTAGE, ledger_create(top, top, &part, LEDGER_ITEM_INFINITY));
        CHECK_KERN(KERN_SUCCESS, ledger_create(top, top, &part, 5 * kPiece));
        CHECK_EQ(3 * kPiece, read(top).limit);
        Array ledgers{LEDGER_NULL, part, LEDGER_NULL};
        task_t local = TASK_NULL;
        CHECK_KERN(KERN_SUCCESS, task_create(child, ledgers.data(), 3, FALSE, &local));
        CHECK_EQ(5, pieces_for(local, &last));
        const auto status = norma_task_create(local, FALSE, last_node(), &remote);
        if (round == 0) { // later ones would be parts of what the first has taken there
            CHECK_KERN(KERN_SUCCESS, status);
            CHECK_EQ(5, pieces_for(remote, &last));
        } else {
            CHECK_KERN(KERN_RESOURCE_SHORTAGE, status);
        }
        CHECK_KERN(KERN_SUCCESS, task_terminate(local));
        CHECK_KERN(KERN_SUCCESS, ledger_terminate(part));
        CHECK_EQ(8 * kPiece, read(top).limit);
    }
    CHECK_KERN(KERN_SUCCESS, norma_task_create(child, FALSE, last_node(), &remote));
    CHECK_EQ(3, pieces_for(remote, &last));
    return 0;
}

// What is wired is charged once, however often it is asked for, and released in every way in which it ends.
SYSTEM_CASE(ledger_wired) {
    const auto ledger = ledger_for(NORMA_LEDGER_WIRED, 8 * kPage);
    const auto child = child_with({ledger, LEDGER_NULL, LEDGER_NULL});
    vm_address_t memory = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(child, &memory, 16 * kPage, TRUE));
    const auto wire = [&](std::size_t page, std::size_t pages, vm_prot_t access) {
        return vm_wire(mach_host_self(), child, memory + page * kPage, pages * kPage, access);
    };
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, wire(0, 9, VM_PROT_READ));
    CHECK_EQ(ledger_item_t{0}, read(ledger).balance);
    CHECK_KERN(KERN_SUCCESS, wire(0, 8, VM_PROT_READ));
    CHECK_KERN(KERN_SUCCESS, wire(0, 8, VM_PROT_READ | VM_PROT_WRITE));
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, wire(7, 2, VM_PROT_READ));
    CHECK_EQ(8 * kPage, read(ledger).balance);
    CHECK_KERN(KERN_SUCCESS, wire(2, 3, VM_PROT_NONE));
    CHECK_EQ(5 * kPage, read(ledger).balance);
    CHECK_KERN(KERN_SUCCESS, wire(6, 5, VM_PROT_READ)); // two of them are
    CHECK_EQ(8 * kPage, read(ledger).balance);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(child, memory + 10 * kPage, 2 * kPage));
    CHECK_EQ(7 * kPage, read(ledger).balance);
    CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    CHECK_EQ(ledger_item_t{0}, read(ledger).balance);
    return 0;
}

// What a task sends is counted; when it has sent its quota, whatever carries more is refused until it is given more.
SYSTEM_CASE(ledger_network) {
    constexpr ledger_item_t kQuota = 64 << 10;
    const auto ledger = ledger_for(NORMA_LEDGER_NETWORK, kQuota);
    const auto child = child_with({LEDGER_NULL, LEDGER_NULL, ledger});
    task_t made = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(child, FALSE, norma::this_node(), &made));
    CHECK_EQ(ledger_item_t{0}, read(ledger).balance);
    const auto until_refused = [&] {
        kern_return_t status = KERN_SUCCESS;
        int clones = 0;
        for (; (status = norma_task_clone(child, FALSE, last_node(), &made)) == KERN_SUCCESS; ++clones) {
            CHECK_KERN(KERN_SUCCESS, task_terminate(made));
        }
        CHECK_KERN(KERN_RESOURCE_SHORTAGE, status);
        return clones;
    };
    const int clones = until_refused();
    const auto full = read(ledger);
    CHECK(clones > 0 && full.balance <= kQuota &&
          full.balance > kQuota - 2 * full.balance / static_cast<unsigned>(clones));
    CHECK_KERN(KERN_SUCCESS, ledger_transfer(ledger_of(mach_task_self(), NORMA_LEDGER_NETWORK), ledger, kQuota));
    const int more = until_refused();
    CHECK(more >= clones && more <= clones + 1);
    return 0;
}

// Pages that others ask for are counted, and come, however little is left.
SYSTEM_CASE(ledger_pages) {
    constexpr std::size_t kPages = 64;
    struct Shared {
        std::atomic<int> turn, written, read;
    };
    auto *const shared = truly_shared<Shared>();
    const auto ledger = ledger_for(NORMA_LEDGER_NETWORK, 20 * kPage);
    Array ledgers{LEDGER_NULL, LEDGER_NULL, ledger};
    auto *const place = systest::place_for([=] {
        auto *const memory = reinterpret_cast<volatile int *>(shared_bytes(kPages * kPage));
        for (std::size_t page = 0; page < kPages; ++page) {
            memory[page * kPage / sizeof(int)] = static_cast<int>(page + 1);
        }
        auto other = spawn(last_node(), [=] {
            for (std::size_t page = 0; page < kPages; ++page) {
                CHECK_EQ(static_cast<int>(page + 1), memory[page * kPage / sizeof(int)]);
                memory[page * kPage / sizeof(int)] = -1;
            }
            shared->written = 1;
            CHECK_SOON(shared->read == 1);
        });
        CHECK_SOON(shared->written == 1);
        const auto there = ledger_of(other.port(), NORMA_LEDGER_NETWORK);
        CHECK(read(there).balance < kPages * kPage);
        for (std::size_t page = 0; page < kPages; ++page) {
            CHECK_EQ(-1, memory[page * kPage / sizeof(int)]);
        }
        CHECK(read(there).balance >= kPages * kPage); // that node has sent them back
        shared->read = 1;
        JOIN(other);
        task_t made = TASK_NULL;
        CHECK_KERN(KERN_RESOURCE_SHORTAGE, norma_task_clone(mach_task_self(), TRUE, last_node(), &made));
        shared->turn = 1;
        CHECK_SOON(shared->turn == 2);
        CHECK_KERN(KERN_SUCCESS, norma_task_clone(mach_task_self(), TRUE, last_node(), &made));
    });
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, task_create(mach_task_self(), ledgers.data(), NORMA_LEDGER_COUNT, TRUE, &child));
    systest::start_in(child, place);
    CHECK_SOON(shared->turn == 1);
    CHECK(read(ledger).balance > kPages * kPage);
    CHECK_KERN(KERN_SUCCESS, ledger_transfer(ledger_of(mach_task_self(), NORMA_LEDGER_NETWORK), ledger, 100 * kPage));
    shared->turn = 2;
    CHECK_EQ(0, END_OF(child));
    return 0;
}

// What is sent to a port on another node counts, and is refused when nothing is left.
SYSTEM_CASE(ledger_messages) {
    constexpr std::size_t kBody = 16 << 10;
    struct Shared {
        std::atomic<int> turn;
    };
    auto *const shared = truly_shared<Shared>();
    const auto self = mach_task_self();
    auto other = norma::clone_to(last_node());
    mach_port_t theirs = MACH_PORT_NULL, port = MACH_PORT_NULL;
    mach_msg_type_name_t kind = 0;
    CHECK_KERN(KERN_SUCCESS, mach_port_allocate(other.port(), MACH_PORT_RIGHT_RECEIVE, &theirs));
    CHECK_KERN(KERN_SUCCESS, mach_port_extract_right(other.port(), theirs, MACH_MSG_TYPE_MAKE_SEND, &port, &kind));
    const auto ledger = ledger_for(NORMA_LEDGER_NETWORK, 5 * kBody / 2);
    auto *const place = systest::place_for([=] {
        struct {
            mach_msg_header_t head;
            std::array<std::byte, kBody> body;
        } message{};
        message.head.msgh_bits = MACH_MSGH_BITS(static_cast<unsigned>(MACH_MSG_TYPE_COPY_SEND), 0);
        message.head.msgh_remote_port = port;
        const auto send = [&] {
            return mach_msg(&message.head, MACH_SEND_MSG, sizeof message, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
        };
        CHECK_KERN(MACH_MSG_SUCCESS, send());
        CHECK_KERN(MACH_MSG_SUCCESS, send());
        CHECK_KERN(MACH_SEND_NO_BUFFER, send());
        mach_port_urefs_t refs = 0;
        CHECK_KERN(KERN_SUCCESS, mach_port_get_refs(mach_task_self(), port, MACH_PORT_RIGHT_SEND, &refs));
        CHECK_EQ(1U, refs);
        shared->turn = 1;
        CHECK_SOON(shared->turn == 2);
        CHECK_KERN(MACH_MSG_SUCCESS, send());
    });
    Array ledgers{LEDGER_NULL, LEDGER_NULL, ledger};
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, task_create(self, ledgers.data(), NORMA_LEDGER_COUNT, TRUE, &child));
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child, port, port, MACH_MSG_TYPE_COPY_SEND));
    systest::start_in(child, place);
    CHECK_SOON(shared->turn == 1);
    CHECK(read(ledger).balance > 2 * kBody);
    CHECK_KERN(KERN_SUCCESS, ledger_transfer(ledger_of(self, NORMA_LEDGER_NETWORK), ledger, kBody));
    shared->turn = 2;
    CHECK_EQ(0, END_OF(child));
    return 0;
}

namespace {

// Opens an object whose home is this node, or another one, as it is wanted.
std::string object_at(bool here, memory_object_t &object) {
    for (int number = 0;; ++number) {
        auto name = fmt::format("charged {}", number);
        vm_size_t size = kPiece;
        int node = -1;
        CHECK_KERN(KERN_SUCCESS, norma_object_open(name.c_str(), &size, &object));
        CHECK_KERN(KERN_SUCCESS, norma_port_location_hint(mach_task_self(), object, &node));
        if ((node == norma::this_node()) == here) {
            return name;
        }
        CHECK_KERN(KERN_SUCCESS, norma_object_remove(name.c_str()));
    }
}

} // namespace

// Memory is charged in whatever way it comes into being, and given back in whatever way it ends.
SYSTEM_CASE(ledger_every_way) {
    const auto theirs = address_of(shared_bytes(kPiece));
    const auto parent = mach_task_self();
    const auto mine = read(ledger_of(parent, NORMA_LEDGER_PAGED)).balance;
    Array ledgers{LEDGER_NULL, ledger_for(NORMA_LEDGER_PAGED, 4 * mine + 64 * kPiece), LEDGER_NULL};
    auto *const place = systest::place_for([=] {
        const auto self = mach_task_self();
        const auto ledger = ledger_of(self, NORMA_LEDGER_PAGED);
        const auto before = read(ledger);
        CHECK(before.limit != LEDGER_ITEM_INFINITY);
        ledger_item_t pieces = 0;
        const auto one_more = [&](kern_return_t status) {
            CHECK_KERN(KERN_SUCCESS, status);
            CHECK_EQ(before.balance + ++pieces * kPiece, read(ledger).balance);
        };
        std::array<vm_address_t, 5> at{};
        vm_prot_t current = 0, maximum = 0;
        mach_msg_type_number_t count = 0;
        memory_object_t object = MACH_PORT_NULL;
        const auto map = [&](vm_address_t &address, memory_object_t what, boolean_t copy) {
            return vm_map(self, &address, kPiece, 0, TRUE, what, 0, copy, VM_PROT_DEFAULT, VM_PROT_ALL,
                          VM_INHERIT_COPY);
        };
        const auto remap = [&](vm_address_t &address, task_t task, vm_address_t from, boolean_t copy) {
            return vm_remap(self, &address, kPiece, 0, TRUE, task, from, copy, &current, &maximum, VM_INHERIT_COPY);
        };
        one_more(vm_allocate(self, at.data(), kPiece, TRUE));
        one_more(map(at[1], MACH_PORT_NULL, FALSE));
        one_more(remap(at[2], self, at[0], TRUE));
        one_more(vm_read(self, at[0], kPiece, &at[3], &count));
        const auto name = object_at(true, object);
        one_more(KERN_SUCCESS);
        one_more(map(at[4], object, TRUE));
        vm_address_t alias = 0;
        CHECK_KERN(KERN_SUCCESS, remap(alias, self, at[0], FALSE)); // the same memory, which is paid for
        CHECK_EQ(before.balance + pieces * kPiece, read(ledger).balance);
        for (const auto address : at) {
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self, address, kPiece));
        }
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self, alias, kPiece));
        CHECK_KERN(KERN_SUCCESS, norma_object_remove(name.c_str()));
        CHECK_EQ(before.balance, read(ledger).balance);
        // More than there is, on whatever node it would be.
        for (const char *big : {"big", "bigger", "more than that", "too much"}) {
            vm_size_t size = before.limit + kPage;
            CHECK_KERN(KERN_RESOURCE_SHORTAGE, norma_object_open(big, &size, &object));
        }
        if (norma::node_count() > 1) {
            const auto away = object_at(false, object);
            CHECK_EQ(before.balance, read(ledger).balance);
            CHECK_KERN(KERN_SUCCESS, norma_object_remove(away.c_str()));
        }
    });
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, task_create(parent, ledgers.data(), 2, TRUE, &child));
    // A copy of another task's memory is the one's who gets it.
    const auto before = read(ledgers[1]).balance;
    vm_address_t copy = 0;
    vm_prot_t current = 0, maximum = 0;
    CHECK_KERN(KERN_SUCCESS,
               vm_remap(child, &copy, kPiece, 0, TRUE, parent, theirs, TRUE, &current, &maximum, VM_INHERIT_COPY));
    CHECK_EQ(before + kPiece, read(ledgers[1]).balance);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(child, copy, kPiece));
    systest::start_in(child, place);
    CHECK_EQ(0, END_OF(child));
    CHECK_SOON(read(ledgers[1]).balance == 0);
    return 0;
}

SYSTEM_CASE(ledger_errors) {
    const auto self = mach_task_self();
    const auto paged = ledger_of(self, NORMA_LEDGER_PAGED), wired = ledger_of(self, NORMA_LEDGER_WIRED);
    ledger_t made = 0x1234;
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_get_ledger(self, 3, &made));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_get_ledger(self, -1, &made));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_get_ledger(self, 0, nullptr));
    CHECK_KERN(KERN_INVALID_TASK, norma_task_get_ledger(paged, 0, &made));
    CHECK_KERN(KERN_INVALID_ARGUMENT, ledger_create(paged, paged, nullptr, 1));
    for (const ledger_t none : {LEDGER_NULL, ledger_t{9999}, ledger_t{self}, ledger_t{mach_host_self()}}) {
        CHECK_KERN(KERN_INVALID_LEDGER, ledger_create(none, paged, &made, 1));
        CHECK_KERN(KERN_INVALID_LEDGER, ledger_create(paged, none, &made, 1));
        CHECK_KERN(KERN_INVALID_LEDGER, ledger_read(none, nullptr, nullptr));
        CHECK_KERN(KERN_INVALID_LEDGER, ledger_transfer(paged, none, 1));
        CHECK_KERN(KERN_INVALID_LEDGER, ledger_terminate(none));
    }
    CHECK_EQ(ledger_t{0x1234}, made);
    CHECK_KERN(KERN_INVALID_LEDGER, ledger_terminate(paged)); // the node's own
    CHECK_KERN(KERN_INVALID_LEDGER, ledger_transfer(paged, wired, 1));
    const auto mine = ledger_for(NORMA_LEDGER_PAGED, kPage);
    CHECK_KERN(KERN_INVALID_ARGUMENT, ledger_transfer(paged, mine, LEDGER_ITEM_INFINITY));
    CHECK_KERN(KERN_INVALID_LEDGER, ledger_transfer(mine, paged, 1));
    task_t child = TASK_NULL;
    for (Array wrong : {Array{paged, LEDGER_NULL, LEDGER_NULL}, Array{LEDGER_NULL, LEDGER_NULL, wired},
                        Array{LEDGER_NULL, self, LEDGER_NULL}, Array{9999, LEDGER_NULL, LEDGER_NULL}}) {
        CHECK_KERN(KERN_INVALID_LEDGER, task_create(self, wrong.data(), NORMA_LEDGER_COUNT, FALSE, &child));
    }
    Array right{wired, mine, LEDGER_NULL};
    CHECK_KERN(KERN_INVALID_ARGUMENT, task_create(self, right.data(), 4, FALSE, &child));
    CHECK_KERN(KERN_INVALID_ARGUMENT, task_create(self, right.data(), -1, FALSE, &child));
    for (const int few : {0, 1}) { // the others are the parent's
        CHECK_KERN(KERN_SUCCESS, task_create(self, right.data(), few, FALSE, &child));
        CHECK_EQ(paged, ledger_of(child, NORMA_LEDGER_PAGED));
    }
    // A ledger of another node is none here, nor is one of here there.
    CHECK_KERN(KERN_SUCCESS, norma_task_create(self, FALSE, last_node(), &child));
    const auto there = ledger_of(child, NORMA_LEDGER_PAGED);
    int node = -1;
    CHECK_KERN(KERN_SUCCESS, norma_port_location_hint(self, there, &node));
    CHECK_EQ(last_node(), node);
    CHECK_KERN(KERN_INVALID_LEDGER, ledger_create(there, mine, &made, 1));
    CHECK_KERN(KERN_INVALID_LEDGER, task_create(child, right.data(), NORMA_LEDGER_COUNT, FALSE, &child));
    right[1] = there;
    CHECK_KERN(KERN_INVALID_LEDGER, task_create(self, right.data(), NORMA_LEDGER_COUNT, FALSE, &child));
    return 0;
}

namespace {

security_token_t token_of(task_t task) {
    security_token_t token{};
    auto count = TASK_SECURITY_TOKEN_COUNT;
    CHECK_KERN(KERN_SUCCESS, task_info(task, TASK_SECURITY_TOKEN, reinterpret_cast<task_info_t>(&token), &count));
    CHECK_EQ(2U, count);
    return token;
}

bool has_token(task_t task, unsigned int first, unsigned int second) {
    const auto token = token_of(task);
    return token.val[0] == first && token.val[1] == second;
}

} // namespace

// Every child has its parent's token, wherever and however it is made; only the privileged port changes it.
SYSTEM_CASE(security_tokens) {
    const auto self = mach_task_self(), host = mach_host_self();
    const auto privileged = host_priv_self();
    CHECK(privileged != MACH_PORT_NULL);
    CHECK_EQ(privileged, host_priv_self());
    CHECK(has_token(self, 0, 0));
    CHECK_KERN(KERN_SUCCESS, host_security_set_task_token(privileged, self, {{7, 0xfffffff0U}}, host));
    CHECK(has_token(self, 7, 0xfffffff0U));
    for (int node = 0; node < norma::node_count(); ++node) {
        for (const auto how : {Maker::How::create, Maker::How::create_on, Maker::How::clone}) {
            task_t child = TASK_NULL, grandchild = TASK_NULL;
            CHECK_KERN(KERN_SUCCESS, (Maker{.how = how, .node = node}(self, &child)));
            CHECK(has_token(child, 7, 0xfffffff0U));
            CHECK_KERN(KERN_SUCCESS, host_security_set_task_token(privileged, child, {{1, 2}}, host));
            CHECK_KERN(KERN_SUCCESS, norma_task_create(child, FALSE, (node + 1) % norma::node_count(), &grandchild));
            CHECK(has_token(grandchild, 1, 2));
            CHECK_KERN(KERN_SUCCESS, norma_task_teleport(child, TRUE, last_node() - node % 2, &child));
            CHECK(has_token(child, 1, 2));
        }
    }
    CHECK(has_token(self, 7, 0xfffffff0U));
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, task_create_security_token(self, privileged, {{3, 4}}, nullptr, 0, TRUE, &child));
    CHECK(has_token(child, 3, 4));
    for (const mach_port_t other : {MACH_PORT_NULL, mach_port_t{host}, mach_port_t{self}, mach_port_t{9999}}) {
        CHECK_KERN(KERN_INVALID_SECURITY, task_create_security_token(self, other, {{3, 4}}, nullptr, 0, TRUE, &child));
        CHECK_KERN(KERN_INVALID_SECURITY, host_security_set_task_token(other, self, {{3, 4}}, host));
    }
    CHECK_KERN(KERN_INVALID_HOST, host_security_set_task_token(privileged, self, {{3, 4}}, self));
    CHECK_KERN(KERN_INVALID_TASK, host_security_set_task_token(privileged, host, {{3, 4}}, host));
    // A child is not privileged, whatever it has heard of its parent's names.
    const auto unprivileged = child_of_mine({.how = Maker::How::create_on, .node = last_node()}, [=] {
        CHECK_EQ(mach_port_t{MACH_PORT_NULL}, host_priv_self());
        CHECK_KERN(KERN_INVALID_SECURITY,
                   host_security_set_task_token(privileged, mach_task_self(), {{0, 0}}, mach_host_self()));
        CHECK(has_token(mach_task_self(), 7, 0xfffffff0U));
    });
    CHECK_EQ(0, END_OF(unprivileged));
    // The first task is, also when it has moved.
    task_t moved = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, last_node(), &moved));
    CHECK(has_token(mach_task_self(), 7, 0xfffffff0U));
    CHECK_KERN(KERN_SUCCESS,
               host_security_set_task_token(host_priv_self(), mach_task_self(), {{8, 9}}, mach_host_self()));
    CHECK(has_token(mach_task_self(), 8, 9));
    return 0;
}

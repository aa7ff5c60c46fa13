// SPDX-License-Identifier: BSD-3-Clause
// Out-of-line memory in messages, on one node and across nodes: who has what, when it leaves whom, and what becomes of
// memory that nobody receives.
#include "runtime/probe.hpp"
#include "tests/system/create.hpp"
#include "tests/system/ports.hpp"

#include <array>
#include <sstream>
#include <string>
#include <vector>

using namespace systest;

namespace {

constexpr vm_size_t kPage = 4096;
constexpr vm_size_t kMany = vm_size_t{64} << 20;

mach_msg_ool_descriptor_t memory_at(vm_address_t address, vm_size_t bytes, bool deallocate = false) {
    mach_msg_ool_descriptor_t memory{};
    memory.address = reinterpret_cast<void *>(address);
    memory.size = static_cast<mach_msg_size_t>(bytes);
    memory.deallocate = deallocate ? 1 : 0;
    memory.copy = MACH_MSG_VIRTUAL_COPY;
    memory.type = MACH_MSG_OOL_DESCRIPTOR;
    return memory;
}

vm_address_t address_in(const mach_msg_ool_descriptor_t &memory) {
    return reinterpret_cast<vm_address_t>(memory.address);
}

mach_msg_port_descriptor_t right_in(mach_port_t port, unsigned disposition) {
    mach_msg_port_descriptor_t right{};
    right.name = port;
    right.disposition = disposition & 0xff;
    right.type = MACH_MSG_PORT_DESCRIPTOR;
    return right;
}

struct WithMemory {
    mach_msg_header_t head;
    mach_msg_body_t body;
    mach_msg_ool_descriptor_t memory;
    mach_msg_trailer_t trailer;
};

struct Mixed {
    mach_msg_header_t head;
    mach_msg_body_t body;
    mach_msg_port_descriptor_t first;
    mach_msg_ool_descriptor_t one, none;
    mach_msg_port_descriptor_t second;
    mach_msg_ool_descriptor_t other;
    std::uint32_t number;
    mach_msg_trailer_t trailer;
};

struct WithRight {
    mach_msg_header_t head;
    mach_msg_body_t body;
    mach_msg_port_descriptor_t right;
    mach_msg_ool_descriptor_t memory;
    mach_msg_trailer_t trailer;
};

template <class M>
mach_msg_return_t send_complex(mach_port_t to, M &message, mach_msg_size_t descriptors,
                               mach_msg_timeout_t timeout = 10'000) {
    message.head.msgh_bits = MACH_MSGH_BITS(static_cast<unsigned>(MACH_MSG_TYPE_COPY_SEND), 0) | MACH_MSGH_BITS_COMPLEX;
    message.head.msgh_remote_port = to;
    message.body.msgh_descriptor_count = descriptors;
    return mach_msg(&message.head, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size_of<M>(), 0, MACH_PORT_NULL, timeout,
                    MACH_PORT_NULL);
}

mach_msg_return_t send_memory(mach_port_t to, const mach_msg_ool_descriptor_t &memory,
                              mach_msg_timeout_t timeout = 10'000) {
    WithMemory message{};
    message.memory = memory;
    return send_complex(to, message, 1, timeout);
}

mach_msg_ool_descriptor_t memory_from(mach_port_t from, mach_msg_return_t expected = MACH_MSG_SUCCESS) {
    WithMemory message{};
    CHECK_KERN(expected, receive(from, message));
    CHECK((message.head.msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0);
    CHECK_EQ(1U, message.body.msgh_descriptor_count);
    CHECK_EQ(unsigned{MACH_MSG_OOL_DESCRIPTOR}, unsigned{message.memory.type});
    return message.memory;
}

vm_address_t pages_with_numbers(vm_size_t count, long first) {
    const auto memory = address_of(shared_bytes(count * kPage));
    for (vm_size_t page = 0; page < count; ++page) {
        word(memory + page * kPage) = first + static_cast<long>(page);
    }
    return memory;
}

void move_receiver(task_t to, mach_port_t port) {
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(to, port, port, MACH_MSG_TYPE_MOVE_RECEIVE));
}

void destroy_port(mach_port_t port) {
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self(), port, MACH_PORT_RIGHT_RECEIVE, -1));
}

bool is_mapped(vm_address_t address) {
    vm_offset_t data = 0;
    mach_msg_type_number_t count = 0;
    const auto status = vm_read(self(), address, 1, &data, &count);
    if (status == KERN_SUCCESS) {
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), data, count));
    } else {
        CHECK_KERN(KERN_INVALID_ADDRESS, status);
    }
    return status == KERN_SUCCESS;
}

ledger_item_t balance_of(ledger_t ledger) {
    ledger_item_t balance = 0, limit = 0;
    CHECK_KERN(KERN_SUCCESS, ledger_read(ledger, &balance, &limit));
    return balance;
}

// What this task is charged for on this node.
ledger_item_t paged() {
    ledger_t ledger = LEDGER_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_get_ledger(self(), NORMA_LEDGER_PAGED, &ledger));
    return balance_of(ledger);
}

std::uint64_t pages_out() {
    std::array<char, 4096> text{};
    CHECK_KERN(KERN_SUCCESS, norma_probe_stats(text.data(), text.size()));
    std::istringstream words(text.data());
    const std::string key = "pages_out=";
    for (std::string pair; words >> pair;) {
        if (pair.starts_with(key)) {
            return std::stoull(pair.substr(key.size()));
        }
    }
    fail(__FILE__, __LINE__, "there is no counter pages_out");
}

} // namespace

// From each node to each, of memory that lives there, through a port of node 0: what the sender writes later the
// receiver does not see, nor the other way round; nothing is aligned.
SYSTEM_CASE(ports_memory) {
    constexpr vm_size_t kBefore = 8; // of the first page
    for (int from = 0; from < norma::node_count(); ++from) {
        for (int to = 0; to < norma::node_count(); ++to) {
            auto *const step = shared<std::atomic<int>>();
            const auto port = make_port_to_send();
            auto sender = child_with(from, port, MACH_MSG_TYPE_COPY_SEND);
            sender.run([=] {
                const auto memory = pages_with_numbers(4, 10);
                word(memory + kPage - kBefore) = 9;
                CHECK_KERN(MACH_MSG_SUCCESS,
                           send_memory(port, memory_at(memory + kPage - kBefore, kBefore + kPage + 16)));
                CHECK(is_mapped(memory));
                word(memory + kPage - kBefore) = 99;
                word(memory + kPage) = 101;
                *step = 1;
                CHECK_SOON(*step == 2);
                CHECK_EQ(99L, word(memory + kPage - kBefore).load());
                CHECK_EQ(101L, word(memory + kPage).load());
                CHECK_EQ(12L, word(memory + 2 * kPage).load());
                CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), memory, 4 * kPage));
            });
            auto receiver = norma::clone_to(to);
            move_receiver(receiver.port(), port);
            receiver.run([=] {
                CHECK_SOON(*step == 1);
                const auto memory = memory_from(port);
                const auto at = address_in(memory);
                CHECK_EQ(mach_msg_size_t{kBefore + kPage + 16}, mach_msg_size_t{memory.size});
                CHECK_EQ(kPage - kBefore, at % kPage);
                CHECK_EQ(1U, unsigned{memory.deallocate});
                CHECK_EQ(9L, word(at).load());
                CHECK_EQ(11L, word(at + kBefore).load());
                CHECK_EQ(12L, word(at + kBefore + kPage).load());
                word(at + kBefore) = 201;
                word(at + kBefore + kPage) = 202;
                CHECK_EQ(VM_PROT_DEFAULT, REGION_AT(self(), at - at % kPage).protection);
                CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), at, memory.size));
                CHECK(!is_mapped(at));
                *step = 2;
            });
            JOIN(receiver);
            JOIN(sender);
            CHECK_KERN(KERN_SUCCESS, mach_port_destroy(self(), port));
        }
    }
    return 0;
}

// What has been sent needs its sender no more.
SYSTEM_CASE(ports_memory_of_the_dead) {
    const auto port = make_port_to_send();
    auto sender = child_with(last_node(), port, MACH_MSG_TYPE_COPY_SEND);
    sender.run(
        [=] { CHECK_KERN(MACH_MSG_SUCCESS, send_memory(port, memory_at(pages_with_numbers(3, 5), 3 * kPage))); });
    JOIN(sender);
    const auto memory = memory_from(port);
    for (vm_size_t page = 0; page < 3; ++page) {
        CHECK_EQ(5L + static_cast<long>(page), word(address_in(memory) + page * kPage).load());
    }
    // And on: what was received goes out of the map with the next message.
    CHECK_KERN(MACH_MSG_SUCCESS, send_memory(port, memory));
    CHECK(!is_mapped(address_in(memory)));
    const auto again = memory_from(port);
    CHECK_EQ(7L, word(address_in(again) + 2 * kPage).load());
    return 0;
}

// Ports and memory in one message, in their order; a page that is sent twice is two; no bytes are no memory.
SYSTEM_CASE(ports_memory_and_rights) {
    const auto port = make_port_to_send(), right = make_port();
    const auto send_it = [=](bool deallocate) {
        const auto memory = pages_with_numbers(2, 1);
        Mixed message{};
        message.first = right_in(right, MACH_MSG_TYPE_COPY_SEND);
        message.one = memory_at(memory, 2 * kPage);
        message.none = memory_at(4711, 0, true); // nowhere
        message.second = right_in(MACH_PORT_NULL, MACH_MSG_TYPE_COPY_SEND);
        message.other = memory_at(memory + kPage + 8, 8, deallocate);
        message.number = 12;
        CHECK_KERN(MACH_MSG_SUCCESS, send_complex(port, message, 5));
        CHECK(is_mapped(memory));
        CHECK_EQ(!deallocate, is_mapped(memory + kPage)); // whole pages go
    };
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(self(), right, right, MACH_MSG_TYPE_MAKE_SEND));
    for (int node = 0; node < norma::node_count(); ++node) {
        auto child = child_with(node, port, MACH_MSG_TYPE_COPY_SEND);
        CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), right, right, MACH_MSG_TYPE_COPY_SEND));
        child.run([=] { send_it(node % 2 == 0); });
        Mixed message{};
        CHECK_KERN(MACH_MSG_SUCCESS, receive(port, message));
        JOIN(child);
        CHECK_EQ(right, message.first.name);
        CHECK_EQ(MACH_PORT_NULL, message.second.name);
        CHECK_EQ(unsigned{MACH_MSG_PORT_DESCRIPTOR}, unsigned{message.second.type});
        CHECK_EQ(12U, message.number);
        CHECK_EQ(vm_address_t{0}, address_in(message.none));
        CHECK_EQ(mach_msg_size_t{0}, mach_msg_size_t{message.none.size});
        const auto one = address_in(message.one), other = address_in(message.other);
        CHECK_EQ(1L, word(one).load());
        CHECK_EQ(2L, word(one + kPage).load());
        CHECK_EQ(vm_size_t{8}, other % kPage);
        word(one + kPage + 8) = 5;
        CHECK_EQ(0L, word(other).load());
        word(other) = 6;
        CHECK_EQ(5L, word(one + kPage + 8).load());
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), one, 2 * kPage));
        CHECK_EQ(6L, word(other).load());
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), other, 8));
    }
    return 0;
}

// A message that is not sent has changed nothing, whatever is wrong.
SYSTEM_CASE(ports_memory_refused) {
    static long private_word = 0;
    const auto port = make_port_to_send(), right = make_port_to_send();
    const auto memory = pages_with_numbers(4, 1);
    const auto before = paged();
    const auto refuse = [&](mach_msg_return_t expected, const mach_msg_ool_descriptor_t &bad) {
        Mixed message{};
        message.first = right_in(right, MACH_MSG_TYPE_MOVE_SEND);
        message.one = memory_at(memory, kPage, true);
        message.none = memory_at(0, 0);
        message.second = right_in(right, MACH_MSG_TYPE_MOVE_RECEIVE);
        message.other = bad;
        CHECK_KERN(expected, send_complex(port, message, 5));
        CHECK_EQ(MACH_PORT_TYPE_SEND_RECEIVE, type_of(right));
        CHECK(is_mapped(memory));
        CHECK_SOON(paged() == before);
    };
    CHECK_KERN(KERN_SUCCESS, vm_protect(self(), memory + 2 * kPage, kPage, FALSE, VM_PROT_NONE));
    refuse(MACH_SEND_INVALID_MEMORY, memory_at(memory, 3 * kPage, true));
    refuse(MACH_SEND_INVALID_MEMORY, memory_at(memory + 2 * kPage + 1, 1));
    const auto hole = memory + 3 * kPage;
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), hole, kPage));
    refuse(MACH_SEND_INVALID_MEMORY, memory_at(hole + 5, 1));
    refuse(MACH_SEND_INVALID_MEMORY, memory_at(~vm_address_t{0} - 10, 5));
    refuse(MACH_SEND_INVALID_MEMORY, memory_at(~vm_address_t{0} - 10, 100));
    refuse(MACH_SEND_INVALID_MEMORY, memory_at(0, 1));
    refuse(MACH_SEND_INVALID_MEMORY, memory_at(address_of(&private_word), sizeof private_word));
    auto wrong = memory_at(memory, kPage);
    wrong.type = MACH_MSG_OOL_PORTS_DESCRIPTOR;
    refuse(MACH_SEND_INVALID_TYPE, wrong);
    wrong = memory_at(memory, kPage);
    wrong.copy = 2;
    refuse(MACH_SEND_INVALID_TYPE, wrong);
    WithMemory message{};
    message.memory = memory_at(memory, kPage, true);
    CHECK_KERN(MACH_SEND_MSG_TOO_SMALL, send_complex(port, message, 2));
    CHECK(is_mapped(memory));

    // A port that is dead, a queue that is full.
    const auto dying = make_port_to_send();
    destroy_port(dying);
    CHECK_KERN(MACH_SEND_INVALID_DEST, send_memory(dying, memory_at(memory, kPage, true)));
    for (std::uint64_t i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
        CHECK_KERN(MACH_MSG_SUCCESS, send(port, i));
    }
    CHECK_KERN(MACH_SEND_TIMED_OUT, send_memory(port, memory_at(memory, kPage, true), kShort));
    CHECK_EQ(1L, word(memory).load());
    CHECK_EQ(before, paged());
    return 0;
}

// Memory that nobody receives goes back, and until then it is the sender's expense.
SYSTEM_CASE(ports_memory_given_back) {
    const auto memory = pages_with_numbers(4, 1);
    const auto before = paged();
    const auto fill = [=](mach_port_t port) {
        for (int i = 0; i < 3; ++i) {
            CHECK_KERN(MACH_MSG_SUCCESS, send_memory(port, memory_at(memory, 4 * kPage)));
        }
        CHECK_EQ(before + 12 * kPage, paged());
    };
    for (int node = 0; node < norma::node_count(); ++node) {
        auto port = make_port_to_send();
        fill(port); // the port is destroyed
        destroy_port(port);
        CHECK_SOON(paged() == before);

        port = make_port_to_send(); // its receiver ends
        fill(port);
        auto child = stranger(node);
        move_receiver(child.port(), port);
        CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
        CHECK_SOON(paged() == before);

        auto other = stranger(node); // the port lives where its receiver ends
        mach_port_t theirs = MACH_PORT_NULL;
        mach_msg_type_name_t type = 0;
        CHECK_KERN(KERN_SUCCESS, mach_port_allocate(other.port(), MACH_PORT_RIGHT_RECEIVE, &theirs));
        CHECK_KERN(KERN_SUCCESS,
                   mach_port_extract_right(other.port(), theirs, MACH_MSG_TYPE_MAKE_SEND, &theirs, &type));
        fill(theirs);
        CHECK_KERN(KERN_SUCCESS, task_terminate(other.release()));
        CHECK_SOON(paged() == before);
    }
    const auto port = make_port_to_send(); // the receiver has no room for the message itself
    CHECK_KERN(MACH_MSG_SUCCESS, send_memory(port, memory_at(memory, kPage)));
    Plain small{};
    CHECK_KERN(MACH_RCV_TOO_LARGE, receive(port, small));
    CHECK_SOON(paged() == before);
    return 0;
}

// The receiver pays from when it has the memory. If its quota is too small it gets the rest of the message.
SYSTEM_CASE(ports_memory_quota) {
    constexpr vm_size_t kSmall = vm_size_t{1} << 20;
    struct Meeting {
        std::atomic<int> step;
        std::atomic<mach_port_t> port;
    };
    auto *const at = truly_shared<Meeting>();
    auto *const step = &at->step;
    auto *const body = place_for([=] { // in the receiver
        *step = 1;
        CHECK_SOON(*step == 2);
        WithRight message{};
        CHECK_KERN(MACH_RCV_BODY_ERROR, receive(at->port, message));
        CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(message.right.name));
        CHECK_EQ(vm_address_t{0}, address_in(message.memory));
        CHECK_EQ(mach_msg_size_t{0}, mach_msg_size_t{message.memory.size});
        CHECK_KERN(MACH_MSG_SUCCESS, receive(at->port, message));
        const auto got = address_in(message.memory);
        CHECK_EQ(mach_msg_size_t{kSmall}, mach_msg_size_t{message.memory.size});
        CHECK_EQ(7L, word(got + 7 * kPage).load());
        *step = 3;
        CHECK_SOON(*step == 4);
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), got, kSmall));
        *step = 5;
        CHECK_SOON(*step == 6);
    });
    ledger_t mine = LEDGER_NULL, quota = LEDGER_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_get_ledger(self(), NORMA_LEDGER_PAGED, &mine));
    const auto limit = 3 * paged() + 8 * kSmall; // enough for what two tasks inherit
    CHECK_KERN(KERN_SUCCESS, ledger_create(mine, mine, &quota, limit));
    std::array<ledger_t, NORMA_LEDGER_COUNT> ledgers{LEDGER_NULL, quota, LEDGER_NULL};
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, task_create(self(), ledgers.data(), NORMA_LEDGER_COUNT, TRUE, &child));
    const auto small = pages_with_numbers(kSmall / kPage, 0);
    CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), small, kSmall, VM_INHERIT_NONE));
    const auto large_size = (limit / kPage + 1) * kPage;
    const auto large = address_of(shared_bytes(large_size)); // untouched
    for (int node = 0; node < norma::node_count(); ++node) {
        *step = 0;
        const auto port = make_port_to_send(), right = make_port_to_send();
        at->port = port;
        const auto before = paged();
        for (const auto &[address, size] : {std::pair{large, large_size}, std::pair{small, kSmall}}) {
            WithRight message{};
            message.right = right_in(right, MACH_MSG_TYPE_COPY_SEND);
            message.memory = memory_at(address, size);
            CHECK_KERN(MACH_MSG_SUCCESS, send_complex(port, message, 2));
        }
        CHECK_EQ(before + large_size + kSmall, paged());
        task_t receiver = TASK_NULL; // draws from the like of the quota
        CHECK_KERN(KERN_SUCCESS, norma_task_create(child, TRUE, node, &receiver));
        move_receiver(receiver, port);
        start_in(receiver, body);
        CHECK_SOON(*step == 1);
        const auto used = balance_of(quota);
        *step = 2;
        CHECK_SOON(*step == 3);
        CHECK_EQ(used + kSmall, balance_of(quota)); // where the memory lives
        *step = 4;
        CHECK_SOON(*step == 5);
        CHECK_SOON(balance_of(quota) == used);
        *step = 6;
        CHECK_EQ(0, END_OF(receiver));
    }
    return 0;
}

// No page goes anywhere when 64 MiB are sent and received, and those that are touched are right.
SYSTEM_CASE(ports_memory_lazy) {
    const auto port = make_port_to_send();
    const auto memory = pages_with_numbers(kMany / kPage, 3);
    auto *const step = shared<std::atomic<int>>();
    auto child = norma::clone_to(last_node());
    move_receiver(child.port(), port);
    const auto before = pages_out();
    CHECK_KERN(MACH_MSG_SUCCESS, send_memory(port, memory_at(memory, kMany)));
    child.run([=] {
        const auto got = address_in(memory_from(port));
        *step = 1;
        CHECK_SOON(*step == 2);
        for (vm_size_t page = 0; page < kMany / kPage; page += 1000) {
            CHECK_EQ(3L + static_cast<long>(page), word(got + page * kPage).load());
        }
    });
    CHECK_SOON(*step == 1);
    CHECK(pages_out() - before < 100); // its stack, and what they wait with
    word(memory + 1000 * kPage) = 0;
    *step = 2;
    JOIN(child);
    return 0;
}

// The node where a message with memory waits dies, and the one whose memory is in a message that waits.
SYSTEM_CASE(ports_memory_and_node_deaths) {
    const auto memory = pages_with_numbers(4, 1);
    const auto box = make_port_to_send();
    auto child = child_with(1, box, MACH_MSG_TYPE_COPY_SEND);
    child.run([=] {
        const auto own = make_port();
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(box, own, MACH_MSG_TYPE_MAKE_SEND));
        CHECK_KERN(MACH_MSG_SUCCESS, send_memory(box, memory_at(pages_with_numbers(2, 1), 2 * kPage)));
        Plain never{};
        receive(own, never, 600'000);
    });
    const auto theirs = port_from(box);
    const auto before = paged();
    CHECK_KERN(MACH_MSG_SUCCESS, send_memory(theirs, memory_at(memory, 4 * kPage)));
    CHECK_EQ(before + 4 * kPage, paged());
    // Their own message is in our queue by now, as its sender waits for nothing but our answer.
    CHECK_SOON([&] {
        WithMemory large{};
        return mach_msg(&large.head, MACH_RCV_MSG | MACH_RCV_LARGE | MACH_RCV_TIMEOUT, 0, sizeof large.head, box, 0,
                        MACH_PORT_NULL) == MACH_RCV_TOO_LARGE;
    }());
    kill_node(1);
    child.release();
    CHECK_SOON(paged() == before);
    const auto lost = memory_from(box, MACH_RCV_BODY_ERROR);
    CHECK_EQ(vm_address_t{0}, address_in(lost));
    CHECK_EQ(mach_msg_size_t{0}, mach_msg_size_t{lost.size});
    CHECK_KERN(MACH_MSG_SUCCESS, send_memory(box, memory_at(memory, 4 * kPage)));
    CHECK_EQ(1L, word(address_in(memory_from(box))).load());
    return 0;
}

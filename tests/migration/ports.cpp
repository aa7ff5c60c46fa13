// SPDX-License-Identifier: BSD-3-Clause
// Rights to ports: a task has them under the same names on the new node, and whoever has the other end notices nothing.
#include "tests/migration/moving.hpp"
#include "tests/system/exceptions.hpp"

#include <array>
#include <vector>

namespace {

using namespace moving;
using namespace systest;

constexpr auto kRounds = 3;

/// A child on this node that has a right to send to `port` under the same name, and runs `body`.
template <class F> norma::task begin(mach_port_t port, F body) {
    over = false;
    ready = 0;
    auto child = child_with(0, port);
    child.run(body);
    return child;
}

SYSTEM_CASE(names_move) {
    const auto ours = make_port();
    auto child = begin(ours, [ours] {
        const auto own = make_port_to_send(), only_received = make_port();
        mach_port_t dead = MACH_PORT_NULL;
        CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self(), own, MACH_PORT_RIGHT_SEND, 3));
        CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self(), ours, MACH_PORT_RIGHT_SEND, 6));
        CHECK_KERN(KERN_SUCCESS, mach_port_allocate_name(self(), MACH_PORT_RIGHT_RECEIVE, 0x7000));
        CHECK_KERN(KERN_SUCCESS, mach_port_allocate(self(), MACH_PORT_RIGHT_DEAD_NAME, &dead));
        CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self(), dead, MACH_PORT_RIGHT_DEAD_NAME, 1));
        std::array<mach_port_t, 1000> many{};
        for (auto &port : many) {
            port = make_port();
        }
        for (std::uint64_t i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
            CHECK_KERN(MACH_MSG_SUCCESS, send(own, i));
        }
        be_moved();
        CHECK_EQ(MACH_PORT_TYPE_SEND_RECEIVE, type_of(own));
        CHECK_EQ(4U, refs_of(own, MACH_PORT_RIGHT_SEND));
        CHECK_EQ(MACH_PORT_TYPE_RECEIVE, type_of(only_received));
        CHECK_EQ(MACH_PORT_TYPE_RECEIVE, type_of(0x7000));
        CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(ours));
        CHECK_EQ(7U, refs_of(ours, MACH_PORT_RIGHT_SEND));
        CHECK_EQ(2U, refs_of(dead, MACH_PORT_RIGHT_DEAD_NAME));
        for (const auto port : many) {
            CHECK_EQ(MACH_PORT_TYPE_RECEIVE, type_of(port));
        }
        for (std::uint64_t i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
            CHECK_EQ(i, number_from(own));
        }
        expect_silence(own);
        const auto next = make_port(); // no name that has been another's
        CHECK(next > many.back());
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(ours, only_received, MACH_MSG_TYPE_MOVE_RECEIVE));
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(ours, 0x7000, MACH_MSG_TYPE_MAKE_SEND));
        CHECK_EQ(4711U, number_from(0x7000));
    });
    CHECK_SOON(ready == 1);
    move_about(child.port(), kRounds);
    over = true;
    const auto received = port_from(ours, MACH_MSG_TYPE_PORT_RECEIVE), to_child = port_from(ours);
    CHECK_EQ(MACH_PORT_TYPE_RECEIVE, type_of(received));
    CHECK_KERN(MACH_MSG_SUCCESS, send(to_child, 4711));
    JOIN(child);
    return 0;
}

// A right to receive that came from elsewhere: the port lives on another node than the two that the task is on.
SYSTEM_CASE(right_to_receive_from_elsewhere_moves) {
    auto owner = norma::clone_to(last_node());
    mach_port_t theirs = MACH_PORT_NULL, ours = MACH_PORT_NULL;
    mach_msg_type_name_t type = 0;
    CHECK_KERN(KERN_SUCCESS, mach_port_allocate(owner.port(), MACH_PORT_RIGHT_RECEIVE, &theirs));
    CHECK_KERN(KERN_SUCCESS, mach_port_extract_right(owner.port(), theirs, MACH_MSG_TYPE_MAKE_SEND, &ours, &type));
    CHECK_KERN(KERN_SUCCESS, mach_port_extract_right(owner.port(), theirs, MACH_MSG_TYPE_MOVE_RECEIVE, &ours, &type));
    CHECK_KERN(KERN_SUCCESS, task_terminate(owner.release()));
    over = false;
    ready = 0;
    auto child = norma::clone_to(0);
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), ours, ours, MACH_MSG_TYPE_MOVE_RECEIVE));
    child.run([ours] {
        be_moved();
        CHECK_EQ(1U, number_from(ours));
        CHECK_EQ(2U, number_from(ours));
    });
    CHECK_SOON(ready == 1);
    CHECK_KERN(MACH_MSG_SUCCESS, send(ours, 1));
    move_about(child.port(), kRounds);
    over = true;
    CHECK_KERN(MACH_MSG_SUCCESS, send(ours, 2));
    JOIN(child);
    const auto status = send(ours, 3); // the port has ended with it, or is about to
    CHECK(status == MACH_MSG_SUCCESS || status == MACH_SEND_INVALID_DEST);
    CHECK_SOON(type_of(ours) == MACH_PORT_TYPE_DEAD_NAME);
    return 0;
}

// Questions and answers between two that wait for each other most of the time, while one of them is moved.
SYSTEM_CASE(messages_come_once) {
    static mach_port_t questions;
    questions = make_port();
    auto child = begin(questions, [] {
        const auto own = make_port();
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(questions, own, MACH_MSG_TYPE_MAKE_SEND));
        for (std::uint64_t i = 0;; ++i) {
            const auto number = number_from(own);
            CHECK_KERN(MACH_MSG_SUCCESS, send(questions, number));
            if (number == UINT64_MAX) {
                break;
            }
            CHECK_EQ(i, number);
        }
        expect_silence(own);
    });
    thread_act_t asking = THREAD_NULL;
    static mach_port_t to;
    to = port_from(questions);
    const auto ask_all = [](void *) {
        std::uint64_t asked = 0;
        for (; !over; ++asked) {
            CHECK_KERN(MACH_MSG_SUCCESS, send(to, asked));
            if (asked % 3 != 0) { // else two are on the way
                CHECK_KERN(MACH_MSG_SUCCESS, send(to, ++asked));
                CHECK_EQ(asked - 1, number_from(questions));
            }
            CHECK_EQ(asked, number_from(questions));
        }
        CHECK_KERN(MACH_MSG_SUCCESS, send(to, UINT64_MAX));
        CHECK_EQ(UINT64_MAX, number_from(questions));
        expect_silence(questions);
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), ask_all, nullptr, 0, &asking));
    move_about(child.port(), 6);
    over = true;
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(asking, -1));
    JOIN(child);
    return 0;
}

// One waits for a message that comes only when the task has moved, another for room in a queue, with a right that
// leaves its name; a third one's time is over meanwhile.
SYSTEM_CASE(who_waits_for_a_message_moves) {
    static mach_port_t full, own;
    full = make_port_to_send();
    for (std::uint64_t i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
        CHECK_KERN(MACH_MSG_SUCCESS, send(full, i));
    }
    auto child = begin(full, [] {
        own = make_port();
        const auto waits = [](void *) { CHECK_EQ(4711U, number_from(own)); };
        const auto waits_in_vain = [](void *) {
            Plain message{};
            const auto empty = make_port();
            CHECK_KERN(MACH_RCV_TIMED_OUT, receive(empty, message, 100));
        };
        std::array<thread_act_t, 2> threads{};
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), waits, nullptr, 0, &threads[0]));
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), waits_in_vain, nullptr, 0, &threads[1]));
        const auto given = make_port_to_send();
        ready = 1;
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(full, given, MACH_MSG_TYPE_MOVE_RECEIVE));
        CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(given));
        CHECK_KERN(MACH_MSG_SUCCESS, send(given, 17));
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(full, own, MACH_MSG_TYPE_MAKE_SEND));
        for (const auto thread : threads) {
            CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
        }
    });
    CHECK_SOON(ready == 1);
    move_about(child.port(), kRounds);
    for (std::uint64_t i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
        CHECK_EQ(i, number_from(full));
    }
    CHECK_EQ(17U, number_from(port_from(full, MACH_MSG_TYPE_PORT_RECEIVE)));
    CHECK_KERN(MACH_MSG_SUCCESS, send(port_from(full), 4711));
    JOIN(child);
    return 0;
}

// Ports die while the task moves that has asked to be told.
SYSTEM_CASE(notifications_move) {
    constexpr std::size_t kPorts = 40;
    static std::array<mach_port_t, kPorts> dying;
    const auto ours = make_port();
    auto child = norma::clone_to(0);
    for (auto &port : dying) {
        port = make_port();
        CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), port, port, MACH_MSG_TYPE_MAKE_SEND));
    }
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), ours, ours, MACH_MSG_TYPE_MAKE_SEND));
    over = false;
    ready = 0;
    child.run([ours] {
        const auto told = make_port(), left = make_port(), lonely = make_port();
        for (const auto port : dying) {
            ask(port, MACH_NOTIFY_DEAD_NAME, told);
        }
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(ours, lonely, MACH_MSG_TYPE_MAKE_SEND));
        ask(lonely, MACH_NOTIFY_NO_SENDERS, left);
        be_moved();
        std::vector<bool> dead(kPorts);
        for (std::size_t i = 0; i < kPorts; ++i) {
            const auto about = notification<mach_dead_name_notification_t>(told, MACH_NOTIFY_DEAD_NAME).not_port;
            const auto place = std::find(dying.begin(), dying.end(), about) - dying.begin();
            CHECK(static_cast<std::size_t>(place) < kPorts && !dead.at(static_cast<std::size_t>(place)));
            dead[static_cast<std::size_t>(place)] = true;
            CHECK_EQ(2U, refs_of(about, MACH_PORT_RIGHT_DEAD_NAME)); // one more since it was told
        }
        expect_silence(told);
        expect_no_senders(left, 1);
    });
    CHECK_SOON(ready == 1);
    const auto lonely = port_from(ours);
    thread_act_t killer = THREAD_NULL;
    const auto kill_all = [](void *) {
        for (const auto port : dying) {
            CHECK_KERN(KERN_SUCCESS, mach_port_destroy(self(), port));
            rest(2ms);
        }
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), kill_all, nullptr, 0, &killer));
    move_about(child.port(), kRounds);
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(killer, -1));
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self(), lonely));
    over = true;
    JOIN(child);
    return 0;
}

// A thread's own exception port, and that of its task.
SYSTEM_CASE(exception_ports_move) {
    static std::atomic<int> survived;
    survived = 0;
    const auto of_thread = make_port_to_send(), of_task = make_port_to_send();
    over = false;
    auto child = norma::clone_to(0);
    thread_act_t thread = THREAD_NULL;
    const auto fault_when_moved = [](void *) {
        be_moved();
        asm volatile("xor %%edx, %%edx\n mov $6, %%eax\n xor %%ecx, %%ecx\n div %%ecx" ::: "eax", "ecx", "edx", "cc");
        ++survived;
        asm volatile("ud2");
        ++survived;
    };
    ready = 0;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(child.port(), fault_when_moved, nullptr, 0, &thread));
    CHECK_KERN(KERN_SUCCESS, task_set_exception_ports(child.port(), EXC_MASK_BAD_INSTRUCTION, of_task,
                                                      EXCEPTION_DEFAULT, x86_THREAD_STATE64));
    CHECK_KERN(KERN_SUCCESS, thread_set_exception_ports(thread, EXC_MASK_ARITHMETIC, of_thread, EXCEPTION_DEFAULT,
                                                        x86_THREAD_STATE64));
    CHECK_SOON(ready == 1);
    move_about(child.port(), kRounds);
    over = true;
    const auto division = raised(of_thread);
    auto state = state_of(thread);
    state.rcx = 2;
    set_state(thread, state);
    answer(division.Head, KERN_SUCCESS);
    const auto undefined = raised(of_task);
    CHECK_EQ(1, survived.load());
    state = state_of(thread);
    state.rip += 2;
    set_state(thread, state);
    answer(undefined.Head, KERN_SUCCESS);
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
    CHECK_EQ(2, survived.load());
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    return 0;
}

} // namespace

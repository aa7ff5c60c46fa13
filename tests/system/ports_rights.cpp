// SPDX-License-Identifier: BSD-3-Clause
// Rights on their way from task to task, and what becomes of them and of ports when tasks and nodes die.
#include "tests/system/ports.hpp"

#include <csignal>

#include <unistd.h>

using namespace systest;

// Rights travel in messages: to send, to receive, to a task; from a third node back to the first.
SYSTEM_CASE(ports_rights) {
    const auto box = make_port();
    auto child = child_with(other_node(), box);
    child.run([box] {
        const auto own = make_port();
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(box, own, MACH_MSG_TYPE_MAKE_SEND));
        CHECK_EQ(std::uint64_t{1}, number_from(own));
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(box, own, MACH_MSG_TYPE_MOVE_RECEIVE));
        CHECK_EQ(MACH_PORT_TYPE_NONE, type_of(own));
        const auto task = mach_task_self();
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(box, task, MACH_MSG_TYPE_COPY_SEND));
    });
    const auto theirs = port_from(box);
    CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(theirs));
    CHECK_KERN(MACH_MSG_SUCCESS, send(theirs, 1));
    CHECK_EQ(theirs, port_from(box, MACH_MSG_TYPE_PORT_RECEIVE)); // one name for both
    CHECK_EQ(MACH_PORT_TYPE_SEND_RECEIVE, type_of(theirs));
    CHECK_EQ(child.port(), port_from(box));
    JOIN(child);
    // The port lives on the other node, and the task that made it has ended.
    CHECK_KERN(MACH_MSG_SUCCESS, send(theirs, 2));
    CHECK_EQ(std::uint64_t{2}, number_from(theirs));

    // From node to node, and back to where it came from.
    const auto ring = make_port();
    struct Names {
        std::atomic<mach_port_t> in;
    };
    auto *names = shared<Names>(); // before the child, so that it has it
    auto next = child_with(norma::node_count() > 2 ? 1 : 0, ring);
    next.run([=] {
        const auto in = make_port();
        CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(mach_task_self(), in, in, MACH_MSG_TYPE_MAKE_SEND));
        names->in = in;
        const auto got = port_from(in);
        CHECK_KERN(MACH_MSG_SUCCESS, send(got, 5)); // to node 0, past the middle
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(ring, got, MACH_MSG_TYPE_MOVE_SEND));
    });
    CHECK_SOON(names->in != 0);
    mach_port_t in = 0;
    mach_msg_type_name_t type = 0;
    CHECK_KERN(KERN_SUCCESS, mach_port_extract_right(next.port(), names->in, MACH_MSG_TYPE_COPY_SEND, &in, &type));
    CHECK_KERN(MACH_MSG_SUCCESS, send_port(in, box, MACH_MSG_TYPE_MAKE_SEND));
    CHECK_EQ(std::uint64_t{5}, number_from(box));
    CHECK_EQ(box, port_from(ring));
    CHECK_EQ(1U, refs_of(box, MACH_PORT_RIGHT_SEND));
    JOIN(next);
    return 0;
}

// Nobody has a right to send any more: by giving it back, by the end of a task, and only once.
SYSTEM_CASE(ports_no_senders) {
    const auto port = make_port(), told = make_port();
    ask(port, MACH_NOTIFY_NO_SENDERS, told, 1);
    expect_silence(told); // none has been made
    auto child = child_with(other_node(), port);
    child.run([=] {
        CHECK_KERN(MACH_MSG_SUCCESS, send(port, 1));
        CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(mach_task_self(), port));
    });
    CHECK_EQ(std::uint64_t{1}, number_from(port));
    expect_no_senders(told, 1);
    JOIN(child);
    ask(port, MACH_NOTIFY_NO_SENDERS, told); // so it is: at once
    expect_no_senders(told, 1);

    ask(port, MACH_NOTIFY_NO_SENDERS, told, 2);
    auto first = child_with(other_node(), port);
    auto second = child_with(0, port);
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND));
    // One of the rights lies in a message.
    const auto box = make_port_to_send();
    CHECK_KERN(MACH_MSG_SUCCESS, send_port(box, port, MACH_MSG_TYPE_MOVE_SEND));
    CHECK_KERN(KERN_SUCCESS, task_terminate(first.release()));
    CHECK_KERN(KERN_SUCCESS, task_terminate(second.release()));
    expect_silence(told);
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(mach_task_self(), box, MACH_PORT_RIGHT_RECEIVE, -1));
    expect_no_senders(told, 4);
    expect_silence(told);
    return 0;
}

// Ports die with the task that receives from them, wherever it is; senders and receivers that wait hear of it.
SYSTEM_CASE(ports_deaths) {
    const auto box = make_port(), told = make_port();
    auto child = child_with(other_node(), box);
    child.run([box] {
        const auto own = make_port();
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(box, own, MACH_MSG_TYPE_MAKE_SEND));
        Plain message{};
        receive(box, message); // has no right to
        for (;;) {
            ::pause();
        }
    });
    const auto theirs = port_from(box);
    ask(theirs, MACH_NOTIFY_DEAD_NAME, told);
    CHECK_EQ(MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_DNREQUEST, type_of(theirs));
    for (int i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
        CHECK_KERN(MACH_MSG_SUCCESS, send(theirs, 1));
    }
    auto *status = shared<std::atomic<int>>();
    const auto me = mach_task_self();
    struct Order {
        mach_port_t port;
        std::atomic<int> *status;
    };
    auto *order = shared<Order>();
    order->port = theirs;
    order->status = status;
    thread_t thread = THREAD_NULL;
    const auto wait_to_send = [](void *raw) {
        const auto *given = static_cast<Order *>(raw);
        *given->status = send(given->port, 2);
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(me, wait_to_send, order, 0, &thread));
    ::usleep(20'000);
    CHECK_EQ(0, status->load());
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    expect_dead_name(told, theirs);
    CHECK_EQ(2U, refs_of(theirs, MACH_PORT_RIGHT_DEAD_NAME)); // one of them came with the notification
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    CHECK_EQ(MACH_SEND_INVALID_DEST, status->load());
    CHECK_KERN(MACH_SEND_INVALID_DEST, send(theirs, 1));

    // Who waits to receive while the right goes.
    order->port = make_port();
    *status = 0;
    const auto wait_to_receive = [](void *raw) {
        const auto *given = static_cast<Order *>(raw);
        Plain message{};
        *given->status = receive(given->port, message);
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(me, wait_to_receive, order, 0, &thread));
    ::usleep(20'000);
    CHECK_KERN(KERN_SUCCESS, mach_port_destroy(me, order->port));
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    CHECK_EQ(MACH_RCV_PORT_DIED, status->load());

    // A thread that is ended while it waits takes no message with it.
    order->port = make_port_to_send();
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(me, wait_to_receive, order, 0, &thread));
    ::usleep(20'000);
    CHECK_KERN(KERN_SUCCESS, thread_terminate(thread));
    CHECK_KERN(MACH_MSG_SUCCESS, send(order->port, 77));
    CHECK_EQ(std::uint64_t{77}, number_from(order->port));
    return 0;
}

// A node dies: with the port, with the receiver, with the last sender.
SYSTEM_CASE(ports_node_dies) {
    const auto box = make_port(), told = make_port(), guarded = make_port();
    auto *pid = shared<std::atomic<pid_t>>();
    auto child = child_with(1, box);
    ask(guarded, MACH_NOTIFY_NO_SENDERS, told, 1);
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), guarded, guarded, MACH_MSG_TYPE_MAKE_SEND));
    const auto moved = make_port_to_send(); // lives here, is received from there
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), moved, moved, MACH_MSG_TYPE_MOVE_RECEIVE));
    child.run([=] {
        const auto own = make_port();
        CHECK_KERN(MACH_MSG_SUCCESS, send_port(box, own, MACH_MSG_TYPE_MAKE_SEND));
        CHECK_EQ(std::uint64_t{3}, number_from(moved));
        *pid = ::getppid();
        Plain message{};
        receive(moved, message);
    });
    const auto theirs = port_from(box);
    CHECK_KERN(MACH_MSG_SUCCESS, send(moved, 3));
    CHECK_SOON(*pid != 0);
    const auto notes = make_port();
    ask(theirs, MACH_NOTIFY_DEAD_NAME, notes);
    expect_silence(notes);
    ::kill(*pid, SIGKILL);
    expect_dead_name(notes, theirs);
    expect_no_senders(told, 1);
    CHECK_SOON(type_of(moved) == MACH_PORT_TYPE_DEAD_NAME);
    CHECK_KERN(MACH_SEND_INVALID_DEST, send(theirs, 1));
    CHECK_KERN(MACH_SEND_INVALID_DEST, send(moved, 1));
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(mach_task_self(), box, box, MACH_MSG_TYPE_MAKE_SEND));
    CHECK_KERN(MACH_MSG_SUCCESS, send(box, 1)); // the rest goes on
    CHECK_EQ(std::uint64_t{1}, number_from(box));
    child.release();
    return 0;
}

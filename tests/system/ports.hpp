// SPDX-License-Identifier: BSD-3-Clause
// What the cases about ports share.
#pragma once

#include "tests/system/app.hpp"

#include <cstring>

namespace systest {

inline constexpr mach_msg_timeout_t kShort = 20;

inline int other_node() {
    return norma::node_count() - 1;
}

struct Plain {
    mach_msg_header_t head;
    std::uint64_t number;
    mach_msg_trailer_t trailer;
};

struct WithPort {
    mach_msg_header_t head;
    mach_msg_body_t body;
    mach_msg_port_descriptor_t port;
    std::uint32_t number;
    mach_msg_trailer_t trailer;
};

template <class M> constexpr mach_msg_size_t size_of() {
    return sizeof(M) - sizeof(mach_msg_trailer_t);
}

inline mach_port_t make_port() {
    mach_port_t name = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &name));
    return name;
}

inline mach_port_t make_port_to_send() {
    const auto name = make_port();
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(mach_task_self(), name, name, MACH_MSG_TYPE_MAKE_SEND));
    return name;
}

inline mach_port_type_t type_of(mach_port_t name) {
    mach_port_type_t type = 0;
    const auto status = mach_port_type(mach_task_self(), name, &type);
    return status == KERN_SUCCESS ? type : MACH_PORT_TYPE_NONE;
}

inline unsigned refs_of(mach_port_t name, mach_port_right_t right) {
    mach_port_urefs_t refs = 0;
    CHECK_KERN(KERN_SUCCESS, mach_port_get_refs(mach_task_self(), name, right, &refs));
    return refs;
}

inline mach_msg_return_t send(mach_port_t to, std::uint64_t number, unsigned disposition = MACH_MSG_TYPE_COPY_SEND,
                              mach_msg_timeout_t timeout = 10'000) {
    Plain message{};
    message.head.msgh_bits = MACH_MSGH_BITS(disposition, 0);
    message.head.msgh_remote_port = to;
    message.head.msgh_id = 7;
    message.number = number;
    return mach_msg(&message.head, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size_of<Plain>(), 0, MACH_PORT_NULL, timeout,
                    MACH_PORT_NULL);
}

inline mach_msg_return_t send_port(mach_port_t to, mach_port_t port, unsigned disposition, std::uint32_t number = 0) {
    WithPort message{};
    message.head.msgh_bits = MACH_MSGH_BITS(static_cast<unsigned>(MACH_MSG_TYPE_COPY_SEND), 0) | MACH_MSGH_BITS_COMPLEX;
    message.head.msgh_remote_port = to;
    message.body.msgh_descriptor_count = 1;
    message.port.name = port;
    message.port.disposition = disposition & 0xff;
    message.port.type = MACH_MSG_PORT_DESCRIPTOR;
    message.number = number;
    return mach_msg(&message.head, MACH_SEND_MSG, size_of<WithPort>(), 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
}

template <class M> mach_msg_return_t receive(mach_port_t from, M &message, mach_msg_timeout_t timeout = 20'000) {
    return mach_msg(&message.head, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof message, from, timeout, MACH_PORT_NULL);
}

inline std::uint64_t number_from(mach_port_t from) {
    Plain message{};
    CHECK_KERN(MACH_MSG_SUCCESS, receive(from, message));
    CHECK_EQ(from, message.head.msgh_local_port);
    CHECK_EQ(7, message.head.msgh_id);
    CHECK_EQ(size_of<Plain>(), message.head.msgh_size);
    return message.number;
}

inline mach_port_t port_from(mach_port_t from, unsigned type = MACH_MSG_TYPE_PORT_SEND) {
    WithPort message{};
    CHECK_KERN(MACH_MSG_SUCCESS, receive(from, message));
    CHECK((message.head.msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0);
    CHECK_EQ(1U, message.body.msgh_descriptor_count);
    CHECK_EQ(type, unsigned{message.port.disposition});
    return message.port.name;
}

// A child on another node that has a send right to `port` under the name `port` too.
inline norma::task child_with(int node, mach_port_t port, unsigned disposition = MACH_MSG_TYPE_MAKE_SEND) {
    auto child = norma::clone_to(node);
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), port, port, disposition));
    return child;
}

inline void ask(mach_port_t name, int kind, mach_port_t notify, mach_port_mscount_t sync = 0) {
    mach_port_t previous = MACH_PORT_DEAD;
    CHECK_KERN(KERN_SUCCESS, mach_port_request_notification(mach_task_self(), name, kind, sync, notify,
                                                            MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
    CHECK_EQ(MACH_PORT_NULL, previous);
}

/// The notification of this kind that comes next.
template <class Notification> Notification notification(mach_port_t notify, int kind) {
    Notification told{};
    CHECK_KERN(MACH_MSG_SUCCESS, mach_msg(&told.not_header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof told, notify,
                                          20'000, MACH_PORT_NULL));
    CHECK_EQ(kind, told.not_header.msgh_id);
    return told;
}

inline void expect_dead_name(mach_port_t notify, mach_port_t name) {
    const auto told = notification<mach_dead_name_notification_t>(notify, MACH_NOTIFY_DEAD_NAME);
    CHECK_EQ(name, told.not_port);
    CHECK_EQ(MACH_PORT_TYPE_DEAD_NAME, type_of(name));
}

inline void expect_no_senders(mach_port_t notify, unsigned made) {
    const auto told = notification<mach_no_senders_notification_t>(notify, MACH_NOTIFY_NO_SENDERS);
    CHECK_EQ(made, told.not_count);
}

inline void expect_silence(mach_port_t port) {
    Plain message{};
    CHECK_KERN(MACH_RCV_TIMED_OUT, receive(port, message, kShort));
}

} // namespace systest

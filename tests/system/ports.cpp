// SPDX-License-Identifier: BSD-3-Clause
// Ports and messages, on one node and across nodes: names, messages, and what is refused.
#include "tests/system/ports.hpp"

using namespace systest;

// Names and references, of one's own task and of another.
SYSTEM_CASE(ports_names) {
    const auto self = mach_task_self();
    const auto port = make_port_to_send();
    CHECK_EQ(MACH_PORT_TYPE_SEND_RECEIVE, type_of(port));
    CHECK_EQ(1U, refs_of(port, MACH_PORT_RIGHT_SEND));
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self, port, MACH_PORT_RIGHT_SEND, 3));
    CHECK_EQ(4U, refs_of(port, MACH_PORT_RIGHT_SEND));
    CHECK_EQ(1U, refs_of(port, MACH_PORT_RIGHT_RECEIVE));
    CHECK_EQ(0U, refs_of(port, MACH_PORT_RIGHT_DEAD_NAME));
    CHECK_KERN(KERN_INVALID_VALUE, mach_port_mod_refs(self, port, MACH_PORT_RIGHT_SEND, -5));
    CHECK_KERN(KERN_INVALID_VALUE, mach_port_mod_refs(self, port, MACH_PORT_RIGHT_RECEIVE, 1));
    CHECK_KERN(KERN_INVALID_VALUE, mach_port_mod_refs(self, port, MACH_PORT_RIGHT_PORT_SET, -1));
    CHECK_KERN(KERN_INVALID_RIGHT, mach_port_mod_refs(self, port, MACH_PORT_RIGHT_DEAD_NAME, -1));
    CHECK_KERN(KERN_UREFS_OVERFLOW, mach_port_mod_refs(self, port, MACH_PORT_RIGHT_SEND, MACH_PORT_UREFS_MAX));
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self, port));
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self, port, MACH_PORT_RIGHT_SEND, -3));
    CHECK_EQ(MACH_PORT_TYPE_RECEIVE, type_of(port));
    CHECK_KERN(KERN_INVALID_RIGHT, mach_port_deallocate(self, port));
    CHECK_KERN(KERN_INVALID_CAPABILITY, mach_port_insert_right(self, port, port, MACH_MSG_TYPE_COPY_SEND));

    // The receive right goes: what is left is a dead name.
    const auto dying = make_port_to_send();
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self, dying, MACH_PORT_RIGHT_SEND, 1));
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self, dying, MACH_PORT_RIGHT_RECEIVE, -1));
    CHECK_EQ(MACH_PORT_TYPE_DEAD_NAME, type_of(dying));
    CHECK_EQ(2U, refs_of(dying, MACH_PORT_RIGHT_DEAD_NAME));
    CHECK_KERN(MACH_SEND_INVALID_DEST, send(dying, 1));
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self, dying));
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self, dying));
    CHECK_KERN(KERN_INVALID_NAME, mach_port_deallocate(self, dying));
    CHECK_EQ(MACH_PORT_TYPE_NONE, type_of(dying));

    mach_port_t dead = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, mach_port_allocate(self, MACH_PORT_RIGHT_DEAD_NAME, &dead));
    CHECK_EQ(MACH_PORT_TYPE_DEAD_NAME, type_of(dead));
    CHECK_KERN(KERN_INVALID_VALUE, mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &dead));
    CHECK_KERN(KERN_SUCCESS, mach_port_allocate_name(self, MACH_PORT_RIGHT_RECEIVE, 0x7000));
    CHECK_KERN(KERN_NAME_EXISTS, mach_port_allocate_name(self, MACH_PORT_RIGHT_RECEIVE, 0x7000));
    CHECK_KERN(KERN_INVALID_VALUE, mach_port_allocate_name(self, MACH_PORT_RIGHT_RECEIVE, MACH_PORT_DEAD));

    // Task and thread ports are in the same name space, and are not sent messages.
    CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(self));
    CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(mach_thread_self()));
    CHECK_KERN(MACH_SEND_INVALID_DEST, send(self, 1));
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self, self));
    CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(self));
    CHECK_KERN(KERN_INVALID_TASK, mach_port_allocate(port, MACH_PORT_RIGHT_RECEIVE, &dead));

    // Another task's names, through its port.
    auto child = norma::clone_to(other_node());
    mach_port_t theirs = MACH_PORT_NULL;
    mach_port_type_t type = 0;
    CHECK_KERN(KERN_SUCCESS, mach_port_allocate(child.port(), MACH_PORT_RIGHT_RECEIVE, &theirs));
    CHECK_KERN(KERN_SUCCESS, mach_port_type(child.port(), theirs, &type));
    CHECK_EQ(MACH_PORT_TYPE_RECEIVE, type);
    CHECK_KERN(KERN_NAME_EXISTS, mach_port_insert_right(child.port(), theirs, port, MACH_MSG_TYPE_MAKE_SEND));
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(child.port(), 0x8000, port, MACH_MSG_TYPE_MAKE_SEND));
    CHECK_KERN(KERN_RIGHT_EXISTS, mach_port_insert_right(child.port(), 0x8001, port, MACH_MSG_TYPE_MAKE_SEND));
    mach_port_t mine = MACH_PORT_NULL;
    mach_msg_type_name_t kind = 0;
    CHECK_KERN(KERN_SUCCESS, mach_port_extract_right(child.port(), theirs, MACH_MSG_TYPE_MAKE_SEND, &mine, &kind));
    CHECK_EQ(unsigned{MACH_MSG_TYPE_PORT_SEND}, kind);
    CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(mine));
    int node = -1;
    CHECK_KERN(KERN_SUCCESS, norma_port_location_hint(self, mine, &node));
    CHECK_EQ(other_node(), node);
    CHECK_KERN(KERN_INVALID_NAME, mach_port_extract_right(child.port(), 0x9000, MACH_MSG_TYPE_MAKE_SEND, &mine, &kind));
    // From here the child's task receives through us: its receive right comes, and the port stays there.
    CHECK_KERN(KERN_SUCCESS, mach_port_extract_right(child.port(), theirs, MACH_MSG_TYPE_MOVE_RECEIVE, &theirs, &kind));
    CHECK_EQ(mine, theirs);
    CHECK_EQ(MACH_PORT_TYPE_SEND_RECEIVE, type_of(mine));
    CHECK_KERN(MACH_MSG_SUCCESS, send(mine, 4711));
    CHECK_EQ(std::uint64_t{4711}, number_from(mine));
    child = norma::task();
    CHECK_KERN(MACH_MSG_SUCCESS, send(mine, 4712)); // it was the child's no more
    return 0;
}

// Requests and replies between nodes, in order; timeouts; sizes.
SYSTEM_CASE(ports_messages) {
    const auto service = make_port();
    const auto echo = [service](int count) {
        const auto answers = make_port();
        for (int i = 0; i < count; ++i) {
            Plain message{};
            message.head.msgh_bits = MACH_MSGH_BITS(static_cast<unsigned>(MACH_MSG_TYPE_COPY_SEND),
                                                    static_cast<unsigned>(MACH_MSG_TYPE_MAKE_SEND));
            message.head.msgh_remote_port = service;
            message.head.msgh_local_port = answers;
            message.head.msgh_id = i;
            message.number = static_cast<std::uint64_t>(i) * 3;
            CHECK_KERN(MACH_MSG_SUCCESS, mach_msg(&message.head, MACH_SEND_MSG | MACH_RCV_MSG, size_of<Plain>(),
                                                  sizeof message, answers, 0, MACH_PORT_NULL));
            CHECK_EQ(i + 100, message.head.msgh_id);
            CHECK_EQ(static_cast<std::uint64_t>(i) * 3 + 1, message.number);
        }
    };
    constexpr int kCount = 200;
    for (int node = 0; node < norma::node_count(); ++node) {
        auto child = child_with(node, service);
        child.run([=] { echo(kCount); });
        for (int i = 0; i < kCount; ++i) {
            Plain message{};
            CHECK_KERN(MACH_MSG_SUCCESS, receive(service, message));
            CHECK_EQ(i, message.head.msgh_id);
            message.head.msgh_bits = MACH_MSGH_BITS(static_cast<unsigned>(MACH_MSG_TYPE_MOVE_SEND), 0);
            message.head.msgh_local_port = MACH_PORT_NULL;
            message.head.msgh_id += 100;
            ++message.number;
            CHECK_KERN(MACH_MSG_SUCCESS,
                       mach_msg(&message.head, MACH_SEND_MSG, size_of<Plain>(), 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
        }
        JOIN(child);
    }

    // The queue has a limit; who has waited in vain keeps everything.
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(mach_task_self(), service, service, MACH_MSG_TYPE_MAKE_SEND));
    expect_silence(service);
    for (std::uint64_t i = 0; i < MACH_PORT_QLIMIT_DEFAULT; ++i) {
        CHECK_KERN(MACH_MSG_SUCCESS, send(service, i));
    }
    CHECK_KERN(MACH_SEND_TIMED_OUT, send(service, 99, MACH_MSG_TYPE_MOVE_SEND, kShort));
    CHECK_KERN(MACH_SEND_TIMED_OUT, send(service, 99, MACH_MSG_TYPE_COPY_SEND, 0));
    CHECK_EQ(MACH_PORT_TYPE_SEND_RECEIVE, type_of(service));
    auto late = child_with(other_node(), service);
    late.run([=] { CHECK_KERN(MACH_MSG_SUCCESS, send(service, MACH_PORT_QLIMIT_DEFAULT)); });
    for (std::uint64_t i = 0; i <= MACH_PORT_QLIMIT_DEFAULT; ++i) {
        CHECK_EQ(i, number_from(service));
    }
    JOIN(late);

    // Too large for the receiver: kept if it says so, else gone.
    CHECK_KERN(MACH_MSG_SUCCESS, send(service, 1));
    Plain small{};
    CHECK_KERN(MACH_RCV_TOO_LARGE,
               mach_msg(&small.head, MACH_RCV_MSG | MACH_RCV_LARGE, 0, sizeof small - 1, service, 0, MACH_PORT_NULL));
    CHECK_EQ(mach_msg_size_t{sizeof small}, small.head.msgh_size);
    CHECK_EQ(1UL, number_from(service));
    CHECK_KERN(MACH_MSG_SUCCESS, send(service, 2));
    CHECK_KERN(MACH_RCV_TOO_LARGE,
               mach_msg(&small.head, MACH_RCV_MSG, 0, sizeof small - 1, service, 0, MACH_PORT_NULL));
    expect_silence(service);
    static std::byte most[NORMA_MSG_BYTES_MAX + 64];
    auto *head = reinterpret_cast<mach_msg_header_t *>(most);
    head->msgh_bits = MACH_MSGH_BITS(static_cast<unsigned>(MACH_MSG_TYPE_COPY_SEND), 0);
    head->msgh_remote_port = service;
    most[NORMA_MSG_BYTES_MAX - 1] = std::byte{0x5a};
    CHECK_KERN(MACH_SEND_TOO_LARGE,
               mach_msg(head, MACH_SEND_MSG, NORMA_MSG_BYTES_MAX + 4, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
    CHECK_KERN(MACH_MSG_SUCCESS,
               mach_msg(head, MACH_SEND_MSG, NORMA_MSG_BYTES_MAX, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
    std::memset(most, 0, sizeof most);
    CHECK_KERN(MACH_MSG_SUCCESS, mach_msg(head, MACH_RCV_MSG, 0, sizeof most, service, 0, MACH_PORT_NULL));
    CHECK(most[NORMA_MSG_BYTES_MAX - 1] == std::byte{0x5a});
    return 0;
}

// What a task says wrong is refused, and takes nothing away.
SYSTEM_CASE(ports_refusals) {
    const auto port = make_port_to_send();
    Plain message{};
    const auto try_send = [&](unsigned bits, mach_port_t remote, mach_port_t local, mach_msg_size_t size) {
        message.head.msgh_bits = bits;
        message.head.msgh_remote_port = remote;
        message.head.msgh_local_port = local;
        return mach_msg(&message.head, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
    };
    constexpr unsigned kCopy = MACH_MSG_TYPE_COPY_SEND;
    constexpr auto kSize = size_of<Plain>();
    CHECK_KERN(MACH_SEND_INVALID_DEST, try_send(kCopy, 0x4000, MACH_PORT_NULL, kSize));
    CHECK_KERN(MACH_SEND_INVALID_DEST, try_send(kCopy, MACH_PORT_NULL, MACH_PORT_NULL, kSize));
    CHECK_KERN(MACH_SEND_INVALID_DEST, try_send(kCopy, MACH_PORT_DEAD, MACH_PORT_NULL, kSize));
    CHECK_KERN(MACH_SEND_INVALID_HEADER, try_send(0, port, MACH_PORT_NULL, kSize));
    CHECK_KERN(MACH_SEND_INVALID_HEADER, try_send(77, port, MACH_PORT_NULL, kSize));
    CHECK_KERN(MACH_SEND_INVALID_HEADER, try_send(MACH_MSG_TYPE_MOVE_RECEIVE, port, MACH_PORT_NULL, kSize));
    CHECK_KERN(MACH_SEND_INVALID_HEADER, try_send(kCopy | 0x10000, port, MACH_PORT_NULL, kSize));
    CHECK_KERN(MACH_SEND_INVALID_HEADER, try_send(kCopy, port, port, kSize));
    CHECK_KERN(MACH_SEND_INVALID_REPLY, try_send(MACH_MSGH_BITS(kCopy, kCopy), port, 0x4000, kSize));
    CHECK_KERN(MACH_SEND_MSG_TOO_SMALL, try_send(kCopy, port, MACH_PORT_NULL, sizeof(mach_msg_header_t) - 1));
    CHECK_KERN(MACH_SEND_MSG_TOO_SMALL,
               try_send(kCopy | MACH_MSGH_BITS_COMPLEX, port, MACH_PORT_NULL, sizeof(mach_msg_header_t)));
    CHECK_KERN(MACH_SEND_INVALID_DATA, mach_msg(nullptr, MACH_SEND_MSG, kSize, 0, 0, 0, 0));
    CHECK_KERN(MACH_SEND_INVALID_DATA, mach_msg(&message.head, 0x4000, kSize, 0, 0, 0, 0));
    CHECK_KERN(MACH_RCV_INVALID_NAME, receive(0x4000, message, 0));
    CHECK_KERN(MACH_RCV_INVALID_NAME, receive(mach_task_self(), message, 0));

    CHECK_KERN(MACH_SEND_INVALID_RIGHT, send_port(port, 0x4000, kCopy));
    CHECK_KERN(MACH_SEND_INVALID_TYPE, send_port(port, port, MACH_MSG_TYPE_MAKE_SEND_ONCE));
    CHECK_KERN(MACH_SEND_INVALID_RIGHT, send_port(port, port, MACH_MSG_TYPE_MOVE_RECEIVE)); // in its own queue
    WithPort many{};
    many.head.msgh_bits = kCopy | MACH_MSGH_BITS_COMPLEX;
    many.head.msgh_remote_port = port;
    for (const auto count : {2U, 257U, 0xffffffffU}) {
        many.body.msgh_descriptor_count = count;
        CHECK_KERN(count == 2 ? MACH_SEND_MSG_TOO_SMALL : MACH_SEND_TOO_LARGE,
                   mach_msg(&many.head, MACH_SEND_MSG, size_of<WithPort>(), 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
    }
    many.body.msgh_descriptor_count = 1;
    many.port.type = MACH_MSG_OOL_PORTS_DESCRIPTOR;
    CHECK_KERN(MACH_SEND_INVALID_TYPE,
               mach_msg(&many.head, MACH_SEND_MSG, size_of<WithPort>(), 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
    CHECK_EQ(MACH_PORT_TYPE_SEND_RECEIVE, type_of(port));
    CHECK_EQ(1U, refs_of(port, MACH_PORT_RIGHT_SEND));
    expect_silence(port);
    // Nothing, and what is dead, may be sent.
    CHECK_KERN(MACH_MSG_SUCCESS, send_port(port, MACH_PORT_NULL, kCopy));
    CHECK_EQ(MACH_PORT_NULL, port_from(port));
    CHECK_KERN(MACH_MSG_SUCCESS, send_port(port, MACH_PORT_DEAD, kCopy));
    CHECK_EQ(MACH_PORT_DEAD, port_from(port));
    mach_port_t previous = 0;
    CHECK_KERN(KERN_INVALID_CAPABILITY,
               mach_port_request_notification(mach_task_self(), port, MACH_NOTIFY_NO_SENDERS, 0, 0x4000,
                                              MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
    CHECK_KERN(KERN_INVALID_VALUE, mach_port_request_notification(mach_task_self(), port, 71, 0, port,
                                                                  MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
    CHECK_KERN(KERN_INVALID_RIGHT,
               mach_port_request_notification(mach_task_self(), mach_task_self(), MACH_NOTIFY_DEAD_NAME, 1, port,
                                              MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
    return 0;
}

struct Signed {
    mach_msg_header_t head;
    std::uint64_t number;
    mach_msg_security_trailer_t trailer;
};
constexpr mach_msg_size_t kSigned = offsetof(Signed, trailer) + sizeof(mach_msg_security_trailer_t);

mach_msg_return_t receive_signed(mach_port_t from, Signed &message, mach_msg_size_t room = kSigned) {
    constexpr auto kSender = MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_SENDER);
    return mach_msg(&message.head, MACH_RCV_MSG | MACH_RCV_LARGE | MACH_RCV_TIMEOUT | kSender, 0, room, from, 20'000,
                    MACH_PORT_NULL);
}

// Who sends a message is told by its node, to who asks for it.
SYSTEM_CASE(ports_senders) {
    const auto port = make_port_to_send();
    for (int node = 0; node < norma::node_count(); ++node) {
        auto child = child_with(node, port, MACH_MSG_TYPE_COPY_SEND);
        const security_token_t token{{10U + static_cast<unsigned>(node), 0xfffffff0U}};
        CHECK_KERN(KERN_SUCCESS, host_security_set_task_token(host_priv_self(), child.port(), token, mach_host_self()));
        child.run([port] { CHECK_KERN(MACH_MSG_SUCCESS, send(port, 5)); });
        Signed message{};
        CHECK_KERN(MACH_RCV_TOO_LARGE, receive_signed(port, message, kSigned - 1));
        CHECK_EQ(kSigned, message.head.msgh_size);
        CHECK_KERN(MACH_MSG_SUCCESS, receive_signed(port, message));
        CHECK_EQ(std::uint64_t{5}, message.number);
        CHECK_EQ(sizeof message.trailer, std::size_t{message.trailer.msgh_trailer_size});
        CHECK_EQ(token.val[0], message.trailer.msgh_sender.val[0]);
        CHECK_EQ(token.val[1], message.trailer.msgh_sender.val[1]);
        JOIN(child);
    }
    auto receiver = norma::clone_to(other_node()); // who receives on another node than the port's is told, too
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(receiver.port(), port, port, MACH_MSG_TYPE_MOVE_RECEIVE));
    CHECK_KERN(KERN_SUCCESS,
               host_security_set_task_token(host_priv_self(), mach_task_self(), {{7, 8}}, mach_host_self()));
    receiver.run([port] {
        Signed message{};
        CHECK_KERN(MACH_MSG_SUCCESS, receive_signed(port, message));
        CHECK_EQ(7U, message.trailer.msgh_sender.val[0]);
        CHECK_EQ(8U, message.trailer.msgh_sender.val[1]);
    });
    CHECK_KERN(MACH_MSG_SUCCESS, send(port, 5));
    JOIN(receiver);

    const auto told = make_port(), dying = make_port_to_send(); // a notification is nobody's
    ask(dying, MACH_NOTIFY_DEAD_NAME, told);
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(mach_task_self(), dying, MACH_PORT_RIGHT_RECEIVE, -1));
    struct {
        mach_dead_name_notification_t body;
        mach_msg_security_trailer_t room;
    } notification{};
    CHECK_KERN(MACH_MSG_SUCCESS, mach_msg(&notification.body.not_header,
                                          MACH_RCV_MSG | MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_SENDER), 0,
                                          sizeof notification, told, 0, MACH_PORT_NULL));
    mach_msg_security_trailer_t trailer;
    std::memcpy(&trailer, reinterpret_cast<std::byte *>(&notification) + notification.body.not_header.msgh_size,
                sizeof trailer);
    CHECK_EQ(0U, trailer.msgh_sender.val[0]);
    Signed message{};
    CHECK_KERN(MACH_SEND_INVALID_DATA, mach_msg(&message.head, MACH_RCV_MSG | MACH_RCV_TRAILER_ELEMENTS(3), 0,
                                                sizeof message, told, 0, MACH_PORT_NULL));
    CHECK_KERN(MACH_SEND_INVALID_DATA, mach_msg(&message.head, MACH_RCV_MSG | MACH_RCV_TRAILER_TYPE(1), 0,
                                                sizeof message, told, 0, MACH_PORT_NULL));
    return 0;
}

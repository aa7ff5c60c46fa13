// SPDX-License-Identifier: BSD-3-Clause
// From a message whose rights have left their names to the answer of the port's home. Its memory is copied first: the
// copy is the message's, and only if that is queued does anything leave the sender's map.
#include "runtime/server/port_sending.hpp"

namespace norma::rt {

void PortService::release_memory(const Message &message) {
    if (!message.memory.empty()) {
        links_.memory.release(pieces_of(message));
    }
}

void PortService::copy_memory(const std::shared_ptr<Sending> &sending, const MemoryLinks::Ranges &ranges) {
    links_.memory.copy(sending->who.task, ranges, [this, sending](MemoryLinks::Copies copies) {
        for (std::size_t i = 0; i < copies.pieces.size(); ++i) {
            sending->message.memory[i].pieces = std::move(copies.pieces[i]);
        }
        sending->leaving = std::move(copies.leaving);
        const bool waits = still_waits(sending->who, sending->number);
        if (copies.status != MACH_MSG_SUCCESS) {
            sent(sending, copies.status);
        } else if (!waits || waits_.at(sending->who).aborted != KERN_SUCCESS) {
            sent(sending, MACH_SEND_TIMED_OUT);
        } else {
            send_off(sending);
        }
    });
}

void PortService::send_off(const std::shared_ptr<Sending> &sending) {
    const auto &[who, number, to, timeout_ms, passed, message, leaving, done] = *sending;
    auto request = request_for(Op::port_send, to);
    request.args = {static_cast<std::uint64_t>(timeout_ms), number};
    request.blob = encode(message);
    if (request.blob.size() > kMaxMessageRecord) {
        sent(sending, MACH_SEND_TOO_LARGE);
    } else if (links_.server_of(node_of(to.task)) != self_ && !links_.pay(who.task, request.blob.size())) {
        sent(sending, MACH_SEND_NO_BUFFER);
    } else {
        links_.call(
            node_of(to.task), std::move(request), [this, sending](const Reply &reply) { sent(sending, reply.status); },
            false);
    }
}

// What the message has brought to the port's home is that node's own by now; what it has not is the task's again.
void PortService::sent(const std::shared_ptr<Sending> &sending, std::int32_t status) {
    const auto &who = sending->who;
    const auto aborted = end_wait(who, sending->number);
    changing_.extract(who.task);
    release_memory(sending->message);
    if (status != MACH_MSG_SUCCESS) {
        bring_back(who.task, sending->passed, status == KERN_NODE_DOWN);
        const bool given_up = aborted != KERN_SUCCESS && (status == MACH_SEND_TIMED_OUT || status == kWithdrawn);
        sending->done(status_reply(status == KERN_NODE_DOWN ? MACH_SEND_INVALID_DEST
                                   : !given_up              ? status
                                   : aborted == kWithdrawn  ? kWithdrawn
                                                            : MACH_SEND_INTERRUPTED));
        return;
    }
    for (const auto &[name, disposition, carried] : sending->passed) {
        if (!carried.receive.any()) {
            refs_.drop(carried.right);
        }
    }
    if (sending->leaving.empty()) {
        sending->done(status_reply(MACH_MSG_SUCCESS));
        return;
    }
    links_.memory.remove(who.task, sending->leaving, [sending] { sending->done(status_reply(MACH_MSG_SUCCESS)); });
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_ucx_importer.hpp"

#include <algorithm>
#include <random>

namespace norma::rt {

UcxImporter::UcxImporter(const OneSidedOptions &options)
    : OneSidedImporter(options), context_(options.transport), worker_(context_, UCS_THREAD_MODE_SERIALIZED),
      address_(worker_.address()), self_(std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {
    worker_.on_message(kAnswerId, &UcxImporter::on_answer, this);
}

OneSidedImporter::Target &UcxImporter::target_for(const norma_key_t &key, std::span<const std::byte> address) {
    const auto task = key.words[0];
    auto *&owner = owner_by_task_[task];
    if (owner == nullptr || owner->failure != KERN_SUCCESS) {
        auto &made = owners_.emplace_back(); // stays: accesses may still name a former one
        made.task = task;
        made.link.open(worker_, address);
        owner = &made;
    }
    return *owner;
}

void UcxImporter::for_each_target(const std::function<void(Target &)> &visit) {
    for (auto &[task, owner] : owner_by_task_) {
        if (owner->failure == KERN_SUCCESS) {
            visit(*owner);
        }
    }
}

void UcxImporter::close(Target &target) {
    static_cast<Owner &>(target).link.close();
}

bool UcxImporter::send(Target &target) {
    auto &owner = static_cast<Owner &>(target);
    bool sent = false;
    while (!owner.to_send.empty()) {
        const auto number = owner.to_send.front();
        auto *wanted = part(number);
        auto *room = wanted == nullptr ? nullptr : owner.outbox.room(); // it may have been given up
        if (wanted != nullptr && room == nullptr) {
            return sent;
        }
        if (wanted == nullptr || send_part(owner, *wanted, number, room)) {
            owner.to_send.pop_front();
        }
        sent = true;
    }
    return sent;
}

// True: that was all of it.
bool UcxImporter::send_part(Owner &owner, Part &part, std::uint64_t number, std::byte *room) {
    const auto &access = part.access;
    Ask ask{.kind = access.kind,
            .reserved = {},
            .piece = static_cast<std::uint32_t>(owner.piece),
            .importer = self_,
            .op = number,
            .place = part.key.words[1],
            .secret = {part.key.words[2], part.key.words[3]},
            .offset = access.offset,
            .bytes = access.bytes,
            .at = 0,
            .operand = {access.operand[0], access.operand[1]}};
    std::size_t bytes = 0;
    if (access.kind == AccessKind::look) {
        bytes = address_.size();
        std::memcpy(room, address_.data(), bytes);
    } else if (access.kind == AccessKind::put) {
        ask.at = part.sent;
        bytes = std::min<std::size_t>(owner.piece, access.bytes - part.sent);
        std::memcpy(room, access.buffer + part.sent, bytes);
        part.sent += bytes;
    }
    owner.outbox.send(owner.link, kAskId, ask, bytes);
    return access.kind != AccessKind::put || part.sent == access.bytes;
}

ucs_status_t UcxImporter::on_answer(void *self, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                                    const ucp_am_recv_param_t *param) {
    if (head_bytes == sizeof(Answer) && (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0) {
        Answer answer;
        std::memcpy(&answer, head, sizeof answer);
        static_cast<UcxImporter *>(self)->take(answer, {static_cast<const std::byte *>(data), bytes});
    }
    return UCS_OK;
}

void UcxImporter::take(const Answer &answer, std::span<const std::byte> data) {
    auto *asked = part(answer.op);
    if (asked == nullptr) {
        return; // given up
    }
    const auto &access = asked->access;
    auto &owner = static_cast<Owner &>(*asked->target);
    if (answer.status != KERN_SUCCESS) {
        finish(answer.op, answer.status);
        return;
    }
    if (access.kind == AccessKind::get) {
        if (answer.at > access.bytes || data.size() > access.bytes - answer.at) {
            return; // not from an owner that keeps to the rules
        }
        if (!data.empty()) {
            std::memcpy(access.buffer + answer.at, data.data(), data.size());
        }
        asked->received += data.size();
        if (asked->received < access.bytes) {
            return;
        }
    } else if (access.kind == AccessKind::look) {
        owner.piece = owner.piece != 0 ? owner.piece : owner.link.best_piece();
        std::copy(std::begin(answer.value), std::end(answer.value), access.before);
    } else if (access.before != nullptr) {
        *access.before = answer.value[0];
    }
    finish(answer.op, KERN_SUCCESS);
}

bool UcxImporter::progress() {
    bool happened = ucp_worker_progress(worker_.get()) != 0;
    for (auto &[task, owner] : owner_by_task_) {
        if (owner->link.broken() && owner->failure == KERN_SUCCESS) {
            fail(*owner, KERN_TERMINATED);
            happened = true;
        } else if (!owner->to_send.empty()) {
            happened = send(*owner) || happened;
        }
    }
    return happened;
}

bool UcxImporter::arm() {
    return ucp_worker_arm(worker_.get()) == UCS_OK;
}

} // namespace norma::rt

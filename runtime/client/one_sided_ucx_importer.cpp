// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_ucx_importer.hpp"

#include <algorithm>
#include <random>
#include <stdexcept>
#include <utility>

namespace norma::rt {

UcxImporter::UcxImporter(const OneSidedOptions &options)
    : OneSidedImporter(options), context_(options.transport, true) {}

OneSidedImporter::Target &UcxImporter::target_for(const norma_key_t &key, std::span<const std::byte> address) {
    const auto task = key.words[0];
    const auto known = owner_by_task_.find(task);
    if (known != owner_by_task_.end() && known->second->failure == KERN_SUCCESS) {
        return *known->second;
    }
    auto &made = owners_.emplace_back(context_, *this);
    try {
        made.task = task;
        made.importer = this;
        made.id = std::uint64_t{std::random_device{}()} << 32 | std::random_device{}();
        made.worker.on_message(kAnswerId, &UcxImporter::on_answer, &made);
        waiting_.add(made.worker);
        made.door.open(made.worker, address);
    } catch (...) {
        owners_.pop_back();
        throw;
    }
    owner_by_task_[task] = &made;
    return made;
}

void UcxImporter::for_each_target(const std::function<void(Target &)> &visit) {
    for (auto &owner : owners_) {
        if (owner.failure == KERN_SUCCESS) {
            visit(owner);
        }
    }
}

void UcxImporter::close(Target &target) {
    auto &owner = static_cast<Owner &>(target);
    owner.door.close();
    owner.link.close();
}

bool UcxImporter::send(Target &target) {
    auto &owner = static_cast<Owner &>(target);
    bool sent = false;
    while (!owner.to_send.empty() && owner.outbox.room()) {
        const auto number = owner.to_send.front();
        auto *wanted = part(number); // it may have been given up
        if (wanted == nullptr || send_part(owner, *wanted, number)) {
            owner.to_send.pop_front();
        }
        sent = true;
    }
    return sent;
}

// True: that was all of it.
bool UcxImporter::send_part(Owner &owner, Part &part, std::uint64_t number) {
    const auto &access = part.access;
    Ask ask{.kind = access.kind,
            .reserved = {},
            .piece = static_cast<std::uint32_t>(owner.piece),
            .importer = owner.id,
            .op = number,
            .place = part.key.words[1],
            .secret = {part.key.words[2], part.key.words[3]},
            .offset = access.offset,
            .bytes = access.bytes,
            .at = part.sent,
            .operand = {access.operand[0], access.operand[1]}};
    if (access.kind == AccessKind::look) {
        owner.outbox.send(owner.door, kAskId, ask, owner.worker.address());
        return true;
    }
    if (access.kind != AccessKind::put) {
        owner.outbox.send(owner.link, kAskId, ask);
        return true;
    }
    const auto bytes = std::min<std::size_t>(owner.piece, access.bytes - part.sent);
    part.sent += bytes;
    const bool all = part.sent == access.bytes;
    owner.outbox.send_piece(owner.link, kAskId, ask, ask, bytes);
    return all;
}

PieceStatus UcxImporter::fill(const Ask &ask, std::byte *to, std::size_t bytes) {
    const auto *wanted = part(ask.op);
    if (wanted == nullptr) {
        return KERN_OPERATION_TIMED_OUT; // its buffer may be gone
    }
    copy_across(to, wanted->access.buffer + ask.at, bytes);
    return KERN_SUCCESS;
}

ucs_status_t UcxImporter::on_answer(void *from, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                                    const ucp_am_recv_param_t *param) {
    auto &owner = *static_cast<Owner *>(from);
    if (head_bytes == sizeof(Answer) && (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0) {
        Answer answer;
        std::memcpy(&answer, head, sizeof answer);
        owner.importer->take(owner, answer, {static_cast<const std::byte *>(data), bytes});
    }
    return UCS_OK;
}

void UcxImporter::take(Owner &owner, const Answer &answer, std::span<const std::byte> data) {
    auto *asked = part(answer.op);
    if (asked == nullptr || asked->target != &owner) {
        return; // given up
    }
    const auto &access = asked->access;
    auto status = answer.status;
    if (status == KERN_SUCCESS && access.kind == AccessKind::get) {
        status = status_of(data);
    }
    if (status != KERN_SUCCESS) {
        finish(answer.op, status);
        return;
    }
    if (access.kind == AccessKind::get) {
        if (answer.at > access.bytes || data.size() > access.bytes - answer.at) {
            return; // not from an owner that keeps to the rules
        }
        if (!data.empty()) {
            copy_across(access.buffer + answer.at, data.data(), data.size());
        }
        asked->received += data.size();
        if (asked->received < access.bytes) {
            return;
        }
    } else if (access.kind == AccessKind::look) {
        owner.own_address.assign(data.begin(), data.end());
        std::copy(std::begin(answer.value), std::end(answer.value), access.before);
    } else if (access.before != nullptr) {
        *access.before = answer.value[0];
    }
    finish(answer.op, KERN_SUCCESS);
}

// Goes on with the owner's worker for this importer; outside UCX's callbacks, and before anybody knows of the import.
void UcxImporter::enter(Owner &owner) {
    const auto address = std::exchange(owner.own_address, {});
    if (owner.link.endpoint() != nullptr) {
        return; // it has told before
    }
    owner.piece = owner.door.best_piece();
    try {
        owner.link.open(owner.worker, address);
    } catch (const std::runtime_error &) {
        owner.door.mark_broken();
    }
}

bool UcxImporter::progress() {
    bool happened = false;
    for (auto next = owners_.begin(); next != owners_.end();) {
        auto &owner = *next++;
        happened = ucp_worker_progress(owner.worker.get()) != 0 || happened;
        if (owner.failure != KERN_SUCCESS) {
            if (owner.users == 0) {
                if (owner_by_task_[owner.task] == &owner) {
                    owner_by_task_.erase(owner.task);
                }
                end_connection(owner.worker, owner.link);
                owners_.erase(std::prev(next));
            }
            continue;
        }
        if (!owner.own_address.empty()) {
            enter(owner);
        }
        if (owner.door.broken() || owner.link.broken()) {
            fail(owner, KERN_TERMINATED);
            happened = true;
        } else if (!owner.to_send.empty()) {
            happened = send(owner) || happened;
        }
    }
    return happened;
}

void UcxImporter::look_for_dead_peers() {
    for (auto &owner : owners_) {
        look_for_dead(owner.worker);
    }
}

bool UcxImporter::arm() {
    return std::all_of(owners_.begin(), owners_.end(),
                       [](const Owner &owner) { return ucp_worker_arm(owner.worker.get()) == UCS_OK; });
}

} // namespace norma::rt

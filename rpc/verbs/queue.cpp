// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/queue.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace norma::rpc::verbs {

namespace {

// A device may refuse a wish for more inline bytes than it has, and does not tell before how many it has.
unsigned create_qp(Provider &provider, rdma_cm_id *id, ibv_pd *pd, ibv_qp_init_attr attr, unsigned wished) {
    int error = 0;
    for (const unsigned inline_bytes : {wished, wished / 2, 0u}) {
        attr.cap.max_inline_data = inline_bytes;
        auto tried = attr;
        if (provider.create_qp(id, pd, &tried) == 0) {
            return std::min(wished, tried.cap.max_inline_data);
        }
        error = errno;
    }
    throw std::runtime_error(fmt::format("the device gives no queue pair: {}", std::strerror(error)));
}

} // namespace

Queue::Queue(Provider &provider, rdma_cm_id *id, ibv_pd *pd, ibv_qp_init_attr attr, const Limits &limits,
             std::uint32_t number)
    : provider_(provider), id_(id), number_(number), depth_(limits.depth),
      signal_every_(std::max(1u, limits.depth / 4)) {
    attr.cap.max_send_wr = depth_;
    attr.cap.max_send_sge = 2;
    attr.qp_type = IBV_QPT_RC;
    attr.sq_sig_all = 0;
    inline_bytes_ = create_qp(provider, id, pd, attr, limits.inline_bytes);
}

Queue::~Queue() {
    provider_.destroy_qp(id_);
    for (auto &posted : posted_) {
        finish(posted, false);
    }
}

bool Queue::send_inline(std::span<const std::byte> frame) {
    assert(frame.size() <= inline_bytes_);
    ibv_sge piece{.addr = reinterpret_cast<std::uintptr_t>(frame.data()),
                  .length = static_cast<std::uint32_t>(frame.size()),
                  .lkey = 0};
    ibv_send_wr request{};
    request.opcode = IBV_WR_SEND;
    request.sg_list = &piece;
    request.num_sge = 1;
    request.send_flags = IBV_SEND_INLINE;
    return post(request, {});
}

bool Queue::send(std::span<ibv_sge> pieces, Keep keep) {
    ibv_send_wr request{};
    request.opcode = IBV_WR_SEND;
    request.sg_list = pieces.data();
    request.num_sge = static_cast<int>(pieces.size());
    return post(request, std::move(keep));
}

bool Queue::read(const LocalPlace &to, const RemotePlace &from, Keep keep) {
    return post_one_sided(IBV_WR_RDMA_READ, to, from, std::move(keep));
}

bool Queue::write(const LocalPlace &from, const RemotePlace &to, Keep keep) {
    return post_one_sided(IBV_WR_RDMA_WRITE, from, to, std::move(keep));
}

bool Queue::fetch_add(const LocalPlace &result, const RemotePlace &at, std::uint64_t add, Keep keep) {
    ibv_send_wr request{};
    request.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
    request.wr.atomic.remote_addr = at.address;
    request.wr.atomic.rkey = at.key;
    request.wr.atomic.compare_add = add;
    return post_atomic(request, result, std::move(keep));
}

bool Queue::compare_swap(const LocalPlace &result, const RemotePlace &at, std::uint64_t expected, std::uint64_t desired,
                         Keep keep) {
    ibv_send_wr request{};
    request.opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
    request.wr.atomic.remote_addr = at.address;
    request.wr.atomic.rkey = at.key;
    request.wr.atomic.compare_add = expected;
    request.wr.atomic.swap = desired;
    return post_atomic(request, result, std::move(keep));
}

bool Queue::touch(Keep keep) {
    ibv_send_wr request{};
    request.opcode = IBV_WR_RDMA_WRITE;
    return post(request, std::move(keep));
}

bool Queue::post_one_sided(ibv_wr_opcode opcode, const LocalPlace &here, const RemotePlace &there, Keep keep) {
    ibv_sge piece{.addr = reinterpret_cast<std::uintptr_t>(here.data), .length = here.bytes, .lkey = here.key};
    ibv_send_wr request{};
    request.opcode = opcode;
    request.sg_list = &piece;
    request.num_sge = 1;
    request.wr.rdma.remote_addr = there.address;
    request.wr.rdma.rkey = there.key;
    return post(request, std::move(keep));
}

bool Queue::post_atomic(ibv_send_wr &request, const LocalPlace &result, Keep keep) {
    assert(result.bytes == sizeof(std::uint64_t));
    ibv_sge piece{.addr = reinterpret_cast<std::uintptr_t>(result.data), .length = result.bytes, .lkey = result.key};
    request.sg_list = &piece;
    request.num_sge = 1;
    return post(request, std::move(keep));
}

// Of requests that nobody waits for, only every so many asks for a completion: enough to make room in time.
bool Queue::post(ibv_send_wr &request, Keep keep) {
    assert(room() != 0);
    if (keep.done || keep.staging || ++unsignalled_ >= signal_every_) {
        request.send_flags |= IBV_SEND_SIGNALED;
        unsignalled_ = 0;
    }
    request.wr_id = std::uint64_t{number_} << 32 | next_serial_;
    waiting_for_ += keep.done ? 1 : 0;
    posted_.push_back({next_serial_++, std::move(keep)});
    if (provider_.post_send(id_->qp, &request) == 0) {
        return true;
    }
    finish(posted_.back(), false);
    posted_.pop_back();
    return false;
}

void Queue::finish(Posted &posted, bool ok) {
    if (const auto done = std::exchange(posted.keep.done, nullptr)) {
        --waiting_for_;
        done(ok);
    }
}

void Queue::revoke() {
    ibv_qp_attr attr{};
    attr.qp_state = IBV_QPS_ERR;
    provider_.modify_qp(id_->qp, &attr, IBV_QP_STATE);
}

void Queue::complete(const ibv_wc &completion) {
    const auto serial = static_cast<std::uint32_t>(completion.wr_id);
    const auto known = std::ranges::any_of(posted_, [&](const auto &posted) { return posted.serial == serial; });
    while (known) {
        auto posted = std::move(posted_.front());
        posted_.pop_front();
        // What was posted before it without asking for a completion has been carried out too.
        const bool last = posted.serial == serial;
        finish(posted, completion.status == IBV_WC_SUCCESS);
        if (last) {
            return;
        }
    }
}

} // namespace norma::rpc::verbs

// SPDX-License-Identifier: BSD-3-Clause
// The fake provider's data path: memory, queues, completions.
#include "fake_provider.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>

namespace norma::rpc::verbs::fake {

void Fabric::pause() {
    const std::scoped_lock lock(mutex_);
    paused_ = true;
}

void Fabric::resume() {
    const std::scoped_lock lock(mutex_);
    paused_ = false;
    for (auto *qp : std::set(queue_pairs_)) {
        qp->owner->advance(*qp);
    }
}

unsigned Fabric::receiver_not_ready() const {
    const std::scoped_lock lock(mutex_);
    return receiver_not_ready_;
}

std::vector<std::string> Fabric::complaints() const {
    const std::scoped_lock lock(mutex_);
    return complaints_;
}

unsigned Fabric::live_queue_pairs() const {
    const std::scoped_lock lock(mutex_);
    return static_cast<unsigned>(queue_pairs_.size());
}

ibv_mr *FakeProvider::reg_mr(ibv_pd *pd, void *base, std::size_t size, int access) {
    const Lock lock(fabric_.mutex_);
    if (registered_ + size > limits_.lockable) {
        errno = ENOMEM;
        return nullptr;
    }
    registered_ += size;
    auto *mr = new FakeMr;
    mr->pd = pd;
    mr->context = pd->context;
    mr->addr = base;
    mr->length = size;
    mr->access = access;
    mr->owner = this;
    mr->lkey = mr->rkey = fabric_.next_key_++;
    fabric_.memory_[mr->lkey] = mr;
    return mr;
}

int FakeProvider::dereg_mr(ibv_mr *mr) {
    const Lock lock(fabric_.mutex_);
    registered_ -= mr->length;
    fabric_.memory_.erase(mr->lkey);
    delete static_cast<FakeMr *>(mr);
    return 0;
}

std::size_t FakeProvider::registered() const {
    const Lock lock(fabric_.mutex_);
    return registered_;
}

namespace {

bool inside(const FakeMr &mr, std::uint64_t address, std::uint64_t bytes) {
    const auto base = reinterpret_cast<std::uintptr_t>(mr.addr);
    return address >= base && bytes <= mr.length && address - base <= mr.length - bytes;
}

std::byte *at(std::uint64_t address) {
    return reinterpret_cast<std::byte *>(static_cast<std::uintptr_t>(address));
}

} // namespace

FakeMr *FakeProvider::local_memory(const ibv_sge &piece) {
    const auto found = fabric_.memory_.find(piece.lkey);
    const bool good = found != fabric_.memory_.end() && found->second->owner == this &&
                      inside(*found->second, piece.addr, piece.length);
    return good ? found->second : nullptr;
}

int FakeProvider::post_srq_recv(ibv_srq *raw, ibv_recv_wr *request) {
    const Lock lock(fabric_.mutex_);
    auto &srq = *static_cast<FakeSrq *>(raw);
    if (srq.receives.size() == srq.limit) {
        complain("the shared receive queue overflows");
        return ENOMEM;
    }
    if (local_memory(request->sg_list[0]) == nullptr) {
        complain("a receive slot is not registered");
        return EINVAL;
    }
    srq.receives.push_back({request->wr_id, request->sg_list[0]});
    for (auto *qp : std::set(fabric_.queue_pairs_)) {
        if (qp->remote != nullptr && qp->remote->srq == raw) {
            qp->owner->advance(*qp);
        }
    }
    return 0;
}

int FakeProvider::post_send(ibv_qp *raw, ibv_send_wr *request) {
    const Lock lock(fabric_.mutex_);
    auto &qp = *static_cast<FakeQp *>(raw);
    if (dead_ || refuse_posts_) {
        return EIO;
    }
    if (qp.outstanding == qp.depth) {
        complain("a send queue overflows");
        return ENOMEM;
    }
    if (!qp.ready) {
        complain("something is sent before the queue pair is connected");
        return EINVAL;
    }
    Operation operation;
    ++qp.outstanding;
    if (!fill(qp, *request, operation)) {
        complete(qp, operation, IBV_WC_LOC_PROT_ERR);
        fail(qp);
        return 0;
    }
    qp.stalled.push_back(std::move(operation));
    advance(qp);
    return 0;
}

bool FakeProvider::fill(FakeQp &qp, const ibv_send_wr &request, Operation &operation) {
    operation.opcode = request.opcode;
    operation.id = request.wr_id;
    operation.signalled = (request.send_flags & IBV_SEND_SIGNALED) != 0;
    const bool atomic = request.opcode == IBV_WR_ATOMIC_FETCH_AND_ADD || request.opcode == IBV_WR_ATOMIC_CMP_AND_SWP;
    operation.remote = atomic ? request.wr.atomic.remote_addr : request.wr.rdma.remote_addr;
    operation.key = atomic ? request.wr.atomic.rkey : request.wr.rdma.rkey;
    operation.add = request.wr.atomic.compare_add;
    operation.swap = request.wr.atomic.swap;
    const bool copied = (request.send_flags & IBV_SEND_INLINE) != 0;
    for (int i = 0; i < request.num_sge; ++i) {
        const auto &piece = request.sg_list[i];
        if (!copied && local_memory(piece) == nullptr) {
            complain("memory that is not registered is to be sent");
            return false;
        }
        operation.pieces.push_back(piece);
        if (request.opcode == IBV_WR_SEND || request.opcode == IBV_WR_RDMA_WRITE) {
            operation.bytes.insert(operation.bytes.end(), at(piece.addr), at(piece.addr) + piece.length);
        }
    }
    if (copied && operation.bytes.size() > qp.inline_bytes) {
        complain("more is sent inline than the queue pair takes");
        return false;
    }
    return true;
}

void FakeProvider::advance(FakeQp &qp) {
    while (!qp.stalled.empty() && !fabric_.paused_) {
        auto operation = std::move(qp.stalled.front());
        qp.stalled.pop_front();
        if (qp.in_error) {
            complete(qp, operation, IBV_WC_WR_FLUSH_ERR);
        } else if (!perform(qp, operation)) {
            qp.stalled.push_front(std::move(operation));
            return;
        }
    }
}

bool FakeProvider::perform(FakeQp &qp, Operation &operation) {
    if (next_failure_) {
        complete(qp, operation, *std::exchange(next_failure_, std::nullopt));
        fail(qp);
        return true;
    }
    if (qp.remote == nullptr && qp.retries == 7) {
        return false; // for ever, as soft-RoCE understands it
    }
    if (qp.remote == nullptr || qp.remote->in_error) {
        complete(qp, operation, IBV_WC_RETRY_EXC_ERR);
        fail(qp);
        return true;
    }
    if (operation.opcode == IBV_WR_SEND) {
        return perform_send(qp, operation);
    }
    perform_one_sided(qp, operation);
    return true;
}

bool FakeProvider::perform_send(FakeQp &qp, Operation &operation) {
    auto &srq = *static_cast<FakeSrq *>(qp.remote->srq);
    if (srq.receives.empty()) {
        ++fabric_.receiver_not_ready_;
        if (qp.receiver_retries == 7) {
            return false;
        }
        complete(qp, operation, IBV_WC_RNR_RETRY_EXC_ERR);
        fail(qp);
        return true;
    }
    const auto receive = srq.receives.front();
    srq.receives.pop_front();
    FakeCq::Entry entry;
    entry.completion.wr_id = receive.id;
    entry.completion.opcode = IBV_WC_RECV;
    entry.completion.qp_num = qp.remote->qp_num;
    if (operation.bytes.size() > receive.piece.length) {
        complain("a frame is longer than the slot it goes to");
        entry.completion.status = IBV_WC_LOC_LEN_ERR;
        complete(qp, operation, IBV_WC_REM_INV_REQ_ERR);
        fail(qp);
    } else {
        if (alter_send) {
            alter_send(operation.bytes);
        }
        std::ranges::copy(operation.bytes, at(receive.piece.addr));
        entry.completion.byte_len = static_cast<std::uint32_t>(operation.bytes.size());
        complete(qp, operation, IBV_WC_SUCCESS);
    }
    add_completion(*static_cast<FakeCq *>(qp.remote->recv_cq), entry);
    return true;
}

void FakeProvider::perform_one_sided(FakeQp &qp, Operation &operation) {
    std::uint64_t bytes = 0;
    for (const auto &piece : operation.pieces) {
        bytes += piece.length;
    }
    const int wanted = operation.opcode == IBV_WR_RDMA_READ    ? IBV_ACCESS_REMOTE_READ
                       : operation.opcode == IBV_WR_RDMA_WRITE ? IBV_ACCESS_REMOTE_WRITE
                                                               : IBV_ACCESS_REMOTE_ATOMIC;
    const auto found = fabric_.memory_.find(operation.key);
    const bool allowed = found != fabric_.memory_.end() && found->second->owner == qp.remote->owner &&
                         (found->second->access & wanted) != 0 && inside(*found->second, operation.remote, bytes);
    if (bytes != 0 && !allowed) {
        complete(qp, operation, IBV_WC_REM_ACCESS_ERR);
        auto &remote = *qp.remote;
        fail(qp);
        remote.owner->add_async(IBV_EVENT_QP_ACCESS_ERR, &remote);
        remote.owner->fail(remote);
        return;
    }
    if (operation.opcode == IBV_WR_RDMA_WRITE) {
        std::ranges::copy(operation.bytes, at(operation.remote));
    } else if (bytes != 0) {
        auto *here = at(operation.pieces.front().addr);
        auto *there = at(operation.remote);
        std::memcpy(here, there, bytes);
        std::uint64_t old = 0;
        std::memcpy(&old, there, std::min<std::size_t>(bytes, sizeof old));
        if (operation.opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
            old += operation.add;
            std::memcpy(there, &old, sizeof old);
        } else if (operation.opcode == IBV_WR_ATOMIC_CMP_AND_SWP && old == operation.add) {
            std::memcpy(there, &operation.swap, sizeof old);
        }
    }
    complete(qp, operation, IBV_WC_SUCCESS);
}

// A request that asked for no completion is over only when a later one completes.
void FakeProvider::complete(FakeQp &qp, const Operation &operation, ibv_wc_status status) {
    ++qp.unsignalled;
    if (!operation.signalled && status == IBV_WC_SUCCESS) {
        return;
    }
    FakeCq::Entry entry;
    entry.completion.wr_id = operation.id;
    entry.completion.status = status;
    entry.completion.qp_num = qp.qp_num;
    entry.retires = &qp;
    entry.count = std::exchange(qp.unsignalled, 0);
    add_completion(*static_cast<FakeCq *>(qp.send_cq), entry);
}

void FakeProvider::add_completion(FakeCq &cq, const FakeCq::Entry &entry) {
    if (cq.entries.size() == static_cast<std::size_t>(cq.cqe)) {
        complain("a completion queue overflows");
        return;
    }
    cq.entries.push_back(entry);
    if (std::exchange(cq.armed, false)) {
        cq.notify->events.push_back(&cq);
        cq.notify->readable.add();
    }
}

void FakeProvider::fail(FakeQp &qp) {
    if (std::exchange(qp.in_error, true)) {
        return;
    }
    for (auto &operation : std::exchange(qp.stalled, {})) {
        complete(qp, operation, IBV_WC_WR_FLUSH_ERR);
    }
    qp.owner->add_async(IBV_EVENT_QP_LAST_WQE_REACHED, &qp);
}

int FakeProvider::modify_qp(ibv_qp *raw, ibv_qp_attr *attr, int mask) {
    const Lock lock(fabric_.mutex_);
    if ((mask & IBV_QP_STATE) != 0 && attr->qp_state == IBV_QPS_ERR) {
        fail(*static_cast<FakeQp *>(raw));
    }
    return 0;
}

int FakeProvider::poll_cq(ibv_cq *raw, int entries, ibv_wc *completions) {
    const Lock lock(fabric_.mutex_);
    auto &cq = *static_cast<FakeCq *>(raw);
    int count = 0;
    for (; count < entries && !cq.entries.empty() && !dead_; ++count) {
        const auto &entry = cq.entries.front();
        completions[count] = entry.completion;
        if (entry.retires != nullptr) {
            entry.retires->outstanding -= entry.count;
        }
        cq.entries.pop_front();
    }
    return count;
}

int FakeProvider::req_notify_cq(ibv_cq *raw) {
    const Lock lock(fabric_.mutex_);
    static_cast<FakeCq *>(raw)->armed = true;
    return 0;
}

int FakeProvider::get_cq_event(ibv_comp_channel *raw, ibv_cq **cq) {
    const Lock lock(fabric_.mutex_);
    auto &channel = *static_cast<FakeCompChannel *>(raw);
    if (channel.events.empty()) {
        errno = EAGAIN;
        return -1;
    }
    *cq = channel.events.front();
    channel.events.pop_front();
    channel.readable.take();
    return 0;
}

} // namespace norma::rpc::verbs::fake

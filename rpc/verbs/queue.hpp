// SPDX-License-Identifier: BSD-3-Clause
// What one side of a connection asks of its device: sends, and the one-sided primitives (RDMA read, RDMA write,
// atomics). Requests are carried out in the order of posting. What a request needs (buffers) is kept until the device
// is done with it.
#pragma once

#include "rpc/transport.hpp"
#include "rpc/verbs/arena.hpp"
#include "rpc/verbs/provider.hpp"

#include <deque>
#include <functional>
#include <span>

namespace norma::rpc::verbs {

struct Limits {
    unsigned depth = 0;        // requests a queue pair may have posted
    unsigned inline_bytes = 0; // wished for; what a queue pair gets may be less
    unsigned reads = 0;        // reads and atomics one may have under way
    unsigned receives = 0;     // of the shared receive queue
    bool atomics = false;
};

// Registered memory on this side, and on the other.
struct LocalPlace {
    std::byte *data = nullptr;
    std::uint32_t bytes = 0;
    std::uint32_t key = 0;
};
struct RemotePlace {
    std::uint64_t address = 0;
    std::uint32_t key = 0;
};

// What lives until a request has been completed. `done` is called once, in the end with false if the connection broke
// or the other side refused.
struct Keep {
    SlotPtr slot{};
    StagingPtr staging{};
    std::function<void(bool ok)> done{};
};

class Queue {
  public:
    // Makes the queue pair of `id`; throws std::runtime_error if the device has none left.
    Queue(Provider &provider, rdma_cm_id *id, ibv_pd *pd, ibv_qp_init_attr attr, const Limits &limits,
          std::uint32_t number);
    // Ends the queue pair; only then are the buffers given up, as the device may have used them until now.
    ~Queue();
    Queue(const Queue &) = delete;
    Queue &operator=(const Queue &) = delete;

    unsigned room() const { return depth_ - static_cast<unsigned>(posted_.size()); }
    bool idle() const { return posted_.empty(); }
    bool waits() const { return waiting_for_ != 0; } // something has been posted that somebody waits for
    unsigned inline_bytes() const { return inline_bytes_; }
    std::uint32_t qp_number() const { return id_->qp->qp_num; }

    // All of them need room(). False: the device refuses, so the connection is of no more use.
    bool send_inline(std::span<const std::byte> frame); // copied before it returns
    bool send(std::span<ibv_sge> pieces, Keep keep);
    bool read(const LocalPlace &to, const RemotePlace &from, Keep keep);
    bool write(const LocalPlace &from, const RemotePlace &to, Keep keep);
    // The 8 bytes at `result` become the old value. Both places must be aligned to 8.
    bool fetch_add(const LocalPlace &result, const RemotePlace &at, std::uint64_t add, Keep keep);
    bool compare_swap(const LocalPlace &result, const RemotePlace &at, std::uint64_t expected, std::uint64_t desired,
                      Keep keep);
    // An RDMA write of nothing: completes if the other side's device is there.
    bool touch(Keep keep);

    // Nothing from the other side is taken any more, and everything posted is completed as failed.
    void revoke();
    // A completion of one of this queue's requests.
    void complete(const ibv_wc &completion);
    static std::uint32_t number_of(const ibv_wc &completion) {
        return static_cast<std::uint32_t>(completion.wr_id >> 32);
    }

  private:
    struct Posted {
        std::uint32_t serial = 0;
        Keep keep;
    };
    bool post(ibv_send_wr &request, Keep keep);
    bool post_one_sided(ibv_wr_opcode opcode, const LocalPlace &here, const RemotePlace &there, Keep keep);
    bool post_atomic(ibv_send_wr &request, const LocalPlace &result, Keep keep);
    void finish(Posted &posted, bool ok);

    Provider &provider_;
    rdma_cm_id *id_;
    const std::uint32_t number_; // in the upper half of every request's id
    unsigned depth_;
    unsigned inline_bytes_ = 0;
    unsigned signal_every_;
    unsigned unsignalled_ = 0;
    unsigned waiting_for_ = 0; // posted requests with a `done`
    std::uint32_t next_serial_ = 0;
    std::deque<Posted> posted_;
};

} // namespace norma::rpc::verbs

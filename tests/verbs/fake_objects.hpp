// SPDX-License-Identifier: BSD-3-Clause
// What the fake provider hands out: the libraries' own structures, with the state of the pretended device behind them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

namespace norma::rpc::verbs::fake {

class FakeProvider;
struct FakeId;

// A descriptor that is readable as long as events are waiting.
class EventFd {
  public:
    EventFd();
    ~EventFd();
    EventFd(const EventFd &) = delete;
    EventFd &operator=(const EventFd &) = delete;
    int get() const { return fd_; }
    void add();
    void take();

  private:
    int fd_;
};

struct FakeDevice : ibv_device {
    ibv_port_attr port{};
    std::vector<ibv_gid_entry> gids;
};
struct FakeContext : ibv_context {
    EventFd readable;
    std::deque<ibv_async_event> events;
    FakeContext() : ibv_context{} {}
};
struct FakeCompChannel : ibv_comp_channel {
    EventFd readable;
    std::deque<ibv_cq *> events;
    FakeCompChannel() : ibv_comp_channel{} {}
};
struct FakeCq : ibv_cq {
    struct Entry {
        ibv_wc completion{};
        struct FakeQp *retires = nullptr; // requests of this queue pair that this completion says are over
        unsigned count = 0;
    };
    std::deque<Entry> entries;
    FakeCompChannel *notify = nullptr;
    bool armed = false;
    FakeCq() : ibv_cq{} {}
};
struct FakeSrq : ibv_srq {
    struct Receive {
        std::uint64_t id = 0;
        ibv_sge piece{};
    };
    std::deque<Receive> receives;
    unsigned limit = 0;
    FakeSrq() : ibv_srq{} {}
};
struct FakeMr : ibv_mr {
    int access = 0;
    FakeProvider *owner = nullptr;
    FakeMr() : ibv_mr{} {}
};
// A send request on its way.
struct Operation {
    ibv_wr_opcode opcode{};
    std::uint64_t id = 0;
    bool signalled = false;
    std::vector<std::byte> bytes; // of sends and writes
    std::vector<ibv_sge> pieces;  // of reads and atomics
    std::uint64_t remote = 0, add = 0, swap = 0;
    std::uint32_t key = 0;
};
struct FakeQp : ibv_qp {
    FakeProvider *owner = nullptr;
    FakeQp *remote = nullptr;
    unsigned depth = 0, inline_bytes = 0, outstanding = 0, unsignalled = 0;
    unsigned receiver_retries = 7;
    unsigned retries = 0; // the requester decides for both
    bool in_error = false, ready = false;
    std::deque<Operation> stalled;
    FakeQp() : ibv_qp{} {}
};
struct FakeEvent : rdma_cm_event {
    std::vector<std::byte> data;
    FakeEvent() : rdma_cm_event{} {}
};
struct FakeChannel : rdma_event_channel {
    EventFd readable;
    std::deque<std::unique_ptr<FakeEvent>> events;
    FakeChannel() : rdma_event_channel{} {}
};
struct FakeId : rdma_cm_id {
    FakeProvider *owner = nullptr;
    FakeId *other = nullptr; // from request to end
    bool listening = false, connected = false, requester = false;
    FakeId() : rdma_cm_id{} {}
};

} // namespace norma::rpc::verbs::fake

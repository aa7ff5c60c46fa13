// SPDX-License-Identifier: BSD-3-Clause
// Owners of what a transport has once, whatever the number of its peers: the device, the completion queues, the shared
// receive queue, the listener, and the one descriptor to wait on.
#pragma once

#include "rpc/staging.hpp"
#include "rpc/verbs/arena.hpp"
#include "rpc/verbs/devices.hpp"
#include "rpc/verbs/provider.hpp"
#include "rpc/verbs/queue.hpp"

#include <optional>
#include <vector>

namespace norma::rpc::verbs {

using IdPtr = Owned<rdma_cm_id, &Provider::destroy_id>;

inline constexpr int kResolveMilliseconds = 5000;
// The reason librdmacm gives when nobody listens at the address.
inline constexpr int kNobodyListens = 8;

// A copy of librdmacm's event, which must be given back before its connection may be ended.
struct CmEvent {
    rdma_cm_event_type type{};
    int status = 0;
    rdma_cm_id *id = nullptr;
    std::vector<std::byte> data;
};

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor();
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;
    int get() const { return fd_; }

  private:
    int fd_;
};

class Engine {
  public:
    static constexpr unsigned kCredits = 64; // receive slots set aside for each peer, if the device has enough
    static constexpr unsigned kLeastCredits = 4;

    Engine(Provider &provider, const VerbsSettings &settings);

    Provider &provider() { return provider_; }
    const Candidate &place() const { return place_; }
    const Limits &limits() const { return limits_; }
    sockaddr_storage listening_at() const;
    Arena &arena() { return *arena_; }
    // Registers slabs of staging buffers so that peers can read them.
    Registrar registrar();

    // Connecting. All that is made here throws std::runtime_error if it cannot be.
    IdPtr new_id(void *context);
    // Begins to look for the way to an address; librdmacm's events go on from there.
    IdPtr resolve(void *context, std::span<const std::byte> address);
    // Once the address is resolved, or before a request is accepted.
    void limit_patience(rdma_cm_id *id);
    // What to connect and to accept with; the data must stay as long.
    rdma_conn_param connection_param(std::span<const std::byte> data) const;
    std::unique_ptr<Queue> new_queue(rdma_cm_id *id, std::uint32_t number);
    // One that sends and receives nothing: the other side reaches what is registered in the domain, and nothing else.
    std::unique_ptr<Queue> new_passive_queue(rdma_cm_id *id, ibv_pd *domain);
    Owned<ibv_pd, &Provider::dealloc_pd> new_domain();

    // Sets receive slots aside for a peer: how many, or 0 if the device has no more.
    unsigned grant();
    void end_grant(unsigned credits) { granted_ -= credits; }
    void post_receive(SlotPtr slot);

    int poll_receives(std::span<ibv_wc> out) { return poll(*receive_cq_, out); }
    int poll_sends(std::span<ibv_wc> out) { return poll(*send_cq_, out); }

    // Waiting: event_fd() becomes readable for connection events, device events, ticks of the clock, and, once armed,
    // for completions.
    int event_fd() const { return epoll_->get(); }
    void arm(bool sends_too);
    struct Ready {
        bool connections = false, device = false, tick = false;
    };
    Ready take_ready();
    bool next_connection_event(CmEvent &out);
    bool next_device_event(ibv_async_event &out);

  private:
    void find_limits();
    void make_queues();
    void listen();
    void make_waiting();
    void watch(int fd);
    int poll(ibv_cq &cq, std::span<ibv_wc> out);
    void drain_completion_events();

    Provider &provider_;
    const Candidate place_;
    Limits limits_;
    // Destroyed in reverse order: queues before the memory they use, memory before the device.
    Owned<rdma_event_channel, &Provider::destroy_event_channel> events_;
    IdPtr listener_; // holds the device open
    Owned<ibv_pd, &Provider::dealloc_pd> pd_;
    std::optional<Arena> arena_;
    Owned<ibv_comp_channel, &Provider::destroy_comp_channel> channel_;
    Owned<ibv_cq, &Provider::destroy_cq> send_cq_, receive_cq_;
    Owned<ibv_srq, &Provider::destroy_srq> srq_;
    std::optional<Descriptor> timer_, epoll_;
    unsigned granted_ = 0;  // slots promised to peers
    unsigned receives_ = 0; // slots made for receiving; never fewer than granted
};

} // namespace norma::rpc::verbs

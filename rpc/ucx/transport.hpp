// SPDX-License-Identifier: BSD-3-Clause
// Transport over UCX active messages. One message is one active message: header and record travel as its header, the
// payload straight from the staging buffer as its data, always eagerly.
//
// Everything runs in the caller's thread: UCX calls back only from within ucp_worker_progress(), that is from
// progress() and from the destructor.
#pragma once

#include "rpc/sessions.hpp"
#include "rpc/staging.hpp"
#include "rpc/transport.hpp"
#include "rpc/ucx/engine.hpp"
#include "rpc/ucx/settings.hpp"

#include <array>
#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace norma::rpc::ucx {

class UcxTransport final : public Transport {
  public:
    UcxTransport(const Options &options, Handlers handlers);
    ~UcxTransport() override;

    std::vector<std::byte> address() const override;
    void connect(NodeId peer, std::uint32_t incarnation, std::span<const std::byte> address) override;
    void send(NodeId peer, std::span<const std::byte> record, StagingPtr payload) override;
    StagingPtr stage() override { return pool_->take(); }
    bool progress() override;
    int event_fd() const override { return worker_.event_fd(); }
    bool arm() override;
    void disconnect(NodeId peer) override;
    const Counters &counters() const override { return sessions_.counters(); }
    std::string describe() const override;

  private:
    static constexpr unsigned kMessageId = 0; // of the one kind of active message there is

    struct Peer {
        UcxTransport *transport = nullptr;
        ucp_ep_h endpoint = nullptr;
    };
    // One message on its way out: UCX reads front, iov and payload until it reports completion.
    struct Outgoing {
        UcxTransport *transport = nullptr;
        Peer *peer = nullptr;
        ucp_ep_h endpoint = nullptr;
        std::vector<std::byte> front;
        StagingPtr payload;
        std::array<ucp_dt_iov_t, 2> iov{};
    };
    // One message that UCX announced instead of bringing it along.
    struct Fetch {
        UcxTransport *transport = nullptr;
        std::vector<std::byte> front;
        std::vector<std::byte> data;
    };

    static ucs_status_t on_message(void *arg, const void *header, std::size_t header_length, void *data,
                                   std::size_t length, const ucp_am_recv_param_t *param);
    static void on_sent(void *request, ucs_status_t status, void *user_data);
    static void on_fetched(void *request, ucs_status_t status, std::size_t length, void *user_data);
    static void on_ended(void *request, ucs_status_t status, void *user_data);
    static void on_error(void *arg, ucp_ep_h endpoint, ucs_status_t status);

    Outgoing *begin_outgoing(Peer &peer, std::span<const std::byte> record, StagingPtr payload);
    ucs_status_ptr_t post(Outgoing &outgoing);
    void finish_outgoing(Outgoing &outgoing);
    ucs_status_t fetch(std::span<const std::byte> front, void *descriptor, std::size_t length);
    void accept(std::span<const std::byte> front, std::span<const std::byte> data);
    void mark_broken(const Peer &peer, ucs_status_t why);
    void close(Peer &peer);
    ucp_request_param_t ending_param();
    void count_ending(ucs_status_ptr_t request);
    void progress_until_idle(std::chrono::milliseconds limit);
    NodeId id_of(const Peer &peer) const { return static_cast<NodeId>(&peer - peers_.data()); }

    const Options options_;
    Sessions sessions_;
    std::optional<ScopedSettings> settings_; // during construction only
    // Destroyed in reverse order: buffers are unregistered after the worker has ended, before the context does.
    Context context_;
    StagingPool::Ptr pool_;
    Worker worker_;
    std::size_t header_limit_ = 0;
    std::vector<Peer> peers_;
    std::deque<Outgoing> outgoing_;
    std::vector<Outgoing *> idle_outgoing_;
    std::size_t sends_in_flight_ = 0;
    std::size_t fetches_in_flight_ = 0;
    std::size_t endings_in_flight_ = 0; // flushes and closes
    bool leaving_ = false;              // in the destructor: the owner's handlers may be gone already
};

} // namespace norma::rpc::ucx

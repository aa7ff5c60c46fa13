// SPDX-License-Identifier: BSD-3-Clause
// A pretended RDMA network in one process, for tests of rpc/verbs without an adapter. A Fabric is the network, a
// FakeProvider one machine on it: hand it to a VerbsTransport. Thread-safe, so every machine may have a thread.
//
// It is strict where devices are: memory must be registered, queues overflow, a request against a wrong key breaks both
// queue pairs, errors flush. What a well-behaved transport never does is noted in Fabric::complaints().
#pragma once

#include "fake_objects.hpp"
#include "rpc/verbs/provider.hpp"

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <span>

namespace norma::rpc::verbs::fake {

class Fabric {
  public:
    // Requests stay in the network until it goes on.
    void pause();
    void resume();
    // Sends that found no receive slot: flow control should have prevented that.
    unsigned receiver_not_ready() const;
    std::vector<std::string> complaints() const;
    unsigned live_queue_pairs() const;

  private:
    friend class FakeProvider;
    mutable std::recursive_mutex mutex_;
    std::map<std::uint32_t, FakeMr *> memory_; // by key
    std::map<std::uint16_t, FakeId *> listeners_;
    std::set<FakeQp *> queue_pairs_;
    std::set<FakeProvider *> machines_;
    std::vector<std::string> complaints_;
    std::uint32_t next_key_ = 1, next_qp_ = 1;
    std::uint16_t next_port_ = 1000;
    unsigned next_machine_ = 1;
    unsigned receiver_not_ready_ = 0;
    bool paused_ = false;
};

struct FakeLimits {
    int max_qp_wr = 256;
    int max_srq_wr = 32768;
    int max_cqe = 32768;
    unsigned max_inline = 256;
    int max_reads = 16;
    std::size_t lockable = std::size_t{1} << 40; // bytes that may be registered
    unsigned max_qps = 1u << 20;
    unsigned receiver_retries = 7; // 7: for ever; otherwise a send without a receive slot fails
};

class FakeProvider final : public Provider {
  public:
    explicit FakeProvider(Fabric &fabric, FakeLimits limits = {});
    ~FakeProvider() override;

    // A device beside "fake0"; its GIDs are on a port of its own.
    FakeDevice &add_device(const std::string &name);
    FakeDevice &device() { return *devices_.front(); }

    // Trouble.
    void die(bool silently = false); // the process ends; silently: the machine does, so nobody is told
    void lose_device();
    void fail_next_send(ibv_wc_status status);
    void refuse_posts() { refuse_posts_ = true; }
    std::function<void(std::span<std::byte> bytes)> alter_send; // of this side, on its way
    std::size_t registered() const;

    ibv_device **get_device_list(int *count) override;
    void free_device_list(ibv_device **list) override;
    const char *get_device_name(ibv_device *device) override { return device->name; }
    ibv_context *open_device(ibv_device *device) override;
    int close_device(ibv_context *context) override;
    int query_device(ibv_context *context, ibv_device_attr *attr) override;
    int query_port(ibv_context *context, std::uint8_t port, ibv_port_attr *attr) override;
    int query_gid_ex(ibv_context *context, std::uint32_t port, std::uint32_t index, ibv_gid_entry *entry) override;
    int get_async_event(ibv_context *context, ibv_async_event *event) override;
    void ack_async_event(ibv_async_event *) override {}
    ibv_pd *alloc_pd(ibv_context *context) override;
    int dealloc_pd(ibv_pd *pd) override;
    ibv_mr *reg_mr(ibv_pd *pd, void *base, std::size_t size, int access) override;
    int dereg_mr(ibv_mr *mr) override;
    ibv_comp_channel *create_comp_channel(ibv_context *context) override;
    int destroy_comp_channel(ibv_comp_channel *channel) override;
    ibv_cq *create_cq(ibv_context *context, int entries, ibv_comp_channel *channel) override;
    int destroy_cq(ibv_cq *cq) override;
    int req_notify_cq(ibv_cq *cq) override;
    int get_cq_event(ibv_comp_channel *channel, ibv_cq **cq) override;
    void ack_cq_events(ibv_cq *, unsigned) override {}
    int poll_cq(ibv_cq *cq, int entries, ibv_wc *completions) override;
    ibv_srq *create_srq(ibv_pd *pd, ibv_srq_init_attr *attr) override;
    int destroy_srq(ibv_srq *srq) override;
    int post_srq_recv(ibv_srq *srq, ibv_recv_wr *request) override;
    int modify_qp(ibv_qp *qp, ibv_qp_attr *attr, int mask) override;
    int post_send(ibv_qp *qp, ibv_send_wr *request) override;
    rdma_event_channel *create_event_channel() override;
    void destroy_event_channel(rdma_event_channel *channel) override;
    int get_cm_event(rdma_event_channel *channel, rdma_cm_event **event) override;
    int ack_cm_event(rdma_cm_event *event) override;
    int create_id(rdma_event_channel *channel, rdma_cm_id **id, void *context) override;
    int destroy_id(rdma_cm_id *id) override;
    int set_ack_timeout(rdma_cm_id *, std::uint8_t) override { return 0; }
    int bind_addr(rdma_cm_id *id, sockaddr *address) override;
    int listen(rdma_cm_id *id, int backlog) override;
    int resolve_addr(rdma_cm_id *id, sockaddr *source, sockaddr *destination, int milliseconds) override;
    int resolve_route(rdma_cm_id *id, int milliseconds) override;
    int create_qp(rdma_cm_id *id, ibv_pd *pd, ibv_qp_init_attr *attr) override;
    void destroy_qp(rdma_cm_id *id) override;
    int connect(rdma_cm_id *id, rdma_conn_param *param) override;
    int accept(rdma_cm_id *id, rdma_conn_param *param) override;
    int reject(rdma_cm_id *id, const void *data, std::uint8_t size) override;
    int disconnect(rdma_cm_id *id) override;

  private:
    friend class Fabric;
    using Lock = std::scoped_lock<std::recursive_mutex>;

    // The data path (fake_data.cpp).
    bool fill(FakeQp &qp, const ibv_send_wr &request, Operation &operation);
    void advance(FakeQp &qp);
    bool perform(FakeQp &qp, Operation &operation); // false: it has to wait
    bool perform_send(FakeQp &qp, Operation &operation);
    void perform_one_sided(FakeQp &qp, Operation &operation);
    void complete(FakeQp &qp, const Operation &operation, ibv_wc_status status);
    void add_completion(FakeCq &cq, const FakeCq::Entry &entry);
    void fail(FakeQp &qp); // into the error state
    FakeMr *local_memory(const ibv_sge &piece);
    void complain(const std::string &text) { fabric_.complaints_.push_back(text); }
    void add_async(ibv_event_type type, ibv_qp *qp = nullptr);

    static void add_event(FakeId &to, FakeId &about, rdma_cm_event_type type, int status = 0,
                          const void *data = nullptr, std::size_t size = 0);
    static void part(FakeId &id, bool tell);

    Fabric &fabric_;
    const FakeLimits limits_;
    const unsigned number_;
    std::vector<std::unique_ptr<FakeDevice>> devices_;
    std::set<FakeContext *> contexts_;
    FakeContext *cm_context_ = nullptr; // librdmacm's own
    std::set<FakeId *> ids_;
    std::size_t registered_ = 0;
    unsigned qps_ = 0;
    std::optional<ibv_wc_status> next_failure_;
    bool dead_ = false, refuse_posts_ = false;
};

} // namespace norma::rpc::verbs::fake

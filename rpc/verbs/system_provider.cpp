// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/provider.hpp"

namespace norma::rpc::verbs {

namespace {

class SystemProvider final : public Provider {
  public:
    ibv_device **get_device_list(int *count) override { return ibv_get_device_list(count); }
    void free_device_list(ibv_device **list) override { ibv_free_device_list(list); }
    const char *get_device_name(ibv_device *device) override { return ibv_get_device_name(device); }
    ibv_context *open_device(ibv_device *device) override { return ibv_open_device(device); }
    int close_device(ibv_context *context) override { return ibv_close_device(context); }
    int query_device(ibv_context *context, ibv_device_attr *attr) override { return ibv_query_device(context, attr); }
    int query_port(ibv_context *context, std::uint8_t port, ibv_port_attr *attr) override {
        return ibv_query_port(context, port, attr);
    }
    int query_gid_ex(ibv_context *context, std::uint32_t port, std::uint32_t index, ibv_gid_entry *entry) override {
        return ibv_query_gid_ex(context, port, index, entry, 0);
    }
    int get_async_event(ibv_context *context, ibv_async_event *event) override {
        return ibv_get_async_event(context, event);
    }
    void ack_async_event(ibv_async_event *event) override { ibv_ack_async_event(event); }

    ibv_pd *alloc_pd(ibv_context *context) override { return ibv_alloc_pd(context); }
    int dealloc_pd(ibv_pd *pd) override { return ibv_dealloc_pd(pd); }
    ibv_mr *reg_mr(ibv_pd *pd, void *base, std::size_t size, int access) override {
        return ibv_reg_mr(pd, base, size, access);
    }
    int dereg_mr(ibv_mr *mr) override { return ibv_dereg_mr(mr); }

    ibv_comp_channel *create_comp_channel(ibv_context *context) override { return ibv_create_comp_channel(context); }
    int destroy_comp_channel(ibv_comp_channel *channel) override { return ibv_destroy_comp_channel(channel); }
    ibv_cq *create_cq(ibv_context *context, int entries, ibv_comp_channel *channel) override {
        return ibv_create_cq(context, entries, nullptr, channel, 0);
    }
    int destroy_cq(ibv_cq *cq) override { return ibv_destroy_cq(cq); }
    int req_notify_cq(ibv_cq *cq) override { return ibv_req_notify_cq(cq, 0); }
    int get_cq_event(ibv_comp_channel *channel, ibv_cq **cq) override {
        void *context = nullptr;
        return ibv_get_cq_event(channel, cq, &context);
    }
    void ack_cq_events(ibv_cq *cq, unsigned count) override { ibv_ack_cq_events(cq, count); }
    int poll_cq(ibv_cq *cq, int entries, ibv_wc *completions) override { return ibv_poll_cq(cq, entries, completions); }

    ibv_srq *create_srq(ibv_pd *pd, ibv_srq_init_attr *attr) override { return ibv_create_srq(pd, attr); }
    int destroy_srq(ibv_srq *srq) override { return ibv_destroy_srq(srq); }
    int post_srq_recv(ibv_srq *srq, ibv_recv_wr *request) override {
        ibv_recv_wr *bad = nullptr;
        return ibv_post_srq_recv(srq, request, &bad);
    }
    int modify_qp(ibv_qp *qp, ibv_qp_attr *attr, int mask) override { return ibv_modify_qp(qp, attr, mask); }
    int post_send(ibv_qp *qp, ibv_send_wr *request) override {
        ibv_send_wr *bad = nullptr;
        return ibv_post_send(qp, request, &bad);
    }

    rdma_event_channel *create_event_channel() override { return rdma_create_event_channel(); }
    void destroy_event_channel(rdma_event_channel *channel) override { rdma_destroy_event_channel(channel); }
    int get_cm_event(rdma_event_channel *channel, rdma_cm_event **event) override {
        return rdma_get_cm_event(channel, event);
    }
    int ack_cm_event(rdma_cm_event *event) override { return rdma_ack_cm_event(event); }
    int create_id(rdma_event_channel *channel, rdma_cm_id **id, void *context) override {
        return rdma_create_id(channel, id, context, RDMA_PS_TCP);
    }
    int destroy_id(rdma_cm_id *id) override { return rdma_destroy_id(id); }
    int set_ack_timeout(rdma_cm_id *id, std::uint8_t exponent) override {
        return rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &exponent, sizeof exponent);
    }
    int bind_addr(rdma_cm_id *id, sockaddr *address) override { return rdma_bind_addr(id, address); }
    int listen(rdma_cm_id *id, int backlog) override { return rdma_listen(id, backlog); }
    int resolve_addr(rdma_cm_id *id, sockaddr *source, sockaddr *destination, int milliseconds) override {
        return rdma_resolve_addr(id, source, destination, milliseconds);
    }
    int resolve_route(rdma_cm_id *id, int milliseconds) override { return rdma_resolve_route(id, milliseconds); }
    int create_qp(rdma_cm_id *id, ibv_pd *pd, ibv_qp_init_attr *attr) override { return rdma_create_qp(id, pd, attr); }
    void destroy_qp(rdma_cm_id *id) override { rdma_destroy_qp(id); }
    int connect(rdma_cm_id *id, rdma_conn_param *param) override { return rdma_connect(id, param); }
    int accept(rdma_cm_id *id, rdma_conn_param *param) override { return rdma_accept(id, param); }
    int reject(rdma_cm_id *id, const void *data, std::uint8_t size) override { return rdma_reject(id, data, size); }
    int disconnect(rdma_cm_id *id) override { return rdma_disconnect(id); }
};

} // namespace

Provider &system_provider() {
    static SystemProvider provider;
    return provider;
}

} // namespace norma::rpc::verbs

// SPDX-License-Identifier: BSD-3-Clause
// Every call of libibverbs and librdmacm that the transport makes, under the libraries' own names and with their
// meanings. Tests put a provider of their own here: a link-time seam would not do, as several of these are inline
// functions or macros in the libraries' headers, and one process must be able to hold several pretended machines.
#pragma once

#include <infiniband/verbs.h>
#include <memory>
#include <rdma/rdma_cma.h>

namespace norma::rpc::verbs {

class Provider {
  public:
    virtual ~Provider() = default;

    virtual ibv_device **get_device_list(int *count) = 0;
    virtual void free_device_list(ibv_device **list) = 0;
    virtual const char *get_device_name(ibv_device *device) = 0;
    virtual ibv_context *open_device(ibv_device *device) = 0;
    virtual int close_device(ibv_context *context) = 0;
    virtual int query_device(ibv_context *context, ibv_device_attr *attr) = 0;
    virtual int query_port(ibv_context *context, std::uint8_t port, ibv_port_attr *attr) = 0;
    virtual int query_gid_ex(ibv_context *context, std::uint32_t port, std::uint32_t index, ibv_gid_entry *entry) = 0;
    virtual int get_async_event(ibv_context *context, ibv_async_event *event) = 0;
    virtual void ack_async_event(ibv_async_event *event) = 0;

    virtual ibv_pd *alloc_pd(ibv_context *context) = 0;
    virtual int dealloc_pd(ibv_pd *pd) = 0;
    virtual ibv_mr *reg_mr(ibv_pd *pd, void *base, std::size_t size, int access) = 0;
    virtual int dereg_mr(ibv_mr *mr) = 0;

    virtual ibv_comp_channel *create_comp_channel(ibv_context *context) = 0;
    virtual int destroy_comp_channel(ibv_comp_channel *channel) = 0;
    virtual ibv_cq *create_cq(ibv_context *context, int entries, ibv_comp_channel *channel) = 0;
    virtual int destroy_cq(ibv_cq *cq) = 0;
    virtual int req_notify_cq(ibv_cq *cq) = 0;
    virtual int get_cq_event(ibv_comp_channel *channel, ibv_cq **cq) = 0;
    virtual void ack_cq_events(ibv_cq *cq, unsigned count) = 0;
    virtual int poll_cq(ibv_cq *cq, int entries, ibv_wc *completions) = 0;

    virtual ibv_srq *create_srq(ibv_pd *pd, ibv_srq_init_attr *attr) = 0;
    virtual int destroy_srq(ibv_srq *srq) = 0;
    virtual int post_srq_recv(ibv_srq *srq, ibv_recv_wr *request) = 0;
    virtual int modify_qp(ibv_qp *qp, ibv_qp_attr *attr, int mask) = 0;
    virtual int post_send(ibv_qp *qp, ibv_send_wr *request) = 0;

    virtual rdma_event_channel *create_event_channel() = 0;
    virtual void destroy_event_channel(rdma_event_channel *channel) = 0;
    virtual int get_cm_event(rdma_event_channel *channel, rdma_cm_event **event) = 0;
    virtual int ack_cm_event(rdma_cm_event *event) = 0;
    virtual int create_id(rdma_event_channel *channel, rdma_cm_id **id, void *context) = 0;
    virtual int destroy_id(rdma_cm_id *id) = 0;
    virtual int set_ack_timeout(rdma_cm_id *id, std::uint8_t exponent) = 0;
    virtual int bind_addr(rdma_cm_id *id, sockaddr *address) = 0;
    virtual int listen(rdma_cm_id *id, int backlog) = 0;
    virtual int resolve_addr(rdma_cm_id *id, sockaddr *source, sockaddr *destination, int milliseconds) = 0;
    virtual int resolve_route(rdma_cm_id *id, int milliseconds) = 0;
    virtual int create_qp(rdma_cm_id *id, ibv_pd *pd, ibv_qp_init_attr *attr) = 0;
    virtual void destroy_qp(rdma_cm_id *id) = 0;
    virtual int connect(rdma_cm_id *id, rdma_conn_param *param) = 0;
    virtual int accept(rdma_cm_id *id, rdma_conn_param *param) = 0;
    virtual int reject(rdma_cm_id *id, const void *data, std::uint8_t size) = 0;
    virtual int disconnect(rdma_cm_id *id) = 0;
};

// The machine's own.
Provider &system_provider();

// Owns what one call of the provider made, by another that ends it.
template <auto End> struct Ending {
    Provider *provider = nullptr;
    template <class T> void operator()(T *object) const { (provider->*End)(object); }
};
template <class T, auto End> using Owned = std::unique_ptr<T, Ending<End>>;

} // namespace norma::rpc::verbs

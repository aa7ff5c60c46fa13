// SPDX-License-Identifier: BSD-3-Clause
// The fake provider's devices, objects and connections.
#include "fake_provider.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace norma::rpc::verbs::fake {

namespace {

constexpr int kNobodyListens = 8;
constexpr int kRefused = 28;
constexpr std::size_t kRequestData = 56; // what the kernel makes of a request's private data

ibv_gid_entry ipv4_gid(unsigned machine) {
    ibv_gid_entry entry{};
    entry.gid.raw[10] = entry.gid.raw[11] = 0xff;
    const std::array<std::uint8_t, 4> ip{10, 0, static_cast<std::uint8_t>(machine >> 8),
                                         static_cast<std::uint8_t>(machine)};
    std::ranges::copy(ip, entry.gid.raw + 12);
    entry.gid_type = IBV_GID_TYPE_ROCE_V2;
    entry.port_num = 1;
    return entry;
}

ibv_gid_entry link_local_gid(unsigned machine) {
    ibv_gid_entry entry{};
    entry.gid.raw[0] = 0xfe;
    entry.gid.raw[1] = 0x80;
    entry.gid.raw[15] = static_cast<std::uint8_t>(machine);
    entry.gid_type = IBV_GID_TYPE_ROCE_V2;
    entry.port_num = 1;
    entry.ndev_ifindex = 2;
    return entry;
}

std::uint16_t &port_of(sockaddr_storage &address) {
    return reinterpret_cast<sockaddr_in &>(address).sin_port; // at the same place for IPv6
}

} // namespace

EventFd::EventFd() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE)) {}

EventFd::~EventFd() {
    ::close(fd_);
}

void EventFd::add() {
    ::eventfd_write(fd_, 1);
}

void EventFd::take() {
    eventfd_t one = 0;
    ::eventfd_read(fd_, &one);
}

FakeProvider::FakeProvider(Fabric &fabric, FakeLimits limits)
    : fabric_(fabric), limits_(limits), number_([&] {
          const Lock lock(fabric.mutex_);
          return fabric.next_machine_++;
      }()) {
    const Lock lock(fabric_.mutex_);
    fabric_.machines_.insert(this);
    auto &device = add_device("fake0");
    device.gids = {link_local_gid(number_), ipv4_gid(number_)};
}

FakeProvider::~FakeProvider() {
    const Lock lock(fabric_.mutex_);
    fabric_.machines_.erase(this);
    delete cm_context_;
}

FakeDevice &FakeProvider::add_device(const std::string &name) {
    auto device = std::make_unique<FakeDevice>();
    std::strncpy(device->name, name.c_str(), sizeof device->name - 1);
    device->port.state = IBV_PORT_ACTIVE;
    device->port.active_mtu = IBV_MTU_1024;
    device->port.link_layer = IBV_LINK_LAYER_ETHERNET;
    return *devices_.emplace_back(std::move(device));
}

void FakeProvider::die(bool silently) {
    const Lock lock(fabric_.mutex_);
    dead_ = true;
    std::erase_if(fabric_.listeners_, [this](const auto &entry) { return entry.second->owner == this; });
    for (auto *qp : fabric_.queue_pairs_) {
        if (qp->remote != nullptr && qp->remote->owner == this) {
            qp->remote = nullptr;
        }
    }
    for (auto *id : ids_) {
        part(*id, !silently);
    }
}

void FakeProvider::lose_device() {
    const Lock lock(fabric_.mutex_);
    for (auto *qp : std::set(fabric_.queue_pairs_)) {
        if (qp->owner == this) {
            fail(*qp);
        }
    }
    add_async(IBV_EVENT_DEVICE_FATAL);
}

void FakeProvider::fail_next_send(ibv_wc_status status) {
    const Lock lock(fabric_.mutex_);
    next_failure_ = status;
}

void FakeProvider::add_async(ibv_event_type type, ibv_qp *qp) {
    if (cm_context_ != nullptr && !dead_) {
        ibv_async_event event{};
        event.event_type = type;
        event.element.qp = qp;
        cm_context_->events.push_back(event);
        cm_context_->readable.add();
    }
}

ibv_device **FakeProvider::get_device_list(int *count) {
    *count = static_cast<int>(devices_.size());
    auto **list = new ibv_device *[devices_.size() + 1]();
    std::ranges::transform(devices_, list, [](const auto &device) { return device.get(); });
    return list;
}

void FakeProvider::free_device_list(ibv_device **list) {
    delete[] list;
}

ibv_context *FakeProvider::open_device(ibv_device *device) {
    auto *context = new FakeContext;
    context->device = device;
    context->async_fd = context->readable.get();
    return context;
}

int FakeProvider::close_device(ibv_context *context) {
    delete static_cast<FakeContext *>(context);
    return 0;
}

int FakeProvider::query_device(ibv_context *, ibv_device_attr *attr) {
    attr->phys_port_cnt = 1;
    attr->max_qp_wr = limits_.max_qp_wr;
    attr->max_srq_wr = limits_.max_srq_wr;
    attr->max_cqe = limits_.max_cqe;
    attr->max_qp_rd_atom = attr->max_qp_init_rd_atom = limits_.max_reads;
    attr->atomic_cap = IBV_ATOMIC_HCA;
    return 0;
}

int FakeProvider::query_port(ibv_context *context, std::uint8_t, ibv_port_attr *attr) {
    const auto &device = *static_cast<FakeDevice *>(context->device);
    *attr = device.port;
    attr->gid_tbl_len = static_cast<int>(device.gids.size());
    return 0;
}

int FakeProvider::query_gid_ex(ibv_context *context, std::uint32_t, std::uint32_t index, ibv_gid_entry *entry) {
    *entry = static_cast<FakeDevice *>(context->device)->gids.at(index);
    entry->gid_index = index;
    return 0;
}

int FakeProvider::get_async_event(ibv_context *raw, ibv_async_event *event) {
    const Lock lock(fabric_.mutex_);
    auto &context = *static_cast<FakeContext *>(raw);
    if (context.events.empty()) {
        errno = EAGAIN;
        return -1;
    }
    *event = context.events.front();
    context.events.pop_front();
    context.readable.take();
    return 0;
}

ibv_pd *FakeProvider::alloc_pd(ibv_context *context) {
    auto *pd = new ibv_pd{};
    pd->context = context;
    return pd;
}

int FakeProvider::dealloc_pd(ibv_pd *pd) {
    delete pd;
    return 0;
}

ibv_comp_channel *FakeProvider::create_comp_channel(ibv_context *) {
    auto *channel = new FakeCompChannel;
    channel->fd = channel->readable.get();
    return channel;
}

int FakeProvider::destroy_comp_channel(ibv_comp_channel *channel) {
    delete static_cast<FakeCompChannel *>(channel);
    return 0;
}

ibv_cq *FakeProvider::create_cq(ibv_context *, int entries, ibv_comp_channel *channel) {
    auto *cq = new FakeCq;
    cq->cqe = entries;
    cq->notify = static_cast<FakeCompChannel *>(channel);
    return cq;
}

int FakeProvider::destroy_cq(ibv_cq *cq) {
    const Lock lock(fabric_.mutex_);
    for (const auto *qp : fabric_.queue_pairs_) {
        if (qp->send_cq == cq || qp->recv_cq == cq) {
            complain("a completion queue is destroyed before its queue pairs");
        }
    }
    delete static_cast<FakeCq *>(cq);
    return 0;
}

ibv_srq *FakeProvider::create_srq(ibv_pd *, ibv_srq_init_attr *attr) {
    auto *srq = new FakeSrq;
    srq->limit = attr->attr.max_wr;
    return srq;
}

int FakeProvider::destroy_srq(ibv_srq *srq) {
    delete static_cast<FakeSrq *>(srq);
    return 0;
}

int FakeProvider::create_qp(rdma_cm_id *id, ibv_pd *, ibv_qp_init_attr *attr) {
    const Lock lock(fabric_.mutex_);
    if (attr->cap.max_inline_data > limits_.max_inline || qps_ == limits_.max_qps) {
        errno = attr->cap.max_inline_data > limits_.max_inline ? EINVAL : ENOMEM;
        return -1;
    }
    auto *qp = new FakeQp;
    qp->owner = this;
    qp->qp_num = fabric_.next_qp_++;
    qp->send_cq = attr->send_cq;
    qp->recv_cq = attr->recv_cq;
    qp->srq = attr->srq;
    qp->depth = attr->cap.max_send_wr;
    qp->inline_bytes = attr->cap.max_inline_data;
    qp->receiver_retries = limits_.receiver_retries;
    id->qp = qp;
    fabric_.queue_pairs_.insert(qp);
    ++qps_;
    return 0;
}

void FakeProvider::destroy_qp(rdma_cm_id *id) {
    const Lock lock(fabric_.mutex_);
    auto *qp = static_cast<FakeQp *>(id->qp);
    if (qp == nullptr) {
        return;
    }
    id->qp = nullptr;
    --qps_;
    fabric_.queue_pairs_.erase(qp);
    for (auto *other : fabric_.queue_pairs_) {
        if (other->remote == qp) {
            other->remote = nullptr;
        }
    }
    for (auto &entry : static_cast<FakeCq *>(qp->send_cq)->entries) {
        if (entry.retires == qp) {
            entry.retires = nullptr;
        }
    }
    delete qp;
}

rdma_event_channel *FakeProvider::create_event_channel() {
    auto *channel = new FakeChannel;
    channel->fd = channel->readable.get();
    return channel;
}

void FakeProvider::destroy_event_channel(rdma_event_channel *channel) {
    delete static_cast<FakeChannel *>(channel);
}

int FakeProvider::get_cm_event(rdma_event_channel *raw, rdma_cm_event **event) {
    const Lock lock(fabric_.mutex_);
    auto &channel = *static_cast<FakeChannel *>(raw);
    if (dead_ || channel.events.empty()) {
        errno = EAGAIN;
        return -1;
    }
    *event = channel.events.front().release();
    channel.events.pop_front();
    channel.readable.take();
    return 0;
}

int FakeProvider::ack_cm_event(rdma_cm_event *event) {
    delete static_cast<FakeEvent *>(event);
    return 0;
}

int FakeProvider::create_id(rdma_event_channel *channel, rdma_cm_id **id, void *context) {
    const Lock lock(fabric_.mutex_);
    auto *made = new FakeId;
    made->channel = channel;
    made->context = context;
    made->owner = this;
    ids_.insert(made);
    *id = made;
    return 0;
}

int FakeProvider::destroy_id(rdma_cm_id *raw) {
    const Lock lock(fabric_.mutex_);
    auto *id = static_cast<FakeId *>(raw);
    if (id->qp != nullptr) {
        complain("an identifier is destroyed before its queue pair");
    }
    part(*id, !dead_);
    std::erase_if(fabric_.listeners_, [id](const auto &entry) { return entry.second == id; });
    auto &channel = *static_cast<FakeChannel *>(id->channel);
    const auto dropped = std::erase_if(channel.events, [&](const auto &event) { return event->id == id; });
    for (std::size_t i = 0; i < dropped; ++i) {
        channel.readable.take();
    }
    ids_.erase(id);
    delete id;
    return 0;
}

// The connection, or what was to become one, is over for both ends.
void FakeProvider::part(FakeId &id, bool tell) {
    auto *other = std::exchange(id.other, nullptr);
    if (other == nullptr) {
        return;
    }
    other->other = nullptr;
    if (tell && (id.connected || other->requester)) {
        add_event(*other, *other, id.connected ? RDMA_CM_EVENT_DISCONNECTED : RDMA_CM_EVENT_REJECTED,
                  id.connected ? 0 : kRefused);
    }
}

void FakeProvider::add_event(FakeId &to, FakeId &about, rdma_cm_event_type type, int status, const void *data,
                             std::size_t size) {
    auto event = std::make_unique<FakeEvent>();
    event->event = type;
    event->status = status;
    event->id = &about;
    event->data.resize(size);
    if (size != 0) {
        std::memcpy(event->data.data(), data, size);
        event->param.conn.private_data = event->data.data();
        event->param.conn.private_data_len = static_cast<std::uint8_t>(size);
    }
    auto &channel = *static_cast<FakeChannel *>(to.channel);
    channel.events.push_back(std::move(event));
    channel.readable.add();
}

int FakeProvider::bind_addr(rdma_cm_id *id, sockaddr *address) {
    const Lock lock(fabric_.mutex_);
    if (cm_context_ == nullptr) {
        cm_context_ = static_cast<FakeContext *>(open_device(devices_.front().get()));
    }
    id->verbs = cm_context_;
    std::memcpy(&id->route.addr.src_storage, address, sizeof(sockaddr_in6));
    port_of(id->route.addr.src_storage) = htons(fabric_.next_port_++);
    return 0;
}

int FakeProvider::listen(rdma_cm_id *id, int) {
    const Lock lock(fabric_.mutex_);
    fabric_.listeners_[port_of(id->route.addr.src_storage)] = static_cast<FakeId *>(id);
    return 0;
}

int FakeProvider::resolve_addr(rdma_cm_id *raw, sockaddr *, sockaddr *destination, int) {
    const Lock lock(fabric_.mutex_);
    auto &id = *static_cast<FakeId *>(raw);
    id.verbs = cm_context_;
    std::memcpy(&id.route.addr.dst_storage, destination, sizeof(sockaddr_in6));
    add_event(id, id, RDMA_CM_EVENT_ADDR_RESOLVED);
    return 0;
}

int FakeProvider::resolve_route(rdma_cm_id *raw, int) {
    const Lock lock(fabric_.mutex_);
    auto &id = *static_cast<FakeId *>(raw);
    add_event(id, id, RDMA_CM_EVENT_ROUTE_RESOLVED);
    return 0;
}

int FakeProvider::connect(rdma_cm_id *raw, rdma_conn_param *param) {
    const Lock lock(fabric_.mutex_);
    auto &id = *static_cast<FakeId *>(raw);
    const auto listener = fabric_.listeners_.find(port_of(id.route.addr.dst_storage));
    if (listener == fabric_.listeners_.end()) {
        add_event(id, id, RDMA_CM_EVENT_REJECTED, kNobodyListens);
        return 0;
    }
    auto &at = *listener->second;
    auto *made = new FakeId;
    made->channel = at.channel;
    made->owner = at.owner;
    made->verbs = at.verbs;
    made->other = &id;
    id.other = made;
    id.requester = true;
    if (id.qp != nullptr) {
        static_cast<FakeQp *>(id.qp)->retries = param->retry_count;
    }
    at.owner->ids_.insert(made);
    std::array<std::byte, kRequestData> data{};
    std::memcpy(data.data(), param->private_data, param->private_data_len);
    add_event(at, *made, RDMA_CM_EVENT_CONNECT_REQUEST, 0, data.data(), data.size());
    return 0;
}

int FakeProvider::accept(rdma_cm_id *raw, rdma_conn_param *param) {
    const Lock lock(fabric_.mutex_);
    auto &id = *static_cast<FakeId *>(raw);
    if (id.other == nullptr || id.other->qp == nullptr) {
        add_event(id, id, RDMA_CM_EVENT_CONNECT_ERROR, -ETIMEDOUT);
        return 0;
    }
    auto &mine = *static_cast<FakeQp *>(id.qp);
    auto &theirs = *static_cast<FakeQp *>(id.other->qp);
    mine.remote = &theirs;
    theirs.remote = &mine;
    mine.ready = theirs.ready = true;
    mine.retries = theirs.retries;
    id.connected = id.other->connected = true;
    add_event(*id.other, *id.other, RDMA_CM_EVENT_ESTABLISHED, 0, param->private_data, param->private_data_len);
    add_event(id, id, RDMA_CM_EVENT_ESTABLISHED);
    return 0;
}

int FakeProvider::reject(rdma_cm_id *raw, const void *data, std::uint8_t size) {
    const Lock lock(fabric_.mutex_);
    auto &id = *static_cast<FakeId *>(raw);
    if (auto *other = std::exchange(id.other, nullptr)) {
        other->other = nullptr;
        add_event(*other, *other, RDMA_CM_EVENT_REJECTED, kRefused, data, size);
    }
    return 0;
}

int FakeProvider::disconnect(rdma_cm_id *raw) {
    const Lock lock(fabric_.mutex_);
    auto &id = *static_cast<FakeId *>(raw);
    if (id.qp != nullptr) {
        fail(*static_cast<FakeQp *>(id.qp));
    }
    part(id, !dead_);
    return 0;
}

} // namespace norma::rpc::verbs::fake

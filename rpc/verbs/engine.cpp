// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/engine.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <fmt/core.h>

namespace norma::rpc::verbs {

namespace {

constexpr unsigned kDepth = 64;
constexpr unsigned kInlineBytes = 256;
constexpr unsigned kReads = 16;
constexpr int kBacklog = 256;
constexpr long kTickNanoseconds = 500'000'000;
// How long a device waits for an acknowledgement before it sends again: 4.096 us * 2^17, about half a second, and how
// often it does so; not 7 times, as soft-RoCE takes that to mean for ever. A peer's machine that has gone without a
// word is noticed after about five seconds.
constexpr std::uint8_t kAckTimeout = 17;
constexpr std::uint8_t kRetries = 6;
// A receiver without a slot means no harm (flow control makes it rare), so it is asked again for ever.
constexpr std::uint8_t kReceiverRetries = 7;

template <class T> T *require(T *made, const char *what) {
    if (made == nullptr) {
        throw std::runtime_error(fmt::format("transport 'verbs': {}: {}", what, std::strerror(errno)));
    }
    return made;
}

void require(bool done, const char *what) {
    require(done ? &what : nullptr, what);
}

void set_nonblocking(int fd) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

} // namespace

Descriptor::~Descriptor() {
    ::close(fd_);
}

Engine::Engine(Provider &provider, const VerbsSettings &settings)
    : provider_(provider), place_(choose(find_candidates(provider), settings)),
      events_(require(provider.create_event_channel(), "librdmacm gives no event channel"), {&provider}) {
    listen();
    find_limits();
    make_queues();
    make_waiting();
}

void Engine::listen() {
    listener_ = new_id(nullptr);
    auto address = place_.address(0);
    require(provider_.bind_addr(listener_.get(), reinterpret_cast<sockaddr *>(&address)) == 0,
            "librdmacm cannot bind to the device's address");
    // Several devices may have the address's network; librdmacm decides.
    if (listener_->verbs == nullptr || place_.device != provider_.get_device_name(listener_->verbs->device)) {
        throw std::runtime_error(
            fmt::format("transport 'verbs': address {} does not lead to device '{}'", place_.ip(), place_.device));
    }
    require(provider_.listen(listener_.get(), kBacklog) == 0, "librdmacm cannot listen");
}

sockaddr_storage Engine::listening_at() const {
    sockaddr_storage address{};
    std::memcpy(&address, &listener_->route.addr.src_storage, sizeof address);
    return address;
}

void Engine::find_limits() {
    ibv_device_attr attr{};
    require(provider_.query_device(listener_->verbs, &attr) == 0, "the device does not tell its limits");
    const auto at_most = [](unsigned wished, int there) { return std::min(wished, unsigned(std::max(there, 1))); };
    limits_.inline_bytes = kInlineBytes;
    limits_.receives = at_most(kMaxNodes * kCredits, std::min(attr.max_srq_wr, attr.max_cqe));
    // All queues complete into one, which must never overflow.
    limits_.depth = at_most(kDepth, std::min(attr.max_qp_wr, std::max(attr.max_cqe / int(kMaxNodes), 4)));
    limits_.reads = at_most(kReads, std::min(attr.max_qp_rd_atom, attr.max_qp_init_rd_atom));
    limits_.atomics = attr.atomic_cap != IBV_ATOMIC_NONE;
}

void Engine::make_queues() {
    auto *device = listener_->verbs;
    pd_ = new_domain();
    arena_.emplace(provider_, pd_.get());
    channel_ = {require(provider_.create_comp_channel(device), "the device gives no completion channel"), {&provider_}};
    const auto sends = static_cast<int>(limits_.depth * kMaxNodes);
    send_cq_ = {require(provider_.create_cq(device, sends, channel_.get()), "the device gives no completion queue"),
                {&provider_}};
    const auto receives = static_cast<int>(limits_.receives);
    receive_cq_ = {
        require(provider_.create_cq(device, receives, channel_.get()), "the device gives no completion queue"),
        {&provider_}};
    ibv_srq_init_attr attr{};
    attr.attr.max_wr = limits_.receives;
    attr.attr.max_sge = 1;
    srq_ = {require(provider_.create_srq(pd_.get(), &attr), "the device gives no shared receive queue"), {&provider_}};
}

void Engine::make_waiting() {
    timer_.emplace(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    const itimerspec period{.it_interval = {.tv_sec = 0, .tv_nsec = kTickNanoseconds},
                            .it_value = {.tv_sec = 0, .tv_nsec = kTickNanoseconds}};
    require(::timerfd_settime(timer_->get(), 0, &period, nullptr) == 0, "no timer");
    epoll_.emplace(::epoll_create1(EPOLL_CLOEXEC));
    watch(timer_->get());
    for (const int fd : {channel_->fd, events_->fd, listener_->verbs->async_fd}) {
        set_nonblocking(fd);
        watch(fd);
    }
}

void Engine::watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    require(::epoll_ctl(epoll_->get(), EPOLL_CTL_ADD, fd, &event) == 0, "cannot wait for the device");
}

Registrar Engine::registrar() {
    return {
        .add = [this](std::byte *base, std::size_t size) -> void * {
            return register_memory(provider_, pd_.get(), base, size, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
        },
        .remove = [this](void *registration) { provider_.dereg_mr(static_cast<ibv_mr *>(registration)); },
    };
}

IdPtr Engine::new_id(void *context) {
    rdma_cm_id *id = nullptr;
    require(provider_.create_id(events_.get(), &id, context) == 0, "librdmacm gives no identifier");
    return {id, {&provider_}};
}

IdPtr Engine::resolve(void *context, std::span<const std::byte> address) {
    sockaddr_storage destination{};
    std::memcpy(&destination, address.data(), std::min(sizeof destination, address.size()));
    auto source = place_.address(0);
    if (destination.ss_family == AF_INET6) {
        // A link-local address means the network that this side is on.
        reinterpret_cast<sockaddr_in6 &>(destination).sin6_scope_id =
            reinterpret_cast<sockaddr_in6 &>(source).sin6_scope_id;
    }
    auto id = new_id(context);
    if (provider_.resolve_addr(id.get(), reinterpret_cast<sockaddr *>(&source),
                               reinterpret_cast<sockaddr *>(&destination), kResolveMilliseconds) != 0) {
        throw std::runtime_error(fmt::format("cannot look for its address: {}", std::strerror(errno)));
    }
    return id;
}

void Engine::limit_patience(rdma_cm_id *id) {
    provider_.set_ack_timeout(id, kAckTimeout); // older kernels have a default only
}

rdma_conn_param Engine::connection_param(std::span<const std::byte> data) const {
    rdma_conn_param param{};
    param.private_data = data.data();
    param.private_data_len = static_cast<std::uint8_t>(data.size());
    param.responder_resources = static_cast<std::uint8_t>(limits_.reads);
    param.initiator_depth = static_cast<std::uint8_t>(limits_.reads);
    param.retry_count = kRetries;
    param.rnr_retry_count = kReceiverRetries;
    return param;
}

Owned<ibv_pd, &Provider::dealloc_pd> Engine::new_domain() {
    return {require(provider_.alloc_pd(listener_->verbs), "the device gives no protection domain"), {&provider_}};
}

std::unique_ptr<Queue> Engine::new_passive_queue(rdma_cm_id *id, ibv_pd *domain) {
    ibv_qp_init_attr attr{};
    attr.send_cq = send_cq_.get();
    attr.recv_cq = receive_cq_.get();
    attr.cap.max_recv_wr = 1;
    attr.cap.max_recv_sge = 1;
    return std::make_unique<Queue>(provider_, id, domain, attr, limits_, 0);
}

std::unique_ptr<Queue> Engine::new_queue(rdma_cm_id *id, std::uint32_t number) {
    ibv_qp_init_attr attr{};
    attr.send_cq = send_cq_.get();
    attr.recv_cq = receive_cq_.get();
    attr.srq = srq_.get();
    return std::make_unique<Queue>(provider_, id, pd_.get(), attr, limits_, number);
}

unsigned Engine::grant() {
    // A short queue is shared out so that many peers get a little each.
    const unsigned credits = std::clamp(limits_.receives / kMaxNodes, kLeastCredits, kCredits);
    if (credits > limits_.receives - granted_) {
        return 0;
    }
    granted_ += credits;
    for (; receives_ < granted_; ++receives_) {
        post_receive(arena_->take());
    }
    return credits;
}

void Engine::post_receive(SlotPtr slot) {
    ibv_sge piece{.addr = reinterpret_cast<std::uintptr_t>(slot->data),
                  .length = static_cast<std::uint32_t>(Arena::kSlotBytes),
                  .lkey = slot->key};
    ibv_recv_wr request{};
    request.wr_id = reinterpret_cast<std::uintptr_t>(slot.get());
    request.sg_list = &piece;
    request.num_sge = 1;
    if (provider_.post_srq_recv(srq_.get(), &request) == 0) {
        static_cast<void>(slot.release()); // the device has it now
    }
}

int Engine::poll(ibv_cq &cq, std::span<ibv_wc> out) {
    return std::max(0, provider_.poll_cq(&cq, static_cast<int>(out.size()), out.data()));
}

void Engine::arm(bool sends_too) {
    provider_.req_notify_cq(receive_cq_.get());
    if (sends_too) {
        provider_.req_notify_cq(send_cq_.get());
    }
}

Engine::Ready Engine::take_ready() {
    std::array<epoll_event, 4> events{};
    const int count = ::epoll_wait(epoll_->get(), events.data(), static_cast<int>(events.size()), 0);
    Ready ready;
    for (int i = 0; i < count; ++i) {
        const int fd = events.at(static_cast<std::size_t>(i)).data.fd;
        if (fd == channel_->fd) {
            drain_completion_events();
        } else if (fd == timer_->get()) {
            std::uint64_t ticks = 0;
            ready.tick = ::read(fd, &ticks, sizeof ticks) == sizeof ticks;
        } else {
            (fd == events_->fd ? ready.connections : ready.device) = true;
        }
    }
    return ready;
}

void Engine::drain_completion_events() {
    ibv_cq *cq = nullptr;
    while (provider_.get_cq_event(channel_.get(), &cq) == 0) {
        provider_.ack_cq_events(cq, 1);
    }
}

bool Engine::next_connection_event(CmEvent &out) {
    rdma_cm_event *event = nullptr;
    if (provider_.get_cm_event(events_.get(), &event) != 0) {
        return false;
    }
    out.type = event->event;
    out.status = event->status;
    out.id = event->id;
    const auto *data = static_cast<const std::byte *>(event->param.conn.private_data);
    out.data.assign(data, data != nullptr ? data + event->param.conn.private_data_len : data);
    provider_.ack_cm_event(event);
    return true;
}

bool Engine::next_device_event(ibv_async_event &out) {
    if (provider_.get_async_event(listener_->verbs, &out) != 0) {
        return false;
    }
    provider_.ack_async_event(&out);
    return true;
}

} // namespace norma::rpc::verbs

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_verbs_importer.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace norma::rt {

namespace {

using rpc::verbs::CmEvent;

constexpr unsigned kMostAttempts = 3;
constexpr unsigned kTurnsBetweenEvents = 64;
// Buffers in use at a time, of all accesses: what the pool registers in one go.
constexpr std::size_t kMostBuffers = rpc::StagingPool::kBuffersPerSlab;

bool is_atomic(AccessKind kind) {
    return kind == AccessKind::fetch_add || kind == AccessKind::compare_swap;
}

} // namespace

VerbsImporter::VerbsImporter(const OneSidedOptions &options, rpc::verbs::Provider &provider)
    : OneSidedImporter(options), engine_(provider, options.verbs), pool_(rpc::StagingPool::make(engine_.registrar())) {}

// ---- connections ----

OneSidedImporter::Target &VerbsImporter::target_for(const norma_key_t &key, std::span<const std::byte> address) {
    auto &made = connections_.emplace_back();
    made.task = key.words[0];
    made.key = key;
    made.address.assign(address.begin(), address.end());
    connect(made);
    return made;
}

void VerbsImporter::connect(Connection &connection) {
    disconnect(connection);
    ++connection.attempts;
    try {
        connection.id = engine_.resolve(&connection, connection.address);
    } catch (const std::runtime_error &) {
        connection.broken = true; // progress() goes on from there
    }
}

// What was posted becomes stranded.
void VerbsImporter::disconnect(Connection &connection) {
    connection.open = connection.broken = false;
    if (connection.queue) {
        connection.queue->revoke();
        engine_.provider().disconnect(connection.id.get());
        by_number_.erase(connection.number);
        connection.queue.reset();
    }
    connection.id.reset();
}

void VerbsImporter::close(Target &target) {
    auto &connection = static_cast<Connection &>(target);
    disconnect(connection);
    connection.stranded.clear();
}

// Whether the export is still there is for its owner to say: who asks again is refused, with the reason, if it is not.
void VerbsImporter::lost(Connection &connection) {
    if (connection.attempts < kMostAttempts && !connection.forgotten) {
        connect(connection);
    } else {
        fail(connection, KERN_TERMINATED);
    }
}

void VerbsImporter::for_each_target(const std::function<void(Target &)> &visit) {
    for (auto &connection : connections_) {
        if (connection.failure == KERN_SUCCESS) {
            visit(connection);
        }
    }
}

bool VerbsImporter::handle_events() {
    const auto ready = engine_.take_ready();
    bool happened = false;
    if (ready.connections) {
        CmEvent event;
        while (engine_.next_connection_event(event)) {
            handle(event);
            happened = true;
        }
    }
    if (ready.device) {
        ibv_async_event event{};
        while (engine_.next_device_event(event)) {
            if (event.event_type == IBV_EVENT_DEVICE_FATAL || event.event_type == IBV_EVENT_CQ_ERR) {
                for_each_target([this](Target &target) { fail(target, KERN_TERMINATED); });
            }
            happened = true;
        }
    }
    return happened;
}

void VerbsImporter::handle(const CmEvent &event) {
    if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST) { // nobody has been told to connect to this side
        const rpc::verbs::IdPtr id(event.id, {&engine_.provider()});
        engine_.provider().reject(id.get(), nullptr, 0);
        return;
    }
    auto *connection = static_cast<Connection *>(event.id->context);
    if (connection != nullptr && connection->failure == KERN_SUCCESS) {
        handle(*connection, event);
    }
}

void VerbsImporter::handle(Connection &connection, const CmEvent &event) {
    switch (event.type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
        engine_.limit_patience(connection.id.get());
        connection.broken =
            engine_.provider().resolve_route(connection.id.get(), rpc::verbs::kResolveMilliseconds) != 0;
        break;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
        request(connection);
        break;
    case RDMA_CM_EVENT_ESTABLISHED:
        opened(connection, event);
        break;
    case RDMA_CM_EVENT_REJECTED:
        refused(connection, event);
        break;
    case RDMA_CM_EVENT_TIMEWAIT_EXIT:
    case RDMA_CM_EVENT_ADDR_CHANGE:
        break;
    default: // unreachable, closed by the other side, or the device has gone
        connection.broken = true;
    }
}

void VerbsImporter::request(Connection &connection) {
    connection.number = ++next_number_;
    try {
        connection.queue = engine_.new_queue(connection.id.get(), connection.number);
    } catch (const std::runtime_error &) {
        fail(connection, KERN_RESOURCE_SHORTAGE);
        return;
    }
    by_number_[connection.number] = &connection;
    const Visit visit{.place = connection.key.words[1], .secret = {connection.key.words[2], connection.key.words[3]}};
    auto param = engine_.connection_param(bytes_of(visit));
    connection.broken = engine_.provider().connect(connection.id.get(), &param) != 0;
}

void VerbsImporter::opened(Connection &connection, const CmEvent &event) {
    const auto welcome = read_hello<Welcome>(event.data);
    if (!welcome) {
        fail(connection, KERN_TERMINATED); // whoever has the address now, it is not the owner
        return;
    }
    connection.welcome = *welcome;
    connection.welcome.atomics &= engine_.limits().atomics ? 1U : 0U;
    connection.open = true;
    for (const auto number : std::exchange(connection.stranded, {})) {
        if (part(number) != nullptr) { // perhaps carried out, perhaps not
            finish(number, KERN_OPERATION_TIMED_OUT);
        }
    }
    send(connection);
}

void VerbsImporter::refused(Connection &connection, const CmEvent &event) {
    if (const auto refusal = read_hello<Refusal>(event.data)) {
        fail(connection, refusal->status != KERN_SUCCESS ? refusal->status : KERN_TERMINATED);
    } else if (event.status == rpc::verbs::kNobodyListens) {
        fail(connection, KERN_TERMINATED);
    } else {
        connection.broken = true; // a slow or busy kernel refuses too
    }
}

// ---- accesses ----

bool VerbsImporter::send(Target &target) {
    auto &connection = static_cast<Connection &>(target);
    bool sent = false;
    while (connection.open && !connection.broken && !connection.to_send.empty()) {
        const auto number = connection.to_send.front();
        auto *wanted = part(number);
        if (wanted == nullptr) {
            connection.to_send.pop_front(); // it has been given up
        } else if (!send_part(connection, number, *wanted)) {
            return sent;
        }
        sent = true;
    }
    return sent;
}

namespace {

// The registration holds against whoever does not ask this first; who does keeps his connection.
kern_return_t admitted(const Welcome &welcome, const Access &access) {
    const auto needed = access.kind == AccessKind::get   ? VM_PROT_READ
                        : access.kind == AccessKind::put ? VM_PROT_WRITE
                                                         : VM_PROT_READ | VM_PROT_WRITE;
    if (access.offset > welcome.bytes || access.bytes > welcome.bytes - access.offset) {
        return KERN_INVALID_ADDRESS;
    }
    if ((static_cast<std::uint32_t>(needed) & ~welcome.access) != 0) {
        return KERN_PROTECTION_FAILURE;
    }
    if (!is_atomic(access.kind)) {
        return KERN_SUCCESS;
    }
    return welcome.atomics == 0                                             ? KERN_NOT_SUPPORTED
           : (welcome.address + access.offset) % sizeof(std::uint64_t) != 0 ? KERN_INVALID_ADDRESS
                                                                            : KERN_SUCCESS;
}

} // namespace

// Takes the part off the line once there is nothing more of it to post.
bool VerbsImporter::send_part(Connection &connection, std::uint64_t number, Part &part) {
    const auto &access = part.access;
    const bool look = access.kind == AccessKind::look;
    const auto status = look || part.sent > 0 ? KERN_SUCCESS : admitted(connection.welcome, access);
    if (look || status != KERN_SUCCESS || access.bytes == 0) {
        if (look) {
            access.before[0] = connection.welcome.bytes;
            access.before[1] = connection.welcome.access;
        }
        connection.to_send.pop_front();
        finish(number, status);
        return true;
    }
    if (connection.queue->room() == 0 || pool_->lent() >= kMostBuffers) {
        return false;
    }
    if (!post(connection, number, part)) {
        connection.broken = true;
        return false;
    }
    if (part.sent == access.bytes) {
        connection.to_send.pop_front();
    }
    return true;
}

// False: the device takes no more.
bool VerbsImporter::post(Connection &connection, std::uint64_t number, Part &part) {
    const auto &access = part.access;
    auto buffer = pool_->take();
    const auto at = part.sent;
    const auto bytes = std::min<std::uint64_t>(access.bytes - at, rpc::StagingPool::kBufferBytes);
    const auto *registration =
        static_cast<const ibv_mr *>(static_cast<const rpc::StagingBuffer &>(*buffer).registration);
    const rpc::verbs::LocalPlace here{buffer->data, static_cast<std::uint32_t>(bytes), registration->lkey};
    const rpc::verbs::RemotePlace there{connection.welcome.address + access.offset + at, connection.welcome.key};
    if (access.kind == AccessKind::put) {
        std::memcpy(here.data, access.buffer + at, bytes);
    }
    rpc::verbs::Keep keep{.staging = std::move(buffer),
                          .done = [this, &connection, number, data = here.data, at, bytes](bool ok) {
                              done(connection, number, data, at, bytes, ok);
                          }};
    part.sent += bytes;
    auto &queue = *connection.queue;
    switch (access.kind) {
    case AccessKind::get:
        return queue.read(here, there, std::move(keep));
    case AccessKind::put:
        return queue.write(here, there, std::move(keep));
    case AccessKind::fetch_add:
        return queue.fetch_add(here, there, access.operand[0], std::move(keep));
    default:
        return queue.compare_swap(here, there, access.operand[0], access.operand[1], std::move(keep));
    }
}

void VerbsImporter::done(Connection &connection, std::uint64_t number, const std::byte *data, std::uint64_t at,
                         std::uint64_t bytes, bool ok) {
    auto *finished = part(number);
    if (finished == nullptr) {
        return; // given up
    }
    if (!ok) {
        connection.stranded.push_back(number);
        return;
    }
    connection.attempts = 0;
    const auto &access = finished->access;
    if (access.kind == AccessKind::get) {
        std::memcpy(access.buffer + at, data, bytes);
    } else if (is_atomic(access.kind) && access.before != nullptr) {
        std::memcpy(access.before, data, sizeof *access.before);
    }
    finished->received += bytes;
    if (finished->received == access.bytes) {
        finish(number, KERN_SUCCESS);
    }
}

bool VerbsImporter::handle_completions() {
    std::array<ibv_wc, 16> batch{};
    const auto count = static_cast<std::size_t>(engine_.poll_sends(batch));
    for (const auto &completion : std::span(batch).first(count)) {
        const auto found = by_number_.find(rpc::verbs::Queue::number_of(completion));
        if (found == by_number_.end()) {
            continue; // of a queue pair that has ended
        }
        found->second->queue->complete(completion);
        found->second->broken |= completion.status != IBV_WC_SUCCESS;
    }
    return count != 0;
}

bool VerbsImporter::progress() {
    bool happened = handle_completions();
    if (std::exchange(armed_, false) || ++turns_ % kTurnsBetweenEvents == 0) {
        happened = handle_events() || happened;
    }
    for (auto connection = connections_.begin(); connection != connections_.end();) {
        auto &current = *connection++;
        if (current.broken && current.failure == KERN_SUCCESS) {
            lost(current);
            happened = true;
        } else if (!current.to_send.empty()) {
            happened = send(current) || happened;
        }
        if (current.forgotten) {
            disconnect(current);
            connections_.erase(std::prev(connection));
        }
    }
    return happened;
}

bool VerbsImporter::arm() {
    engine_.arm(true);
    armed_ = true;
    return !handle_completions(); // what came before it was armed would wake nobody
}

} // namespace norma::rt

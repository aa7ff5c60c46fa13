// SPDX-License-Identifier: BSD-3-Clause
// What the node server asks the system for, answered by the simulation: these functions stand in, at link time, for
// runtime/server/{binding,clock,keys,loop,node_job,processes}.cpp, runtime/{local_socket,log,sockets}.cpp and
// rpc/transport.cpp.
#include "rpc/sim/transport.hpp"
#include "runtime/local_socket.hpp"
#include "runtime/log.hpp"
#include "runtime/server/binding.hpp"
#include "runtime/server/keys.hpp"
#include "runtime/sockets.hpp"
#include "tests/simulation/world.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace norma::rt {

using sim::world;

Clock::time_point Clock::now() {
    return time_point(std::chrono::nanoseconds(world().scheduler.now()));
}

Key draw_key() {
    return {.high = ++world().last_key, .low = 1}; // nobody guesses here; and draws would change what seeds mean
}

std::uint64_t share_of_memory(unsigned) {
    return std::uint64_t{1} << 30;
}

LogLevel log_level() {
    return world().trace.talks() ? LogLevel::debug : LogLevel::error;
}

void log_line(LogLevel, std::string_view text) {
    world().trace.say(world().running(), text);
}

// ---- the loop: run() is one turn ----

Loop::Loop(WaitMode wait, std::chrono::nanoseconds spin) : epoll_(world().add_loop(*this)), wait_(wait), spin_(spin) {}

Loop::~Loop() {
    world().remove_loop(epoll_);
}

void Loop::poll(rpc::Transport *transport) {
    transport_ = transport;
    watch(transport->event_fd(), [fd = transport->event_fd()](std::uint32_t) { world().fds.clear(fd); });
}

void Loop::watch(int fd, Handler handler) {
    const auto number = next_watch_++;
    watch_of_fd_[fd] = number;
    handlers_[number] = std::make_shared<Handler>(std::move(handler));
    world().fds.watch(fd, epoll_);
}

void Loop::unwatch(int fd) {
    if (const auto found = watch_of_fd_.find(fd); found != watch_of_fd_.end()) {
        world().fds.unwatch(fd);
        handlers_.erase(found->second);
        watch_of_fd_.erase(found);
    }
}

std::uint64_t Loop::at(Clock::time_point when, std::function<void()> action) {
    const auto number = next_timer_++;
    timers_.emplace(std::pair{when, number}, std::move(action));
    deadline_of_timer_[number] = when;
    const auto delay = when - Clock::now();
    world().wake_at(epoll_, static_cast<std::uint64_t>(std::max<std::int64_t>(delay.count(), 0)));
    return number;
}

void Loop::cancel(std::uint64_t timer) {
    if (const auto found = deadline_of_timer_.find(timer); found != deadline_of_timer_.end()) {
        timers_.erase({found->second, timer});
        deadline_of_timer_.erase(found);
    }
}

std::chrono::nanoseconds Loop::run_timers() {
    while (!timers_.empty() && timers_.begin()->first.first <= Clock::now()) {
        const auto next = timers_.begin();
        const auto action = std::move(next->second);
        deadline_of_timer_.erase(next->first.second);
        timers_.erase(next);
        action();
    }
    return {};
}

// Each descriptor that can be read, in any order.
bool Loop::dispatch(std::chrono::nanoseconds) {
    auto ready = world().fds.ready(epoll_);
    for (auto left = ready.size(); left > 0; --left) {
        std::swap(ready[left - 1], ready[world().random.below(left)]);
        const int fd = ready[left - 1];
        const auto found = watch_of_fd_.find(fd);
        if (found != watch_of_fd_.end() && world().fds.readable(fd)) {
            const auto handler = handlers_.at(found->second); // kept while it runs: it may unwatch itself
            (*handler)(1);
        }
    }
    return !ready.empty();
}

// Notices stay behind until a few microseconds have passed without another message to take them along.
void Loop::linger(bool) {
    world().scheduler.after(world().random.below(20000),
                            [in = &world(), number = epoll_] { in->send_notices(number); });
}

void Loop::run() {
    transport_->progress();
    run_timers();
    if (dispatch({})) {
        world().wake_soon(epoll_);
    }
    if (has_notices()) {
        linger(false);
    }
}

// ---- processes, sockets ----

pid_t Processes::start(const Program &, bool, int control) {
    return world().add_process(world().fds.move(control)); // a process has its own descriptors
}

void Processes::kill(pid_t pid) {
    world().scheduler.after(world().random.below(50000), [in = &world(), pid] { in->end_process(pid, 9); });
}

void Processes::signal(pid_t, int) {} // nobody here sends any

void Processes::signal_through(int, int) {} // nor attaches himself

std::optional<Processes::End> Processes::next_end() {
    return world().next_end();
}

std::pair<int, int> socket_pair() {
    return world().fds.add_socket_pair();
}

int send_packet(int socket, std::span<const std::byte> head, std::span<const std::byte> blob, int fd) noexcept {
    sim::PacketWithFd packet{.bytes = {head.begin(), head.end()}, .fd = fd};
    packet.bytes.insert(packet.bytes.end(), blob.begin(), blob.end());
    return world().fds.send(socket, std::move(packet)) ? 0 : EPIPE;
}

ssize_t receive_packet(int socket, std::span<std::byte> buffer, int &fd) noexcept {
    fd = -1;
    auto packet = world().fds.receive(socket);
    if (!packet) {
        return world().fds.at_end(socket) ? 0 : -1;
    }
    fd = packet->fd;
    std::memcpy(buffer.data(), packet->bytes.data(), packet->bytes.size());
    return static_cast<ssize_t>(packet->bytes.size());
}

void close_if_open(int fd) noexcept {
    world().fds.close(fd);
}

// Simulated nodes are of different machines: nobody imports regions but over the network.
std::string random_part() {
    return {};
}

int listen_as(const std::string &, int, int) {
    errno = EOPNOTSUPP;
    return -1;
}

std::optional<Peer> peer_behind(int) {
    return std::nullopt;
}

// ---- the launcher ----

void Node::report_exit(int status, const std::string &) {
    world().trace(self, "the first task has ended", static_cast<std::uint64_t>(status));
}

// News of a death comes from the simulated launcher anyway (World::spread_the_news).
void Node::suspect(dsm::NodeId node, const std::string &) {
    world().trace(self, "suspects", node);
}

void Node::report_hosting() {
    world().trace(self, "hosts the first task");
}

// No node leaves a simulated job, so there is nothing to be told.
void Node::tell_launcher(const launch::Record &) {}

} // namespace norma::rt

namespace norma::rpc {

std::unique_ptr<Transport> make_transport(const Options &options, Handlers handlers) {
    auto &in = norma::sim::world();
    const auto self = options.self;
    const auto message = std::move(handlers.message);
    handlers.message = [&in, self, message](NodeId from, std::span<const std::byte> record,
                                            std::span<const std::byte> payload) {
        in.witness.begins(self, from, record);
        message(from, record, payload);
        in.witness.ends();
    };
    const auto down = std::move(handlers.down);
    handlers.down = [&in, self, down](NodeId peer, const std::string &why) {
        in.trace(self, "loses its connection to", peer);
        in.witness.begins_death(self, peer);
        down(peer, why);
        in.witness.ends();
    };
    return std::make_unique<sim::SimTransport>(in.network, options, std::move(handlers));
}

} // namespace norma::rpc

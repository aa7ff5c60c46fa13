// SPDX-License-Identifier: BSD-3-Clause
// Two nodes on two machines, over verbs: messages of every size both ways, checked byte by byte; then node 1 is killed,
// and node 0 must hear of it. Or node 1 takes its network interface down, and both must find that out by themselves.
// The addresses are exchanged over a TCP connection.
//   transport_pair NODE ADDRESS-OF-NODE-0 [INTERFACE]
#include "rpc/transport.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <net/if.h>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <fmt/core.h>

namespace {

using namespace norma::rpc;
using Clock = std::chrono::steady_clock;
constexpr std::uint16_t kPort = 7077;
constexpr unsigned kCount = 300;

void require(bool condition, const std::string &what) {
    if (!condition) {
        throw std::runtime_error(what);
    }
}

int meet(bool first, const char *address) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(kPort);
    require(::inet_pton(AF_INET, address, &where.sin_addr) == 1, fmt::format("'{}' is no IPv4 address", address));
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit); // of accept() too
    if (first) {
        const int yes = 1;
        ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        require(::bind(fd, reinterpret_cast<sockaddr *>(&where), sizeof where) == 0 && ::listen(fd, 1) == 0,
                "cannot listen");
        const int other = ::accept(fd, nullptr, nullptr);
        require(other >= 0, "node 1 does not come");
        ::close(fd); // or it would take the next test's node 1 too
        return other;
    }
    for (int i = 0; i < 200; ++i) {
        if (::connect(fd, reinterpret_cast<sockaddr *>(&where), sizeof where) == 0) {
            return fd;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    throw std::runtime_error("node 0 cannot be reached");
}

std::vector<std::byte> exchange(int fd, std::vector<std::byte> mine) {
    require(::send(fd, mine.data(), mine.size(), 0) == static_cast<ssize_t>(mine.size()), "cannot tell the address");
    require(::recv(fd, mine.data(), mine.size(), MSG_WAITALL) == static_cast<ssize_t>(mine.size()),
            "the other node tells no address");
    return mine;
}

void take_down(const std::string &interface) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
    ifreq request{};
    interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
    require(::ioctl(fd, SIOCGIFFLAGS, &request) == 0, fmt::format("there is no interface '{}'", interface));
    request.ifr_flags = static_cast<short>(request.ifr_flags & ~IFF_UP);
    require(::ioctl(fd, SIOCSIFFLAGS, &request) == 0, fmt::format("'{}' cannot be taken down", interface));
    ::close(fd);
}

class Side {
  public:
    Side(NodeId self, const char *first_address, std::string interface)
        : self_(self), other_(static_cast<NodeId>(1 - self)), interface_(std::move(interface)) {
        transport_ = make_transport({.self = self, .kind = "verbs", .job_key = 5, .incarnation = 1, .verbs = {}},
                                    {.message = [this](NodeId, auto record, auto payload) { check(record, payload); },
                                     .down = [this](NodeId, const std::string &why) { down_ = why; },
                                     .dropped = nullptr});
        fmt::print("{}\n", transport_->describe());
        const int fd = meet(self == 0, first_address);
        transport_->connect(other_, 1, exchange(fd, transport_->address()));
    }

    void run() {
        for (unsigned n = 0; n < kCount; ++n) {
            StagingPtr payload;
            if (const auto bytes = payload_of(n); bytes != 0) {
                payload = transport_->stage();
                std::memset(payload->data, static_cast<int>(n), bytes);
                payload->size = bytes;
            }
            const std::vector<std::byte> record(8 + n % 100, static_cast<std::byte>(n));
            transport_->send(other_, record, std::move(payload));
        }
        wait([this] { return got_ >= kCount; }); // its last may have come along
        // One more each way: the other has all of this side's.
        transport_->send(other_, {}, nullptr);
        wait([this] { return got_ == kCount + 1; });
        if (self_ == 1) {
            std::this_thread::sleep_for(std::chrono::milliseconds(300)); // until node 0 has it
            leave();
        }
        const auto start = Clock::now();
        wait([this] { return !down_.empty(); });
        fmt::print("{} messages each way; node {} is gone: {} ({} ms)\n", kCount, other_, down_,
                   std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count());
    }

  private:
    void leave() const {
        if (interface_.empty()) {
            ::kill(::getpid(), SIGKILL);
        }
        take_down(interface_);
    }
    static std::size_t payload_of(unsigned n) {
        return n % 20 == 3 ? kMaxPayloadBytes : n % 5 == 1 ? 3 * kPageBytes : n % 2 == 0 ? kPageBytes : 0;
    }
    void check(std::span<const std::byte> record, std::span<const std::byte> payload) {
        const auto n = got_++;
        const auto all = [n](auto bytes) {
            return std::ranges::all_of(bytes, [n](auto byte) { return byte == static_cast<std::byte>(n); });
        };
        require(n == kCount ||
                    (record.size() == 8 + n % 100 && payload.size() == payload_of(n) && all(record) && all(payload)),
                fmt::format("message {} is not what was sent: {} + {} bytes", n, record.size(), payload.size()));
    }
    template <class Done> void wait(Done done) {
        const auto deadline = Clock::now() + std::chrono::seconds(20);
        while (!done()) {
            require(Clock::now() < deadline, fmt::format("node {} waited in vain, with {} messages", self_, got_));
            require(down_.empty(), "the connection is gone: " + down_);
            if (transport_->progress() || !transport_->arm()) {
                continue;
            }
            pollfd ready{transport_->event_fd(), POLLIN, 0};
            ::poll(&ready, 1, 1000);
        }
    }

    const NodeId self_, other_;
    const std::string interface_; // node 1 takes it down instead of being killed
    std::unique_ptr<Transport> transport_;
    unsigned got_ = 0;
    std::string down_;
};

} // namespace

int main(int argc, char **argv) {
    try {
        require(argc == 3 || argc == 4, "usage: transport_pair NODE ADDRESS-OF-NODE-0 [INTERFACE]");
        const auto self = static_cast<NodeId>(std::atoi(argv[1]));
        require(self < 2, fmt::format("node {} is neither 0 nor 1", self));
        Side side(self, argv[2], argc == 4 ? argv[3] : "");
        side.run();
    } catch (const std::exception &error) {
        fmt::print(stderr, "transport_pair: {}\n", error.what());
        return 1;
    }
    return 0;
}

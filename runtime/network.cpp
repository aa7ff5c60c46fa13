// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/network.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {
namespace {

struct InterfacesEnd {
    void operator()(ifaddrs *list) const { ::freeifaddrs(list); }
};

struct AddressesEnd {
    void operator()(addrinfo *list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, AddressesEnd>;

Addresses look_up(const Endpoint &endpoint, int flags) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = flags | AI_NUMERICSERV;
    addrinfo *list = nullptr;
    const auto *port = endpoint.port.empty() ? "0" : endpoint.port.c_str();
    if (const int error = ::getaddrinfo(endpoint.host.c_str(), port, &wanted, &list); error != 0) {
        const auto *why = error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error);
        throw std::runtime_error(fmt::format("address '{}': {}", endpoint.host, why));
    }
    return Addresses(list);
}

void set_option(int fd, int level, int option, int value) {
    ::setsockopt(fd, level, option, &value, sizeof value);
}

// A host that vanishes says nothing: it is missed after about fifteen seconds, whether anything is under way or not.
void miss_the_vanished(int fd) {
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 5);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 15'000);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

Endpoint name_of(const sockaddr_storage &address, socklen_t size) {
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    if (::getnameinfo(reinterpret_cast<const sockaddr *>(&address), size, host.data(), host.size(), port.data(),
                      port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return {.host = "unknown", .port = {}};
    }
    std::string_view name = host.data();
    if (constexpr std::string_view kMapped = "::ffff:"; name.starts_with(kMapped) && name.find('.') != name.npos) {
        name.remove_prefix(kMapped.size()); // IPv4, seen by a socket that takes both
    }
    return {.host = std::string(name), .port = port.data()};
}

// One that means the same everywhere: not an IPv6 address of one link.
bool is_global(const sockaddr &address) {
    if (address.sa_family == AF_INET6) {
        return IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6 &>(address).sin6_addr) == 0;
    }
    return address.sa_family == AF_INET;
}

int new_socket(const addrinfo &address) {
    return ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
}

[[noreturn]] void fail(const char *what, const Endpoint &endpoint) {
    throw std::runtime_error(fmt::format("cannot {} {}: {}", what, format_endpoint(endpoint), std::strerror(errno)));
}

} // namespace

Endpoint parse_endpoint(std::string_view text) {
    const auto wrong = [&](const char *why) {
        return std::invalid_argument(fmt::format("'{}' is not ADDRESS:PORT: {}", text, why));
    };
    Endpoint endpoint;
    auto rest = text;
    if (rest.starts_with('[')) { // an IPv6 address has colons of its own
        const auto end = rest.find(']');
        if (end == std::string_view::npos) {
            throw wrong("a bracket is missing");
        }
        endpoint.host = rest.substr(1, end - 1);
        rest.remove_prefix(end + 1);
    } else {
        const auto colon = rest.find(':');
        endpoint.host = rest.substr(0, colon);
        rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon);
    }
    if (endpoint.host.empty()) {
        throw wrong("there is no address");
    }
    if (rest.empty()) {
        return endpoint;
    }
    const auto digits = rest.substr(1);
    unsigned port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (rest.front() != ':' || error != std::errc{} || end != digits.data() + digits.size() || port == 0 ||
        port > 65535) {
        throw wrong(rest.find(':', 1) == std::string_view::npos ? "the port is a number from 1 to 65535"
                                                                : "an IPv6 address stands in brackets");
    }
    endpoint.port = std::to_string(port);
    return endpoint;
}

std::string format_endpoint(const Endpoint &endpoint) {
    const bool brackets = endpoint.host.find(':') != std::string::npos;
    const auto host = brackets ? "[" + endpoint.host + "]" : endpoint.host;
    return endpoint.port.empty() ? host : host + ":" + endpoint.port;
}

int listen_at(const Endpoint &endpoint) {
    const auto addresses = look_up(endpoint, AI_PASSIVE);
    const int fd = new_socket(*addresses);
    if (fd < 0) {
        fail("listen at", endpoint);
    }
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1); // a port that a job has just left
    if (::bind(fd, addresses->ai_addr, addresses->ai_addrlen) != 0 || ::listen(fd, SOMAXCONN) != 0) {
        const int error = errno;
        ::close(fd);
        errno = error;
        fail("listen at", endpoint);
    }
    return fd;
}

int listen_anywhere() {
    try {
        return listen_at({.host = "::", .port = {}}); // takes IPv4 as well
    } catch (const std::runtime_error &) {
        return listen_at({.host = "0.0.0.0", .port = {}}); // a host without IPv6
    }
}

std::vector<Endpoint> addresses_of(int listener) {
    const auto own = local_endpoint(listener);
    if (own.host != "::" && own.host != "0.0.0.0") {
        return {own};
    }
    ifaddrs *list = nullptr;
    if (::getifaddrs(&list) != 0) {
        throw std::runtime_error(fmt::format("this host's addresses cannot be listed: {}", std::strerror(errno)));
    }
    const std::unique_ptr<ifaddrs, InterfacesEnd> interfaces(list);
    std::vector<Endpoint> found;
    for (const auto *one = list; one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0 || !is_global(*one->ifa_addr)) {
            continue;
        }
        sockaddr_storage address{};
        const bool v4 = one->ifa_addr->sa_family == AF_INET;
        const socklen_t size = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
        std::memcpy(&address, one->ifa_addr, size);
        found.push_back({.host = name_of(address, size).host, .port = own.port});
    }
    const auto rank = [](const Endpoint &endpoint) {
        return std::pair(is_loopback(endpoint), endpoint.host.find(':') != std::string::npos);
    };
    std::ranges::stable_sort(found, {}, rank);
    return found;
}

bool is_loopback(const Endpoint &endpoint) {
    return endpoint.host == "::1" || endpoint.host.starts_with("127.");
}

int accept_from(int listener) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        miss_the_vanished(fd);
    }
    return fd;
}

int begin_to_connect(const Endpoint &endpoint, unsigned attempt) {
    const auto addresses = look_up(endpoint, 0);
    unsigned count = 0;
    for (const auto *address = addresses.get(); address != nullptr; address = address->ai_next) {
        ++count;
    }
    const auto *address = addresses.get();
    for (attempt %= count; attempt > 0; --attempt) {
        address = address->ai_next;
    }
    const int fd = new_socket(*address);
    if (fd < 0) {
        return -1;
    }
    miss_the_vanished(fd);
    if (::connect(fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS) {
        ::close(fd);
        return -1;
    }
    return fd;
}

int connect_outcome(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

Endpoint local_endpoint(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size);
    return name_of(address, size);
}

Endpoint remote_endpoint(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    ::getpeername(fd, reinterpret_cast<sockaddr *>(&address), &size);
    return name_of(address, size);
}

} // namespace norma::rt

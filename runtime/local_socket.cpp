// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/local_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace norma::rt {
namespace {

struct Address {
    sockaddr_un name{};
    socklen_t size = 0;
    const sockaddr *get() const { return reinterpret_cast<const sockaddr *>(&name); }
};

// Names are a few dozen letters.
Address address_of(const std::string &name) {
    Address address;
    address.name.sun_family = AF_UNIX;
    const auto length = std::min(name.size(), sizeof address.name.sun_path - 1);
    std::memcpy(address.name.sun_path + 1, name.data(), length);
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
    return address;
}

int new_socket(int type) {
    return ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int give_up(int fd) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
}

template <class Number> bool take(std::string_view &text, Number &number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return error == std::errc() && text.starts_with('-') && (text.remove_prefix(1), true);
}

} // namespace

int listen_as(const std::string &name, int type, int backlog) {
    const int fd = new_socket(type);
    const auto address = address_of(name);
    return fd >= 0 && ::bind(fd, address.get(), address.size) == 0 && ::listen(fd, backlog) == 0 ? fd : give_up(fd);
}

int connect_to(const std::string &name, int type) {
    const int fd = new_socket(type);
    const auto address = address_of(name);
    return fd >= 0 && ::connect(fd, address.get(), address.size) == 0 ? fd : give_up(fd);
}

std::vector<std::string> names_listened_at() {
    constexpr std::string_view kListening = "00010000";
    std::vector<std::string> names;
    std::ifstream table("/proc/net/unix"); // proc(5): number, references, protocol, flags, type, state, inode, name
    for (std::string line; std::getline(table, line);) {
        std::istringstream fields(line);
        std::string number, references, protocol, flags, type, state, inode, name;
        fields >> number >> references >> protocol >> flags >> type >> state >> inode >> name;
        if (name.starts_with('@') && flags == kListening) {
            names.push_back(name.substr(1));
        }
    }
    return names;
}

std::string random_part() {
    std::random_device random;
    return fmt::format("{:08x}{:08x}", random(), random());
}

std::optional<Peer> peer_behind(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0
               ? std::optional(Peer{.pid = peer.pid, .user = peer.uid})
               : std::nullopt;
}

bool take_number(std::string_view &text, unsigned &number) {
    return take(text, number);
}

bool take_number(std::string_view &text, int &number) {
    return take(text, number);
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/doors.hpp"

#include "runtime/local_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>
#include <system_error>
#include <tuple>

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {
namespace {

constexpr std::string_view kPrefix = "norma-node-";
constexpr int kBacklog = 64;

// "norma-node-USER-JOB-NODE-RANDOM".
std::optional<DoorName> parse_name(const std::string &name) {
    DoorName door{.job = 0, .user = 0, .node = 0, .socket = name};
    std::string_view rest = name;
    if (!rest.starts_with(kPrefix)) {
        return std::nullopt;
    }
    rest.remove_prefix(kPrefix.size());
    return take_number(rest, door.user) && take_number(rest, door.job) && take_number(rest, door.node)
               ? std::optional(door)
               : std::nullopt;
}

} // namespace

int listen_at_door(pid_t job, unsigned node) {
    const int fd = listen_as(fmt::format("{}{}-{}-{}-{}", kPrefix, ::geteuid(), job, node, random_part()),
                             SOCK_SEQPACKET, kBacklog);
    if (fd < 0) {
        throw std::system_error(errno, std::generic_category(), "a socket for processes that attach themselves");
    }
    return fd;
}

std::vector<DoorName> doors_here() {
    std::vector<DoorName> doors;
    for (const auto &name : names_listened_at()) {
        if (auto door = parse_name(name)) {
            doors.push_back(std::move(*door));
        }
    }
    std::ranges::sort(doors, {}, [](const DoorName &door) { return std::tuple(door.job, door.node); });
    return doors;
}

} // namespace norma::rt

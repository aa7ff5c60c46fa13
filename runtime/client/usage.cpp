// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/usage.hpp"

#include "runtime/client/descriptors.hpp"
#include "runtime/client/job.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr std::uint64_t kMicroseconds = 1'000'000;

// The text of a small file of proc(5); empty if it cannot be read.
std::array<char, 1024> text_of(const char *path) {
    std::array<char, 1024> text{};
    const int fd = open_briefly(path);
    if (fd >= 0) {
        const auto size = ::read(fd, text.data(), text.size() - 1);
        text.at(static_cast<std::size_t>(std::max<ssize_t>(size, 0))) = 0;
        close_briefly(fd);
    }
    return text;
}

std::uint64_t microseconds(const timeval &time) {
    return static_cast<std::uint64_t>(time.tv_sec) * kMicroseconds + static_cast<std::uint64_t>(time.tv_usec);
}

void take_off(Usage &usage, std::uint64_t user_us, std::uint64_t system_us) {
    usage.user_us -= std::min(usage.user_us, user_us);
    usage.system_us -= std::min(usage.system_us, system_us);
}

} // namespace

std::optional<Usage> task_usage() {
    const auto text = text_of("/proc/self/statm");
    std::uint64_t pages = 0;
    std::uint64_t resident = 0;
    if (std::sscanf(text.data(), "%" SCNu64 " %" SCNu64, &pages, &resident) != 2) {
        return std::nullopt;
    }
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    rusage all{};
    rusage service{};
    getrusage(RUSAGE_SELF, &all);
    getrusage(RUSAGE_THREAD, &service);
    Usage usage{.virtual_bytes = pages * page,
                .resident_bytes = resident * page,
                .user_us = microseconds(all.ru_utime),
                .system_us = microseconds(all.ru_stime),
                .state = 0};
    take_off(usage, microseconds(service.ru_utime), microseconds(service.ru_stime));
    for (const pid_t tid : {job.owner_thread.load(), job.network_thread.load()}) {
        if (const auto library = tid == 0 ? std::nullopt : thread_usage(tid)) {
            take_off(usage, library->user_us, library->system_us);
        }
    }
    return usage;
}

std::optional<Usage> thread_usage(pid_t tid) {
    std::array<char, 64> path{};
    std::snprintf(path.data(), path.size(), "/proc/self/task/%d/stat", tid);
    const auto text = text_of(path.data());
    const char *behind_name = std::strrchr(text.data(), ')'); // a name may hold anything
    char state = 0;
    std::uint64_t user = 0;
    std::uint64_t system = 0;
    if (behind_name == nullptr ||
        std::sscanf(behind_name + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64, &state, &user,
                    &system) != 3) {
        return std::nullopt;
    }
    const auto tick = kMicroseconds / static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
    return Usage{.virtual_bytes = 0,
                 .resident_bytes = 0,
                 .user_us = user * tick,
                 .system_us = system * tick,
                 .state = static_cast<unsigned char>(state)};
}

} // namespace norma::rt

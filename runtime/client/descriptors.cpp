// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/descriptors.hpp"

#include "runtime/client/job.hpp"
#include "runtime/client/numbers_in.hpp"
#include "runtime/sockets.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <fmt/format.h>
#include <mutex>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace norma::rt {

namespace {

constexpr std::size_t kMost = 65536; // descriptors of the library's that are known as such
std::array<std::atomic<bool>, kMost> own;
std::vector<int> from_the_start;
// Nobody lists what is open while the library opens or closes something that is not known as its own.
std::recursive_mutex listing;

// The service thread has such a file for a moment when it maps memory, and gets it in a way that takes no lock.
bool is_frames(int fd) {
    constexpr std::string_view kName = "/memfd:norma-";
    std::array<char, kName.size()> name{};
    const auto link = fmt::format("/proc/self/fd/{}", fd);
    return ::readlink(link.c_str(), name.data(), name.size()) == static_cast<ssize_t>(name.size()) &&
           std::string_view(name.data(), name.size()) == kName;
}

template <class Visit> bool for_each_descriptor(Visit visit) {
    const std::lock_guard lock(listing);
    return for_each_number_in("/proc/self/fd", [&visit](int fd) {
        if (!is_private(fd) && !is_frames(fd)) {
            visit(fd);
        }
    });
}

int move_above(int &fd, int least) {
    const int moved = fcntl(fd, F_DUPFD_CLOEXEC, least);
    if (moved < 0) {
        return errno;
    }
    ::close(std::exchange(fd, moved));
    return 0;
}

// Out of the way of the numbers that the files are to have.
int clear_the_way(std::vector<PackedFile> &files) {
    int least = 0;
    for (const auto &file : files) {
        least = std::max(least, file.number + 1);
    }
    int error = move_above(job.control, least);
    error = error == 0 && job.userfault >= 0 ? move_above(job.userfault, least) : error;
    for (auto &file : files) {
        const bool in_the_way = file.fd >= 0 && file.fd < least;
        error = error == 0 && in_the_way ? move_above(file.fd, least) : error;
    }
    return error;
}

int adopt(const std::vector<PackedFile> &files) {
    std::vector<int> strangers; // what a task has from its node server
    const auto is_stranger = [&](int fd) {
        return std::ranges::none_of(files, [fd](const auto &file) { return file.fd == fd; });
    };
    const bool listed = for_each_descriptor([&](int fd) {
        if (is_stranger(fd)) {
            strangers.push_back(fd);
        }
    });
    if (!listed) {
        return errno;
    }
    for (const int fd : strangers) {
        ::close(fd);
    }
    for (const auto &file : files) {
        if (!file.elsewhere && dup3(file.fd, file.number, file.close_on_exec ? O_CLOEXEC : 0) < 0) {
            return errno;
        }
    }
    return 0;
}

} // namespace

bool is_private(int fd) noexcept {
    return fd == job.control || fd == job.userfault ||
           (static_cast<std::size_t>(fd) < kMost && own.at(static_cast<std::size_t>(fd)));
}

void keep_private(int fd) noexcept {
    if (static_cast<std::size_t>(fd) < kMost) {
        own.at(static_cast<std::size_t>(fd)) = true;
    }
}

void close_private(int fd) noexcept {
    if (fd >= 0 && static_cast<std::size_t>(fd) < kMost) {
        own.at(static_cast<std::size_t>(fd)) = false;
    }
    close_if_open(fd);
}

int open_briefly(const char *path) noexcept {
    const std::lock_guard lock(listing);
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    keep_private(fd);
    return fd;
}

void close_briefly(int fd) noexcept {
    const std::lock_guard lock(listing);
    close_private(fd);
}

int list_files(std::vector<PackedFile> &files) noexcept {
    const bool listed = for_each_descriptor([&files](int fd) {
        const int flags = fcntl(fd, F_GETFD);
        files.push_back({.number = fd, .close_on_exec = (flags & FD_CLOEXEC) != 0, .fd = fd});
    });
    return listed ? 0 : errno;
}

void remember_files() {
    for_each_descriptor([](int fd) { from_the_start.push_back(fd); });
}

std::vector<int> opened_files() {
    std::vector<int> opened;
    for_each_descriptor([&opened](int fd) {
        if (fd > STDERR_FILENO && std::ranges::find(from_the_start, fd) == from_the_start.end()) {
            opened.push_back(fd);
        }
    });
    return opened;
}

int pack_files() noexcept {
    std::vector<PackedFile> files;
    errno = list_files(files);
    return errno == 0 ? pack(std::move(files)) : -1;
}

int adopt_files(std::vector<PackedFile> &files) noexcept {
    const int error = clear_the_way(files);
    return error == 0 ? adopt(files) : error;
}

int unpack_files(int parcel) noexcept {
    std::vector<PackedFile> files;
    int error = unpack(parcel, files);
    error = error == 0 ? adopt_files(files) : error;
    for (const auto &file : files) {
        close_if_open(file.fd);
    }
    return error;
}

} // namespace norma::rt

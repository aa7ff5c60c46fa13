// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/fixed_files.hpp"

#include "runtime/client/descriptors.hpp"
#include "runtime/client/shared_files.hpp"

#include <array>
#include <cstdio>
#include <dlfcn.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace norma::rt {

namespace {

// Streams read and write by themselves, not by the calls that the library stands in front of. The C library's list of
// those that are open has a name of its own; the rest of a stream is public.
int descriptor_of_stream() {
    auto *const *const first = static_cast<FILE *const *>(dlsym(RTLD_DEFAULT, "_IO_list_all"));
    for (auto *stream = first == nullptr ? nullptr : *first; stream != nullptr; stream = stream->_chain) {
        const bool standard = stream == stdin || stream == stdout || stream == stderr;
        if (!standard && stream->_fileno >= 0) {
            return stream->_fileno;
        }
    }
    return -1;
}

// Of those that the kernel makes without a name only these are read and written, and nothing else.
bool is_of_one_process(int fd) {
    std::array<char, 64> path{}, target{};
    std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd);
    const auto size = readlink(path.data(), target.data(), target.size());
    const std::string_view name(target.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    return name.starts_with("anon_inode:") && name != "anon_inode:[eventfd]" && name != "anon_inode:inotify";
}

} // namespace

FixedFile fixed_file() {
    if (const int fd = descriptor_of_stream(); fd >= 0) {
        return {.fd = fd, .what = "a stream of the C library (fopen) besides the standard streams"};
    }
    for (const int fd : opened_files()) {
        if (shared_numbers.any && shared_numbers[fd] == Whose::own) {
            return {.fd = fd, .what = "an open file that a library has opened for itself"};
        }
        struct stat status {};
        if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
            return {.fd = fd, .what = "an open directory"};
        }
        if (is_of_one_process(fd)) {
            return {.fd = fd, .what = "an open file that only its own process can use (epoll, timerfd and the like)"};
        }
    }
    return {};
}

} // namespace norma::rt

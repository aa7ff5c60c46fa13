// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/files_elsewhere.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/errors.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/mman.h>

namespace norma::rt {

namespace {

struct Done {
    ssize_t result;
    bool regular;
    std::span<const std::byte> data; // until the next call
};

Done act(int fd, FileAction action, std::uint64_t first = 0, std::uint64_t second = 0,
         std::span<const std::byte> data = {}) {
    const auto answer = call(Op::file_access, kNameNull,
                             {static_cast<std::uint64_t>(fd), static_cast<std::uint64_t>(action), first, second}, data);
    const int error = answer.status == KERN_SUCCESS ? static_cast<int>(answer.vals[1]) : errno_of(answer.status);
    if (error != 0) {
        errno = error;
        return {.result = -1, .regular = false, .data = {}};
    }
    return {.result = static_cast<ssize_t>(answer.vals[0]), .regular = answer.vals[2] != 0, .data = answer.blob};
}

// What is sent must not be coherent memory, which the heap may be.
class Private {
  public:
    Private() : memory_(mmap(nullptr, kFileBytesAtOnce, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
    Private(const Private &) = delete;
    Private &operator=(const Private &) = delete;
    ~Private() {
        if (sound()) {
            munmap(memory_, kFileBytesAtOnce);
        }
    }
    bool sound() const { return memory_ != MAP_FAILED; }
    std::span<const std::byte> copy(const std::byte *from, std::size_t size) {
        std::memcpy(memory_, from, size);
        return {static_cast<const std::byte *>(memory_), size};
    }

  private:
    void *memory_;
};

} // namespace

// A regular file gives all that there is; of anything else, more than one part may have to be waited for.
ssize_t read_elsewhere(int fd, void *buffer, std::size_t size, off_t offset) noexcept {
    auto *const to = static_cast<std::byte *>(buffer);
    std::size_t had = 0;
    for (;;) {
        const auto part = std::min(size - had, kFileBytesAtOnce);
        const auto done = offset == kCurrentOffset
                              ? act(fd, FileAction::read, part)
                              : act(fd, FileAction::read_at, part, static_cast<std::uint64_t>(offset) + had);
        if (done.result < 0) {
            return had > 0 ? static_cast<ssize_t>(had) : -1;
        }
        const auto got = std::min(done.data.size(), part);
        std::copy_n(done.data.begin(), got, to + had);
        had += got;
        if (!done.regular || got < part || had == size) {
            return static_cast<ssize_t>(had);
        }
    }
}

ssize_t write_elsewhere(int fd, const void *buffer, std::size_t size, off_t offset) noexcept {
    const auto *const from = static_cast<const std::byte *>(buffer);
    Private memory;
    if (!memory.sound()) {
        return fail_with(ENOMEM);
    }
    std::size_t written = 0;
    for (;;) {
        const auto part = memory.copy(from + written, std::min(size - written, kFileBytesAtOnce));
        const auto done = offset == kCurrentOffset
                              ? act(fd, FileAction::write, 0, 0, part)
                              : act(fd, FileAction::write_at, 0, static_cast<std::uint64_t>(offset) + written, part);
        if (done.result < 0) {
            if (errno == EPIPE && written == 0) {
                raise(SIGPIPE);
                errno = EPIPE;
            }
            return written > 0 ? static_cast<ssize_t>(written) : -1;
        }
        written += static_cast<std::size_t>(done.result);
        if (static_cast<std::size_t>(done.result) < part.size() || written == size) {
            return static_cast<ssize_t>(written);
        }
    }
}

namespace {

template <class Part> ssize_t with_parts(std::span<const iovec> parts, Part with_part) {
    ssize_t sum = 0;
    for (const auto &part : parts) {
        const auto size = part.iov_len == 0 ? 0 : with_part(part);
        if (size < 0) {
            return sum > 0 ? sum : -1;
        }
        sum += size;
        if (static_cast<std::size_t>(size) < part.iov_len) {
            break;
        }
    }
    return sum;
}

} // namespace

// The first part that has anything: what else a pipe has might have to be waited for.
ssize_t read_elsewhere(int fd, std::span<const iovec> parts) noexcept {
    struct stat about {};
    if (status_elsewhere(fd, &about) != 0) {
        return -1;
    }
    if (!S_ISREG(about.st_mode)) {
        const auto first = std::ranges::find_if(parts, [](const iovec &part) { return part.iov_len > 0; });
        parts =
            first == parts.end() ? parts.first(0) : parts.subspan(static_cast<std::size_t>(first - parts.begin()), 1);
    }
    return with_parts(parts, [fd](const iovec &part) { return read_elsewhere(fd, part.iov_base, part.iov_len); });
}

ssize_t write_elsewhere(int fd, std::span<const iovec> parts) noexcept {
    return with_parts(parts, [fd](const iovec &part) { return write_elsewhere(fd, part.iov_base, part.iov_len); });
}

off_t seek_elsewhere(int fd, off_t offset, int whence) noexcept {
    return act(fd, FileAction::seek, static_cast<std::uint64_t>(whence), static_cast<std::uint64_t>(offset)).result;
}

int status_elsewhere(int fd, struct stat *status) noexcept {
    const auto done = act(fd, FileAction::status);
    if (done.result < 0 || done.data.size() != sizeof *status) {
        return done.result < 0 ? -1 : fail_with(EIO);
    }
    std::memcpy(status, done.data.data(), sizeof *status);
    return 0;
}

int truncate_elsewhere(int fd, off_t size) noexcept {
    return static_cast<int>(act(fd, FileAction::truncate, 0, static_cast<std::uint64_t>(size)).result);
}

int sync_elsewhere(int fd, bool only_data) noexcept {
    return static_cast<int>(act(fd, only_data ? FileAction::sync_data : FileAction::sync).result);
}

int flags_elsewhere(int fd) noexcept {
    return static_cast<int>(act(fd, FileAction::get_flags).result);
}

int set_flags_elsewhere(int fd, int flags) noexcept {
    return static_cast<int>(act(fd, FileAction::set_flags, static_cast<std::uint64_t>(flags)).result);
}

} // namespace norma::rt

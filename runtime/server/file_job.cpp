// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/file_job.hpp"

#include "runtime/sockets.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <span>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr int kMoment = 10; // ms

bool is_broken_off(const pollfd &stop) {
    if (stop.revents != 0) {
        errno = EINTR;
    }
    return stop.revents != 0;
}

ssize_t read_some(FileJob &job) {
    job.reply.blob.resize(job.args[0]);
    const bool ready = job.args[0] == 0 || wait_until(job, POLLIN);
    const auto size = ready ? ::read(job.fd, job.reply.blob.data(), job.reply.blob.size()) : -1;
    job.reply.blob.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return size;
}

ssize_t read_at(FileJob &job) {
    job.reply.blob.resize(job.args[0]);
    const auto size = ::pread(job.fd, job.reply.blob.data(), job.reply.blob.size(), static_cast<off_t>(job.args[1]));
    job.reply.blob.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return size;
}

// What goes into a pipe at once has room in it if anything has.
ssize_t write_all(const FileJob &job, bool pipe) {
    const bool in_parts = pipe && may_wait(job);
    const std::size_t most = in_parts ? std::size_t{PIPE_BUF} : std::max<std::size_t>(job.data.size(), 1);
    std::size_t written = 0;
    do {
        const auto part = std::min(most, job.data.size() - written);
        const bool ready = part == 0 || wait_until(job, POLLOUT);
        const auto size = ready ? ::write(job.fd, job.data.data() + written, part) : -1;
        if (size < 0) {
            return written > 0 ? static_cast<ssize_t>(written) : -1;
        }
        written += static_cast<std::size_t>(size);
    } while (in_parts && written < job.data.size());
    return static_cast<ssize_t>(written);
}

// There is no waiting for a lock that could be broken off, so it is tried again and again.
int lock(const FileJob &job) {
    const int operation = static_cast<int>(job.args[0]);
    while (::flock(job.fd, operation | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || (operation & LOCK_NB) != 0 || !wait_a_moment(job)) {
            return -1;
        }
    }
    return 0;
}

template <class Content> long tell(FileJob &job, int result, const Content &content) {
    if (result == 0) {
        const auto bytes = std::as_bytes(std::span(&content, 1));
        job.reply.blob.assign(bytes.begin(), bytes.end());
    }
    return result;
}

long perform(FileJob &job, const struct stat &about) {
    const bool socket = S_ISSOCK(about.st_mode);
    switch (job.action) {
    case FileAction::read:
        return socket ? receive_message(job) : read_some(job);
    case FileAction::read_at:
        return read_at(job);
    case FileAction::write:
        return socket ? send_message(job) : write_all(job, S_ISFIFO(about.st_mode));
    case FileAction::write_at:
        return ::pwrite(job.fd, job.data.data(), job.data.size(), static_cast<off_t>(job.args[1]));
    case FileAction::seek:
        return ::lseek(job.fd, static_cast<off_t>(job.args[1]), static_cast<int>(job.args[0]));
    case FileAction::status:
        return tell(job, 0, about);
    case FileAction::truncate:
        return ::ftruncate(job.fd, static_cast<off_t>(job.args[1]));
    case FileAction::sync:
        return ::fsync(job.fd);
    case FileAction::sync_data:
        return ::fdatasync(job.fd);
    case FileAction::get_flags:
        return ::fcntl(job.fd, F_GETFL);
    case FileAction::set_flags:
        return ::fcntl(job.fd, F_SETFL, static_cast<int>(job.args[0]));
    case FileAction::send:
        return send_message(job);
    case FileAction::receive:
        return receive_message(job);
    case FileAction::shut_down:
        return ::shutdown(job.fd, static_cast<int>(job.args[0]));
    case FileAction::lock:
        return lock(job);
    case FileAction::allocate:
        return ::fallocate(job.fd, static_cast<int>(job.args[0]), static_cast<off_t>(job.args[1]),
                           static_cast<off_t>(job.args[2]));
    case FileAction::system_status: {
        struct statfs system {};
        return tell(job, ::fstatfs(job.fd, &system), system);
    }
    case FileAction::is_terminal:
        return ::isatty(job.fd) != 0 ? 0 : -1;
    }
    errno = EINVAL;
    return -1;
}

FileKind kind_of(int fd, const struct stat &about) {
    if (S_ISREG(about.st_mode)) {
        return FileKind::regular;
    }
    return S_ISSOCK(about.st_mode) && is_stream(fd) ? FileKind::stream_socket : FileKind::other;
}

} // namespace

FileJob::~FileJob() {
    close_if_open(fd);
    close_if_open(stop);
    for (const auto &file : polled) {
        close_if_open(file.fd);
    }
}

bool is_file_job(const Request &request) {
    const auto action = static_cast<FileAction>(request.args[1]);
    const bool sends = action == FileAction::send;
    const bool reads = action == FileAction::read || action == FileAction::read_at || action == FileAction::receive;
    const auto address = sends ? request.args[3] : 0;
    return request.args[1] <= static_cast<std::uint64_t>(kLastFileAction) && address <= kMostAddressBytes &&
           address <= request.blob.size() && request.blob.size() - address <= kFileBytesAtOnce &&
           (!reads || request.args[2] <= kFileBytesAtOnce);
}

std::shared_ptr<FileJob> make_file_job(const Request &request, int fd) {
    const auto job = std::make_shared<FileJob>();
    job->action = static_cast<FileAction>(request.args[1]);
    job->args = {request.args[2], request.args[3], request.args[5]};
    job->data = request.blob;
    job->fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    job->stop = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return job->fd < 0 || job->stop < 0 ? nullptr : job;
}

std::optional<std::vector<PolledFile>> polled_in(const std::vector<std::byte> &blob) {
    if (blob.size() % sizeof(PolledFile) != 0 || blob.size() / sizeof(PolledFile) > kMostPolled) {
        return std::nullopt;
    }
    std::vector<PolledFile> files(blob.size() / sizeof(PolledFile));
    std::memcpy(files.data(), blob.data(), blob.size());
    return files;
}

std::shared_ptr<FileJob> make_poll_job() {
    const auto job = std::make_shared<FileJob>();
    job->stop = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return job->stop < 0 ? nullptr : job;
}

void run_poll(FileJob &job, bool wait) {
    auto all = job.polled;
    all.push_back({.fd = job.stop, .events = POLLIN, .revents = 0});
    int ready = 0;
    do {
        ready = ::poll(all.data(), all.size(), wait ? -1 : 0);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0 || is_broken_off(all.back())) {
        job.reply.vals[1] = static_cast<std::uint64_t>(errno);
    }
    all.pop_back();
    job.polled = std::move(all);
}

void run(FileJob &job) {
    struct stat about {};
    const auto result = ::fstat(job.fd, &about) == 0 ? perform(job, about) : -1;
    job.reply.vals[0] = static_cast<std::uint64_t>(result);
    job.reply.vals[1] = result < 0 ? static_cast<std::uint64_t>(errno) : 0;
    job.reply.vals[2] = static_cast<std::uint64_t>(kind_of(job.fd, about));
}

void break_off(const FileJob &job) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto told = ::write(job.stop, &one, sizeof one);
}

bool wait_until(const FileJob &job, short event) {
    const int flags = ::fcntl(job.fd, F_GETFL);
    const bool refused = (flags & O_ACCMODE) == (event == POLLIN ? O_WRONLY : O_RDONLY);
    if (refused || (flags & O_NONBLOCK) != 0) { // the call will say so
        return true;
    }
    pollfd waits[] = {{.fd = job.fd, .events = event, .revents = 0}, {.fd = job.stop, .events = POLLIN, .revents = 0}};
    while (::poll(waits, 2, -1) < 0 && errno == EINTR) {
    }
    return !is_broken_off(waits[1]);
}

bool wait_a_moment(const FileJob &job) {
    pollfd stop{.fd = job.stop, .events = POLLIN, .revents = 0};
    ::poll(&stop, 1, kMoment);
    return !is_broken_off(stop);
}

bool may_wait(const FileJob &job) {
    return (::fcntl(job.fd, F_GETFL) & O_NONBLOCK) == 0;
}

} // namespace norma::rt

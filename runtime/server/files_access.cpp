// SPDX-License-Identifier: BSD-3-Clause
// Reading and writing files for tasks on other nodes. Each access has a thread, which has nothing but the file and its
// orders. Before it does what may wait for somebody else, it waits in a way that can be broken off, for a task that has
// ended must not take what is written for others.
#include "runtime/server/apart.hpp"
#include "runtime/server/node.hpp"
#include "runtime/sockets.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace norma::rt {

struct FileJob {
    FileAction action = FileAction::read;
    std::uint64_t first = 0, second = 0;
    std::vector<std::byte> data;
    int fd = -1, stop = -1;
    Reply reply{};

    FileJob() = default;
    FileJob(const FileJob &) = delete;
    FileJob &operator=(const FileJob &) = delete;
    ~FileJob() {
        close_if_open(fd);
        close_if_open(stop);
    }
};

namespace {

// False: it was broken off.
bool wait_until(const FileJob &job, short event) {
    if ((::fcntl(job.fd, F_GETFL) & O_NONBLOCK) != 0) {
        return true;
    }
    pollfd waits[] = {{.fd = job.fd, .events = event, .revents = 0}, {.fd = job.stop, .events = POLLIN, .revents = 0}};
    while (::poll(waits, 2, -1) < 0 && errno == EINTR) {
    }
    if (waits[1].revents != 0) {
        errno = EINTR;
        return false;
    }
    return true;
}

ssize_t read_some(FileJob &job) {
    job.reply.blob.resize(job.first);
    const auto size = wait_until(job, POLLIN) ? ::read(job.fd, job.reply.blob.data(), job.reply.blob.size()) : -1;
    job.reply.blob.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return size;
}

ssize_t read_at(FileJob &job) {
    job.reply.blob.resize(job.first);
    const auto size = ::pread(job.fd, job.reply.blob.data(), job.reply.blob.size(), static_cast<off_t>(job.second));
    job.reply.blob.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return size;
}

// What goes into a pipe at once has room in it if anything has.
ssize_t write_all(const FileJob &job, bool pipe) {
    const bool in_parts = pipe && (::fcntl(job.fd, F_GETFL) & O_NONBLOCK) == 0;
    const std::size_t most = in_parts ? std::size_t{PIPE_BUF} : std::max<std::size_t>(job.data.size(), 1);
    std::size_t written = 0;
    do {
        const auto part = std::min(most, job.data.size() - written);
        const auto size = wait_until(job, POLLOUT) ? ::write(job.fd, job.data.data() + written, part) : -1;
        if (size < 0) {
            return written > 0 ? static_cast<ssize_t>(written) : -1;
        }
        written += static_cast<std::size_t>(size);
    } while (in_parts && written < job.data.size());
    return static_cast<ssize_t>(written);
}

long perform(FileJob &job, const struct stat &about) {
    switch (job.action) {
    case FileAction::read:
        return read_some(job);
    case FileAction::read_at:
        return read_at(job);
    case FileAction::write:
        return write_all(job, S_ISFIFO(about.st_mode));
    case FileAction::write_at:
        return ::pwrite(job.fd, job.data.data(), job.data.size(), static_cast<off_t>(job.second));
    case FileAction::seek:
        return ::lseek(job.fd, static_cast<off_t>(job.second), static_cast<int>(job.first));
    case FileAction::status: {
        const auto bytes = std::as_bytes(std::span(&about, 1));
        job.reply.blob.assign(bytes.begin(), bytes.end());
        return 0;
    }
    case FileAction::truncate:
        return ::ftruncate(job.fd, static_cast<off_t>(job.second));
    case FileAction::sync:
        return ::fsync(job.fd);
    case FileAction::sync_data:
        return ::fdatasync(job.fd);
    case FileAction::get_flags:
        return ::fcntl(job.fd, F_GETFL);
    case FileAction::set_flags:
        return ::fcntl(job.fd, F_SETFL, static_cast<int>(job.first));
    }
    errno = EINVAL;
    return -1;
}

void run(FileJob &job) {
    struct stat about {};
    const auto result = ::fstat(job.fd, &about) == 0 ? perform(job, about) : -1;
    job.reply.vals = {static_cast<std::uint64_t>(result), result < 0 ? static_cast<std::uint64_t>(errno) : 0,
                      S_ISREG(about.st_mode) ? 1U : 0U, 0};
}

bool sound(const Request &request) {
    const auto action = static_cast<FileAction>(request.args[1]);
    const bool reads = action == FileAction::read || action == FileAction::read_at;
    return request.args[1] <= static_cast<std::uint64_t>(FileAction::set_flags) &&
           request.blob.size() <= kFileBytesAtOnce && (!reads || request.args[2] <= kFileBytesAtOnce);
}

} // namespace

void FilesService::access(const Request &request, Done done) {
    auto *task = task_of(request.caller);
    if (task == nullptr || !sound(request)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto *copy = find(task->open_files);
    const auto *file = copy == nullptr ? nullptr : copy->table.find(request.args[0]);
    if (file == nullptr) {
        done(errno_reply(copy == nullptr ? EHOSTDOWN : EBADF));
        return;
    }
    if (file->node != node_.self && !Node::pay_for_sending(*task, sizeof(RequestHead), request.blob.size())) {
        done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    auto reach = request;
    reach.op = Op::file_reach;
    reach.args[4] = task->open_files;
    node_.router.call(file->node, std::move(reach), std::move(done), false);
}

void FilesService::serve_reach(const Request &request, Done done) {
    const auto *copy = find(request.args[4]);
    const int fd = copy == nullptr ? -1 : copy->descriptor(request.args[0]);
    if (!sound(request) || fd < 0) {
        done(errno_reply(!sound(request) ? EINVAL : copy == nullptr ? EHOSTDOWN : EBADF));
        return;
    }
    const auto job = std::make_shared<FileJob>();
    job->action = static_cast<FileAction>(request.args[1]);
    job->first = request.args[2];
    job->second = request.args[3];
    job->data = request.blob;
    job->fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    job->stop = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (job->fd < 0 || job->stop < 0) {
        done(errno_reply(ENFILE));
        return;
    }
    const auto access = accesses_.insert(
        accesses_.end(),
        {.task = request.caller.task, .thread = request.caller.thread, .node = request.caller.node, .job = job});
    const auto over = [this, access, job, done] {
        accesses_.erase(access);
        done(job->reply);
    };
    if (!do_apart(
            node_.loop, [job] { run(*job); }, over)) {
        accesses_.erase(access);
        done(errno_reply(EAGAIN));
    }
}

void FilesService::abort(std::uint64_t thread) {
    cancel([thread](const Access &access) { return access.thread == thread; });
}

void FilesService::cancel(const std::function<bool(const Access &)> &concerned) {
    for (const auto &access : accesses_) {
        if (concerned(access)) {
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto told = ::write(access.job->stop, &one, sizeof one);
        }
    }
}

} // namespace norma::rt

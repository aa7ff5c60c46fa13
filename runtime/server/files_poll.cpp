// SPDX-License-Identifier: BSD-3-Clause
// Waiting until files of other nodes are ready. The task's node asks each of them, and tells the task on a socket, for
// the task waits for files of its own at the same time. When the task closes the socket, which its end does too, those
// that have not answered are told not to watch any more.
#include "runtime/server/file_job.hpp"
#include "runtime/server/node.hpp"
#include "runtime/server/ops.hpp"
#include "runtime/sockets.hpp"

#include "norma/mach.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

namespace norma::rt {

namespace {

constexpr std::uint16_t kGone = POLLERR | POLLHUP;

std::vector<std::byte> blob_of(const std::vector<PolledFile> &files) {
    const auto bytes = std::as_bytes(std::span(files));
    return {bytes.begin(), bytes.end()};
}

} // namespace

void FilesService::poll(const Request &request, Done done) {
    const int socket = take_offer(node_, request.caller);
    auto *task = task_of(request.caller);
    const auto files = polled_in(request.blob);
    if (task == nullptr || !files || socket < 0) {
        close_if_open(socket);
        const bool lost = task != nullptr && files; // on the way: the node has no room
        done(lost ? errno_reply(EMFILE) : status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto number = ++last_watch_;
    if (!node_.watch_for(*task, socket, [this, number](std::uint32_t) { end_waiting(number); })) {
        close_if_open(socket);
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto *copy = find(task->open_files);
    std::map<dsm::NodeId, std::vector<PolledFile>> parts;
    auto &waiting =
        waiting_.insert({number, {.socket = socket, .wait = request.args[0] != 0, .open = {}}}).first->second;
    for (auto file : *files) {
        const auto *known = copy == nullptr ? nullptr : copy->table.find(file.number);
        if (known != nullptr) {
            parts[known->node].push_back(file);
            waiting.open.set(known->node);
        } else {
            file.events = copy == nullptr ? kGone : POLLNVAL;
            waiting.ready.push_back(file);
        }
    }
    done(errno_reply(0));
    const auto caller = request.caller;
    const auto table = task->open_files;
    for (const auto &[node, part] : parts) {
        watch(number, node, table, part, caller);
    }
    tell_waiting(number);
}

void FilesService::watch(std::uint64_t number, dsm::NodeId node, TableId table, const std::vector<PolledFile> &files,
                         const Caller &caller) {
    const auto waiting = waiting_.find(number);
    if (waiting == waiting_.end()) {
        return;
    }
    Request request;
    request.op = Op::file_watch;
    request.caller = caller;
    request.args = {number, waiting->second.wait ? 1U : 0U, 0, 0, table};
    request.blob = blob_of(files);
    node_.router.call(
        node, std::move(request),
        [this, number, node, table, files, caller](const Reply &reply) {
            if (reply.status == kWithdrawn) { // whoever serves for the node then is asked
                watch(number, node, table, files, caller);
            } else {
                watched(number, node, files, reply);
            }
        },
        false);
}

void FilesService::watched(std::uint64_t number, dsm::NodeId node, const std::vector<PolledFile> &files,
                           const Reply &reply) {
    const auto found = waiting_.find(number);
    if (found == waiting_.end()) {
        return;
    }
    auto &waiting = found->second;
    waiting.open.reset(node);
    const auto ready = polled_in(reply.blob);
    if (reply.status == KERN_NODE_DOWN) {
        for (const auto &file : files) {
            waiting.ready.push_back({.place = file.place, .number = file.number, .events = kGone});
        }
    } else if (reply.status != KERN_SUCCESS || !ready || reply.vals[1] != 0) {
        waiting.error = reply.status == KERN_SUCCESS && reply.vals[1] < 4096 ? reply.vals[1] : EIO;
    } else {
        waiting.ready.insert(waiting.ready.end(), ready->begin(), ready->end());
    }
    tell_waiting(number);
}

// When there is something to be told, or all have answered.
void FilesService::tell_waiting(std::uint64_t number) {
    const auto found = waiting_.find(number);
    if (found == waiting_.end()) {
        return;
    }
    const auto &waiting = found->second;
    const bool enough = waiting.error != 0 || (waiting.wait && !waiting.ready.empty());
    if (!enough && waiting.open.any()) {
        return;
    }
    const PollAnswer answer{.error = waiting.error};
    auto packet = blob_of(waiting.ready);
    const auto head = std::as_bytes(std::span(&answer, 1));
    packet.insert(packet.begin(), head.begin(), head.end());
    ::send(waiting.socket, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL); // a task that does not listen
    end_waiting(number);                                                               // finds the socket closed
}

void FilesService::end_waiting(std::uint64_t number) {
    const auto ended = waiting_.extract(number);
    if (!ended) {
        return;
    }
    const auto &waiting = ended.mapped();
    node_.loop.unwatch(waiting.socket);
    close_if_open(waiting.socket);
    for (dsm::NodeId node = 0; node < node_.count; ++node) {
        if (waiting.open[node]) {
            Request unwatch;
            unwatch.op = Op::file_unwatch;
            unwatch.args = {number};
            node_.router.tell(node, std::move(unwatch));
        }
    }
}

void FilesService::serve_watch(const Request &request, Done done) {
    const auto files = polled_in(request.blob);
    const auto *copy = find(request.args[4]);
    const auto job = make_poll_job();
    if (!files || copy == nullptr || job == nullptr) {
        done(errno_reply(!files ? EINVAL : copy == nullptr ? EHOSTDOWN : ENFILE));
        return;
    }
    bool wait = request.args[1] != 0;
    for (const auto &file : *files) {
        const int fd = copy->descriptor(file.number);
        const int own = fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0 && own < 0) {
            done(errno_reply(ENFILE));
            return;
        }
        wait = wait && fd >= 0;
        job->polled.push_back({.fd = own, .events = static_cast<short>(file.events), .revents = 0});
    }
    const auto tell = [job, files = *files, done = std::move(done)](Reply reply) {
        std::vector<PolledFile> ready;
        for (std::size_t i = 0; i < job->polled.size(); ++i) {
            const auto &polled = job->polled[i];
            const auto events = polled.fd < 0 ? std::uint16_t{POLLNVAL} : static_cast<std::uint16_t>(polled.revents);
            if (events != 0) {
                ready.push_back({.place = files[i].place, .number = files[i].number, .events = events});
            }
        }
        reply.blob = blob_of(ready);
        done(std::move(reply));
    };
    start(
        {.task = request.caller.task,
         .thread = request.caller.thread,
         .node = request.caller.node,
         .job = job,
         .watch = request.args[0]},
        [job, wait] { run_poll(*job, wait); }, tell);
}

void FilesService::serve_unwatch(const Request &request, Done done) {
    cancel([&request](const Access &access) {
        return access.watch != 0 && access.watch == request.args[0] && access.node == request.caller.node;
    });
    done(errno_reply(0));
}

} // namespace norma::rt

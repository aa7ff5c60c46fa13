// SPDX-License-Identifier: BSD-3-Clause
// Using files for tasks on other nodes: each access has a thread (file_job.hpp).
#include "runtime/server/apart.hpp"
#include "runtime/server/file_job.hpp"
#include "runtime/server/node.hpp"

#include "norma/mach.h"

#include <cerrno>

namespace norma::rt {

void FilesService::access(const Request &request, Done done) {
    auto *task = task_of(request.caller);
    if (task == nullptr || !is_file_job(request)) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto *copy = find(task->open_files);
    const auto *file = copy == nullptr ? nullptr : copy->table.find(request.args[0]);
    if (file == nullptr) {
        done(errno_reply(copy == nullptr ? EHOSTDOWN : EBADF));
        return;
    }
    if (!node_.router.serves(file->node) && !Node::pay_for_sending(*task, sizeof(RequestHead), request.blob.size())) {
        done(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    auto reach = request;
    reach.op = Op::file_reach;
    reach.args[4] = task->open_files;
    reach_at(file->node, reach, done);
}

// Of whoever serves for the node then, if it leaves while the access waits there.
void FilesService::reach_at(dsm::NodeId node, const Request &request, const Done &done) {
    const auto answered = [this, node, request, done](const Reply &reply) {
        if (reply.status == kWithdrawn) {
            reach_at(node, request, done);
        } else {
            done(reply);
        }
    };
    node_.router.call(node, request, answered, false);
}

void FilesService::serve_reach(const Request &request, Done done) {
    const auto *copy = find(request.args[4]);
    const int fd = copy == nullptr ? -1 : copy->descriptor(request.args[0]);
    if (!is_file_job(request) || fd < 0) {
        done(errno_reply(!is_file_job(request) ? EINVAL : copy == nullptr ? EHOSTDOWN : EBADF));
        return;
    }
    const auto job = make_file_job(request, fd);
    if (job == nullptr) {
        done(errno_reply(ENFILE));
        return;
    }
    start(
        {.task = request.caller.task, .thread = request.caller.thread, .node = request.caller.node, .job = job},
        [job] { run(*job); }, std::move(done));
}

void FilesService::start(Access access, std::function<void()> work, Done done) {
    const auto place = accesses_.insert(accesses_.end(), std::move(access));
    const auto over = [this, place, done] {
        const auto job = place->job;
        const bool was_done = job->reply.vals[1] != EINTR; // before it could be broken off
        const bool withdrawn = place->withdrawn && !place->cancelled && !was_done;
        accesses_.erase(place);
        done(withdrawn ? status_reply(kWithdrawn) : job->reply);
    };
    if (!do_apart(node_.loop, std::move(work), over)) {
        accesses_.erase(place);
        done(errno_reply(EAGAIN));
    }
}

void FilesService::abort(std::uint64_t thread) {
    cancel([thread](const Access &access) { return access.thread == thread; });
}

void FilesService::withdraw_waits() {
    for (auto &access : accesses_) {
        if (access.watch != 0 || access.job->action == FileAction::lock) { // nothing else of what can go waits long
            access.withdrawn = true;
            break_off(*access.job);
        }
    }
}

void FilesService::cancel(const std::function<bool(const Access &)> &concerned) {
    for (auto &access : accesses_) {
        if (concerned(access)) {
            access.cancelled = true;
            break_off(*access.job);
        }
    }
}

} // namespace norma::rt

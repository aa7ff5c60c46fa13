// SPDX-License-Identifier: BSD-3-Clause
// Tasks whose processes norma did not start (docs/attach.md). Such a process is nobody's child here, so its end shows
// at its descriptor; and it goes on when the job ends.
#include "runtime/server/attached.hpp"

#include "norma/mach.h"
#include "runtime/server/door.hpp"
#include "runtime/server/node.hpp"
#include "runtime/sockets.hpp"

#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <sys/wait.h>
#include <system_error>

namespace norma::rt {

void greet(int socket, std::int32_t status, std::string_view text) {
    const Greeting greeting{.magic = kGreetingMagic, .protocol = kTaskProtocol, .status = status};
    send_packet(socket, std::as_bytes(std::span(&greeting, 1)), std::as_bytes(std::span(text)));
}

void Node::let_in(Visitor visitor) {
    const auto refuse = [&visitor](std::int32_t status, const std::string &why) {
        greet(visitor.socket, status, why);
        close_if_open(visitor.socket);
        close_if_open(visitor.pidfd);
    };
    if (is_task(visitor.pid)) {
        refuse(KERN_INVALID_TASK, "this process is a task of the job already");
        return;
    }
    Program program;
    program.path = std::move(visitor.program);
    std::unique_ptr<Task> task;
    try {
        task = new_task(std::move(program), {});
    } catch (const std::system_error &error) {
        refuse(KERN_RESOURCE_SHORTAGE, fmt::format("node {} can have no more tasks: {}", self, error.what()));
        return;
    }
    const auto id = task->id;
    task->pid = visitor.pid;
    task->pidfd = visitor.pidfd;
    task->control = visitor.socket;
    task->on_ready = [this, id](std::int32_t status) {
        if (status == KERN_SUCCESS) {
            auto &ready = *tasks.at(id);
            thread_runs(ready, ready.add_thread(ready.pid, self), ready.pid);
            sampler.look_at(id);
        }
    };
    tasks[id] = std::move(task);
    loop.watch(visitor.socket, [this, id](std::uint32_t) { on_control(id); });
    loop.watch(visitor.pidfd, [this, id](std::uint32_t) {
        while (on_control(id)) { // what it said before it ended counts
        }
        attached_over(id);
    });
    greet(visitor.socket, KERN_SUCCESS, visitor.settings);
}

// Its process has ended, or at least has no coherent memory any more: its service thread holds the other end of the
// control socket for as long as it has.
void Node::attached_over(TaskId id) {
    if (auto over = tasks.extract(id)) {
        auto task = std::move(over.mapped());
        const int pidfd = std::exchange(task->pidfd, -1);
        loop.unwatch(pidfd);
        close_if_open(pidfd);
        const Processes::End end{.pid = task->pid, .status = task->exit_status.value_or(SIGKILL), .cpu = {}};
        task_over(std::move(task), end);
    }
}

// A process that has tried to attach itself before, and could not, has hung up; that may not have been seen yet.
bool Node::is_task(pid_t pid) {
    const auto has_pid = [pid](const auto &entry) { return entry.second->pid == pid; };
    const auto found = std::ranges::find_if(tasks, has_pid);
    if (found != tasks.end() && found->second->is_attached()) {
        const auto id = found->first;
        while (on_control(id)) {
        }
    }
    return std::ranges::any_of(tasks, has_pid);
}

} // namespace norma::rt

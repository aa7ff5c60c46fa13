// SPDX-License-Identifier: BSD-3-Clause
// Tasks as processes: starting them, talking to their service threads, and cleaning up when they end.
#include "runtime/server/node.hpp"

#include "runtime/log.hpp"
#include "runtime/sockets.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <sys/wait.h>
#include <system_error>

namespace norma::rt {

// `kin` without an identity: it gets a new one. Throws std::system_error.
std::unique_ptr<Task> Node::new_task(Program program, Kin kin) {
    if (tasks.size() >= config.tasks) {
        throw std::system_error(EAGAIN, std::generic_category(), fmt::format("{} tasks (NORMA_TASKS)", tasks.size()));
    }
    const TaskId id = TaskId{self} << 48 | TaskId{incarnation & 0xffff} << 32 | ++next_task_;
    auto task = std::make_unique<Task>(id, window, std::move(program));
    task->kin = kin;
    if (kin.identity == 0) {
        task->kin.identity = families.make(task->own_right(), kin.pid);
        task->kin.pid = kin.pid == 0 ? task->kin.identity : kin.pid;
    }
    if (task->kin.identity == 0) {
        throw std::system_error(EAGAIN, std::generic_category(), "no process id is left");
    }
    task->ledgers = ledgers.roots();
    return task;
}

Task &Node::start_process(Program program, bool first, Kin kin, std::function<void(std::int32_t)> on_ready) {
    auto ends = socket_pair();
    std::unique_ptr<Task> task;
    try {
        task = new_task(std::move(program), kin);
        task->first = first;
        task->on_ready = std::move(on_ready);
        loop.watch(ends.first, [this, id = task->id](std::uint32_t) { on_control(id); });
        task->pid = processes.start(task->program, first, ends.second);
    } catch (...) {
        loop.unwatch(ends.first);
        close_if_open(ends.first);
        close_if_open(ends.second);
        if (kin.identity == 0 && task != nullptr) {
            families.remove(task->kin.identity);
        }
        throw;
    }
    close_if_open(ends.second);
    task->control = ends.first;
    auto &made = *task;
    tasks[made.id] = std::move(task);
    return made;
}

bool Node::on_control(TaskId id) {
    static std::vector<std::byte> buffer(kMaxPacketBytes);
    const auto found = tasks.find(id);
    if (found == tasks.end()) {
        return false;
    }
    auto &task = *found->second;
    int fd = -1;
    const auto size = receive_packet(task.control, buffer, fd);
    if (size > 0) {
        handle_task_message(task, std::span(buffer).first(static_cast<std::size_t>(size)), fd);
    } else if (size == 0 && task.is_attached()) {
        attached_over(id);
    } else if (size == 0) { // the process has ended, or has closed it: the reaper will see to the rest
        loop.unwatch(task.control);
    }
    return size > 0;
}

void Node::handle_task_message(Task &task, std::span<const std::byte> packet, int fd) {
    const auto message = split_packet<TaskMsgHead>(packet);
    if (!message) {
        close_if_open(fd);
        return;
    }
    const auto &[head, blob] = *message;
    switch (static_cast<TaskMsg>(head.type)) {
    case TaskMsg::hello:
        hello(task, *message, fd);
        return;
    case TaskMsg::program:
        if (task.is_attached()) { // libnorma does not attach a whole program
            break;
        }
        whole_program(task, {.start = head.args[0], .size = head.args[1]});
        break;
    case TaskMsg::channel:
        if (fd >= 0 && watch_for(task, fd, [this, id = task.id, fd](std::uint32_t) { on_channel(id, fd); })) {
            task.channels.insert(fd);
            return;
        }
        break;
    case TaskMsg::ack:
        if (task.command_out && head.args[0] == task.commands_sent) {
            auto pending = std::move(task.commands.front());
            task.commands.pop_front();
            task.command_out = false;
            const auto id = task.id;
            pending.done(
                {.error = static_cast<int>(head.args[1]), .value = head.args[2], .blob = {blob.begin(), blob.end()}});
            if (const auto again = tasks.find(id); again != tasks.end()) { // which `done` may have given a new command
                next_command(*again->second);
            }
        }
        break;
    case TaskMsg::thread_ended:
        if (const auto number = task.number_of(static_cast<pid_t>(head.args[0])); number != 0) {
            thread_ended(task, number);
        }
        break;
    case TaskMsg::files:
        if (fd >= 0 && task.moving) {
            open_files.begin_move(task, std::exchange(fd, -1));
        }
        break;
    case TaskMsg::exits:
        if (task.is_attached()) {
            task.exit_status = W_EXITCODE(static_cast<int>(head.args[0] & 0xff), 0);
        }
        break;
    }
    close_if_open(fd);
}

bool Node::watch_for(Task &task, int fd, Loop::Handler handler) {
    try {
        loop.watch(fd, std::move(handler));
        return true;
    } catch (const std::system_error &error) { // not one that libnorma sends
        log_error("{}: sent a descriptor that cannot be polled ({}); its task is ended", task.program.path,
                  error.what());
        kill_task(task, [] {});
        return false;
    }
}

// Before hello: the variables of this task's program are to be coherent memory.
void Node::whole_program(Task &task, Range data) {
    const bool original = task.program.build_id.empty();
    if (task.space != nullptr || task.state != Task::State::starting || data.size == 0 || !can_be_data(data, window) ||
        (!original && data != task.program.data)) {
        log_error("{}: its variables cannot be at {:#x} to {:#x}{}; its task is ended", task.program.path, data.start,
                  data.end(), original ? "" : ", those of its parent are somewhere else");
        kill_task(task, [] {});
        return;
    }
    if (original) {
        task.program.data = data;
        task.map = AddressMap(window, data);
    }
}

namespace {

// What a program is made of, one per line: the first line where two of them are not the same.
std::string difference(std::string_view here, std::string_view there) {
    while (!here.empty() && !there.empty()) {
        const auto own = here.substr(0, here.find('\n')), other = there.substr(0, there.find('\n'));
        if (own != other) {
            return fmt::format("{} instead of {}", own, other);
        }
        here.remove_prefix(std::min(here.size(), own.size() + 1));
        there.remove_prefix(std::min(there.size(), other.size() + 1));
    }
    return here.empty() ? fmt::format("no {}", there) : fmt::format("{} besides", here);
}

} // namespace

void Node::hello(Task &task, const Packet<TaskMsgHead> &message, int fd) {
    const auto &[head, blob] = message;
    const std::string build_id(reinterpret_cast<const char *>(blob.data()), blob.size());
    std::string trouble;
    if (task.space != nullptr || task.state != Task::State::starting) {
        close_if_open(fd);
        return;
    }
    if (head.args[0] != kTaskProtocol) {
        trouble = fmt::format("libnorma speaks protocol {}, the node server {}", head.args[0], kTaskProtocol);
    } else if (fd < 0) {
        trouble = fmt::format("no userfaultfd: {} (`norma info --check` says how to mend it)",
                              std::strerror(static_cast<int>(head.args[2])));
    } else if (!task.program.build_id.empty() && task.program.build_id != build_id) {
        trouble = fmt::format("{} is another program here than on its parent's node: {}", task.program.path,
                              difference(build_id, task.program.build_id));
    }
    if (!trouble.empty()) {
        log(LogLevel::error, "{}: {}", task.program.path, trouble);
        close_if_open(fd);
        kill_task(task, [] {});
        return;
    }
    const bool original = task.program.build_id.empty();
    task.program.build_id = build_id;
    task.space = std::make_unique<dsm::Space>(fd, task.times);
    auto *space = task.space.get();
    const bool watched = watch_for(task, fd, [this, space](std::uint32_t) {
        while (const auto fault = space->userfault.read()) {
            pager.fault(*space, *fault);
        }
    });
    if (!watched) {
        task.space.reset();
        return;
    }
    task.state = Task::State::running;
    command(task, Command::welcome, {self, announced, static_cast<std::uint64_t>(task.kin.pid)}, [](const Ack &) {});
    if (original && task.program.data.size != 0) {
        begin_program(task.id);
        return;
    }
    auto ready = std::exchange(task.on_ready, nullptr);
    ready(KERN_SUCCESS);
}

void Node::command(Task &task, Command command, std::array<std::uint64_t, 4> args,
                   std::function<void(const Ack &)> done, int fd, std::vector<std::byte> blob) {
    task.commands.push_back(
        {.command = command, .args = args, .fd = fd, .blob = std::move(blob), .done = std::move(done)});
    next_command(task);
}

void Node::next_command(Task &task) {
    if (task.command_out || task.commands.empty()) {
        return;
    }
    task.command_out = true;
    const auto &pending = task.commands.front();
    CommandHead head{};
    head.command = static_cast<std::uint32_t>(pending.command);
    head.number = ++task.commands_sent;
    std::copy(pending.args.begin(), pending.args.end(), head.args);
    // A task that is gone does not take it: its end, which is about to be noticed, answers the command.
    send_packet(task.control, std::as_bytes(std::span(&head, 1)), pending.blob, pending.fd);
}

namespace {

// A descriptor comes with a call, and is there until the next one.
void take_offer(Task &task, int channel, int passed) {
    if (const auto old = task.offered.extract(channel)) {
        close_if_open(old.mapped());
    }
    if (passed >= 0) {
        task.offered[channel] = passed;
    }
}

} // namespace

void Node::on_channel(TaskId id, int fd) {
    static std::vector<std::byte> buffer(kMaxPacketBytes);
    const auto found = tasks.find(id);
    if (found == tasks.end()) {
        return;
    }
    int passed = -1;
    const auto size = receive_packet(fd, buffer, passed);
    take_offer(*found->second, fd, passed);
    if (size > 0) {
        from_task(*found->second, fd, std::span(buffer).first(static_cast<std::size_t>(size)));
    } else if (size == 0) {
        loop.unwatch(fd);
        ports.thread_gone({.task = id, .channel = fd});
        found->second->channels.erase(fd);
        close_if_open(fd);
    }
}

void Node::kill_task(Task &task, std::function<void()> reaped) {
    task.state = Task::State::ending;
    task.on_reaped.push_back(std::move(reaped));
    if (task.is_attached() && task.space == nullptr) { // it has nothing of the job yet: not a process to be killed
        loop.at(Clock::now(), [this, id = task.id] { attached_over(id); });
        return;
    }
    if (task.is_attached()) {
        processes.signal_through(task.pidfd, SIGKILL);
    } else {
        processes.kill(task.pid);
    }
}

void Node::reap() {
    while (const auto end = processes.next_end()) {
        for (auto entry = tasks.begin(); entry != tasks.end(); ++entry) {
            if (entry->second->pid == end->pid && !entry->second->is_attached()) {
                // What it said before it ended counts: a thread that started and ended the task has started.
                const auto id = entry->first;
                while (on_control(id)) {
                }
                auto task = std::move(entry->second);
                tasks.erase(entry);
                task_over(std::move(task), *end);
                break;
            }
        }
    }
}

// A child that never takes over may end before what its parent's node has sent as its last is heard everywhere.
void Node::tell_of_end(dsm::NodeId home, TaskId task, bool well, std::optional<dsm::NodeId> awaited_by) {
    Request request;
    request.op = Op::sync_task_died;
    request.args = {task, well ? 1U : 0U, awaited_by && router.is_down(*awaited_by) ? *awaited_by + 1U : 0U};
    router.tell(home, std::move(request));
}

// Nobody is left who could let them go on.
void Node::end_orphans_of(dsm::NodeId node) {
    for (auto &[id, task] : tasks) {
        if (task->awaited_by == node && task->state != Task::State::ending) {
            kill_task(*task, [] {});
        }
    }
    for (const auto &[id, end] : ended) {
        for (dsm::NodeId home = 0; end.awaited_by == node && home < count; ++home) {
            tell_of_end(home, id, false, node);
        }
    }
}

void Node::add_to_account(const Task &task, const Processes::End &end) {
    spent.add(task.times.totals(now()), end.cpu);
}

namespace {

// Now answered from `ended`, or by the successor's node.
void wait_again(Node &node, Op op, const Right &target, const Done &waiter) {
    Request again;
    again.op = op;
    again.target = target;
    again.args[0] = static_cast<std::uint64_t>(-1);
    node.execute(again, waiter);
}

} // namespace

// The process is gone: everything the task had goes back, and whoever waits for it is told.
void Node::task_over(std::unique_ptr<Task> task, const Processes::End &end) {
    const int status = end.status;
    add_to_account(*task, end);
    if (task->space != nullptr) {
        loop.unwatch(task->space->userfault.fd());
        pager.unmap_all(*task->space);
    }
    loop.unwatch(task->control);
    close_if_open(task->control);
    for (const int channel : task->channels) {
        loop.unwatch(channel);
        close_if_open(channel);
    }
    for (const auto &[channel, passed] : task->offered) {
        close_if_open(passed);
    }
    close_if_open(task->parcel);
    open_files.task_over(*task);
    following.end(task->id);
    ports.task_over(task->names, task->id);
    direct.close_all(task->id);
    unwire(take_wiring(*task, window.range()));
    for (const auto &shared : stretches_of(task->map.entries())) {
        release(shared.stretch);
    }
    for (const auto &[start, loan] : task->loans) {
        release_all(loan.pieces);
        addresses.release(loan.range());
    }
    for (const auto &file : task->files) {
        release({.object = file});
    }
    // An end that was asked for is no failure.
    ended[task->id] = {.key = task->key,
                       .status = task->terminated ? 0 : status,
                       .successor = task->successor,
                       .threads_moved = task->threads_moved,
                       .arriving = task->threads_moved && task->gathering,
                       .awaited_by = task->awaited_by,
                       .first = task->first,
                       .kin = task->kin};
    leave_groups(*task);
    const auto *process = families.find(task->kin.identity);
    if (task->awaited_by && process != nullptr && process->where == task->own_right()) {
        families.remove(task->kin.identity); // nobody has been told of it
    } else if (!task->awaited_by && task->successor.kind == Right::Kind::none) {
        tell_family(Op::process_ended, task->kin, static_cast<std::uint64_t>(status));
    }
    // Of a task that was teleported its node tells more than that it is gone; see finish_move().
    const bool moved = task->successor.kind != Right::Kind::none;
    for (dsm::NodeId node = 0; !moved && node < count; ++node) {
        if (task->sync_homes[node]) {
            tell_of_end(node, task->id, status == 0 && !task->terminated, task->awaited_by);
        }
    }
    for (auto &pending : task->commands) {
        pending.done({.error = ESRCH, .value = 0, .blob = {}});
    }
    if (task->on_ready) {
        task->on_ready(KERN_RESOURCE_SHORTAGE);
    }
    for (auto &[number, thread] : task->threads) {
        for (const auto &waiter : thread.waiters) {
            if (task->threads_moved) {
                wait_again(*this, Op::thread_wait, task->thread_right(number), waiter);
            } else {
                waiter(status_reply(KERN_SUCCESS));
            }
        }
    }
    for (const auto &reaped : task->on_reaped) {
        reaped();
    }
    for (const auto &waiter : task->waiters) {
        wait_again(*this, Op::task_wait, task->own_right(), waiter);
    }
    if (task->first && !moved && !task->awaited_by) {
        when_saved([this, status = task->terminated ? 0 : status] { report_exit(status, ""); });
    }
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/service.hpp"

#include "runtime/client/attach.hpp"
#include "runtime/client/channel.hpp"
#include "runtime/client/clone.hpp"
#include "runtime/client/exceptions.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/migration.hpp"
#include "runtime/client/one_sided.hpp"
#include "runtime/client/program.hpp"
#include "runtime/client/registers.hpp"
#include "runtime/client/samples.hpp"
#include "runtime/client/shared_files.hpp"
#include "runtime/client/stops.hpp"
#include "runtime/client/tables.hpp"
#include "runtime/client/threads.hpp"
#include "runtime/client/usage.hpp"
#include "runtime/client/window.hpp"
#include "runtime/protocol.hpp"
#include "runtime/sockets.hpp"
#include "runtime/thread_state.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <pthread.h>
#include <unistd.h>
#include <utility>

namespace norma::rt {

namespace {

void acknowledge(std::uint64_t number, int error, std::uint64_t value = 0, std::span<const std::byte> blob = {}) {
    tell(TaskMsg::ack, {number, static_cast<std::uint64_t>(error), value}, blob);
}

void acknowledge_thread(std::uint64_t number, int error, const NewThread &made) {
    acknowledge(number, error, static_cast<std::uint64_t>(made.tid));
    if (error == 0) {
        made.go(); // only now: its first call finds the node server informed
    }
}

void acknowledge_threads(std::uint64_t number, const std::vector<NewThread> &made) {
    std::vector<std::uint64_t> ids;
    for (const auto &thread : made) {
        ids.push_back(static_cast<std::uint64_t>(thread.tid));
    }
    acknowledge(number, made.empty() ? EINVAL : 0, ids.size(), std::as_bytes(std::span(ids)));
    for (const auto &thread : made) {
        thread.go();
    }
}

// One command, as it comes.
struct Order {
    CommandHead head;
    std::byte blob[kMaxCommandBlob];
};

void obey(const CommandHead &head, std::span<const std::byte> blob, int &fd) {
    const auto &args = head.args;
    const auto tid = static_cast<pid_t>(args[0]);
    const auto table = static_cast<Table>(args[0]);
    NewThread made;
    switch (static_cast<Command>(head.command)) {
    case Command::welcome:
        job.node = static_cast<int>(args[0]);
        job.nodes = static_cast<int>(args[1]);
        job.pid = static_cast<int>(args[2]);
        return acknowledge(head.number, 0);
    case Command::nodes:
        job.nodes = static_cast<int>(args[0]);
        return acknowledge(head.number, 0);
    case Command::map:
        return acknowledge(head.number, map_frames(args[0], args[1], static_cast<int>(args[2]), fd, args[3]));
    case Command::map_data:
        return acknowledge(head.number, map_data(args[0], args[1], static_cast<int>(args[2]), fd, args[3]));
    case Command::heap:
        begin_heap(args[0], args[1], static_cast<unsigned>(args[2]));
        return acknowledge(head.number, 0);
    case Command::heap_lost:
        lose_heap_of(static_cast<unsigned>(args[0]), args[1] != 0);
        return acknowledge(head.number, 0);
    case Command::unmap:
        revoke_exports(args[0], args[1]);
        return acknowledge(head.number, unmap_range(args[0], args[1]));
    case Command::protect:
        return acknowledge(head.number, protect_range(args[0], args[1], static_cast<int>(args[2])));
    case Command::poison:
        return acknowledge(head.number, poison_page(args[0]));
    case Command::blank:
        return acknowledge(head.number, blank_page(args[0]));
    case Command::thread_start: {
        const int error = start_thread(args[0], args[1], args[2], args[3], made);
        return acknowledge_thread(head.number, error, made);
    }
    case Command::clone_start: {
        const int error = begin_clone(args[0], args[1], args[2], blob, std::exchange(fd, -1), made);
        return acknowledge_thread(head.number, error, made);
    }
    case Command::thread_resume_context: {
        const int error = resume_thread(args[0], args[1], made);
        return acknowledge_thread(head.number, error, made);
    }
    case Command::suspend_all:
        return acknowledge(head.number, stop_all());
    case Command::resume_all:
        return acknowledge(head.number, go_all());
    case Command::suspend_thread:
        return acknowledge(head.number, stop_thread(tid));
    case Command::resume_thread:
        return acknowledge(head.number, go_thread(tid));
    case Command::terminate_thread:
        return acknowledge(head.number, end_thread(tid));
    case Command::list_threads: {
        const auto ids = thread_ids();
        return acknowledge(head.number, 0, ids.size(), std::as_bytes(std::span(ids)));
    }
    case Command::wire: {
        const int error = lock_range(args[0], args[1]);
        if (error == 0) {
            revoke_exports(args[0], args[1]); // made for what was wired before
        }
        return acknowledge(head.number, error);
    }
    case Command::unwire:
        revoke_exports(args[0], args[1]);
        return acknowledge(head.number, unlock_range(args[0], args[1]));
    case Command::get_state: {
        std::vector<std::byte> state(state_bytes(args[1]));
        const int error =
            with_registers(tid, [&](const ucontext_t &context) { read_registers(context, args[1], state); });
        return acknowledge(head.number, error, 0, state);
    }
    case Command::set_state:
        return acknowledge(head.number,
                           set_registers(tid, [&](ucontext_t &context) { write_registers(context, args[1], blob); }));
    case Command::usage: {
        const auto usage = tid == 0 ? task_usage() : thread_usage(tid);
        return usage ? acknowledge(head.number, 0, 0, std::as_bytes(std::span(&*usage, 1)))
                     : acknowledge(head.number, ESRCH);
    }
    case Command::abort_call:
        return acknowledge(head.number, with_registers(tid, abort_system_call));
    case Command::sample: {
        const auto taken = take_samples(args[0]);
        return acknowledge(head.number, taken.error, taken.lost, std::as_bytes(std::span(taken.samples)));
    }
    case Command::catch_exceptions:
        catch_exceptions();
        return acknowledge(head.number, 0);
    case Command::table_read: {
        const auto content = std::make_unique<Inheritance>();
        const int error = read_table(table, *content);
        return acknowledge(head.number, error, 0, std::as_bytes(std::span(content.get(), 1)));
    }
    case Command::table_join:
        return acknowledge(head.number, join_table(table, blob));
    case Command::table_step: {
        std::vector<std::byte> before;
        const int error = step_table(table, static_cast<TableStep>(args[1]), blob, before);
        return acknowledge(head.number, error, 0, before);
    }
    case Command::files_begin:
        return acknowledge(head.number, begin_files(std::exchange(fd, -1)));
    case Command::file_change: {
        const auto change = decode_change({args[0], args[1], args[2]});
        std::uint64_t free = 0;
        const int error = change ? change_file(*change, fd, free) : EINVAL;
        return acknowledge(head.number, error, free);
    }
    case Command::gather: {
        const auto gathered = gather_threads(args[0] != 0, args[1] == 0);
        return acknowledge(head.number, gathered.error, gathered.registers, gathered.blob);
    }
    case Command::go_on:
        let_threads_go(static_cast<std::int32_t>(args[0]), args[1] != 0);
        return acknowledge(head.number, 0);
    case Command::make_threads:
        return acknowledge(head.number, make_threads(args[0], args[1], blob));
    case Command::carry_on:
        return acknowledge_threads(head.number, carry_on(blob));
    case Command::run_main:
        break;
    }
    acknowledge(head.number, EINVAL);
}

// The next command; none if the node server is gone. Then a process that norma has started ends, as the kernel is about
// to see to anyway.
std::optional<CommandHead> next_command(std::span<const std::byte> &blob, int &fd) {
    static Order order;
    ssize_t size = 0;
    do {
        size = receive_packet(job.control, std::as_writable_bytes(std::span(&order, 1)), fd);
    } while (size < 0);
    if (size < static_cast<ssize_t>(sizeof order.head)) {
        if (job.attached == 0) {
            std::_Exit(126);
        }
        return std::nullopt;
    }
    blob = std::span(order.blob).first(static_cast<std::size_t>(size) - sizeof order.head);
    return order.head;
}

void *serve(void *) {
    job.service = gettid();
    allocate_privately(true);
    for (;;) {
        int fd = -1;
        std::span<const std::byte> blob;
        const auto head = next_command(blob, fd);
        if (!head) {
            lose_job();
            return nullptr;
        }
        obey(*head, blob, fd);
        close_if_open(fd);
    }
}

int start_service_thread() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are for the program's threads
    pthread_t thread{};
    const int error = pthread_create(&thread, nullptr, serve, nullptr);
    if (error == 0) {
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return error;
}

} // namespace

MainStack serve_until_main() {
    job.service = gettid();
    allocate_privately(true);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (;;) {
        int fd = -1;
        std::span<const std::byte> blob;
        const auto head = next_command(blob, fd).value_or(CommandHead{});
        if (static_cast<Command>(head.command) == Command::run_main) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            if (const int error = start_service_thread(); error != 0) {
                std::fprintf(stderr, "norma: the service thread cannot be made: %s\n", std::strerror(error));
                std::_Exit(126);
            }
            acknowledge(head.number, 0);
            allocate_privately(false);
            return {.address = head.args[0], .bytes = head.args[1]};
        }
        obey(head, blob, fd);
        close_if_open(fd);
    }
}

int serve_from_now_on() {
    int fd = -1;
    std::span<const std::byte> blob;
    const auto head = next_command(blob, fd);
    if (!head) {
        return ECONNRESET;
    }
    obey(*head, blob, fd);
    close_if_open(fd);
    return start_service_thread();
}

} // namespace norma::rt

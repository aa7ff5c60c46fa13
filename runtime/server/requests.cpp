// SPDX-License-Identifier: BSD-3-Clause
// From a thread's packet to an operation on the node where its target lives, and back. Port names mean something only
// here: they become rights before a request leaves the caller's node, and rights become names when the reply is back.
#include "runtime/packets.hpp"
#include "runtime/server/ops.hpp"
#include "runtime/sockets.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace norma::rt {

namespace {

using Kind = Right::Kind;

void serve_sync_create(Node &node, const Request &request, Done done) {
    node.sync.create(request, done);
}
void serve_sync_request(Node &node, const Request &request, Done done) {
    node.sync.request(request, std::move(done));
}

void op_barrier_expect(Node &node, const Request &request, Done done) {
    auto *task = node.running(request.target);
    const auto home = sync_home(request.args[0], node.count);
    if (task == nullptr) {
        done(status_reply(KERN_INVALID_TASK));
        return;
    }
    task->sync_homes.set(home); // before the home knows of it: its end must not be missed there
    Request expect;
    expect.op = Op::sync_request;
    expect.caller.task = task->id;
    expect.args = {request.args[0], static_cast<std::uint64_t>(SyncOp::barrier_expect), static_cast<std::uint64_t>(-1)};
    node.router.call(home, std::move(expect), std::move(done));
}

void serve_sync_task_died(Node &node, const Request &request, Done done) {
    node.sync.task_died(request.args[0], request.args[1] != 0);
    const auto heir_of = request.args[2];
    if (heir_of > 0 && heir_of <= node.count && !node.router.is_down(static_cast<dsm::NodeId>(heir_of - 1))) {
        node.sync.never_takes_over(request.args[0], static_cast<dsm::NodeId>(heir_of - 1));
    }
    done(status_reply(KERN_SUCCESS));
}

void serve_sync_thread_died(Node &node, const Request &request, Done done) {
    node.sync.thread_died(request.args[0]);
    done(status_reply(KERN_SUCCESS));
}

void serve_sync_task_moved(Node &node, const Request &request, Done done) {
    const auto where = node_of(request.args[1]);
    node.sync.task_moved({.from = request.args[0],
                          .to = request.args[1],
                          .to_node = where,
                          .from_thread = request.args[2],
                          .to_thread = request.args[2],
                          .all_threads = request.args[3] != 0});
    node.sync.task_died(request.args[0], true); // what has not moved with it
    const bool is_down = where < node.count && node.router.is_down(where);
    if (is_down || node.sync.is_known_to_be_over(request.args[1])) { // its end has been seen to before
        node.sync.task_died(request.args[1], false);
    }
    done(status_reply(KERN_SUCCESS));
}

void serve_attach(Node &node, const Request &request, Done done) {
    node.serve_attach(request, done);
}
void serve_detach(Node &node, const Request &request, Done done) {
    node.serve_detach(request, done);
}
void serve_destroy(Node &node, const Request &request, Done done) {
    node.serve_destroy(request, done);
}

void serve_pages_held(Node &node, const Request &request, Done done) {
    node.following.serve(request, done);
}

void serve_home_fetch(Node &node, const Request &request, Done done) {
    node.rehoming.serve_fetch(request, std::move(done));
}
void serve_home_given(Node &node, const Request &request, Done done) {
    node.rehoming.serve_given(request, done);
}
void serve_home_is_here(Node &node, const Request &request, Done done) {
    node.rehoming.serve_is_here(request, done);
}

void serve_hold_calls(Node &node, const Request &request, Done done) {
    node.succession.serve_hold(request, done);
}
void serve_adopt(Node &node, const Request &request, Done done) {
    node.succession.serve_adopt(request, done);
}
void serve_entrust(Node &node, const Request &request, Done done) {
    node.succession.serve_entrust(request, done);
}

void serve_heap_part(Node &node, const Request &request, Done done) {
    node.serve_heap_part(request, done);
}

void serve_freeze(Node &node, const Request &request, Done done) {
    node.serve_freeze(request, std::move(done));
}
void serve_snapshot(Node &node, const Request &request, Done done) {
    node.serve_snapshot(request, done);
}
void serve_thaw(Node &node, const Request &request, Done done) {
    node.serve_thaw(request, done);
}

void serve_put(Node &node, const Request &request, Done done) {
    node.ports.serve_put(request, [&node, task = request.target.task, done = std::move(done)](const Reply &reply) {
        node.sampler.look_at(task);
        done(reply);
    });
}

template <void (FilesService::*serve)(const Request &, Done)>
void serve_files(Node &node, const Request &request, Done done) {
    (node.open_files.*serve)(request, std::move(done));
}

template <void (PortService::*serve)(const Request &, const Done &)>
void serve_port(Node &node, const Request &request, Done done) {
    (node.ports.*serve)(request, done);
}

constexpr std::array kOperations{
    Operation{Op::task_create, Kind::task, op_task_create, false},
    Operation{Op::task_create_on, Kind::task, op_task_create_on, false},
    Operation{Op::task_clone, Kind::task, op_task_clone, false},
    Operation{Op::task_teleport, Kind::task, op_task_teleport, false},
    Operation{Op::task_migrate, Kind::task, op_task_migrate, true},
    Operation{Op::furnish, Kind::task, op_furnish, false},
    Operation{Op::copy_ahead, Kind::task, op_copy_ahead, true},
    Operation{Op::give_names, Kind::task, op_give_names, false},
    Operation{Op::make_room, Kind::task, op_make_room, false},
    Operation{Op::carry_on, Kind::task, op_carry_on, false},
    Operation{Op::task_terminate, Kind::task, op_task_terminate, false},
    Operation{Op::task_suspend, Kind::task, op_task_suspend, false},
    Operation{Op::task_resume, Kind::task, op_task_resume, false},
    Operation{Op::task_threads, Kind::task, op_task_threads, false},
    Operation{Op::task_wait, Kind::task, op_task_wait, true},
    Operation{Op::clone, Kind::task, op_clone, false},
    Operation{Op::clone_start, Kind::task, op_clone_start, false},
    Operation{Op::process_signal, Kind::none, op_process_signal, false},
    Operation{Op::process_wait, Kind::none, op_process_wait, true},
    Operation{Op::process_parent, Kind::none, op_process_parent, false},
    Operation{Op::process_pid, Kind::none, op_process_pid, false},
    Operation{Op::deliver, Kind::task, op_deliver, false},
    Operation{Op::files_share, Kind::none, serve_files<&FilesService::share>, false},
    Operation{Op::file_change, Kind::none, serve_files<&FilesService::change>, false},
    Operation{Op::file_access, Kind::none, serve_files<&FilesService::access>, true},
    Operation{Op::file_poll, Kind::none, serve_files<&FilesService::poll>, false},
    Operation{Op::files_decide, Kind::none, serve_files<&FilesService::serve_decide>, false},
    Operation{Op::files_join, Kind::none, serve_files<&FilesService::serve_join>, false},
    Operation{Op::files_apply, Kind::none, serve_files<&FilesService::serve_apply>, false},
    Operation{Op::files_enter, Kind::task, serve_files<&FilesService::serve_enter>, false},
    Operation{Op::file_reach, Kind::none, serve_files<&FilesService::serve_reach>, true},
    Operation{Op::file_watch, Kind::none, serve_files<&FilesService::serve_watch>, true},
    Operation{Op::file_unwatch, Kind::none, serve_files<&FilesService::serve_unwatch>, false},
    Operation{Op::child_born, Kind::none, op_child_born, false},
    Operation{Op::child_unborn, Kind::none, op_child_unborn, false},
    Operation{Op::process_moved, Kind::none, op_process_moved, false},
    Operation{Op::process_ended, Kind::none, op_process_ended, false},
    Operation{Op::table_change, Kind::none, op_table_change, true},
    Operation{Op::table_read, Kind::task, op_table_read, false},
    Operation{Op::table_join, Kind::task, op_table_join, false},
    Operation{Op::table_step, Kind::task, op_table_step, false},
    Operation{Op::group_join, Kind::none, op_group_join, false},
    Operation{Op::group_change, Kind::none, op_group_change, true},
    Operation{Op::group_left, Kind::none, op_group_left, false},
    Operation{Op::thread_create, Kind::task, op_thread_create, false},
    Operation{Op::thread_start, Kind::task, op_thread_start, false},
    Operation{Op::vm_allocate, Kind::task, op_vm_allocate, false},
    Operation{Op::vm_deallocate, Kind::task, op_vm_deallocate, false},
    Operation{Op::vm_protect, Kind::task, op_vm_protect, false},
    Operation{Op::vm_inherit, Kind::task, op_vm_inherit, false},
    Operation{Op::vm_behavior, Kind::task, op_vm_behavior, false},
    Operation{Op::vm_region, Kind::task, op_vm_region, false},
    Operation{Op::vm_wire, Kind::task, op_vm_wire, false},
    Operation{Op::vm_map, Kind::task, op_vm_map, false, Kind::object},
    Operation{Op::vm_remap, Kind::task, op_vm_remap, false, Kind::task},
    Operation{Op::vm_borrow, Kind::task, op_vm_borrow, false, Kind::task},
    Operation{Op::vm_give_back, Kind::task, op_vm_give_back, false},
    Operation{Op::object_open, Kind::none, op_object_open, false},
    Operation{Op::object_remove, Kind::none, op_object_remove, false},
    Operation{Op::object_unname, Kind::none, op_object_unname, false},
    Operation{Op::vm_msync, Kind::task, op_vm_msync, true},
    Operation{Op::object_open_file, Kind::none, op_object_open_file, false},
    Operation{Op::object_close, Kind::none, op_object_close, false, Kind::object},
    Operation{Op::object_save, Kind::none, serve_object_save, true},
    Operation{Op::stretch_shared, Kind::none, serve_stretch_shared, false},
    Operation{Op::stretch_pay, Kind::none, serve_stretch_pay, false},
    Operation{Op::vm_pieces, Kind::task, op_vm_pieces, false},
    Operation{Op::region_export, Kind::task, op_region_export, false},
    Operation{Op::region_find, Kind::none, op_region_find, false},
    Operation{Op::region_withdraw, Kind::task, op_region_withdraw, true},
    Operation{Op::thread_set_state, Kind::thread, op_thread_set_state, false},
    Operation{Op::task_set_child_node, Kind::task, op_task_set_child_node, false},
    Operation{Op::task_info, Kind::task, op_task_info, false},
    Operation{Op::thread_info, Kind::thread, op_thread_info, false},
    Operation{Op::thread_abort, Kind::thread, op_thread_abort, false},
    Operation{Op::thread_get_state, Kind::thread, op_thread_get_state, false},
    Operation{Op::thread_suspend, Kind::thread, op_thread_suspend, false},
    Operation{Op::thread_resume, Kind::thread, op_thread_resume, false},
    Operation{Op::thread_terminate, Kind::thread, op_thread_terminate, false},
    Operation{Op::thread_wait, Kind::thread, op_thread_wait, true},
    Operation{Op::thread_self, Kind::none, op_thread_self, false},
    Operation{Op::task_ledger, Kind::task, op_task_ledger, false},
    Operation{Op::task_set_token, Kind::task, op_task_set_token, false},
    Operation{Op::ledger_create, Kind::ledger, op_ledger_create, false},
    Operation{Op::ledger_transfer, Kind::ledger, op_ledger_transfer, false},
    Operation{Op::ledger_read, Kind::ledger, op_ledger_read, false},
    Operation{Op::ledger_terminate, Kind::ledger, op_ledger_terminate, false},
    Operation{Op::host_priv, Kind::none, op_host_priv, false},
    Operation{Op::host_priv_check, Kind::host_priv, op_host_priv_check, false},
    Operation{Op::sync_create, Kind::none, serve_sync_create, false},
    Operation{Op::sync_request, Kind::none, serve_sync_request, true},
    Operation{Op::word_queue, Kind::none, serve_word_queue, true},
    Operation{Op::word_wake, Kind::none, serve_word_wake, false},
    Operation{Op::pages_lost, Kind::none, serve_pages_lost, false},
    Operation{Op::barrier_expect, Kind::task, op_barrier_expect, false},
    Operation{Op::port_allocate, Kind::task, op_port_allocate, false},
    Operation{Op::port_deallocate, Kind::task, op_port_deallocate, false},
    Operation{Op::port_remove, Kind::task, op_port_remove, false},
    Operation{Op::port_mod_refs, Kind::task, op_port_mod_refs, false},
    Operation{Op::port_get_refs, Kind::task, op_port_get_refs, false},
    Operation{Op::port_type, Kind::task, op_port_type, false},
    Operation{Op::port_insert, Kind::none, op_port_insert, false},
    Operation{Op::port_extract, Kind::none, op_port_extract, false},
    Operation{Op::port_ask, Kind::none, op_port_ask, false},
    Operation{Op::msg_send, Kind::none, op_msg_send, true},
    Operation{Op::msg_receive, Kind::none, op_msg_receive, true},
    Operation{Op::special_get, Kind::none, op_special_get, false},
    Operation{Op::special_set, Kind::none, op_special_set, false},
    Operation{Op::name_set, Kind::none, op_name_set, false},
    Operation{Op::name_get, Kind::none, op_name_get, false},
    Operation{Op::exception_ports, Kind::none, op_exception_ports, false},
    Operation{Op::exception_raise, Kind::none, op_exception_raise, true},
    Operation{Op::probe_am, Kind::none, op_probe_am, true},
    Operation{Op::probe_bw, Kind::none, op_probe_bw, true},
    Operation{Op::stats, Kind::none, op_stats, false},
    Operation{Op::spawn, Kind::none, op_spawn, false},
    Operation{Op::take_over, Kind::task, op_take_over, false},
    Operation{Op::attach, Kind::none, serve_attach, false},
    Operation{Op::detach, Kind::none, serve_detach, false},
    Operation{Op::destroy, Kind::none, serve_destroy, false},
    Operation{Op::heap_part, Kind::none, serve_heap_part, false},
    Operation{Op::freeze, Kind::none, serve_freeze, false},
    Operation{Op::snapshot, Kind::none, serve_snapshot, false},
    Operation{Op::thaw, Kind::none, serve_thaw, false},
    Operation{Op::sync_task_died, Kind::none, serve_sync_task_died, false},
    Operation{Op::sync_thread_died, Kind::none, serve_sync_thread_died, false},
    Operation{Op::sync_task_moved, Kind::none, serve_sync_task_moved, false},
    Operation{Op::abort_waits, Kind::none, op_abort_waits, false},
    Operation{Op::port_attach, Kind::port, serve_port<&PortService::serve_attach>, false},
    Operation{Op::port_release, Kind::port, serve_port<&PortService::serve_release>, false},
    Operation{Op::port_send, Kind::port, serve_port<&PortService::serve_send>, true},
    Operation{Op::port_receive, Kind::port, serve_port<&PortService::serve_receive>, true},
    Operation{Op::port_destroy, Kind::port, serve_port<&PortService::serve_destroy>, false},
    Operation{Op::port_notify, Kind::port, serve_port<&PortService::serve_notify>, false},
    Operation{Op::port_dead, Kind::port, serve_port<&PortService::serve_dead>, false},
    Operation{Op::port_taken, Kind::none, serve_port<&PortService::serve_taken>, false},
    Operation{Op::port_cancel, Kind::none, serve_port<&PortService::serve_cancel>, false},
    Operation{Op::port_put, Kind::task, serve_put, false},
    Operation{Op::port_take, Kind::task, op_port_take, false},
    Operation{Op::task_exceptions, Kind::task, op_exceptions, false},
    Operation{Op::thread_exceptions, Kind::thread, op_exceptions, false},
    Operation{Op::name_put, Kind::names, serve_port<&PortService::serve_name_put>, false},
    Operation{Op::pages_held, Kind::none, serve_pages_held, false},
    Operation{Op::home_fetch, Kind::none, serve_home_fetch, false},
    Operation{Op::home_given, Kind::none, serve_home_given, false},
    Operation{Op::home_is_here, Kind::none, serve_home_is_here, false},
    Operation{Op::hold_calls, Kind::none, serve_hold_calls, false},
    Operation{Op::adopt, Kind::none, serve_adopt, true},
    Operation{Op::entrust, Kind::none, serve_entrust, false},
    Operation{Op::file_try, Kind::none, serve_files<&FilesService::serve_try>, false},
    Operation{Op::checkpoint_flush, Kind::none, op_checkpoint_flush, false},
    Operation{Op::restore_sync, Kind::none, op_restore_sync, false},
    Operation{Op::restore_end, Kind::none, op_restore_end, false},
    Operation{Op::restore_resume, Kind::task, op_restore_resume, false},
    Operation{Op::name_find, Kind::names, serve_port<&PortService::serve_name_find>, false},
};

void answer(Task &task, int channel, const Reply &reply) {
    ReplyHead head{};
    head.status = reply.status;
    std::copy(reply.vals.begin(), reply.vals.end(), head.vals);
    std::vector<std::uint32_t> names;
    if (reply.status == KERN_SUCCESS) {
        for (const auto &right : reply.rights) {
            names.push_back(task.name(right));
        }
    }
    if (!names.empty()) {
        head.vals[0] = names.front();
    }
    const auto blob = reply.blob.empty() ? std::as_bytes(std::span(names)) : std::span<const std::byte>(reply.blob);
    const auto head_bytes = std::as_bytes(std::span(&head, 1));
    if (head_bytes.size() + blob.size() > kMaxPacketBytes) {
        head = {};
        head.status = KERN_RESOURCE_SHORTAGE;
        send_packet(channel, head_bytes, {});
        return;
    }
    send_packet(channel, head_bytes, blob);
}

std::int32_t bad_port(Kind wanted) {
    switch (wanted) {
    case Kind::task:
        return KERN_INVALID_TASK;
    case Kind::ledger:
        return KERN_INVALID_LEDGER;
    case Kind::host_priv:
        return KERN_INVALID_SECURITY;
    default:
        return KERN_INVALID_ARGUMENT;
    }
}

// Arguments that are names of ports, besides Operation::argument; the rights go along as the blob, in this order.
struct NamedPort {
    Op op;
    std::size_t argument;
    Kind kind;
    bool optional; // may be the null name
};
constexpr std::array kNamedPorts{
    NamedPort{Op::task_create, 1 + kWired, Kind::ledger, true},
    NamedPort{Op::task_create, 1 + kPaged, Kind::ledger, true},
    NamedPort{Op::task_create, 1 + kNetwork, Kind::ledger, true},
    NamedPort{Op::task_create, 5, Kind::host_priv, true},
    NamedPort{Op::task_set_token, 1, Kind::host_priv, false},
    NamedPort{Op::ledger_create, 1, Kind::ledger, false},
    NamedPort{Op::ledger_transfer, 1, Kind::ledger, false},
};

std::int32_t put_named_rights(const Task &task, Request &request) {
    std::vector<Right> rights;
    for (const auto &named : kNamedPorts) {
        if (named.op != request.op) {
            continue;
        }
        const auto name = std::exchange(request.args[named.argument], 0);
        const auto right = name > UINT32_MAX ? Right{} : task.right(static_cast<std::uint32_t>(name));
        if (right.kind != named.kind && (name != kNameNull || !named.optional)) {
            return bad_port(named.kind);
        }
        rights.push_back(right);
    }
    if (!rights.empty()) {
        request.blob = encode(rights);
    }
    return KERN_SUCCESS;
}

// Whether a right to something of this node has its key; true of what is unknown here.
bool has_key(Node &node, const Right &right) {
    const auto task = node.tasks.find(right.task);
    if (right.kind == Kind::thread) {
        const auto *thread = task == node.tasks.end() ? nullptr : task->second->thread(right.thread);
        return thread == nullptr || thread->key == right.key;
    }
    if (right.kind == Kind::ledger) {
        const auto ledger = node.ledgers.find(right.thread);
        return ledger == nullptr || (right.key.any() && ledger->key() == right.key);
    }
    if (right.kind == Kind::host_priv) {
        return right.key.any() && (right.key == node.priv_key || node.inherited_priv_keys.contains(right.key));
    }
    if (right.kind != Kind::task) {
        return true; // of a port its home knows; to a host everybody has a right
    }
    const auto ended = node.ended.find(right.task);
    return task != node.tasks.end() ? task->second->key == right.key
                                    : ended == node.ended.end() || ended->second.key == right.key;
}

// Whether a task whose threads are being stopped, to move, is to be left alone until it has moved or goes on here. What
// its own threads have asked for is done, or they would not stop. While a checkpoint is made it does not begin to move.
bool must_wait(const Node &node, const Request &request) {
    constexpr std::array kAlways{Op::task_terminate, Op::task_wait, Op::thread_wait};
    if (request.target.kind != Kind::task && request.target.kind != Kind::thread) {
        return false;
    }
    if (const auto ended = node.ended.find(request.target.task); ended != node.ended.end()) {
        return ended->second.arriving;
    }
    const auto task = node.tasks.find(request.target.task);
    const bool moves = request.op == Op::task_migrate || request.op == Op::task_teleport;
    if (task != node.tasks.end() && task->second->held && moves) {
        return true;
    }
    if (task == node.tasks.end() || !task->second->gathering || request.caller.task == request.target.task) {
        return false;
    }
    const bool leaves = task->second->threads_moved; // its end would be none
    return std::find(kAlways.begin(), kAlways.end(), request.op) == kAlways.end() ||
           (leaves && request.op == Op::task_terminate);
}
constexpr std::chrono::milliseconds kLater{2};

// What a right to a task that has moved from here with all its threads, or to one of them, is to now; or kind none.
Right where_it_moved(const Node &node, const Right &right) {
    const auto live = node.tasks.find(right.task);
    const auto ended = node.ended.find(right.task);
    Right successor{};
    if (live != node.tasks.end() && live->second->threads_moved && !live->second->gathering) {
        successor = live->second->successor;
    } else if (ended != node.ended.end() && ended->second.threads_moved) {
        successor = ended->second.successor;
    }
    if (right.kind == Kind::task) {
        return successor;
    }
    return right.kind == Kind::thread && successor.kind != Kind::none
               ? Right{.kind = Kind::thread, .task = successor.task, .thread = right.thread, .key = right.key}
               : Right{};
}

} // namespace

const Operation *find_operation(Op op) {
    const auto found =
        std::find_if(kOperations.begin(), kOperations.end(), [op](const Operation &row) { return row.op == op; });
    return found == kOperations.end() ? nullptr : &*found;
}

void Node::execute(const Request &request, Done done) {
    const auto *operation = find_operation(request.op);
    if (operation == nullptr || operation->target != request.target.kind) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    if (!has_key(*this, request.target)) {
        ++bad_rights;
        done(status_reply(bad_port(request.target.kind)));
        return;
    }
    if (must_wait(*this, request)) {
        loop.at(Clock::now() + kLater, [this, request, done = std::move(done)] { execute(request, done); });
        return;
    }
    if (const auto next = where_it_moved(*this, request.target); next.kind != Kind::none) {
        auto follow = request;
        follow.target = next;
        router.pass_on(node_of(next.task), std::move(follow), std::move(done), !operation->waits);
        return;
    }
    operation->handler(*this, request, std::move(done));
}

void Node::call_for(const Caller &caller, Request request, Done done) {
    const auto home = node_of(request.target.task);
    const auto payer = tasks.find(caller.task);
    if (home != self && payer != tasks.end()) {
        pay_for_sending(*payer->second, sizeof(RequestHead) + request.blob.size(), 0);
    }
    request.caller = caller;
    router.call(home, std::move(request), std::move(done));
}

void Node::from_task(Task &task, int channel, std::span<const std::byte> packet) {
    const auto call = split_packet<RequestHead>(packet);
    if (!call) {
        answer(task, channel, status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto &[head, blob] = *call;
    const auto tid = static_cast<pid_t>(head.thread);
    const auto reply_to = [this, id = task.id, channel, tid](const Reply &reply) {
        const auto found = tasks.find(id);
        if (found != tasks.end() && found->second->channels.contains(channel)) {
            found->second->times.leave(static_cast<std::uint32_t>(tid), dsm::ThreadTimes::kInCall, now());
            answer(*found->second, channel, reply);
        }
    };
    task.times.enter(static_cast<std::uint32_t>(tid), dsm::ThreadTimes::kInCall, now());
    Request request;
    request.op = static_cast<Op>(head.op);
    std::copy(std::begin(head.args), std::end(head.args), request.args.begin());
    request.blob.assign(blob.begin(), blob.end());
    const auto *operation = find_operation(request.op);
    const auto right = task.right(head.port);
    if (request.op == Op::port_location) {
        Reply reply = status_reply(right.kind == Kind::none ? KERN_INVALID_ARGUMENT : KERN_SUCCESS);
        reply.vals[0] = router.server_of(node_of(right.task));
        reply_to(reply);
        return;
    }
    if (operation == nullptr || request.op >= Op::spawn) {
        reply_to(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    if (operation->target != Kind::none && operation->target != right.kind) {
        reply_to(status_reply(bad_port(operation->target)));
        return;
    }
    if (operation->argument != Kind::none) {
        const auto named = task.right(static_cast<std::uint32_t>(head.args[0]));
        const bool null_object = operation->argument == Kind::object && head.args[0] == kNameNull;
        if (named.kind != operation->argument && !null_object) {
            reply_to(status_reply(bad_port(operation->argument)));
            return;
        }
        put_argument(request, named);
    }
    auto number = task.number_of(tid);
    if (number == 0) {
        number = task.add_thread(tid, self);
    }
    request.caller.task = task.id;
    request.caller.channel = channel;
    request.caller.token = task.token;
    request.caller.thread = task.threads.at(number).sync_identity;
    auto destination = self;
    std::optional<dsm::ObjectId> word; // for whose home it is
    if (operation->target != Kind::none) {
        request.target = right;
        destination = node_of(right.task);
        if (const auto status = put_named_rights(task, request); status != KERN_SUCCESS) {
            reply_to(status_reply(status));
            return;
        }
    } else if (request.op == Op::sync_request) {
        destination = sync_home(request.args[0], count);
        task.sync_homes.set(destination);
    } else if (request.op == Op::word_queue || request.op == Op::word_wake || request.op == Op::pages_lost) {
        const auto found = find_word(task, request);
        if (found.status != KERN_SUCCESS) {
            reply_to(status_reply(found.status));
            return;
        }
        word = found.object;
        destination = rehoming.home_of(*word);
        if (request.op == Op::pages_lost) {
            request.args[1] = router.nodes_down();
        }
    } else if (request.op == Op::process_signal) {
        destination = home_of(static_cast<Pid>(request.args[0]));
        if (destination >= count) {
            reply_to(status_reply(KERN_INVALID_TASK));
            return;
        }
    } else if (request.op == Op::process_wait) {
        request.args[3] = static_cast<std::uint64_t>(task.kin.identity);
        destination = home_of(task.kin.identity);
    } else if (request.op == Op::process_parent) {
        request.args[0] = static_cast<std::uint64_t>(task.kin.parent);
    } else if (request.op == Op::object_open || request.op == Op::object_remove) {
        destination = home_of_name(blob, founders);
        if (request.op == Op::object_open) {
            request.blob = encode_opening(marks_of(task.ledgers), blob);
        }
    } else if (request.op == Op::region_find) {
        destination = node_of(request.args[0]);
        if (destination >= count) {
            reply_to(status_reply(KERN_INVALID_CAPABILITY));
            return;
        }
    }
    if (destination != self && !pay_for_sending(task, sizeof head, blob.size())) {
        reply_to(status_reply(KERN_RESOURCE_SHORTAGE));
        return;
    }
    if (!word) {
        router.call(destination, std::move(request), reply_to, !operation->waits);
        return;
    }
    rehoming.with_homes({*word}, [this, id = task.id, object = *word, request, reply_to, waits = operation->waits] {
        const auto home = rehoming.home_of(object);
        if (const auto found = tasks.find(id); found != tasks.end() && request.op != Op::pages_lost) {
            found->second->sync_homes.set(home);
        }
        router.call(home, request, reply_to, !waits);
    });
}

} // namespace norma::rt

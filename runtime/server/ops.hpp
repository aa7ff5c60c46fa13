// SPDX-License-Identifier: BSD-3-Clause
// The operations of protocol.hpp, one function each. `done` is called exactly once.
#pragma once

#include "runtime/moved_threads.hpp"
#include "runtime/server/node.hpp"

namespace norma::rt {

using Handler = void (*)(Node &, const Request &, Done);

struct Operation {
    Op op;
    Right::Kind target; // what the port must name; none: there is no port
    Handler handler;
    bool waits; // may take for ever, so it has no deadline
    // What the name in args[0] must stand for; the right it stands for is then in the arguments (put_argument). none:
    // no name. Where an object is expected, the null name will do.
    Right::Kind argument = Right::Kind::none;
};

const Operation *find_operation(Op op); // null: no such operation

// ops_task.cpp
TaskImage image_of(Node &, const Task &parent, bool inherit);
// Makes a child on `where`; a task that moves has the kin of its parent. Answers with the right, vals[0] its identity.
void make_child(Node &, TaskId parent, TaskImage, const Kin &, dsm::NodeId where, Done);
// Gives a child that was made without memory and ports those of the image.
void furnish_child(Node &, TaskId parent, TaskImage, const Right &child, Done);
void abandon(Node &, const Right &child); // of which nobody has been told, and which nobody will let go on
std::int32_t check_node(const Node &, std::uint64_t argument);
std::int32_t check_parent(const Task *parent); // null: it does not run
// The last steps of a move, when nothing of the parent runs any more and the child is complete.
struct Move {
    TaskId parent = 0;
    bool first = false; // the job ends with it
    Kin kin;
    Right child;
    std::uint64_t thread = 0; // that goes on with the locks it has; 0: none
    bool all_threads = false; // all do
    Request onward;           // lets the child go on
    Done done;
    Done late{}; // what has become of it in the end, if `done` was told that its time was over
};
void finish_move(Node &, const Move &);
void op_task_create(Node &, const Request &, Done);
void op_task_create_on(Node &, const Request &, Done);
void op_task_clone(Node &, const Request &, Done);
void op_task_teleport(Node &, const Request &, Done);
void op_spawn(Node &, const Request &, Done);
// Of a task that goes on here: what its threads are called; then their registers, from where they lie. `done` gets the
// task, or null if it has ended, and an errno value.
void take_threads(Task &, std::uint64_t next_thread, const std::vector<MovedThread> &);
void let_threads_go_on(Node &, Task &, std::vector<MovedThread>, std::function<void(Task *task, int error)> done);
void op_furnish(Node &, const Request &, Done);
void op_copy_ahead(Node &, const Request &, Done);
// Has copies come to a child on another node of what its parent has, as long as that pays. `done`: it has done what it
// could; the parent may be no more.
void copy_ahead(Node &, TaskId parent, const Right &child, std::function<void()> done);
void op_task_terminate(Node &, const Request &, Done);
void op_task_suspend(Node &, const Request &, Done);
void op_task_resume(Node &, const Request &, Done);
void op_task_wait(Node &, const Request &, Done);

// ops_thread.cpp
void op_task_threads(Node &, const Request &, Done);
void op_thread_self(Node &, const Request &, Done);
void op_thread_create(Node &, const Request &, Done);
void op_thread_start(Node &, const Request &, Done);
void op_thread_suspend(Node &, const Request &, Done);
void op_thread_resume(Node &, const Request &, Done);
void op_thread_terminate(Node &, const Request &, Done);
void op_thread_wait(Node &, const Request &, Done);
void op_take_over(Node &, const Request &, Done);
// The child takes its parent's place. Null, with the reply given: it cannot any more.
Task *take_place(Node &, const Request &, const Done &);

// The thread a request is about, or null with the reply already given; and what became of a command to it.
Thread *target_thread(Node &, const Request &, Task *&, const Done &);
std::int32_t thread_status(const Ack &);

// ops_clone.cpp
int take_offer(Node &, const Caller &); // the descriptor that has come with a call of a task here, or -1
void op_clone(Node &, const Request &, Done);
void op_clone_start(Node &, const Request &, Done);

// ops_migrate.cpp
void op_task_migrate(Node &, const Request &, Done);
void op_give_names(Node &, const Request &, Done);
void op_make_room(Node &, const Request &, Done);
void op_carry_on(Node &, const Request &, Done);

// ops_restore.cpp
void op_checkpoint_flush(Node &, const Request &, Done);
void op_restore_sync(Node &, const Request &, Done);
void op_restore_end(Node &, const Request &, Done);
void op_restore_resume(Node &, const Request &, Done);

// ops_family.cpp
void put_kin(Request &, const Kin &);
std::optional<Kin> kin_in(const Node &, const Request &); // nothing: it cannot be one
void op_process_signal(Node &, const Request &, Done);
void op_process_wait(Node &, const Request &, Done);
void op_process_parent(Node &, const Request &, Done);
void op_process_pid(Node &, const Request &, Done);
void op_deliver(Node &, const Request &, Done);
void op_child_born(Node &, const Request &, Done);
void op_child_unborn(Node &, const Request &, Done);
void op_process_moved(Node &, const Request &, Done);
void op_process_ended(Node &, const Request &, Done);

// ops_sharing.cpp
// Makes `newcomer` a member of the group with which `member`, a task of this node, shares the table. vals[1]: errno.
void join_group(Node &, const Right &member, Table, const Right &newcomer, Done);
void op_table_change(Node &, const Request &, Done);
void op_table_read(Node &, const Request &, Done);
void op_table_join(Node &, const Request &, Done);
void op_table_step(Node &, const Request &, Done);
void op_group_join(Node &, const Request &, Done);
void op_group_change(Node &, const Request &, Done);
void op_group_left(Node &, const Request &, Done);

// ops_info.cpp
void op_task_set_child_node(Node &, const Request &, Done);
void op_task_info(Node &, const Request &, Done);
void op_thread_info(Node &, const Request &, Done);

// ops_ledger.cpp
void op_task_ledger(Node &, const Request &, Done);
void op_ledger_create(Node &, const Request &, Done);
void op_ledger_transfer(Node &, const Request &, Done);
void op_ledger_read(Node &, const Request &, Done);
void op_ledger_terminate(Node &, const Request &, Done);
void op_task_set_token(Node &, const Request &, Done);
void op_host_priv(Node &, const Request &, Done);
void op_host_priv_check(Node &, const Request &, Done);
LedgerPtr ledger_of(Node &, const Right &); // of this node, in use; null: that is none, or without its key
// Whether a right is to the job's privileged port. KERN_INVALID_SECURITY, KERN_NODE_DOWN (where the first task was).
void check_privilege(Node &, const Right &, std::function<void(std::int32_t status)> done);

// ops_state.cpp
void op_thread_get_state(Node &, const Request &, Done);
void op_thread_set_state(Node &, const Request &, Done);
void op_thread_abort(Node &, const Request &, Done);
void op_abort_waits(Node &, const Request &, Done);

// ops_vm.cpp
void op_vm_allocate(Node &, const Request &, Done);
void op_vm_deallocate(Node &, const Request &, Done);
void op_vm_protect(Node &, const Request &, Done);
void op_vm_inherit(Node &, const Request &, Done);
void op_vm_behavior(Node &, const Request &, Done);
void op_vm_region(Node &, const Request &, Done);
void serve_stretch_shared(Node &, const Request &, Done);

// message_memory.cpp
void serve_stretch_pay(Node &, const Request &, Done);

// ops_map.cpp
void op_vm_map(Node &, const Request &, Done);
void op_vm_remap(Node &, const Request &, Done);

// ops_object.cpp
std::vector<std::byte> encode_opening(const LedgerMarks &payers, std::span<const std::byte> name);
void op_object_open(Node &, const Request &, Done);
void op_object_remove(Node &, const Request &, Done);
void op_object_unname(Node &, const Request &, Done);

// ops_file.cpp
void op_vm_msync(Node &, const Request &, Done);
void op_object_open_file(Node &, const Request &, Done);
void op_object_close(Node &, const Request &, Done);
void serve_object_save(Node &, const Request &, Done);

// ops_borrow.cpp
void op_vm_pieces(Node &, const Request &, Done);
void op_vm_borrow(Node &, const Request &, Done);
void op_vm_give_back(Node &, const Request &, Done);

// ops_wire.cpp
void op_vm_wire(Node &, const Request &, Done);
void op_region_export(Node &, const Request &, Done);
void op_region_find(Node &, const Request &, Done);
void op_region_withdraw(Node &, const Request &, Done);

// ops_word.cpp
// Where the word's home is, with the word itself in the request instead of its address; or why there is none.
struct WordHomeFound {
    std::int32_t status;
    dsm::ObjectId object; // whose word it is
};
WordHomeFound find_word(const Task &, Request &);
void serve_word_queue(Node &, const Request &, Done);
void serve_word_wake(Node &, const Request &, Done);
void serve_pages_lost(Node &, const Request &, Done);

// What is too large for a port's name is none that anybody has.
inline std::uint32_t name_in(std::uint64_t argument) {
    return argument < ~std::uint32_t{0} ? static_cast<std::uint32_t>(argument) : ~std::uint32_t{0};
}

// ops_port.cpp
void op_port_allocate(Node &, const Request &, Done);
void op_port_deallocate(Node &, const Request &, Done);
void op_port_remove(Node &, const Request &, Done);
void op_port_mod_refs(Node &, const Request &, Done);
void op_port_get_refs(Node &, const Request &, Done);
void op_port_type(Node &, const Request &, Done);
void op_port_insert(Node &, const Request &, Done);
void op_port_extract(Node &, const Request &, Done);
void op_port_take(Node &, const Request &, Done);
void op_port_ask(Node &, const Request &, Done);
void op_msg_send(Node &, const Request &, Done);
void op_msg_receive(Node &, const Request &, Done);

// ops_exception.cpp
void op_exception_ports(Node &, const Request &, Done);
void op_exceptions(Node &, const Request &, Done);
void op_exception_raise(Node &, const Request &, Done);

// ops_special.cpp
void op_special_get(Node &, const Request &, Done);
void op_special_set(Node &, const Request &, Done);
void op_name_set(Node &, const Request &, Done);
void op_name_get(Node &, const Request &, Done);

// probe.cpp
void op_probe_am(Node &, const Request &, Done);
void op_probe_bw(Node &, const Request &, Done);
void op_stats(Node &, const Request &, Done);

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// What libnorma and its node server say to each other, over SOCK_SEQPACKET sockets of one machine, and the operations
// that node servers carry out for each other.
//
// Every task has one control socket (fd in NORMA_TASK_FD), read by the library's service thread: the node server sends
// it commands and gets acknowledgements. Every thread that makes a call opens a channel of its own, passing one end of
// a socket pair over the control socket: so a call blocks only its thread and needs no hop to another one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace norma::rt {

inline constexpr std::size_t kMaxPacketBytes = 64 * 1024; // fixed part and blob together
inline constexpr std::uint32_t kTaskProtocol = 2;

inline constexpr std::size_t kMostNameBytes = 255; // of a memory object

// Names every task has from the start; others are handed out from kFirstName on.
enum WellKnownName : std::uint32_t { kNameNull = 0, kNameTaskSelf = 1, kNameHost = 2, kFirstName = 16 };

enum class Op : std::uint32_t {
    // "-> port": the reply's rights arrive as names, in vals[0] or, where there may be many, as u32s in the blob.
    // tasks: `port` names a task
    task_clone = 1, // 0 inherit, 1 node -> port
    task_teleport,  // 0 inherit, 1 node, 2 saved context (0: not the caller itself), 3 stack canary -> port
    task_terminate, // 0 exit code
    task_suspend,
    task_resume,
    task_threads,  // -> ports in the blob
    task_wait,     // 0 timeout in ms (as signed; < 0: none) -> vals[0] status
    thread_create, // -> port
    thread_start,  // 0 entry, 1 argument, 2 stack bytes -> port
    vm_allocate,   // 0 address, 1 bytes, 2 anywhere -> vals[0] address
    vm_deallocate, // 0 address, 1 bytes
    vm_protect,    // 0 address, 1 bytes, 2 set maximum, 3 protection
    vm_inherit,    // 0 address, 1 bytes, 2 inheritance
    vm_region,     // 0 address, 1 whether the object's name is wanted, 2 whether it matters who shares the memory
                   // -> port of the object, if so; blob: RegionInfo
    // threads: `port` names a thread
    thread_set_state, // 0 flavor; blob: the state
    thread_suspend,
    thread_resume,
    thread_terminate,
    thread_wait, // 0 timeout in ms
    // any port
    port_location, // -> vals[0] node
    // no port
    thread_self, // -> port of the calling thread
    // synchronisation (runtime/sync.hpp)
    sync_create,  // 0 SyncKind, 1 value -> vals[0] id
    sync_request, // 0 id, 1 SyncOp, 2 timeout in ms (as signed; < 0: none) -> vals[0] flag
    // measuring (runtime/probe.hpp)
    probe_am, // 0 peer, 1 request bytes, 2 reply bytes, 3 iterations, 4 warm-up -> blob: doubles
    probe_bw, // 0 peer, 1 message bytes, 2 messages -> vals[0] nanoseconds
    stats,    // -> blob: text
    // memory
    vm_behavior, // 0 address, 1 bytes, 2 behavior
    vm_wire,     // 0 address, 1 bytes, 2 access (0: unwire)
    // one-sided access
    region_export, // 0 address, 1 bytes, 2 access, 3 to 5 words 1 to 3 of its key; the task's own; blob: how to reach
                   // it
                   // -> vals[0] id of the task
    region_find, // 0 id of a task -> blob: how to reach it; the last vals[0] bytes: on its machine (runtime/direct.hpp)
    // tasks: `port` names a task
    barrier_expect,      // 0 id: counts as having used it
    task_create,         // 0 inherit, 1 to 3 names of ledgers, 4 security token, 5 name of the privileged port, if the
                         // token counts -> port
    task_create_on,      // 0 inherit, 1 node -> port
    task_set_child_node, // 0 node (as signed; -1: none)
    task_info,           // 0 flavor -> blob
    // threads: `port` names a thread
    thread_info,      // 0 flavor -> blob
    thread_get_state, // 0 flavor -> blob: the state
    thread_abort,
    // memory of other tasks: `port` names a task
    vm_borrow,    // 0 name of a task (a right takes 0, 1 and 5), 2 address, 3 bytes, 4 access; for the caller itself
                  // -> vals[0] address where it has the memory now
    vm_give_back, // 0 any address of what was borrowed
    vm_map,       // 0 name of a memory object (a right takes 0, 1 and 5), or null; blob: MapArgs -> vals[0] address
    vm_remap,     // 0 name of a task (a right takes 0, 1 and 5); blob: MapArgs, whose offset is an address of that task
                  // -> vals[0] address, 1 protection, 2 maximum
    // no port
    object_open,   // 0 bytes (0: it is there); blob: its name (between nodes, who pays before that) -> port; vals[1]
                   // bytes
    object_remove, // blob: its name
    // tasks as processes (runtime/families.hpp)
    clone = 50, // port: the parent; 0 flags, 1 node, 2 function, 3 top of the stack, 4 its argument; blob: what the
                // child begins with (client/inheritance.hpp); its open files may come as a descriptor -> vals[0] pid;
                // if it fails vals[0] may be an errno value
    // no port
    process_signal, // 0 pid, 1 signal
    process_wait,   // 0 pid (as signed), 1 Kinds, 2 do not wait (3, filled in on the way: whose children) -> vals[0]
                    // pid, or 0; vals[1] status
    process_parent, // (0, filled in on the way: whose) -> vals[0] pid
    // a table that tasks may share (runtime/sharing.hpp): no port
    table_change, // 0 Table; blob: the change (client/tables.hpp) -> vals[1] errno; blob: what was there before
    // ports: `port` names the task whose names they are
    port_allocate = 64, // 0 MACH_PORT_RIGHT_..., 1 name (0: any) -> vals[0] name
    port_deallocate,    // 0 name
    port_remove,        // 0 name
    port_mod_refs,      // 0 name, 1 MACH_PORT_RIGHT_..., 2 delta (as signed)
    port_get_refs,      // 0 name, 1 MACH_PORT_RIGHT_... -> vals[0]
    port_type,          // 0 name -> vals[0]
    // the caller's own names: no port
    port_insert,  // 0 task, 1 name there, 2 name, 3 disposition
    port_extract, // 0 task, 1 name there, 2 disposition -> vals[0] name, vals[1] MACH_MSG_TYPE_...
    port_ask,     // 0 name, 1 MACH_NOTIFY_..., 2 sync, 3 name of the port that is to hear of it (0: none)
    msg_send,     // 0 timeout in ms (as signed; < 0: none); blob: the message
    msg_receive,  // 0 timeout, 1 name, 2 bytes there is room for, 3 keep what is larger, 4 tell the sender's token
                  // -> blob: the message; vals[1]
                  // its size if it is too large
    special_get,  // 0 task, 1 slot -> vals[0] name, or 0 if there is nothing
    special_set,  // 0 task, 1 slot, 2 name (0: nothing)
    name_set,     // 0 name of a name server, or ~0: that of node 3; 1 name of a port (0: none), 2 also if it is in use;
                  // blob: what it is to be known as
    name_get,     // 0 as in name_set, 3; blob -> vals[0] name
    // tasks: `port` names a task
    task_ledger = 96, // 0 which -> port
    task_set_token,   // 0 security token, 1 name of the privileged port
    // ledgers: `port` names a ledger, the arguments others of its node
    ledger_create,   // 0 bytes, 1 name of a ledger -> port
    ledger_transfer, // 0 bytes, 1 name of the ledger that gets them
    ledger_read,     // -> vals[0] balance, vals[1] limit
    ledger_terminate,
    // no port
    host_priv, // -> port, for the job's first task
    // the privileged port
    host_priv_check,
    // the caller's open files, if it shares them (runtime/file_table.hpp): no port. "-> errno": vals[1]
    files_share =
        104,     // makes them a table of their own, unless they are one; they come as a descriptor (runtime/parcel.hpp)
    file_change, // 0 to 2 FileChange; what has been opened comes as a descriptor -> vals[0] number, errno
    file_access, // 0 number, 1 FileAction, 2, 3, 5 its arguments; blob: what is written -> vals[0] result, errno,
                 // vals[2] FileKind; blob: what has been read
    file_poll,   // 0 whether to wait; blob: PolledFile of files that are open elsewhere; a socket comes as a descriptor
    // -> errno. On the socket comes a PollAnswer, and PolledFile of those that are ready. Whoever closes it
    // has waited long enough
    // exceptions: no port
    exception_ports = 111, // 0 name of a task or thread, 1 EXC_MASK_..., 2 ExceptionChange bits, 3 name of a port,
                           // 4 behavior, 5 flavor -> blob: ExceptionPorts
    exception_raise,       // 0 EXC_..., 1 and 2 its codes, 3 it is SIGBUS; blob: x86_THREAD_STATE64, x86_FLOAT_STATE64
                           // -> vals[0] flavor; blob: the state to go on with, if it is another one
    // words of the caller's coherent memory (runtime/sync.hpp): no port. On the way to the home the blob is the word.
    word_queue = 90, // 0 address -> vals[0] id, for sync_request
    word_wake,       // 0 address, 1 how many at most -> vals[0] how many
    pages_lost,      // 0 address (1, filled in on the way: how many nodes have died) -> vals[0] of 64 pages from there
                     // on, a bit each: has died with a node, or may have
    // memory objects that are files
    vm_msync = 120, // `port` names a task; 0 address, 1 bytes, 2 VM_SYNC_...
    // no port
    object_open_file,   // 0 VM_PROT_READ, or with VM_PROT_WRITE; blob: path -> port; vals[1] bytes of the file
    object_close,       // 0 name of a memory object (a right takes 0, 1 and 5) that the caller has opened
    task_migrate = 123, // `port` names a task; 0 node, 1 NORMA_MIGRATE_... Its own threads are told kWithdrawn when it
                        // stops for that
    region_withdraw,    // `port` names the caller; 0 and 1 the secret of an export. Answered when no access goes on
    // between node servers only; refused from a task
    spawn = 128,      // 0 identity (0: a new one), 1 pid (0: the identity), 2 parent's identity, 3 exit signal; blob:
                      // task image -> right of the task, vals[0] identity
    take_over,        // target task; 0 context (0: no thread goes on), 1 canary, 2 its number for synchronisation
    attach,           // blob: stretch -> vals[0] pages of each stretch of the object
    detach,           // blob: stretch
    destroy,          // blob: any stretch of the object
    sync_task_died,   // 0 task, 1 it ended of its own will with exit code 0; 2 if it was to take over and cannot, since
                      // its parent's node is down: that node + 1
    sync_thread_died, // 0 thread
    sync_task_moved,  // 0 from, 1 to, 2 thread that goes on (0: none), 3 all do
    freeze,           // 0 number, of the caller's choice; blob: stretches. Answered when nobody writes in any of them
    snapshot,         // 0 number of a freeze, which ends; blob: who pays -> blob: the numbers of the snapshots
    thaw,             // 0 number of a freeze, also of one that has not been answered
    abort_waits,      // 0 thread, whatever it waits for here; 1 what it is told: KERN_ABORTED, or kWithdrawn
    vm_pieces,        // target task; 0 address, 1 bytes, 2 access -> blob: map entries
    heap_part,        // 0 bytes -> blob: stretch 0 of a new object, to which the caller is attached
    // target: a port (runtime/ports.hpp); "receive right" in a blob is a Carried of the target
    port_attach = 144, // 0 made; or 1 node + 1: it is where the receive right, which is the blob, is now; or is, too (2
                       // is 1), or is no more (2), as its task moves
    port_release,
    port_send,    // 0 timeout in ms, 1 number among the caller's, 2 even if the queue is full; blob: Message -> status
    port_receive, // 0 timeout, 1 number, 2 room, 3 keep what is larger; blob: receive right -> vals[0] number of the
                  // delivery, vals[1] bytes; blob: Message
    port_destroy, // blob: receive right
    port_notify,  // 0 sync; blob: receive right, then who is to hear of it
    port_dead,    // from its home, to a node that has rights to it
    // no target
    port_taken,  // 0 number of the delivery, 1 the receiver has it (else it goes back into the queue)
    port_cancel, // 0 number
    // target: a task
    port_put,  // 0 name (0: any), or 1 slot; blob: Carried -> vals[0] name
    port_take, // 0 name, 1 disposition; or 2 slot; blob: the task it is for
    // target: a name server
    name_put,  // 0 also if it is in use; blob: Carried, name
    name_find, // blob: the task it is for, name
    // target: a task, a thread
    task_exceptions, // 0 mask, 1 ExceptionChange bits, 2 behavior, 3 flavor; blob: rights, to the port and to the task
                     // that asks -> blob: ExceptionPorts
    thread_exceptions,
    // no target: to the home of a memory object
    object_save = 176, // 0 first page, 1 pages, 2 also to disk; blob: stretch
    stretch_shared,    // blob: stretch -> vals[0] whether somebody maps it who is not on the caller's node
    stretch_pay,       // blob: stretches, who pays for them from now on
    // tasks as processes. "child": 0 identity, 1 pid, 2 parent's identity, 3 exit signal, as `spawn` has them
    // target: a task
    clone_start = 184, // 0 function, 1 its argument, 2 top of the stack; blob as in `clone`
    deliver,           // 0 signal; 0: is it there?
    // no target: at the home of the parent
    child_born,   // child, 4 node where it runs
    child_unborn, // child: the clone has failed
    // at the home of the child, and of its parent
    process_moved, // child; blob: right of the task it is now
    process_ended, // child, 4 status
    process_pid,   // 0 identity -> vals[0] pid
    // tables that tasks share. target: a task
    table_read = 200, // 0 Table -> blob: all of it
    table_join,       // 0 Table, 1 group; blob: all of it -> vals[1] errno
    table_step,       // 0 Table, 1 TableStep; blob: the change, if it is prepared -> as of table_change
    // no target: at the home of the group
    group_join,   // 0 group; blob: rights to a member and to who is to be one -> vals[1] errno
    group_change, // 0 group; blob: the change -> as of table_change
    group_left,   // 0 group, 1 task
    // open files. No target: at the home of the table
    files_decide = 208, // 0 to 2 FileChange, 3 table -> vals[0] number, errno
    files_join,         // 0 table, 1 task of the caller's, 2 another table, which it is to have a copy in (0: none)
                        // -> blob: the table
    // at each node that has a copy of the table, from its home
    files_apply, // 0 to 2 FileChange, 3 table -> vals[0] a number that is free, errno
    // target: a task, which has no files yet
    files_enter, // 0 table, 1 a copy of it -> errno
    // no target: where a file is open
    file_reach, // as `file_access`; 4 table
    file_watch, // 0 number, of the caller's choice, 1 whether to wait, 4 table; blob: PolledFile -> errno; blob: those
                // that are ready. Not answered before there is one, or file_unwatch
    file_unwatch, // 0 number
    // target: a task that is to take its parent's place with all its threads (runtime/server/ops_migrate.cpp)
    make_room = 216, // 0 threads, 1 registers that they use besides the usual ones; blob: what its process begins with
    carry_on,        // blob: MovedTask
    // no target: to a node where a task has been that has moved
    pages_held = 218, // 0 first page, 1 pages; blob: stretch -> vals[0] the page up to which it says what it holds,
    // vals[1] bytes that it holds of the object; blob: batches. Nothing if a task here uses it, unless
    // 2 is set
    // target: a task that was spawned without memory, before it makes room
    furnish, // blob: task image
    // no target: the home of an object moves (docs/rehoming.md)
    home_fetch = 220, // to the home: to the node that asks; blob: stretch 0
    home_given,       // from the home to the next one: who uses the object; blob
    home_is_here,     // from the home, to all; blob: stretch 0
    // target: a task that is to take its parent's place, before that
    give_names = 223, // blob: MovedNames
    // no target: a node leaves the job (docs/draining.md), and asks this of the others
    hold_calls = 224, // 0 Hold, of what is asked of its services from now on; kGoOn: that goes on
    adopt,            // 0 the home, too; blob: stretch. The pages of it that are on the leaving node are to come
    entrust,          // 0 offset, 1 bytes in all; blob: a part of what its services know
    // no target: to the home of an object that had a name, from the node of the name
    object_unname, // blob: stretch 0
    // target: a task that is to take its parent's place with all its threads, before it is furnished
    copy_ahead, // 0 nodes; blob: nodes, stretches: copies are to come of what these nodes have -> vals[0] pages that
                // came
    // checkpoints (docs/checkpoint.md). No target
    checkpoint_flush = 230, // what the caller has told this node before has been heard
    restore_sync,           // blob: objects of synchronisation, as they are to be here
    restore_end,            // all tasks have their memory
    // target: a task that has its memory, and room for its threads
    restore_resume, // blob: checkpoint::SavedTask, in the names of this job
    // no target: from a node that leaves the job, to the one that is to have its open files
    file_try = 238, // blob: MovedFile. Can it be opened there? -> vals[0] it is on another host; or why not, in words
};

// Whether a request is for the node server of that very node: it is about frames and homes that are there, or about
// processes that are to be. All others are for what was made on a node, and go to where that is when it has left.
constexpr bool is_for_place(Op op) {
    switch (op) {
    case Op::spawn:
    case Op::attach:
    case Op::detach:
    case Op::destroy:
    case Op::freeze:
    case Op::snapshot:
    case Op::thaw:
    case Op::heap_part:
    case Op::word_queue:
    case Op::word_wake:
    case Op::pages_lost:
    case Op::port_dead:
    case Op::object_save:
    case Op::stretch_shared:
    case Op::stretch_pay:
    case Op::pages_held:
    case Op::home_fetch:
    case Op::home_given:
    case Op::home_is_here:
    case Op::hold_calls:
    case Op::adopt:
    case Op::entrust:
    case Op::file_try:
    case Op::object_unname:
    case Op::checkpoint_flush:
    case Op::restore_sync:
    case Op::restore_end:
        return true;
    default:
        return false;
    }
}

// What waits of that while a node is about to leave: what begins something new there, so that what is under way can
// end; then everything.
enum class Hold : std::uint64_t { beginnings = 1, everything };
inline constexpr std::uint64_t kGoOn = 0;

// Whether a request may be needed for something to end that is under way where it goes: a message is received when its
// rights are known at their homes. They all are about references to ports, and keep their order among themselves.
constexpr bool ends_something(Op op) {
    return op == Op::port_attach || op == Op::port_release || op == Op::port_destroy || op == Op::port_taken;
}

// What can be done with a file that is open on another node.
enum class FileAction : std::uint64_t {
    read,     // 2 bytes
    read_at,  // 2 bytes, 3 offset
    write,    // 5 bytes of all that is written, of which this is a part
    write_at, // 3 offset
    seek,     // 2 whence, 3 offset (as signed)
    status,   // -> blob: struct stat
    truncate, // 3 length
    sync,
    sync_data,
    get_flags,
    set_flags, // 2 flags
    send,      // 2 flags, 3 bytes of an address, which is behind the message, 5 bytes of all of the message
    receive,   // 2 bytes, 3 flags -> vals[3] bytes of the address, which is behind the message, and above 32 MSG_...
    shut_down, // 2 SHUT_...
    lock,      // 2 LOCK_...
    allocate,  // 2 mode, 3 offset, 5 bytes
    system_status, // -> blob: struct statfs
    is_terminal,
};
enum class FileKind : std::uint64_t { other, regular, stream_socket };
struct PolledFile {
    std::uint32_t place; // of the caller's choice
    std::uint16_t number;
    std::uint16_t events; // POLL...
};
struct PollAnswer {
    std::uint64_t error; // errno
};
inline constexpr std::size_t kMostPolled = 4096;

inline constexpr FileAction kLastFileAction = FileAction::is_terminal;
inline constexpr std::size_t kFileBytesAtOnce = 32 * 1024;
inline constexpr std::size_t kMostAddressBytes = 128; // sockaddr_storage

// The status of a wait that is to be begun again: the thread's task is about to move, or what it waits for. No call
// returns it to a program.
inline constexpr std::int32_t kWithdrawn = -1;
// The status of a request to a node that is not an object's home any more: vals[0] is. Likewise.
inline constexpr std::int32_t kHomeMoved = -2;

// What is to be done with exception ports.
enum ExceptionChange : std::uint64_t { kSetsExceptions = 1, kTellsExceptions = 2, kExceptionsOfThread = 4 };

inline constexpr std::size_t kOpArgs = 6;
inline constexpr std::size_t kOpVals = 4;

struct RequestHead {
    std::uint32_t op;
    std::uint32_t port;   // name of the target, or 0
    std::uint64_t thread; // kernel thread id of the caller
    std::uint64_t args[kOpArgs];
};
static_assert(sizeof(RequestHead) == 64);

struct ReplyHead {
    std::int32_t status; // KERN_...
    std::uint32_t reserved;
    std::uint64_t vals[kOpVals];
};
static_assert(sizeof(ReplyHead) == 40);

// ---- Node server -> service thread, on the control socket; each is acknowledged by an Ack with the same number. ----
enum class Command : std::uint32_t {
    welcome = 1,  // 0 node, 1 number of nodes, 2 pid: the first command of all
    map,          // 0 address, 1 bytes, 2 protection, 3 offset in the file; the object's frames come as a descriptor
    unmap,        // 0 address, 1 bytes: becomes a part of the reserved window again
    protect,      // 0 address, 1 bytes, 2 protection
    poison,       // 0 address of a page: accesses to it raise SIGBUS from now on
    thread_start, // 0 entry (0: it waits for registers), 1 argument, 2 stack address, 3 stack bytes -> kernel thread id
    thread_resume_context, // 0 context, 1 canary -> kernel thread id
    suspend_all,           // returns when all threads have stopped
    resume_all,
    suspend_thread, // 0 kernel thread id
    resume_thread,
    terminate_thread,
    list_threads, // -> blob: u64 kernel thread ids
    run_main,     // the first task: main() may start. 0 stack address, 1 stack bytes
    wire,         // 0 address, 1 bytes: the pages stay in memory from now on
    unwire,       // 0 address, 1 bytes: exports of any of it end, then it need not stay
    get_state,    // 0 kernel thread id, 1 flavor -> blob: the state
    set_state,    // 0 kernel thread id, 1 flavor; blob: the state
    usage,        // 0 kernel thread id (0: the task) -> blob: Usage
    abort_call,   // 0 kernel thread id: the system call it is in, if any, fails with EINTR
    blank,        // 0 address of a page: it is private memory, all zeros, from now on
    map_data,     // as map, and what is there now is there afterwards, too
    heap,         // 0 address, 1 bytes of each part, 2 parts: where the program has its heap
    heap_lost,    // 0 part, which is not to be used any more; 1 whether the node of that number has died
    sample,       // 0 microseconds of a thread's processor time between samples, from now on (0: no more)
                  // -> how many were lost; blob: Samples since the last time
    // 0 function, 1 its argument, 2 top of the stack; blob: what the task begins with; its open files may come as a
    // descriptor -> kernel thread id. The task ends with the function.
    clone_start,
    catch_exceptions, // from now on the signals of faults are told to the node server first
    table_read,       // 0 Table -> blob: all of it
    table_join,       // 0 Table; blob: all of it. From now on it is shared
    table_step,       // 0 Table, 1 TableStep; blob: the change, if it is prepared -> blob: what was there before
    files_begin,      // the task's open files come as a descriptor; it shares them from now on
    file_change,      // 0 to 2 FileChange, of which a file that is open here comes as a descriptor -> a number that is
                      // free, if the one wanted is not
    // Of a task that moves with all its threads (client/migration.hpp). 0 whether this is the first try: stops them; 1
    // whether open files are in the way. -> EAGAIN: a blob of StillRunning; other errors: it is text. Else the
    // registers that make_room asks for; blob: Stopped, StoppedThreads, what the new process begins with
    gather,
    go_on, // 0 KERN_..., 1 whether it shares its files: they go on here, and who asked for the move from inside is
           // told so
    make_threads, // 0 how many, 1 registers; blob: what the process begins with
    carry_on,     // blob: for each where its state lies -> blob: u64 kernel thread ids
    nodes,        // 0 number of nodes, from now on
};
inline constexpr std::size_t kMaxCommandBlob = 16 * 1024;

struct CommandHead {
    std::uint32_t command;
    std::uint32_t reserved;
    std::uint64_t number; // echoed
    std::uint64_t args[4];
};
static_assert(sizeof(CommandHead) == 48);

// ---- Service thread (or a new thread) -> node server, on the control socket ----
enum class TaskMsg : std::uint32_t {
    hello = 1,    // 0 kTaskProtocol, 1 FaultMode, 2 errno if there is no userfaultfd; blob: build id; the userfaultfd
                  // comes as a descriptor
    ack,          // 0 number, 1 errno or 0, 2 value; blob
    channel,      // a thread's channel comes as a descriptor
    thread_ended, // 0 kernel thread id
    program,      // 0 address, 1 bytes: the variables of a whole program. Before hello
    exits,        // 0 exit code: of a process that has attached itself, which only says so by itself
    files,        // the open files of a task that is about to move come as a descriptor: they are a table from now on
};

struct TaskMsgHead {
    std::uint32_t type;
    std::uint32_t reserved;
    std::uint64_t args[3];
};
static_assert(sizeof(TaskMsgHead) == 32);

// ---- Node server -> a process that attaches itself (docs/attach.md): the first packet on its control socket ----
inline constexpr std::uint64_t kGreetingMagic = 0x6f6f446d726f4e21; // whatever else listens under such a name

struct Greeting {
    std::uint64_t magic;
    std::uint32_t protocol; // kTaskProtocol; of another one only this and `magic` mean anything
    std::int32_t status;    // KERN_SUCCESS: hello is awaited; blob: settings, NAME=VALUE with a zero behind each.
                            // Else blob: why it is turned away
};
static_assert(sizeof(Greeting) == 16);

// What a task, or one of its threads, has used.
struct Usage {
    std::uint64_t virtual_bytes, resident_bytes; // of a task; the whole window is in virtual_bytes
    std::uint64_t user_us, system_us;
    std::uint64_t state; // of a thread: the letter of proc(5)
};
static_assert(sizeof(Usage) == 40);

struct Stopped {
    std::uint64_t threads;
    std::uint64_t shares_files; // the table is in the node server's hands
};
struct StoppedThread {
    std::uint64_t tid, state; // state: where it lies in coherent memory
};
struct StillRunning {
    std::uint64_t tid, pc; // pc: where in a library it was; 0: not known
    char where[112];       // the same for people
};

struct Sample {
    std::uint64_t tid, pc;
};
inline constexpr std::size_t kSamplesPerAnswer = (kMaxPacketBytes - 1024) / sizeof(Sample); // of one answer

struct MapArgs {
    std::uint64_t address, bytes, mask, offset;
    std::uint32_t anywhere, copy, protection, max_protection, inheritance, reserved;
};
static_assert(sizeof(MapArgs) == 56);

struct ExceptionPort {
    std::uint32_t mask, port, behavior, flavor; // port: its name
};
static_assert(sizeof(ExceptionPort) == 16);

struct RegionInfo {
    std::uint64_t address, bytes, offset;
    std::uint32_t protection, max_protection, inheritance, behavior, shared, wired;
};
static_assert(sizeof(RegionInfo) == 48);

} // namespace norma::rt

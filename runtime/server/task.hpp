// SPDX-License-Identifier: BSD-3-Clause
// One task of this node: a process, the sockets to it, its address map, threads and names. Owned and used by the node
// server's loop only.
#pragma once

#include "dsm/pager.hpp"
#include "runtime/address_map.hpp"
#include "runtime/families.hpp"
#include "runtime/file_table.hpp"
#include "runtime/names.hpp"
#include "runtime/server/image.hpp"
#include "runtime/server/router.hpp"
#include "runtime/sharing.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <sys/types.h>
#include <vector>

namespace norma::rt {

// Pages that a task has wired: never across a boundary of the address map's entries.
struct WiredPiece {
    std::uint64_t start = 0, size = 0;
    Stretch stretch;
    dsm::PageIndex first = 0; // page of the object
    vm_prot_t access = VM_PROT_NONE;
    std::uint64_t end() const { return start + size; }
};

// Memory that the library copies from or to in a call like vm_read: whoever has it in its address map, the task has it
// for that moment too, outside its own address map, so that no clone gets it and no call of the program touches it.
struct Loan {
    std::vector<MapEntry> pieces; // one behind the other; their objects are used
    bool ready = false;           // mapped in the process
    bool lost = false;            // a page was gone for good
    Range range() const { return {pieces.front().start, pieces.back().end() - pieces.front().start}; }
};

// The answer to a command: errno or 0.
struct Ack {
    int error = 0;
    std::uint64_t value = 0;
    std::vector<std::byte> blob;
};

struct Thread {
    pid_t tid = 0;                   // 0: not started
    Key key{};                       // of the right to it
    std::uint64_t sync_identity = 0; // what it is to the synchronisation service; survives teleport
    int suspend_count = 0;
    bool ended = false;
    std::uint64_t entry = 0, argument = 0, stack_bytes = 0; // until started
    std::vector<std::byte> registers;                       // to start with instead of at an entry; until started
    std::uint64_t stack = 0;                                // coherent memory to be given back at the end; 0: none
    std::vector<Done> waiters;
};

struct CopiedPages {
    Stretch stretch;
    std::vector<dsm::Batch> batches;
};

struct Task {
    Task(TaskId number, const Window &window, Program what);

    TaskId id;
    Key key; // of the right to it
    Program program;
    bool first = false;
    // The node that has asked for it, until it is told so (a clone) or lets it go on in its parent's place (a
    // teleport). Till then the task is nobody's: it ends with that node, and its own end is not the first task's.
    std::optional<dsm::NodeId> awaited_by;
    Kin kin;
    std::array<GroupId, kTables> groups{}; // with which it shares each table
    int parcel = -1;                       // the open files that it is to begin with, until it has them
    TableId open_files = 0;                // that it shares; 0: they are its own
    pid_t pid = -1;
    int pidfd = -1;                 // of a process that norma did not start
    std::optional<int> exit_status; // that such a process has said it will end with, as wait(2) has it
    bool is_attached() const { return pidfd >= 0; }
    enum class State : std::uint8_t { starting, running, ending } state = State::starting;
    bool moving = false;    // a teleport is under way, or a move with all threads
    bool gathering = false; // its threads are being stopped for that, or have been; until they go on, here or there
    bool held = false;      // its threads are being stopped for a checkpoint, or have been
    dsm::NodeSet been;      // where it was before it moved with all its threads, once or more
    std::deque<CopiedPages> copied; // which have come before it, and it is to have for writing
    bool terminated = false;        // by task_terminate: its end is no failure
    int control = -1;
    std::set<int> channels;
    std::map<int, int> offered; // what has come along with the last packet of a channel: a descriptor
    dsm::ThreadTimes times;
    std::unique_ptr<dsm::Space> space; // from hello on
    AddressMap map;
    std::map<std::uint64_t, WiredPiece> wired; // by start; disjoint
    std::map<std::uint64_t, Loan> loans;       // by start
    std::multiset<dsm::ObjectId> files;        // that it has opened; each a use
    std::vector<std::byte> exporter;           // how to reach what carries out one-sided access; empty: nothing
    std::uint64_t token = 0;                   // its security token
    Ledgers ledgers;                           // what it draws from; none is null
    int suspend_count = 0;
    std::optional<dsm::NodeId> child_node;   // where task_create puts children; none: on this node
    std::map<std::uint64_t, Thread> threads; // by number
    std::uint64_t next_thread = 1;
    NameSpace names;
    dsm::NodeSet sync_homes; // nodes whose synchronisation objects it has used
    std::vector<Done> waiters;
    std::function<void(std::int32_t status)> on_ready; // once: after hello, or after death before it
    std::vector<std::function<void()>> on_reaped;
    Right successor{};          // of a move that has succeeded
    bool threads_moved = false; // to it; rights to them and to the task go on to be good

    // Commands go out one at a time, in order; a new one when the last is acknowledged.
    struct Pending {
        Command command;
        std::array<std::uint64_t, 4> args;
        int fd; // borrowed; -1: none
        std::vector<std::byte> blob;
        std::function<void(const Ack &)> done;
    };
    std::deque<Pending> commands;
    std::uint64_t commands_sent = 0; // the number of the last one
    bool command_out = false;        // the first of the queue has been sent

    std::uint32_t name(const Right &right); // of what is no port; one more reference to it
    Right right(std::uint32_t name) const;  // kind none: no such name
    Right own_right() const;
    Right thread_right(std::uint64_t number) const;
    std::uint64_t add_thread(pid_t tid, dsm::NodeId node);
    Thread *thread(std::uint64_t number);
    std::uint64_t number_of(pid_t tid) const; // of a thread that lives; 0: not known
    // Also of a thread that has said that it ends: the kernel may list it a moment longer.
    bool has_met(pid_t tid) const;
    // Why it cannot go on in another process, as far as its record says; empty: it can.
    std::string bound_to_process() const;
    // The loan that an address is in, or the end.
    std::map<std::uint64_t, Loan>::iterator loan_at(std::uint64_t address);
};

inline std::uint64_t sync_identity(dsm::NodeId node, pid_t tid) {
    return (std::uint64_t{node} << 32 | static_cast<std::uint32_t>(tid)) + (std::uint64_t{1} << 63);
}

// How a task that is over ended; kept so that a late norma_task_wait() still learns of it.
struct EndedTask {
    Key key{};
    int status = 0;
    Right successor{};
    bool threads_moved = false;            // as in Task
    bool arriving = false;                 // they do not go on there yet
    std::optional<dsm::NodeId> awaited_by; // as in Task
    bool first = false;
    Kin kin{};
};

} // namespace norma::rt

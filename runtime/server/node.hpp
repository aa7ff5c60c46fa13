// SPDX-License-Identifier: BSD-3-Clause
// The node server: one per node of a job. It owns the node's frames, tasks and synchronisation objects. Everything here
// runs on its loop's one thread; nothing waits, so an operation that needs another node or a task's process goes on in
// a callback.
#pragma once

#include "dsm/pager.hpp"
#include "rpc/transport.hpp"
#include "runtime/address_map.hpp"
#include "runtime/config.hpp"
#include "runtime/launch.hpp"
#include "runtime/packets.hpp"
#include "runtime/server/account.hpp"
#include "runtime/server/direct_exports.hpp"
#include "runtime/server/files_service.hpp"
#include "runtime/server/following.hpp"
#include "runtime/server/leaving.hpp"
#include "runtime/server/loop.hpp"
#include "runtime/server/port_service.hpp"
#include "runtime/server/processes.hpp"
#include "runtime/server/rehoming.hpp"
#include "runtime/server/router.hpp"
#include "runtime/server/sampler.hpp"
#include "runtime/server/succession.hpp"
#include "runtime/server/sync_service.hpp"
#include "runtime/server/task.hpp"
#include "runtime/sharing.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <sys/types.h>

namespace norma::rt {

class Checkpointing;
class Door;
class Probe;
class Restoration;
struct Visitor;

// Who uses a stretch. `users` counts, on this node, the tasks that map any of it and the operations that hold it for
// the moment. At the home `mappers` are the other nodes with users; there the stretch ends when it has neither.
struct StretchUse {
    std::uint32_t users = 0;
    dsm::NodeSet mappers;
    Ledgers payers; // at the home, of its bytes; everywhere, of its pages that are sent. Null: nobody
};

using FileId = std::pair<dev_t, ino_t>;

// Who uses an object; it lives until the home has no stretch that is in use.
struct ObjectUse {
    std::map<std::uint64_t, StretchUse> stretches; // those in use, by number
    dsm::NodeSet holders;                          // at the home: the other nodes that may have frames
    bool named = false;                            // at the home: its name is one of the users of stretch 0
    std::optional<FileId> file;                    // at the home: what stretch 0 is the memory of
    bool unsaved = false;                          // of a file: it has been used since all of it was saved
    std::vector<Range> addresses;                  // of the node's slice: given out for it, they go back when it dies
};

// Stretches of this node's objects that a node wants snapshots of, all of the same moment.
struct Freeze {
    std::vector<Stretch> wanted; // a snapshot of each; one stretch may be there several times
    std::set<Stretch> stretches; // frozen, or about to be; each has a use
    std::set<Stretch> awaited;   // those not frozen yet
    Done done;                   // until none is awaited
    std::uint64_t timer = 0;
};

// Where new memory of a task is to be.
struct Place {
    std::uint64_t address = 0;
    std::uint64_t mask = 0; // bits that the address must not have
    bool anywhere = true;   // the address does not matter
};

class Node {
  public:
    Node(dsm::NodeId self, const JobSize &size, std::uint32_t incarnation, Config config);
    ~Node();
    int run(); // the exit status of the node server

    // ---- state, in the order in which it depends on each other ----
    const dsm::NodeId self;
    const unsigned founders; // nodes that the job began with: names of objects and heaps go by them
    unsigned count;          // nodes that this one knows, with those that have died, and one that is joining
    unsigned announced;      // of which tasks have been told
    const std::uint32_t incarnation;
    const Config config;
    unsigned nodes_here() const { return config.host_nodes != 0 ? config.host_nodes : count; } // on this machine
    Loop loop;
    Router router;
    SyncService sync;
    PortService ports;
    Sampler sampler;
    dsm::Pager pager;
    Window window;
    SliceAllocator addresses;
    std::map<dsm::ObjectId, ObjectUse> objects;
    std::map<std::pair<dsm::NodeId, std::uint64_t>, Freeze> freezes; // by who wants it, and its number there
    std::map<std::string, dsm::ObjectId> names;                      // of objects with their home here
    std::map<FileId, dsm::ObjectId> files;                           // that are open
    std::uint64_t memory_limit = 0, memory_used = 0; // bytes of the stretches in use of objects with their home here
    LedgerBook ledgers;                              // of which stretches are charged to whom, among others
    Key priv_key;                                    // of the privileged port, if the first task has asked here
    std::set<Key> inherited_priv_keys;               // that were those of nodes that have left
    Processes processes;
    std::map<TaskId, std::unique_ptr<Task>> tasks;
    std::map<TaskId, EndedTask> ended;
    Spent spent;                                         // by tasks that are over
    Families families;                                   // whose home is here
    std::map<Pid, std::vector<Done>> waits_for_children; // by the parent's identity
    Groups groups;                                       // whose home is here
    FilesService open_files;
    DirectExports direct;
    Following following;
    Rehoming rehoming;
    Leaving departure;
    Succession succession;
    std::unique_ptr<rpc::Transport> transport;
    std::unique_ptr<Probe> probe;
    // Of the program's heap: as many as the job began with nodes, or had when a checkpoint was made.
    unsigned heap_parts = founders;
    bool homes_stay = false;             // no home of an object leaves this node: a checkpoint is being made
    std::function<void()> when_restored; // while the job is made from a checkpoint: its tasks have their memory
    std::uint64_t bad_records = 0;       // records of peers that were dropped
    std::uint64_t bad_rights = 0;        // with a key that is not theirs; ports count their own

    // ---- node_job.cpp: the launcher ----
    void report_exit(int status, const std::string &note);
    // To the home of synchronisation objects that a task has used. `well`: of its own will, with exit code 0.
    void tell_of_end(dsm::NodeId home, TaskId task, bool well, std::optional<dsm::NodeId> awaited_by);
    void end_orphans_of(dsm::NodeId node);
    void report_hosting(); // the first task runs here now
    static void tell_launcher(const launch::Record &record);
    // The connection to it broke; nothing goes to it or comes from it any more. But it may be alive: it is down only
    // when the launcher says so.
    void suspect(dsm::NodeId node, const std::string &why);

    // ---- node.cpp: the other nodes ----
    void start(const rpc::Options &options); // makes the transport
    void start_first(Program program);       // the job's first task
    void node_down(dsm::NodeId node, const std::string &why);
    // It has left the job, with nothing of it lost: what was made there is at the other.
    void node_left(dsm::NodeId node, dsm::NodeId successor);

    // ---- objects.cpp: who uses what ----
    bool has_room(const Ledgers &payers, std::uint64_t bytes) const; // for memory, here and in their quota
    void pay(const Stretch &stretch, const Ledgers &payers);         // for a new stretch, with its home here
    // Counts what a task has this node send. False: it has no room for the payload, which then is not to be sent.
    static bool pay_for_sending(Task &task, std::size_t head, std::size_t payload);
    void pay_for_shared(const std::vector<SharedStretch> &stretches, const Ledgers &payers); // what nobody pays for yet
    void use(const Stretch &stretch);                                                        // of an object known here
    void release(const Stretch &stretch); // and ends what nobody uses
    bool in_use(const Stretch &stretch) const;
    std::vector<SharedStretch> stretches_of(std::span<const MapEntry> entries) const; // each once
    void serve_attach(const Request &request, const Done &done);
    void serve_detach(const Request &request, const Done &done);
    void serve_destroy(const Request &request, const Done &done);
    // Attaches to stretches of other homes; the caller has a use of each afterwards if the status is success, else
    // none.
    void attach_all(std::vector<SharedStretch> wanted, std::function<void(std::int32_t status)> done);

    // ---- ops_file.cpp: memory of files, at its home ----
    struct PageRange {
        dsm::PageIndex first;
        std::uint64_t count;
    };
    // KERN_MEMORY_FAILURE (pages were lost with their node), KERN_MEMORY_ERROR (some could not be written).
    // `load`: what nobody has wanted yet is read, too.
    void save(const Stretch &stretch, PageRange pages, bool load, std::function<void(std::int32_t status)> done);
    void flush(const Stretch &stretch, std::function<void(std::int32_t status)> done); // what was saved, to the disk
    void when_saved(std::function<void()> action);                                     // what nobody uses any more

    // ---- snapshots.cpp: copies of memory, at its home ----
    void serve_freeze(const Request &request, Done done);
    void serve_snapshot(const Request &request, const Done &done);
    void serve_thaw(const Request &request, const Done &done);
    // Of stretches with their home here, for this node itself, which has a use of each afterwards if the status is
    // success. They count towards nothing.
    void snapshot_unpaid(std::vector<Stretch> wanted,
                         std::function<void(std::int32_t status, const std::vector<std::uint64_t> &made)> done);

    // ---- inherit.cpp: copies of memory, for whoever asks for them ----
    // Of an image with all its parent's memory, that which the inheritance attributes leave to a child. It is held
    // until `done` returns.
    void inherit(TaskImage image, std::function<void(std::int32_t status, TaskImage image)> done);
    // Copies of pieces of memory, for whoever draws from `payers`. The use of each of their stretches goes over to the
    // copies', or back if it fails.
    using Pieces = std::vector<MapEntry>;
    void copy_pieces(Pieces pieces, const Ledgers &payers,
                     std::function<void(std::int32_t status, Pieces copies)> done);

    // ---- process.cpp: tasks as processes ----
    // KERN_SUCCESS through on_ready once the library in the new process has said hello. `kin` without an identity: it
    // gets a new one. Throws std::system_error.
    Task &start_process(Program program, bool first, Kin kin, std::function<void(std::int32_t)> on_ready);
    void command(Task &task, Command command, std::array<std::uint64_t, 4> args, std::function<void(const Ack &)> done,
                 int fd = -1, std::vector<std::byte> blob = {});
    void kill_task(Task &task, std::function<void()> reaped);
    void reap();
    bool on_control(TaskId id); // whether there was a message
    void on_channel(TaskId id, int fd);

    // ---- attached.cpp: processes that norma did not start ----
    void let_in(Visitor visitor);

    // ---- ops_family.cpp: tasks as processes ----
    // Tells the homes of a process and of its parent: process_moved, process_ended.
    void tell_family(Op op, const Kin &kin, std::uint64_t status, std::vector<std::byte> blob = {});
    void family_news(const Families::News &news);

    // ---- ops_sharing.cpp: tables that tasks share ----
    void leave_groups(const Task &task);
    void end_groups_of(dsm::NodeId home);

    // ---- program.cpp: whole programs ----
    void begin_program(TaskId id); // of the first task: moves its variables into coherent memory and makes the heap
    void tell_of_heap(Task &task); // that its program has one, if the task has it, too
    void tell_of_lost_heap(Task &task, dsm::NodeId node); // what of it had its home there
    void serve_heap_part(const Request &request, const Done &done);

    // ---- ops_restore.cpp: a job that goes on from a checkpoint ----
    Right add_ended(int status); // a task that was over

    // ---- ops_exception.cpp ----
    void tell_of_exceptions(Task &task); // that has been made with exception ports, if it has

    // ---- requests.cpp ----
    void execute(const Request &request, Done done);
    void from_task(Task &task, int channel, std::span<const std::byte> packet);
    // A further request, for the one of a task: made where its target lives, in the caller's name and at his expense.
    void call_for(const Caller &caller, Request request, Done done);

    // ---- helpers of the operations ----
    Task *running(const Right &right); // null: not a task of this node, or a thread of one, that runs
    dsm::PageIndex page_of(const MapEntry &entry, std::uint64_t address) const; // of the entry's object
    // Maps, through the service thread, what the task's address map says of `entry`, and tells the pager.
    void map_entry(Task &task, const MapEntry &entry, std::function<void(int error)> done, Command how = Command::map);
    // The same, of an object that others may be using: nobody can touch the range before the pager knows of it.
    void map_alias(Task &task, const MapEntry &entry, std::function<void(int error)> done);
    // Maps what allocate() has made; the reply says where it is.
    void map_new(Task &task, const MapEntry &entry, Done done);
    void unmap_pieces(Task &task, std::vector<MapEntry> pieces, std::function<void()> done);
    std::int32_t allocate(Task &task, const Place &place, std::uint64_t bytes, MapEntry &entry);
    // Whole pages; it is used.
    std::int32_t make_object(std::uint64_t size, const Ledgers &payers, dsm::ObjectId &id,
                             std::unique_ptr<dsm::Backing> file = nullptr);
    // Finds room for `size` bytes, whole pages, and keeps others from it. place.address says where.
    std::int32_t check_place(const Task &task, const Place &place, std::uint64_t size) const;
    bool take_place(const Task &task, Place &place, std::uint64_t size);
    // The memory behind a range of a task, wherever that is: its pieces, in order, each of whose objects is used here
    // from then on, once. KERN_INVALID_ADDRESS (a hole), KERN_PROTECTION_FAILURE (not all of it allows `access`).
    using Reached = std::function<void(std::int32_t status, Pieces pieces)>;
    void reach(const Caller &caller, const Right &task, std::uint64_t address, std::uint64_t bytes, vm_prot_t access,
               Reached done);
    // Takes one use of each of their objects. KERN_FAILURE: they are larger than these.
    void hold_all(Pieces pieces, std::function<void(std::int32_t status)> done);
    void release_all(std::span<const MapEntry> pieces); // a use of each object
    // Puts pieces, whose objects are used, one behind the other into a task's address map, then into its process.
    void map_pieces(TaskId id, Place place, Pieces pieces, const Done &done);
    bool inside_objects(std::span<const MapEntry> pieces) const;
    void end_loan(Task &task, std::map<std::uint64_t, Loan>::iterator loan, std::function<void()> done);
    // Forgets what the task has wired of the range: nothing of it can be exported any more. The pages themselves stay
    // here until unwire(), which is for when the process lets nobody access them from outside any more.
    std::vector<WiredPiece> take_wiring(Task &task, Range range);
    void unwire(const std::vector<WiredPiece> &pieces);
    void make_stack(Task &task, std::uint64_t bytes,
                    std::function<void(std::int32_t status, std::uint64_t start, std::uint64_t bytes)> done);
    void start_thread(Task &task, std::uint64_t number, Done done);
    void thread_runs(Task &task, std::uint64_t number, pid_t tid);
    void thread_started(Task &task, std::uint64_t number, const Done &done);
    void thread_ended(Task &task, std::uint64_t number);
    // Queues `done`, for a thread, until whoever empties the list calls it; answers KERN_OPERATION_TIMED_OUT after the
    // time, KERN_ABORTED after abort_waits() for the thread.
    void wait_in(std::vector<Done> &list, std::int64_t timeout_ms, std::uint64_t thread, Done done);
    void abort_waits(std::uint64_t thread, std::int32_t status);
    void withdraw_waits(); // all, of threads that are to begin again elsewhere
    // False, with the task ended, if its descriptor cannot be polled.
    bool watch_for(Task &task, int fd, Loop::Handler handler);

  private:
    void serve_launcher();
    void connect_all(const launch::Start &start);
    void meet(const launch::Newcomer &newcomer);
    void announce(dsm::NodeId joined);
    void run_first(launch::Run run);
    void migrate(const launch::Migrate &order);
    void restore(launch::Restore piece);
    void open_door();
    void open_door_again();
    void open_to_importers();
    std::unique_ptr<Task> new_task(Program program, Kin kin);
    bool is_task(pid_t pid);
    void attached_over(TaskId id);
    void peer_message(dsm::NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload);
    void send_request(dsm::NodeId to, const std::vector<std::byte> &record);
    void send_pages(dsm::NodeId to, std::span<const dsm::ObjectMsg> messages, rpc::StagingPtr payload);
    void pay_for_pages(const dsm::ObjectMsg &message, std::size_t bytes);
    bool coherence(dsm::NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload);
    void poison(dsm::Space &space, std::uint64_t address);
    void shut_down();
    void add_to_account(const Task &task, const Processes::End &end);
    void task_over(std::unique_ptr<Task> task, const Processes::End &end);
    void handle_task_message(Task &task, std::span<const std::byte> packet, int fd);
    void whole_program(Task &task, Range data);
    void hello(Task &task, const Packet<TaskMsgHead> &message, int fd);
    void next_command(Task &task);

    PortLinks port_links();
    MemoryLinks memory_links();
    void attach(const Stretch &stretch, std::function<void(std::int32_t status)> done);
    void forget(dsm::ObjectId id);
    void end_of(const Stretch &stretch);
    bool save_first(const Stretch &stretch);
    void save_part(const Stretch &stretch, PageRange pages, bool load, std::int32_t status,
                   std::function<void(std::int32_t status)> done);
    void frozen(const Stretch &stretch);
    void thaw(std::map<std::pair<dsm::NodeId, std::uint64_t>, Freeze>::iterator freeze);
    void thaw_all_of(dsm::NodeId node);
    void forget_uses_of(dsm::NodeId node);

    TaskId next_task_ = 0;
    std::multimap<std::uint64_t, Done> waits_; // of wait_in(), by thread
    std::uint64_t next_freeze_ = 1;
    std::map<Stretch, std::vector<std::function<void(std::int32_t)>>> attaching_; // who waits for the answer
    std::vector<CoherenceRecord> sending_; // of the message that is being sent; kept to spare the allocation
    int signal_fd_ = -1;
    // Of which only node_job.cpp knows what they are.
    std::shared_ptr<Door> door_;
    std::shared_ptr<Checkpointing> checkpointing_; // once the launcher has asked for one
    std::shared_ptr<Restoration> restoration_;     // likewise
    std::uint64_t dropped_ = 0;                    // messages by the transport, whatever its reason
    bool shutting_down_ = false;
    std::size_t saving_ = 0; // objects that are being saved before they end
    std::vector<std::function<void()>> when_saved_;
};

} // namespace norma::rt

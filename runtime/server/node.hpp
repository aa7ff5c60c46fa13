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
#include "runtime/server/loop.hpp"
#include "runtime/server/processes.hpp"
#include "runtime/server/router.hpp"
#include "runtime/server/sync_service.hpp"
#include "runtime/server/task.hpp"

#include <map>
#include <memory>
#include <string>

namespace norma::rt {

class Probe;

// Who uses an object. `users` counts, on this node, the tasks that map any of it and the operations that hold it for
// the moment. At the home `mappers` are the other nodes with users, `holders` those that may have frames. The object
// lives until the home has no users and no mappers.
struct ObjectUse {
    std::uint32_t users = 0;
    dsm::NodeSet mappers, holders;
    Range addresses; // at the home: the range of the node's slice that goes back when the object dies
};

class Node {
  public:
    Node(dsm::NodeId self, unsigned count, std::uint32_t incarnation, Config config);
    ~Node();
    int run(); // the exit status of the node server

    // ---- state, in the order in which it depends on each other ----
    const dsm::NodeId self;
    const unsigned count;
    const std::uint32_t incarnation;
    const Config config;
    unsigned nodes_here() const { return config.host_nodes != 0 ? config.host_nodes : count; } // on this machine
    Loop loop;
    Router router;
    SyncService sync;
    dsm::Pager pager;
    Window window;
    SliceAllocator addresses;
    std::map<dsm::ObjectId, ObjectUse> objects;
    std::uint64_t memory_limit = 0, memory_used = 0; // bytes of objects with their home here
    Processes processes;
    std::map<TaskId, std::unique_ptr<Task>> tasks;
    std::map<TaskId, EndedTask> ended;
    std::unique_ptr<rpc::Transport> transport;
    std::unique_ptr<Probe> probe;
    std::uint64_t bad_records = 0; // records of peers that were dropped

    // ---- node_job.cpp: the launcher ----
    void report_exit(int status, const std::string &note);
    // To the home of synchronisation objects that a task has used. `well`: of its own will, with exit code 0.
    void tell_of_end(dsm::NodeId home, TaskId task, bool well);
    void report_hosting();
    // The connection to it broke; nothing goes to it or comes from it any more. But it may be alive: it is down only
    // when the launcher says so.
    void suspect(dsm::NodeId node, const std::string &why); // the first task runs here now

    // ---- node.cpp: the other nodes ----
    void start(const rpc::Options &options); // makes the transport
    void start_first(Program program);       // the job's first task
    void node_down(dsm::NodeId node, const std::string &why);

    // ---- objects.cpp: who uses what ----
    void use(const dsm::ObjectId &id);     // known here
    void release(const dsm::ObjectId &id); // and destroys what nobody uses
    void serve_attach(const Request &request, const Done &done);
    void serve_detach(const Request &request, const Done &done);
    void serve_destroy(const Request &request, const Done &done);
    // Attaches to objects of other homes; the caller has a use of each afterwards if the status is success, else none.
    void attach_all(std::vector<SharedObject> wanted, std::function<void(std::int32_t status)> done);

    // ---- process.cpp: tasks as processes ----
    // KERN_SUCCESS through on_ready once the library in the new process has said hello.
    Task &start_process(Program program, bool first, std::function<void(std::int32_t)> on_ready);
    void command(Task &task, Command command, std::array<std::uint64_t, 4> args, std::function<void(const Ack &)> done,
                 int fd = -1);
    void kill_task(Task &task, std::function<void()> reaped);
    void reap();
    bool on_control(TaskId id); // whether there was a message
    void on_channel(TaskId id, int fd);

    // ---- requests.cpp ----
    void execute(const Request &request, Done done);
    void from_task(Task &task, int channel, std::span<const std::byte> packet);

    // ---- helpers of the operations ----
    Task *running(const Right &right); // null: not a task of this node that runs
    // Maps, through the service thread, what the task's address map says of `entry`, and tells the pager.
    void map_entry(Task &task, const MapEntry &entry, std::function<void(int error)> done);
    void unmap_pieces(Task &task, std::vector<MapEntry> pieces, std::function<void()> done);
    std::int32_t allocate(Task &task, std::uint64_t &address, std::uint64_t bytes, bool anywhere, MapEntry &entry);
    // Forgets what the task has wired of the range: nothing of it can be exported any more. The pages themselves stay
    // here until unwire(), which is for when nobody accesses them from outside.
    std::vector<WiredPiece> take_wiring(Task &task, Range range);
    void unwire(const std::vector<WiredPiece> &pieces);
    void make_stack(Task &task, std::uint64_t bytes,
                    std::function<void(std::int32_t status, std::uint64_t start, std::uint64_t bytes)> done);
    void start_thread(Task &task, std::uint64_t number, Done done);
    void thread_ended(Task &task, std::uint64_t number);
    // Queues `done` until whoever empties the list calls it, or answers KERN_OPERATION_TIMED_OUT after the time.
    void wait_in(std::vector<Done> &list, std::int64_t timeout_ms, Done done);

  private:
    void serve_launcher();
    void connect_all(const launch::Start &start);
    void run_first(launch::Run run);
    void peer_message(dsm::NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload);
    void send_request(dsm::NodeId to, const std::vector<std::byte> &record);
    void send_pages(dsm::NodeId to, std::span<const dsm::ObjectMsg> messages, rpc::StagingPtr payload);
    bool coherence(dsm::NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload);
    void poison(dsm::Space &space, std::uint64_t address);
    void shut_down();
    void task_over(std::unique_ptr<Task> task, int status);
    void handle_task_message(Task &task, std::span<const std::byte> packet, int fd);
    // False, with the task ended, if its descriptor cannot be polled.
    bool watch_for(Task &task, int fd, Loop::Handler handler);
    void hello(Task &task, const Packet<TaskMsgHead> &message, int fd);
    void next_command(Task &task);

    void attach(const dsm::ObjectId &id, std::function<void(std::int32_t status)> done);

    TaskId next_task_ = 0;
    std::map<dsm::ObjectId, std::vector<std::function<void(std::int32_t)>>> attaching_; // who waits for the answer
    std::vector<CoherenceRecord> sending_; // of the message that is being sent; kept to spare the allocation
    int signal_fd_ = -1;
    std::uint64_t dropped_ = 0; // messages by the transport, whatever its reason
    bool shutting_down_ = false;
};

} // namespace norma::rt

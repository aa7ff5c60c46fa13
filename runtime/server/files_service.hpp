// SPDX-License-Identifier: BSD-3-Clause
// Open files that tasks share (docs/clone.md). A file is open in the node server of the node where a task has opened
// it, and in the tasks of that node; other tasks have nothing but its number, and reach it through that node server. A
// change of a table is made on all nodes, and in all tasks that have the table, before the call that asked for it
// returns.
#pragma once

#include "runtime/file_table.hpp"
#include "runtime/moved_files.hpp"
#include "runtime/server/router.hpp"

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace norma::rt {

class Node;
class OpenedFiles;
struct Task;

// A change on its way between nodes: 0 to 2 of the arguments, and 3 the table.
inline Request request_of(Op op, const FileChange &change, TableId table) {
    const auto words = encode(change);
    Request request;
    request.op = op;
    request.args = {words[0], words[1], words[2], table};
    return request;
}
inline std::optional<FileChange> change_in(const Request &request) {
    return decode_change({request.args[0], request.args[1], request.args[2]});
}

// An access to a file on behalf of a task, in a thread of its own since it may wait for ever.
struct FileJob;

class FilesService {
  public:
    explicit FilesService(Node &node);
    ~FilesService();
    FilesService(const FilesService &) = delete;
    FilesService &operator=(const FilesService &) = delete;

    // ---- files_service.cpp: for the tasks of this node ----
    void share(const Request &request, Done done);
    void change(const Request &request, Done done);
    void serve_apply(const Request &request, Done done);
    void serve_enter(const Request &request, Done done);
    void task_over(const Task &task);
    // ---- of a task that moves with all its threads ----
    void begin_move(Task &task, int parcel); // its files, until now its own, are a table then, unless that cannot be
    void end_move(Task &task);               // it stays, and they are its own again
    bool is_alone(const Task &task) const;   // its table is this node's, and nobody else has it
    void node_down(dsm::NodeId node);

    // ---- files_home.cpp: at the home of a table ----
    void serve_decide(const Request &request, Done done);
    void serve_join(const Request &request, Done done);

    // ---- files_access.cpp: reading and writing, from anywhere ----
    void access(const Request &request, Done done);
    void serve_reach(const Request &request, Done done);
    void abort(std::uint64_t thread); // its accesses fail with EINTR

    // ---- files_poll.cpp: waiting until files of other nodes are ready ----
    void poll(const Request &request, Done done);
    void serve_watch(const Request &request, Done done);
    void serve_unwatch(const Request &request, Done done);

    // ---- files_moving.cpp: this node leaves the job, or serves for one that has left ----
    struct Packed {
        MovedFiles files{};
        std::string why{}; // one of them cannot go
    };
    Packed pack_up() const; // all that the successor has to have
    void withdraw_waits();
    bool is_quiet() const { return accesses_.empty(); }
    void try_at(dsm::NodeId node, std::function<void(const std::string &why)> done); // empty: it can have them
    void serve_try(const Request &request, Done done);
    void write_back(const std::function<void()> &done); // what another host is to find in them
    void take_over(MovedFiles files, const OpenedFiles &opened);

  private:
    // What this node has of a table.
    struct Copy {
        FileTable table;
        std::map<std::uint32_t, int> open; // descriptors of the files that are open here
        Copy() = default;
        Copy(const Copy &) = delete;
        Copy &operator=(const Copy &) = delete;
        ~Copy();
        int descriptor(std::uint64_t number) const; // -1: it is open elsewhere, or not at all
        void replace(std::uint32_t number, int fd); // -1: nothing is open here under this number any more
    };
    using Turn = std::function<void(bool alive)>; // false: nobody has the table any more
    // Of a table whose home is here.
    struct Home {
        std::set<TaskId> members;
        dsm::NodeSet nodes;       // with a copy of the table
        std::deque<Turn> waiting; // while a change is under way
        bool busy = false;
    };
    struct Outcome {
        int error = 0;
        std::uint64_t free = 0; // after EBUSY
    };
    struct Access {
        TaskId task;
        std::uint64_t thread;
        dsm::NodeId node; // of the task
        std::shared_ptr<FileJob> job;
        std::uint64_t watch = 0; // that node's number for it
        bool withdrawn = false;  // it is to be asked for again, unless it is
        bool cancelled = false;
    };
    // A task of this node waits for files of others.
    struct Waiting {
        int socket;        // on which it is told
        bool wait;         // until there is something to be told
        dsm::NodeSet open; // which have not answered
        std::vector<PolledFile> ready{};
        std::uint64_t error = 0;
    };
    struct Trial {
        dsm::NodeId node;
        std::vector<MovedFile> left; // the last is asked about
        std::function<void(const std::string &why)> done;
    };
    using Agreed = std::function<void(Outcome)>;
    // Counts answers; `open` is one more than those still to come, until all have been asked.
    struct Poll {
        Agreed done;
        unsigned open = 1;
        Outcome outcome{};
        void count(int error, std::uint64_t free);
    };

    TableId make_table();
    void open_streams(Copy &copy);
    Copy *find(TableId table);
    Task *task_of(const Caller &caller) const; // null: it does not run here, or its files are its own
    int make_table_of(Task &task, int parcel); // 0 or an errno value
    void apply(Copy &copy, const FileChange &change);
    void copy_table(const Copy &from, TableId to);
    void tell_members(TableId table, const FileChange &change, Agreed done);
    void begin(Task &task, TableId table, FileTable files, const Done &done);

    void queue(TableId table, Turn turn);
    void next(TableId table);
    void finish(TableId table, const Done &done, const Reply &reply);
    void end(TableId table);
    void make(TableId table, FileChange change, const Done &done);
    void broadcast(TableId table, const FileChange &change, Agreed done);
    void leave(TableId table, TaskId task);

    void reach_at(dsm::NodeId node, const Request &request, const Done &done);
    void start(Access access, std::function<void()> work, Done done);
    void cancel(const std::function<bool(const Access &)> &concerned);
    void watch(std::uint64_t number, dsm::NodeId node, TableId table, const std::vector<PolledFile> &files,
               const Caller &caller);
    void watched(std::uint64_t number, dsm::NodeId node, const std::vector<PolledFile> &files, const Reply &reply);
    void tell_waiting(std::uint64_t number);
    void end_waiting(std::uint64_t number);
    void go_on_trying(const std::shared_ptr<Trial> &trial);

    Node &node_;
    std::uint64_t last_serial_ = 0, last_ticket_ = 0, last_watch_ = 0;
    std::map<TableId, Copy> copies_;
    std::map<TableId, Home> homes_;
    std::map<std::uint64_t, int> tickets_; // files that are about to get a number
    std::list<Access> accesses_;
    std::map<std::uint64_t, Waiting> waiting_;
    bool to_another_host_ = false; // as try_at() has found
};

} // namespace norma::rt

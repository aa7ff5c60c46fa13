// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/files_service.hpp"

#include "runtime/parcel.hpp"
#include "runtime/server/ops.hpp"
#include "runtime/sockets.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace norma::rt {

namespace {

int duplicate(int fd) {
    return fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

// Whether an open file is what tasks on all nodes write the job's output to: that of the node server, too.
bool is_stream(const PackedFile &file) {
    struct stat its {};
    struct stat ours {};
    return (file.number == STDOUT_FILENO || file.number == STDERR_FILENO) && ::fstat(file.fd, &its) == 0 &&
           ::fstat(file.number, &ours) == 0 && its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
}

} // namespace

FilesService::FilesService(Node &node) : node_(node) {}

FilesService::~FilesService() {
    for (const auto &[ticket, fd] : tickets_) {
        close_if_open(fd);
    }
    for (const auto &[number, waiting] : waiting_) {
        close_if_open(waiting.socket);
    }
}

FilesService::Copy::~Copy() {
    for (const auto &[number, fd] : open) {
        close_if_open(fd);
    }
}

int FilesService::Copy::descriptor(std::uint64_t number) const {
    const auto found = number < kMostFiles ? open.find(static_cast<std::uint32_t>(number)) : open.end();
    return found == open.end() ? -1 : found->second;
}

void FilesService::Copy::replace(std::uint32_t number, int fd) {
    if (const auto old = open.extract(number)) {
        close_if_open(old.mapped());
    }
    if (fd >= 0) {
        open[number] = fd;
    }
}

void FilesService::open_streams(Copy &copy) {
    for (const auto &[number, file] : copy.table.files()) {
        copy.replace(number, duplicate(file.stream != 0 ? file.stream : -1));
    }
}

TableId FilesService::make_table() {
    return ++last_serial_ << kTableNodeBits | node_.self;
}

FilesService::Copy *FilesService::find(TableId table) {
    const auto found = copies_.find(table);
    return found == copies_.end() ? nullptr : &found->second;
}

Task *FilesService::task_of(const Caller &caller) const {
    auto *task = node_.running({.kind = Right::Kind::task, .task = caller.task});
    return caller.node == node_.self && task != nullptr && task->open_files != 0 ? task : nullptr;
}

void FilesService::share(const Request &request, Done done) {
    auto *task = node_.running({.kind = Right::Kind::task, .task = request.caller.task});
    const int parcel = take_offer(node_, request.caller);
    if (task == nullptr || parcel < 0 || task->open_files != 0) {
        close_if_open(parcel);
        const bool shares = task != nullptr && task->open_files != 0;
        done(status_reply(shares ? KERN_SUCCESS : task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    done(errno_reply(make_table_of(*task, parcel)));
}

int FilesService::make_table_of(Task &task, int parcel) {
    std::vector<PackedFile> files;
    const int error = unpack(parcel, files);
    const auto table = make_table();
    auto &copy = copies_[table];
    for (const auto &file : files) {
        const SharedFile shared{.node = node_.self,
                                .close_on_exec = file.close_on_exec,
                                .stream = static_cast<std::uint8_t>(is_stream(file) ? file.number : 0)};
        if (file.fd >= 0 && copy.table.add(static_cast<std::uint32_t>(file.number), shared)) {
            copy.replace(static_cast<std::uint32_t>(file.number), file.fd);
        } else {
            close_if_open(file.fd);
        }
    }
    if (error != 0) {
        copies_.erase(table);
        return error;
    }
    auto &home = homes_[table];
    home.members.insert(task.id);
    home.nodes.set(node_.self);
    task.open_files = table;
    return 0;
}

void FilesService::begin_move(Task &task, int parcel) {
    if (task.open_files == 0) {
        make_table_of(task, parcel);
    } else {
        close_if_open(parcel);
    }
}

void FilesService::end_move(Task &task) {
    task_over(task);
    task.open_files = 0;
}

bool FilesService::is_alone(const Task &task) const {
    const auto home = homes_.find(task.open_files);
    return home != homes_.end() && home->second.members.size() == 1 && home->second.waiting.empty();
}

void FilesService::change(const Request &request, Done done) {
    const int offer = take_offer(node_, request.caller);
    const auto *task = task_of(request.caller);
    auto change = change_in(request);
    const bool sound = change && (change->makes_file() || change->kind == FileChange::Kind::close ||
                                  change->kind == FileChange::Kind::set_flags);
    if (task == nullptr || !sound || (change->kind == FileChange::Kind::open) != (offer >= 0)) {
        close_if_open(offer);
        const bool lost =
            sound && change->kind == FileChange::Kind::open && offer < 0; // on the way: the node has no room
        done(task != nullptr && lost ? errno_reply(EMFILE) : status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    std::uint64_t ticket = 0;
    if (offer >= 0) {
        ticket = ++last_ticket_;
        tickets_[ticket] = offer;
        change->node = node_.self;
        change->subject = ticket;
    }
    node_.router.call(home_of_table(task->open_files), request_of(Op::files_decide, *change, task->open_files),
                      [this, ticket, done](const Reply &reply) {
                          if (const auto used = tickets_.extract(ticket)) {
                              close_if_open(used.mapped());
                          }
                          done(reply);
                      });
}

void FilesService::apply(Copy &copy, const FileChange &change) {
    if (change.kind == FileChange::Kind::open) {
        const auto ticket = change.node == node_.self ? tickets_.find(change.subject) : tickets_.end();
        copy.replace(change.number, ticket == tickets_.end() ? -1 : duplicate(ticket->second));
    } else if (change.kind == FileChange::Kind::duplicate) {
        copy.replace(change.number, duplicate(copy.descriptor(change.subject)));
    } else if (change.kind == FileChange::Kind::close) {
        copy.replace(change.number, -1);
    }
    copy.table.apply(change);
}

// Where no file of the old table is open, but for streams that all have, there is nothing to keep for the new one.
void FilesService::copy_table(const Copy &from, TableId to) {
    const auto is_here = [&from](const auto &open) { return from.table.find(open.first)->stream == 0; };
    if (std::ranges::none_of(from.open, is_here)) {
        return;
    }
    auto &copy = copies_[to];
    copy.table = from.table;
    for (const auto &[number, fd] : from.open) {
        copy.replace(number, duplicate(fd));
    }
}

void FilesService::serve_apply(const Request &request, Done done) {
    const auto change = change_in(request);
    const auto table = request.args[3];
    if (!change || !node_.router.may_speak_for(request.caller.node, home_of_table(table))) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    if (change->kind == FileChange::Kind::leave) {
        cancel([task = change->subject](const Access &access) { return access.task == task; });
    }
    auto *copy = find(table);
    if (copy == nullptr || change->kind == FileChange::Kind::end) {
        copies_.erase(table);
        done(errno_reply(0));
        return;
    }
    if (change->kind == FileChange::Kind::copy) {
        copy_table(*copy, change->subject);
        done(errno_reply(0));
        return;
    }
    apply(*copy, *change);
    tell_members(table, *change, [done](Outcome outcome) { done(errno_reply(outcome.error, outcome.free)); });
}

void FilesService::Poll::count(int error, std::uint64_t free) {
    if (error != 0) {
        outcome.error = outcome.error == 0 || outcome.error == EBUSY ? error : outcome.error;
        outcome.free = std::max(outcome.free, free);
    }
    if (--open == 0) {
        done(outcome);
    }
}

// A task that has ended meanwhile agrees to everything.
void FilesService::tell_members(TableId table, const FileChange &change, Agreed done) {
    const auto poll = std::make_shared<Poll>(Poll{.done = std::move(done)});
    const auto words = encode(change);
    const bool opens = change.kind == FileChange::Kind::open;
    for (auto &[id, task] : node_.tasks) {
        if (task->open_files == table && change.kind != FileChange::Kind::leave) {
            const int fd = opens ? duplicate(copies_.at(table).descriptor(change.number)) : -1;
            ++poll->open;
            node_.command(
                *task, Command::file_change, {words[0], words[1], words[2]},
                [fd, poll](const Ack &ack) {
                    close_if_open(fd);
                    poll->count(ack.error == ESRCH ? 0 : ack.error, ack.value);
                },
                fd);
        }
    }
    poll->count(0, 0);
}

// A new task gets its files. It counts as one that has the table from now on, so that its end is told.
void FilesService::serve_enter(const Request &request, Done done) {
    auto *task = node_.running(request.target);
    const auto table = request.args[0];
    const bool copied = request.args[1] != 0;
    if (task == nullptr || task->open_files != 0 || table == 0 || home_of_table(table) >= node_.count) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto own = copied ? make_table() : table;
    task->open_files = own;
    Request join;
    join.op = Op::files_join;
    join.args = {table, task->id, copied ? own : 0};
    node_.router.call(home_of_table(table), std::move(join),
                      [this, id = task->id, own, copied, done](const Reply &reply) {
                          auto files = decode_table(reply.blob, node_.count);
                          if (reply.status != KERN_SUCCESS || !files) {
                              done(status_reply(reply.status != KERN_SUCCESS ? reply.status : KERN_FAILURE));
                              return;
                          }
                          if (copied) {
                              auto &home = homes_[own];
                              home.members.insert(id);
                              home.nodes.set(node_.self);
                              for (const auto &[number, file] : files->files()) {
                                  home.nodes.set(file.node);
                              }
                          }
                          auto *live = node_.running({.kind = Right::Kind::task, .task = id});
                          if (live != nullptr) {
                              begin(*live, own, std::move(*files), done);
                              return;
                          }
                          if (copied) {
                              leave(own, id); // its end was told before there was anything to leave
                          }
                          done(status_reply(KERN_INVALID_TASK));
                      });
}

void FilesService::begin(Task &task, TableId table, FileTable files, const Done &done) {
    const auto [place, made] = copies_.try_emplace(table);
    auto &copy = place->second;
    if (made) {
        copy.table = std::move(files);
        open_streams(copy);
    }
    std::vector<PackedFile> packed;
    for (const auto &[number, file] : copy.table.files()) {
        const int fd = copy.descriptor(number);
        packed.push_back({.number = static_cast<std::int32_t>(number),
                          .close_on_exec = file.close_on_exec,
                          .elsewhere = fd < 0,
                          .fd = fd});
    }
    const int parcel = pack(std::move(packed));
    if (parcel < 0) {
        done(errno_reply(EAGAIN));
        return;
    }
    node_.command(
        task, Command::files_begin, {},
        [parcel, done](const Ack &ack) {
            close_if_open(parcel);
            done(errno_reply(ack.error));
        },
        parcel);
}

void FilesService::task_over(const Task &task) {
    if (task.open_files == 0) {
        return;
    }
    const FileChange change{.kind = FileChange::Kind::leave, .subject = task.id};
    node_.router.tell(home_of_table(task.open_files), request_of(Op::files_decide, change, task.open_files));
}

void FilesService::node_down(dsm::NodeId node) {
    cancel([node](const Access &access) { return access.node == node; });
    std::erase_if(copies_,
                  [this, node](const auto &copy) { return node_.router.server_of(home_of_table(copy.first)) == node; });
    std::vector<std::pair<TableId, TaskId>> lost;
    for (auto &[table, home] : homes_) {
        home.nodes.reset(node);
        for (const auto task : home.members) {
            if (node_of(task) == node) {
                lost.emplace_back(table, task);
            }
        }
    }
    for (const auto &[table, task] : lost) {
        leave(table, task);
    }
}

} // namespace norma::rt

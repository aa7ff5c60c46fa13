// SPDX-License-Identifier: BSD-3-Clause
// Open files of a node that leaves the job (docs/draining.md). Its successor opens them again, once for all the numbers
// that they have, and is then where they are reached under the number of the node that has left.
#include "runtime/server/apart.hpp"
#include "runtime/server/node.hpp"
#include "runtime/server/open_again.hpp"
#include "runtime/sockets.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace norma::rt {

namespace {

// The job's output is the successor's, as it is for tasks that move; so is an input that nobody can open again.
std::string look_at_one(int fd, MovedFile &file) {
    for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
        if (are_one(fd, stream)) {
            file.stream = static_cast<std::uint8_t>(stream);
            return "";
        }
    }
    auto why = look_at(fd, file);
    if (!why.empty() && are_one(fd, STDIN_FILENO)) {
        file = {};
        why.clear();
    }
    return why;
}

std::string does_not_go(std::string_view why) {
    return fmt::format("a file that was opened here is used from other nodes, and does not go: {}", why);
}

} // namespace

FilesService::Packed FilesService::pack_up() const {
    struct Open {
        TableId table;
        std::uint32_t number;
        int fd;
    };
    std::vector<Open> open;
    Packed packed;
    for (const auto &[id, copy] : copies_) {
        for (const auto &[number, fd] : copy.open) {
            if (copy.table.find(number)->stream == 0) { // else every node has it
                open.push_back({.table = id, .number = number, .fd = fd});
                packed.files.tables[id].table = copy.table;
            }
        }
    }
    const auto stays = [&packed](std::string_view what) {
        packed.why = does_not_go(what);
        return packed;
    };
    if (!open.empty() && !can_be_told_apart(open.front().fd)) {
        return stays("the kernel does not say which files are one (kcmp)");
    }
    std::ranges::sort(open, [](const Open &one, const Open &other) { return is_before(one.fd, other.fd); });
    auto &files = packed.files.files;
    for (std::size_t i = 0; i < open.size(); ++i) {
        if (i == 0 || !are_one(open[i - 1].fd, open[i].fd)) {
            if (const auto why = look_at_one(open[i].fd, files.emplace_back()); !why.empty()) {
                return stays(why);
            }
        }
        packed.files.tables.at(open[i].table).open[open[i].number] = static_cast<std::uint32_t>(files.size() - 1);
    }
    for (const auto &[id, home] : homes_) {
        packed.files.tables[id].table = copies_.at(id).table;
        packed.files.homes[id] = {.members = home.members, .nodes = home.nodes};
    }
    return packed;
}

void FilesService::try_at(dsm::NodeId node, std::function<void(const std::string &why)> done) {
    auto packed = pack_up();
    if (!packed.why.empty()) {
        done(packed.why);
        return;
    }
    to_another_host_ = false;
    go_on_trying(
        std::make_shared<Trial>(Trial{.node = node, .left = std::move(packed.files.files), .done = std::move(done)}));
}

void FilesService::go_on_trying(const std::shared_ptr<Trial> &trial) {
    if (trial->left.empty()) {
        trial->done("");
        return;
    }
    rpc::Writer writer;
    put_file(writer, trial->left.back());
    Request request;
    request.op = Op::file_try;
    request.blob = writer.bytes();
    node_.router.call(trial->node, std::move(request), [this, trial](const Reply &reply) {
        if (reply.status != KERN_SUCCESS) {
            const std::string why(reinterpret_cast<const char *>(reply.blob.data()), reply.blob.size());
            trial->done(does_not_go(fmt::format("node {} cannot open it: {}", trial->node,
                                                why.empty() ? fmt::format("error {}", reply.status) : why)));
            return;
        }
        to_another_host_ = to_another_host_ || reply.vals[0] != 0;
        trial->left.pop_back();
        go_on_trying(trial);
    });
}

// What has been opened is closed: until it is entrusted with the file, this node has nothing to do with it.
void FilesService::serve_try(const Request &request, Done done) {
    rpc::Reader reader(request.blob);
    MovedFile file;
    if (!get_file(reader, file) || !reader.done()) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    const auto opened = open_again(file, false);
    close_if_open(opened.fd);
    auto reply = reply_with(opened.why.empty() ? KERN_SUCCESS : KERN_FAILURE, opened.why);
    reply.vals[0] = file.mark.machine != this_machine() ? 1 : 0;
    done(reply);
}

void FilesService::write_back(const std::function<void()> &done) {
    std::vector<int> fds;
    for (const auto &[id, copy] : copies_) {
        for (const auto &[number, fd] : copy.open) {
            if (to_another_host_) {
                fds.push_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
            }
        }
    }
    const auto work = [fds] {
        for (const int fd : fds) {
            ::fsync(fd); // what does not get there shows, when the successor compares
            close_if_open(fd);
        }
    };
    if (fds.empty() || !do_apart(node_.loop, work, done)) {
        work();
        done();
    }
}

// A copy that this node has is what the home of the table says, or is told that before the caller of a change hears
// of it. So what has gone from it is closed, whatever the node that has left knew. Tasks here that had a stand-in get
// the file.
void FilesService::take_over(MovedFiles files, const OpenedFiles &opened) {
    for (auto &[id, moved] : files.tables) {
        const auto home = node_.router.server_of(home_of_table(id));
        if (node_.router.is_down(home)) { // since it was entrusted
            continue;
        }
        const auto [place, made] = copies_.try_emplace(id);
        auto &copy = place->second;
        if (made) {
            copy.table = moved.table;
            open_streams(copy);
        }
        for (const auto &[number, file] : moved.open) {
            const auto *here = copy.table.find(number);
            if (here == nullptr || here->node != moved.table.find(number)->node) {
                continue;
            }
            copy.replace(number, ::fcntl(opened.at(file), F_DUPFD_CLOEXEC, 0));
            tell_members(id,
                         {.kind = FileChange::Kind::open,
                          .close_on_exec = here->close_on_exec,
                          .exact = true,
                          .node = here->node,
                          .number = number},
                         [](Outcome) {});
        }
    }
    for (auto &[id, moved] : files.homes) {
        auto &home = homes_[id];
        home.members = std::move(moved.members);
        home.nodes = moved.nodes;
    }
    for (const auto &[id, moved] : files.homes) {
        for (const auto task : std::set<TaskId>(homes_.at(id).members)) {
            if (node_.router.is_down(node_of(task))) { // since then
                leave(id, task);
            }
        }
    }
}

} // namespace norma::rt

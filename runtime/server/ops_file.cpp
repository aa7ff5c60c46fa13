// SPDX-License-Identifier: BSD-3-Clause
// Memory objects that are files. The node where a file is opened is the object's home: it reads pages when they are
// first wanted, and writes them when a task asks for it or nobody uses the object any more.
#include "runtime/log.hpp"
#include "runtime/server/apart.hpp"
#include "runtime/server/ops.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr std::uint64_t kPagesAtOnce = 1024; // are saved before others have their turn

struct OpenFile {
    std::int32_t status;
    int fd = -1;
    FileId id{};
    std::uint64_t bytes = 0;
};

std::int32_t status_of(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENXIO: // a pipe or a device, which is no regular file either
    case EISDIR:
        return KERN_INVALID_VALUE;
    case EACCES:
    case EPERM:
    case EROFS:
    case ETXTBSY:
        return KERN_PROTECTION_FAILURE;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return KERN_RESOURCE_SHORTAGE;
    case ENAMETOOLONG:
        return KERN_INVALID_ARGUMENT;
    default:
        return KERN_FAILURE;
    }
}

OpenFile open_file(const std::string &path, bool to_write) {
    const int fd = ::open(path.c_str(), (to_write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return {.status = status_of(errno)};
    }
    struct stat about {};
    if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0) {
        ::close(fd);
        return {.status = KERN_INVALID_VALUE};
    }
    return {.status = KERN_SUCCESS,
            .fd = fd,
            .id = {about.st_dev, about.st_ino},
            .bytes = static_cast<std::uint64_t>(about.st_size)};
}

bool sound(const Request &request) {
    const std::string_view path(reinterpret_cast<const char *>(request.blob.data()), request.blob.size());
    const bool access = request.args[0] == VM_PROT_READ || request.args[0] == VM_PROT_DEFAULT;
    return access && !path.empty() && path.size() < PATH_MAX && path.find('\0') == path.npos;
}

// The object of a file that has just been opened; the caller has a use of it then.
std::int32_t object_of(Node &node, const Task &task, const OpenFile &file, bool to_write, dsm::ObjectId &id) {
    if (const auto known = node.files.find(file.id); known != node.files.end()) {
        id = known->second;
        node.use({.object = id});
        if (auto &backing = node.pager.file(id); to_write && !backing.writable()) {
            backing.make_writable(file.fd);
        } else {
            ::close(file.fd);
        }
        return KERN_SUCCESS;
    }
    auto backing = std::make_unique<dsm::Backing>(file.fd, file.bytes, to_write);
    const auto size = page_ceil(file.bytes);
    if (!size || *size > node.window.size) {
        return KERN_RESOURCE_SHORTAGE;
    }
    const auto status = node.make_object(*size, task.ledgers, id, std::move(backing));
    if (status == KERN_SUCCESS) {
        node.files[file.id] = id;
        node.objects.at(id).file = file.id;
    }
    return status;
}

std::int32_t worse(std::int32_t status, dsm::SavingResult result) {
    switch (result) {
    case dsm::SavingResult::lost:
        return KERN_MEMORY_FAILURE;
    case dsm::SavingResult::unwritten:
        return status == KERN_SUCCESS ? KERN_MEMORY_ERROR : status;
    case dsm::SavingResult::saved:
        break;
    }
    return status;
}

} // namespace

void op_object_open_file(Node &node, const Request &request, Done done) {
    auto *task = node.running({.kind = Right::Kind::task, .task = request.caller.task});
    if (task == nullptr || !sound(request)) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const bool to_write = request.args[0] == VM_PROT_DEFAULT;
    const auto file = open_file({reinterpret_cast<const char *>(request.blob.data()), request.blob.size()}, to_write);
    dsm::ObjectId id;
    const auto status = file.status != KERN_SUCCESS ? file.status : object_of(node, *task, file, to_write, id);
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    task->files.insert(id);
    auto reply = status_reply(KERN_SUCCESS);
    reply.rights.push_back(right_of({.object = id}, Right::Kind::object));
    reply.rights.back().key = to_write ? Key{} : kReadOnly;
    reply.vals[1] = node.pager.file(id).bytes();
    done(reply);
}

void op_object_close(Node &node, const Request &request, Done done) {
    auto *task = node.running({.kind = Right::Kind::task, .task = request.caller.task});
    const auto id = object_argument(request);
    const auto found = task == nullptr ? std::multiset<dsm::ObjectId>::iterator() : task->files.find(id);
    if (task == nullptr || found == task->files.end()) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    task->files.erase(found);
    node.release({.object = id});
    done(status_reply(KERN_SUCCESS));
}

void op_vm_msync(Node &node, const Request &request, Done done) {
    const auto *task = node.running(request.target);
    const auto [address, bytes, flags] = std::tuple(request.args[0], request.args[1], request.args[2]);
    constexpr std::uint64_t both = VM_SYNC_ASYNCHRONOUS | VM_SYNC_SYNCHRONOUS;
    constexpr std::uint64_t known = both | VM_SYNC_INVALIDATE | VM_SYNC_CONTIGUOUS;
    if (task == nullptr || (flags & ~known) != 0 || (flags & both) == both) {
        done(status_reply(task == nullptr ? KERN_INVALID_TASK : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto range = task->map.round_outward(address, bytes);
    if (!range || ((flags & VM_SYNC_CONTIGUOUS) != 0 && task->map.check_mapped(address, bytes) != KERN_SUCCESS)) {
        done(status_reply(KERN_INVALID_ADDRESS));
        return;
    }
    struct Progress {
        std::size_t open = 1; // one more than the homes that have been asked, until all have been
        std::int32_t status = KERN_SUCCESS;
    };
    auto progress = std::make_shared<Progress>();
    const auto settle = [progress, done = std::move(done)](std::int32_t status) {
        progress->status = progress->status == KERN_SUCCESS ? status : progress->status;
        if (--progress->open == 0) {
            done(status_reply(progress->status));
        }
    };
    const std::vector<MapEntry> entries(task->map.entries().begin(), task->map.entries().end());
    for (const auto &entry : entries) {
        const auto from = std::max(entry.start, range->start), to = std::min(entry.end(), range->end());
        if (from >= to || entry.stretch.number != 0) { // a copy has no file of its own
            continue;
        }
        rpc::Writer writer;
        put_stretch(writer, entry.stretch);
        Request save;
        save.op = Op::object_save;
        save.args = {entry.offset_of(from) / kMapPage, (to - from) / kMapPage, flags & VM_SYNC_SYNCHRONOUS};
        save.blob = writer.bytes();
        ++progress->open;
        node.use(entry.stretch); // for its home to find this node among those that have it
        node.router.call(
            static_cast<dsm::NodeId>(entry.stretch.object.home), std::move(save),
            [&node, stretch = entry.stretch, settle](const Reply &reply) {
                node.release(stretch);
                settle(reply.status);
            },
            false);
    }
    settle(KERN_SUCCESS);
}

void serve_object_save(Node &node, const Request &request, Done done) {
    rpc::Reader reader(request.blob);
    const auto stretch = get_stretch(reader);
    const auto asker = request.caller.node;
    if (!reader.done() || stretch.number != 0 || stretch.object.home != node.self || !node.in_use(stretch) ||
        (asker != node.self && !node.objects.at(stretch.object).stretches.at(0).mappers[asker])) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    const auto pages = node.pager.pages(stretch.object);
    const auto first = request.args[0], count = request.args[1];
    const bool to_disk = request.args[2] != 0;
    if (!node.objects.at(stretch.object).file || first > pages || count > pages - first) {
        const bool memory = !node.objects.at(stretch.object).file; // of which nothing is to be saved
        done(status_reply(memory ? KERN_SUCCESS : KERN_INVALID_VALUE));
        return;
    }
    node.save(stretch, {first, count}, false, [&node, stretch, to_disk, done = std::move(done)](std::int32_t status) {
        if (status == KERN_SUCCESS && to_disk) {
            node.flush(stretch, [done](std::int32_t flushed) { done(status_reply(flushed)); });
        } else {
            done(status_reply(status));
        }
    });
}

void Node::save(const Stretch &stretch, PageRange pages, bool load, std::function<void(std::int32_t)> done) {
    use(stretch);
    save_part(stretch, pages, load, KERN_SUCCESS, [this, stretch, done = std::move(done)](std::int32_t status) {
        done(status);
        release(stretch);
    });
}

void Node::save_part(const Stretch &stretch, PageRange pages, bool load, std::int32_t status,
                     std::function<void(std::int32_t)> done) {
    if (pages.count == 0) {
        done(status);
        return;
    }
    const PageRange part{pages.first, std::min(pages.count, kPagesAtOnce)};
    const PageRange rest{part.first + part.count, pages.count - part.count};
    if (load) {
        pager.load(stretch.object, part.first, part.count);
    }
    pager.save(stretch.object, part.first, part.count,
               [this, stretch, rest, load, status, done = std::move(done)](dsm::SavingResult result) {
                   loop.at(Clock::now(), [this, stretch, rest, load, status = worse(status, result), done] {
                       save_part(stretch, rest, load, status, done);
                   });
               });
}

void Node::flush(const Stretch &stretch, std::function<void(std::int32_t)> done) {
    const int fd = ::fcntl(pager.file(stretch.object).fd(), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        done(KERN_RESOURCE_SHORTAGE);
        return;
    }
    const auto status = std::make_shared<std::int32_t>(KERN_MEMORY_ERROR);
    const auto wait_for_disk = [fd, status] {
        *status = ::fdatasync(fd) == 0 ? KERN_SUCCESS : KERN_MEMORY_ERROR;
        ::close(fd);
    };
    const auto tell = [status, done = std::move(done)] { done(*status); };
    if (!do_apart(loop, wait_for_disk, tell)) {
        wait_for_disk(); // rather here than not at all
        tell();
    }
}

// What nobody uses any more goes into its file first; true: it has begun to, and ends after that. Its copies, which may
// live on, read through to it, so what they have not touched yet is read for them.
bool Node::save_first(const Stretch &stretch) {
    auto &object = objects.at(stretch.object);
    if (stretch.number != 0 || !object.file || !object.unsaved || shutting_down_) {
        return false;
    }
    ++saving_;
    const bool has_copies = object.stretches.size() > 1;
    save(stretch, {0, pager.pages(stretch.object)}, has_copies, [this](std::int32_t status) {
        if (status != KERN_SUCCESS) {
            log_warning("a file has not got all that was written in its memory: {}",
                        status == KERN_MEMORY_FAILURE ? "some of it was on a node that died" : "it cannot be written");
        }
        if (--saving_ == 0) {
            for (const auto &action : std::exchange(when_saved_, {})) {
                action();
            }
        }
    });
    object.unsaved = false;
    return true;
}

void Node::when_saved(std::function<void()> action) {
    if (saving_ == 0) {
        action();
    } else {
        when_saved_.push_back(std::move(action));
    }
}

} // namespace norma::rt

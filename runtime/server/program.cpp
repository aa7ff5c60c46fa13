// SPDX-License-Identifier: BSD-3-Clause
// Whole programs (docs/programs.md): before anything of the first task's program runs, its variables become coherent
// memory at the address where they are, and every node gives it a part of a heap. All further tasks get both as they
// get the rest of their parent's memory.
#include "runtime/log.hpp"
#include "runtime/server/node.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <string>

namespace norma::rt {

namespace {

constexpr std::uint64_t kPartAlignment = 2 * 1024 * 1024;

// The program as it is being prepared. It ends when the first error has been reported, or everything is there.
struct Preparation {
    Node &node;
    TaskId id;
    Ledgers payers; // the task's
    std::uint64_t part_bytes = 0;
    std::vector<Stretch> parts{}; // by node; this node has a use of each that is there
    unsigned open = 0;
    std::string trouble{};

    Task *task() const {
        const auto found = node.tasks.find(id);
        return found != node.tasks.end() && found->second->state == Task::State::running ? found->second.get()
                                                                                         : nullptr;
    }
};
using Shared = std::shared_ptr<Preparation>;

// The parts that no address map has taken over go back.
void give_up(const Shared &work, const std::string &why) {
    log_error("the program cannot be prepared: {}", why);
    for (const auto &part : work->parts) {
        if (part.object.serial != 0) {
            work->node.release(part);
        }
    }
    if (auto *task = work->task()) {
        work->node.kill_task(*task, [] {});
    }
}

void run(const Shared &work) {
    auto *task = work->task();
    if (task == nullptr) {
        return;
    }
    work->node.tell_of_heap(*task);
    const auto ready = std::exchange(task->on_ready, nullptr);
    ready(KERN_SUCCESS);
}

// One of several answers has come. After the last, `next` follows, unless one of them was trouble.
void answered(const Shared &work, void (*next)(const Shared &)) {
    if (--work->open > 0) {
        return;
    }
    if (work->trouble.empty()) {
        next(work);
    } else {
        give_up(work, work->trouble);
    }
}

void map_parts(const Shared &work) {
    auto &node = work->node;
    auto *task = work->task();
    const auto start =
        task == nullptr ? std::nullopt : node.addresses.allocate(work->part_bytes * node.founders, kPartAlignment - 1);
    if (!start) {
        give_up(work,
                task == nullptr ? "the task has ended" : "no addresses are left for its heap (NORMA_WINDOW_SIZE)");
        return;
    }
    task->program.heap = {.start = *start, .size = work->part_bytes * node.founders};
    work->open = node.founders;
    for (dsm::NodeId part = 0; part < node.founders; ++part) {
        MapEntry entry;
        entry.start = *start + part * work->part_bytes;
        entry.size = work->part_bytes;
        entry.stretch = work->parts[part];
        task->map.insert(entry);
    }
    const auto parts = std::exchange(work->parts, {}); // the address map's from here on
    node.objects.at(parts[node.self].object).addresses.push_back(task->program.heap);
    const std::vector<MapEntry> entries(task->map.entries().begin(), task->map.entries().end());
    for (const auto &entry : entries) {
        if (!task->program.heap.contains(entry.start)) {
            continue;
        }
        node.map_entry(*task, entry, [work](int error) {
            work->trouble = error == 0 ? work->trouble : std::string("its heap cannot be mapped");
            answered(work, run);
        });
    }
}

void make_parts(const Shared &work) {
    auto &node = work->node;
    work->parts.resize(node.founders);
    work->open = node.founders;
    const auto settle = [work](dsm::NodeId where, std::int32_t status) {
        if (status != KERN_SUCCESS) {
            work->trouble = fmt::format("node {} has no {} bytes for its heap (status {}; NORMA_HEAP, NORMA_MEMORY)",
                                        where, work->part_bytes, status);
        }
        answered(work, map_parts);
    };
    for (dsm::NodeId where = 0; where < node.founders; ++where) {
        if (where == node.self) {
            settle(where, node.make_object(work->part_bytes, work->payers, work->parts[where].object));
            continue;
        }
        Request request;
        request.op = Op::heap_part;
        request.args[0] = work->part_bytes;
        rpc::Writer writer;
        put_marks(writer, marks_of(work->payers));
        request.blob = writer.bytes();
        node.router.call(where, std::move(request), [&node, work, where, settle](const Reply &reply) {
            auto status = reply.status;
            rpc::Reader reader(reply.blob);
            const auto stretch = get_stretch(reader);
            if (status == KERN_SUCCESS && (!reader.done() || stretch.object.home != where || stretch.number != 0)) {
                status = KERN_FAILURE;
            }
            if (status == KERN_SUCCESS) {
                node.pager.attach(stretch.object, work->part_bytes / kMapPage, where);
                node.use(stretch);
                work->parts[where] = stretch;
            }
            settle(where, status);
        });
    }
}

} // namespace

void Node::begin_program(TaskId id) {
    auto &task = *tasks.at(id);
    auto work = std::make_shared<Preparation>(Preparation{.node = *this, .id = id, .payers = task.ledgers});
    // A part of the memory that leaves room where parts of other nodes have followed a task, and for copies.
    const auto wanted = config.heap != 0 ? config.heap : memory_limit / 8;
    work->part_bytes = std::max(wanted - wanted % kPartAlignment, kPartAlignment);
    MapEntry data;
    data.start = task.program.data.start;
    data.size = task.program.data.size;
    if (make_object(data.size, task.ledgers, data.stretch.object) != KERN_SUCCESS) {
        give_up(work, fmt::format("no {} bytes for its variables (NORMA_MEMORY)", data.size));
        return;
    }
    task.map.insert(data);
    map_entry(
        task, data,
        [work](int error) {
            if (error == 0) {
                make_parts(work);
            } else {
                give_up(work, "its variables cannot be moved into coherent memory");
            }
        },
        Command::map_data);
}

void Node::tell_of_heap(Task &task) {
    const auto &heap = task.program.heap;
    if (heap.size != 0 && task.map.check_mapped(heap.start, heap.size) == KERN_SUCCESS) {
        command(task, Command::heap, {heap.start, heap.size / heap_parts, heap_parts}, [](const Ack &) {});
        for (dsm::NodeId node = 0; node < count; ++node) {
            if (router.is_down(node)) {
                tell_of_lost_heap(task, node);
            }
        }
    }
}

// A node has the part of its number, if there is one, and in a job from a checkpoint also those of nodes that there are
// no more.
void Node::tell_of_lost_heap(Task &task, dsm::NodeId node) {
    command(task, Command::heap_lost, {node, 1}, [](const Ack &) {});
    for (unsigned part = node + founders; part < heap_parts; part += founders) {
        command(task, Command::heap_lost, {part}, [](const Ack &) {});
    }
}

void Node::serve_heap_part(const Request &request, const Done &done) {
    const auto bytes = request.args[0];
    Stretch part;
    LedgerMarks marks;
    Ledgers payers;
    rpc::Reader reader(request.blob);
    const bool sound =
        get_marks(reader, marks) && reader.done() && bytes != 0 && page_aligned(bytes) && bytes <= window.size;
    const auto status = !sound                         ? KERN_INVALID_ARGUMENT
                        : !ledgers.draw(marks, payers) ? KERN_RESOURCE_SHORTAGE
                                                       : make_object(bytes, payers, part.object);
    if (status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    auto &object = objects.at(part.object);
    object.stretches.at(0).mappers.set(request.caller.node);
    object.holders.set(request.caller.node);
    release(part); // the caller is its user now
    rpc::Writer writer;
    put_stretch(writer, part);
    Reply reply;
    reply.blob = writer.bytes();
    done(reply);
}

} // namespace norma::rt

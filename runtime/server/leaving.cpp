// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/leaving.hpp"

#include "norma/mach.h"
#include "runtime/log.hpp"
#include "runtime/server/node.hpp"
#include "runtime/server/services.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace norma::rt {

namespace {

using namespace std::chrono_literals;
constexpr auto kPause = 2ms;              // between two looks at what cannot be hurried
constexpr auto kQuietLimit = 5s;          // for requests that are under way when nobody asks any more
constexpr std::size_t kPartBytes = 32768; // of what the services know, in one request

std::string words_of(const Reply &reply) {
    return reply.blob.empty() ? fmt::format("error {}", reply.status)
                              : std::string(reinterpret_cast<const char *>(reply.blob.data()), reply.blob.size());
}

std::string words_of(const dsm::ObjectId &id) {
    return fmt::format("memory object {}.{}", id.home, id.serial);
}

} // namespace

std::optional<dsm::NodeId> Leaving::successor() const {
    return order_ ? std::optional(successor_) : std::nullopt;
}

// ---- begin and end ----

void Leaving::begin(const launch::Drain &order) {
    const auto refuse = [&order](std::string why) {
        Node::tell_launcher(launch::Drained{.number = order.number, .moved = 0, .why = std::move(why)});
    };
    if (order_) {
        return refuse("it is leaving already");
    }
    order_ = order;
    last_place_ = node_.self;
    if (order.to != launch::kAnyNode &&
        (order.to >= node_.count || order.to == node_.self || node_.router.is_down(order.to))) {
        order_.reset();
        return refuse(fmt::format("node {} is no other node of the job", order.to));
    }
    successor_ = next_place();
    if (successor_ == node_.self) {
        order_.reset();
        return refuse("it is the only node of the job");
    }
    last_place_ = node_.self;
    ++attempt_;
    moved_ = 0;
    gone_.clear();
    next_task();
}

// This node stays, as if nothing had been. Tasks and memory that have gone do not come back.
void Leaving::fail(const std::string &why) {
    const auto number = order_->number;
    ++attempt_;
    order_.reset();
    pieces_.clear();
    services_.clear();
    node_.ports.take_back();
    if (std::exchange(closed_, false)) {
        for (dsm::NodeId other = 0; other < node_.count; ++other) {
            if (other != node_.self && !node_.router.is_down(other)) {
                Request go_on;
                go_on.op = Op::hold_calls;
                node_.router.tell(other, std::move(go_on));
            }
        }
    }
    log_info("this node does not leave the job: {}", why);
    Node::tell_launcher(launch::Drained{.number = number, .moved = moved_, .why = why});
}

void Leaving::node_down(dsm::NodeId node) {
    if (order_ && node == successor_) {
        fail(fmt::format("node {}, which was to have what was made here, has died", node));
    }
}

void Leaving::later(void (Leaving::*step)()) {
    node_.loop.at(Clock::now() + kPause, [this, step, attempt = attempt_] {
        if (attempt == attempt_) {
            (this->*step)();
        }
    });
}

void Leaving::tell_progress() {
    std::uint64_t bytes = 0;
    for (const auto &[id, object] : node_.objects) {
        bytes += node_.pager.resident(id);
    }
    Node::tell_launcher(launch::Draining{
        .number = order_->number, .tasks = static_cast<std::uint32_t>(node_.tasks.size()), .bytes = bytes});
}

// ---- tasks ----

// One after the other, each to the next node.
void Leaving::next_task() {
    for (const auto &[id, task] : node_.tasks) {
        const bool is_settled = task->state == Task::State::running && !task->moving && !task->awaited_by;
        if (is_settled && !task->threads_moved) {
            move(*task);
            return;
        }
    }
    if (!node_.tasks.empty()) { // they start, end, or move already
        return later(&Leaving::next_task);
    }
    bring_memory_away();
}

dsm::NodeId Leaving::next_place() {
    if (order_->to != launch::kAnyNode) {
        return order_->to;
    }
    for (unsigned step = 0; step < node_.count; ++step) {
        last_place_ = static_cast<dsm::NodeId>((last_place_ + 1U) % node_.count);
        if (last_place_ != node_.self && !node_.router.is_down(last_place_)) {
            return last_place_;
        }
    }
    return node_.self;
}

void Leaving::move(const Task &task) {
    tell_progress();
    Request request;
    request.op = Op::task_migrate;
    request.target = task.own_right();
    request.args = {next_place(), 0};
    node_.execute(request, [this, id = task.id, attempt = attempt_](const Reply &reply) {
        if (attempt != attempt_) {
            return;
        }
        const bool ended = reply.status == KERN_INVALID_TASK, dead = reply.status == KERN_NODE_DOWN;
        if (reply.status != KERN_SUCCESS && !ended && !dead) {
            return fail(fmt::format("task {}.{} does not move: {}", node_of(id), static_cast<std::uint32_t>(id),
                                    words_of(reply)));
        }
        moved_ += reply.status == KERN_SUCCESS ? 1 : 0;
        later(&Leaving::next_task);
    });
}

// ---- memory ----

// What follows the tasks comes this way as well, and nothing twice: whoever has it says so.
void Leaving::bring_memory_away() {
    pieces_ = pieces_left();
    tell_progress();
    next_piece();
}

// To a node that uses the object, if this is its home; else home.
std::vector<Leaving::Piece> Leaving::pieces_left() const {
    std::vector<Piece> pieces;
    for (const auto &[id, object] : node_.objects) {
        const auto home = node_.rehoming.home_of(id);
        const auto heir = home == node_.self ? next_home(object) : std::optional(home);
        if (!heir || node_.router.is_down(*heir)) {
            continue;
        }
        std::set<std::uint64_t> stretches;
        const auto pages = node_.pager.pages(id);
        for (auto held = node_.pager.held(id, 0, dsm::kEndOfPages - 1, 1); !held.batches.empty();) {
            const auto number = held.batches.front().base / pages;
            stretches.insert(number);
            const auto next = (number + 1) * pages;
            held = node_.pager.held(id, next, dsm::kEndOfPages - 1 - next, 1);
        }
        if (home == node_.self) {
            stretches.insert(0);
        }
        for (const auto number : stretches) {
            const Stretch stretch{.object = id, .number = number};
            const bool moves_home = home == node_.self && number == 0;
            if (moves_home || !gone_.contains(stretch)) {
                pieces.push_back({.stretch = stretch, .to = *heir, .home = moves_home});
            }
        }
    }
    return pieces;
}

// A name goes to the successor, and its memory with it.
std::optional<dsm::NodeId> Leaving::next_home(const ObjectUse &object) const {
    const auto use = object.stretches.find(0);
    if (use == object.stretches.end()) {
        return std::nullopt;
    }
    if (object.named || use->second.mappers[successor_]) {
        return successor_;
    }
    for (dsm::NodeId node = 0; node < node_.count; ++node) {
        if (use->second.mappers[node] && !node_.router.is_down(node)) {
            return node;
        }
    }
    return std::nullopt;
}

void Leaving::next_piece() {
    if (pieces_.empty()) {
        return closed_ ? all_has_been_asked_for() : try_files();
    }
    const auto piece = pieces_.back();
    rpc::Writer writer;
    put_stretch(writer, piece.stretch);
    Request request;
    request.op = Op::adopt;
    request.args[0] = piece.home ? 1 : 0;
    request.blob = writer.bytes();
    const auto heard = [this, piece, attempt = attempt_](const Reply &reply) {
        if (attempt != attempt_) {
            return;
        }
        if (reply.status == KERN_SUCCESS) {
            gone_.insert(piece.stretch);
        }
        pieces_.pop_back();
        next_piece();
    };
    node_.router.call(piece.to, std::move(request), heard, false);
}

std::optional<dsm::ObjectId> Leaving::home_left() const {
    for (const auto &[id, object] : node_.objects) {
        if (node_.rehoming.home_of(id) == node_.self) {
            return id;
        }
    }
    return std::nullopt;
}

// A home that somebody fetches already, or where a thread has queued at a word just now, may move the next time.
void Leaving::all_has_been_asked_for() {
    if (home_left() && what_stays().empty() && Clock::now() < deadline_) {
        later(&Leaving::wait_until_quiet);
    } else {
        ask_all_to_hold(Hold::everything, &Leaving::wait_for_the_rest);
    }
}

// ---- services ----

// Before anybody has to wait.
void Leaving::try_files() {
    if (const auto why = what_stays(); !why.empty()) {
        return fail(why);
    }
    node_.open_files.try_at(successor_, [this, attempt = attempt_](const std::string &why) {
        if (attempt == attempt_) {
            why.empty() ? close() : fail(why);
        }
    });
}

void Leaving::close() {
    closed_ = true;
    deadline_ = Clock::now() + kQuietLimit;
    ask_all_to_hold(Hold::beginnings, &Leaving::wait_until_quiet);
}

// Two nodes hear of what the other has said in the order in which it was said. So when all have answered, everything
// that they have asked of this node before has arrived here, and all that it has answered before has arrived there.
void Leaving::ask_all_to_hold(Hold what, void (Leaving::*then)()) {
    const auto open = std::make_shared<std::size_t>(1); // one more, until all have been asked
    const auto holds = [this, then, open, attempt = attempt_](const Reply &) {
        if (--*open == 0 && attempt == attempt_) {
            (this->*then)();
        }
    };
    for (dsm::NodeId other = 0; other < node_.count; ++other) {
        if (other != node_.self && !node_.router.is_down(other)) {
            ++*open;
            Request hold;
            hold.op = Op::hold_calls;
            hold.args[0] = static_cast<std::uint64_t>(what);
            node_.router.call(other, std::move(hold), holds);
        }
    }
    holds({});
}

// Nobody waits any more, so all memory can go now.
void Leaving::wait_until_quiet() {
    node_.sync.withdraw_all();
    node_.ports.withdraw_all();
    node_.withdraw_waits();
    node_.open_files.withdraw_waits();
    node_.router.withdraw();
    if (is_quiet()) {
        pieces_ = pieces_left();
        next_piece();
    } else {
        look_again(&Leaving::wait_until_quiet);
    }
}

bool Leaving::is_quiet() const {
    return node_.tasks.empty() && node_.router.open_requests() == 0 && node_.router.open_calls() == 0 &&
           node_.freezes.empty() && !node_.groups.is_busy() && node_.ports.is_quiet() && node_.open_files.is_quiet();
}

void Leaving::look_again(void (Leaving::*step)()) {
    if (Clock::now() < deadline_) {
        later(step);
    } else {
        fail(fmt::format("{} requests to it, {} of its own and {} messages are still under way",
                         node_.router.open_requests(), node_.router.open_calls(), node_.ports.home().delivering()));
    }
}

// Empty: nothing.
std::string Leaving::what_stays() const {
    for (const auto &[id, object] : node_.objects) {
        if (object.file) {
            return fmt::format("{} is a file that was opened here (norma_object_open_file)", words_of(id));
        }
        const bool has_home_here = node_.rehoming.home_of(id) == node_.self && !node_.rehoming.moves(id);
        if (has_home_here && (object.stretches.size() > 1 || !node_.pager.may_move(id))) {
            return fmt::format("{} is wired, or has copies", words_of(id));
        }
    }
    if (auto why = node_.open_files.pack_up().why; !why.empty()) {
        return why;
    }
    return node_.ledgers.are_made() ? "ledgers were made here" : "";
}

// What has been said to it of rights until now may be something that others are told of. When all have answered again,
// what this node has said to them has arrived, too.
void Leaving::wait_for_the_rest() {
    if (!is_quiet()) {
        return look_again(&Leaving::wait_for_the_rest);
    }
    node_.open_files.write_back([this, attempt = attempt_] { // nobody writes to them any more
        if (attempt == attempt_) {
            ask_all_to_hold(Hold::everything, &Leaving::hand_over);
        }
    });
}

void Leaving::hand_over() {
    if (const auto why = what_stays(); !why.empty()) { // it has come since
        return fail(why);
    }
    if (const auto home = home_left()) {
        return fail(fmt::format("{} does not move: it is used here, or nobody uses it", words_of(*home)));
    }
    const auto [files, why] = node_.open_files.pack_up();
    if (!why.empty()) {
        return fail(why);
    }
    services_ = encode(services_of(node_, files));
    node_.ports.hand_over();
    sent_ = 0;
    next_part();
}

void Leaving::next_part() {
    const auto part = std::span(services_).subspan(sent_, std::min(kPartBytes, services_.size() - sent_));
    Request request;
    request.op = Op::entrust;
    request.args = {sent_, services_.size()};
    request.blob.assign(part.begin(), part.end());
    sent_ += part.size();
    node_.router.call(successor_, std::move(request), [this, attempt = attempt_](const Reply &reply) {
        if (attempt != attempt_) {
            return;
        }
        if (reply.status != KERN_SUCCESS) {
            fail(fmt::format("node {} does not take what the services here know: {}", successor_, words_of(reply)));
        } else if (sent_ < services_.size()) {
            next_part();
        } else { // the launcher decides from here on
            Node::tell_launcher(launch::Leaves{.number = order_->number, .moved = moved_, .successor = successor_});
        }
    });
}

} // namespace norma::rt

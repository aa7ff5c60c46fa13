// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_gate.hpp"
#include <unistd.h>

#include "rpc/record.hpp"
#include "runtime/launcher_say.hpp"

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostVisitors = 64;
constexpr auto kPatience = 10s; // with somebody who has connected

} // namespace

Gate::Gate(const Endpoint &where, Terms terms) : terms_(std::move(terms)), listener_(listen_at(where)) {}

Gate::~Gate() {
    ::close(listener_);
}

void Gate::add_to(std::vector<pollfd> &fds) const {
    fds.push_back({listener_, POLLIN, 0});
    for (const auto &visitor : visitors_) {
        fds.push_back({visitor.stream.fd(), visitor.stream.events(), 0});
    }
}

std::optional<Gate::Clock::time_point> Gate::deadline() const {
    // They have come in this order, and have all been given as long.
    return visitors_.empty() ? std::nullopt : std::optional(visitors_.front().deadline);
}

void Gate::serve(const std::function<std::optional<unsigned>()> &free_place,
                 const std::function<void(unsigned node, Guest guest)> &admit) {
    accept_all();
    for (auto visitor = visitors_.begin(); visitor != visitors_.end();) {
        bool over = false;
        if (const auto join = introduction(*visitor, over)) {
            const auto name =
                printable(join->host.empty() ? visitor->address : fmt::format("{}, {}", join->host, visitor->address));
            auto why = objection(*join);
            const auto node = why ? std::nullopt : free_place();
            if (!why && !node) {
                why = fmt::format("the job has all its {} nodes", terms_.nodes);
            }
            if (why) {
                say("refused {}: {}", name, printable(*why));
                visitor->stream.send(launch::encode(launch::Refused{.why = *why}));
            } else {
                visitor->stream.set_limit(kMaxLaunchBytes);
                visitor->stream.send(launch::encode(launch::Welcome{.node = static_cast<std::uint16_t>(*node),
                                                                    .nodes = static_cast<std::uint16_t>(terms_.nodes),
                                                                    .settings = settings_for_joiners(terms_.env),
                                                                    .program = terms_.program,
                                                                    .cwd = terms_.cwd}));
                admit(*node, Guest{std::move(visitor->stream), name});
            }
            over = true;
        }
        visitor = over ? visitors_.erase(visitor) : std::next(visitor);
    }
}

void Gate::accept_all() {
    for (int fd = accept_from(listener_); fd >= 0; fd = accept_from(listener_)) {
        RecordStream stream(fd, kMaxJoinBytes);
        if (visitors_.size() < kMostVisitors) { // else it is closed again, and may come later
            visitors_.push_back({std::move(stream), format_endpoint(remote_endpoint(fd)), Clock::now() + kPatience});
        }
    }
}

// Sets `over` if there is none and will be none.
std::optional<launch::Join> Gate::introduction(Visitor &visitor, bool &over) {
    std::vector<std::byte> bytes;
    switch (visitor.stream.receive(bytes)) {
    case RecordStream::Received::record:
        if (const auto record = launch::decode(bytes); record && std::holds_alternative<launch::Join>(*record)) {
            return std::get<launch::Join>(*record);
        }
        break;
    case RecordStream::Received::nothing:
        if (Clock::now() < visitor.deadline) {
            return std::nullopt;
        }
        break;
    case RecordStream::Received::closed:
    case RecordStream::Received::garbage:
        break;
    }
    over = true;
    count_stranger(visitor);
    return std::nullopt;
}

std::optional<std::string> Gate::objection(const launch::Join &join) const {
    if (join.version != kJoinVersion) {
        return fmt::format("its norma speaks version {} of joining, the launcher's version {}", join.version,
                           kJoinVersion);
    }
    if (join.key != terms_.key) {
        return "wrong job key";
    }
    if (join.wire != rpc::kWireVersion) {
        return fmt::format("its node server speaks version {}, the job's version {}", join.wire, rpc::kWireVersion);
    }
    return disagreement(terms_.env, join.settings);
}

void Gate::count_stranger(const Visitor &visitor) {
    if (++strangers_ == 1) {
        say("a connection from {} did not say what a joiner says; it and any like it are closed", visitor.address);
    }
}

} // namespace norma::rt

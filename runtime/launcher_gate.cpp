// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_gate.hpp"

#include <algorithm>

#include <unistd.h>

#include "rpc/record.hpp"
#include "runtime/job_proof.hpp"
#include "runtime/launcher_say.hpp"

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostVisitors = 64;
constexpr auto kPatience = 10s; // with somebody who has connected

void refuse(RecordStream &stream, const std::string &name, const std::string &why) {
    say("refused {}: {}", name, printable(why));
    stream.send(launch::encode(launch::Refused{.why = why}));
}

} // namespace

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

bool Gate::serve(const FindPlace &free_place, const Admit &admit) {
    turned_away_ = admitted_ = false;
    accept_all();
    visitors_.remove_if([&](Visitor &visitor) { return !admitted_ && hear(visitor, free_place, admit); });
    return turned_away_;
}

void Gate::accept_all() {
    for (int fd = accept_from(listener_); fd >= 0; fd = accept_from(listener_)) {
        RecordStream stream(fd, kMaxJoinBytes);
        if (visitors_.size() < kMostVisitors) { // else it is closed again, and may come later
            visitors_.push_back({std::move(stream), format_endpoint(remote_endpoint(fd)), Clock::now() + kPatience});
        }
    }
}

bool Gate::hear(Visitor &visitor, const FindPlace &free_place, const Admit &admit) {
    std::vector<std::byte> bytes;
    switch (visitor.stream.receive(bytes)) {
    case RecordStream::Received::record:
        if (const auto record = launch::decode(bytes)) {
            const auto *const join = std::get_if<launch::Join>(&*record);
            if (join != nullptr && !visitor.join) {
                return challenge(visitor, *join);
            }
            const auto *const proof = std::get_if<launch::Proof>(&*record);
            if (proof != nullptr && visitor.join) {
                return judge(visitor, *proof, free_place, admit);
            }
        }
        break;
    case RecordStream::Received::nothing:
        if (Clock::now() < visitor.deadline) {
            return false;
        }
        break;
    case RecordStream::Received::closed:
    case RecordStream::Received::garbage:
        break;
    }
    count_stranger(visitor);
    return true;
}

bool Gate::challenge(Visitor &visitor, const launch::Join &join) const {
    if (join.version != kJoinVersion) {
        refuse(visitor.stream, visitor.address,
               fmt::format("its norma speaks version {} of joining, the launcher's version {}", join.version,
                           kJoinVersion));
        return true;
    }
    visitor.join = join;
    visitor.challenge.number = fresh_number();
    visitor.stream.send(launch::encode(visitor.challenge));
    return false;
}

// The key first: who does not know it is told nothing else.
bool Gate::judge(Visitor &visitor, const launch::Proof &proof, const FindPlace &free_place, const Admit &admit) {
    const auto &join = *visitor.join;
    const auto name =
        printable(join.host.empty() ? visitor.address : fmt::format("{}, {}", join.host, visitor.address));
    if (!is_same(proof.proof, proof_of_joiner(terms_.key, join, visitor.challenge))) {
        refuse(visitor.stream, name, "wrong job key");
        return true;
    }
    auto why = objection(visitor);
    const auto node = why ? std::nullopt : free_place(join.node);
    if (!why && !node) {
        why = join.node == 0 ? fmt::format("the job has all its {} nodes", terms_.most)
                             : fmt::format("the job has no place {} that is free", join.node);
    }
    if (why) {
        turned_away_ = true;
        refuse(visitor.stream, join.node == 0 ? name : fmt::format("node {} on {}", join.node, name), *why);
        return true;
    }
    launch::Welcome welcome{.node = static_cast<std::uint16_t>(*node),
                            .nodes = static_cast<std::uint16_t>(std::max(terms_.size.nodes, *node + 1)),
                            .founders = static_cast<std::uint16_t>(terms_.size.founders),
                            .places = static_cast<std::uint16_t>(terms_.size.places),
                            .settings = settings_for_joiners(terms_.env),
                            .program = terms_.program,
                            .cwd = terms_.cwd};
    welcome.proof = proof_of_launcher(terms_.key, join, visitor.challenge, welcome);
    visitor.stream.set_limit(kMaxLaunchBytes);
    visitor.stream.send(launch::encode(welcome));
    admitted_ = true;
    admit(*node, Guest{std::move(visitor.stream), name});
    return true;
}

std::optional<std::string> Gate::objection(const Visitor &visitor) const {
    const auto &join = *visitor.join;
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

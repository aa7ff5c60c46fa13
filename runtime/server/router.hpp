// SPDX-License-Identifier: BSD-3-Clause
// Requests between node servers, with their replies, deadlines and the loss of a node. A request for this node itself
// is executed on the spot, so callers need not care where its target lives. The number of a node is a place, and a name
// for what was made there: what is asked of that goes to another node when it has left the job (docs/draining.md).
#pragma once

#include "runtime/protocol.hpp"
#include "runtime/server/loop.hpp"
#include "runtime/server/wire.hpp"

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace norma::rt {

// Called exactly once, maybe before the call that took it returns.
using Done = std::function<void(Reply)>;

inline Reply status_reply(std::int32_t status) {
    Reply reply;
    reply.status = status;
    return reply;
}
inline Reply reply_with(std::int32_t status, std::string_view why) {
    auto reply = status_reply(status);
    const auto text = std::as_bytes(std::span(why));
    reply.blob.assign(text.begin(), text.end());
    return reply;
}
// Of what says what is wrong as Unix does: vals[1] is an errno value.
inline Reply errno_reply(int error, std::uint64_t value = 0) {
    Reply reply;
    reply.vals[0] = value;
    reply.vals[1] = static_cast<std::uint64_t>(error);
    return reply;
}

class Router {
  public:
    using Send = std::function<void(dsm::NodeId to, const std::vector<std::byte> &record)>;
    using Execute = std::function<void(const Request &, Done)>;

    Router(dsm::NodeId self, Loop &loop, std::chrono::milliseconds timeout, Send send, Execute execute);

    // KERN_NODE_DOWN if the node is gone, or goes. With `deadline`, KERN_OPERATION_TIMED_OUT when it has passed; a
    // reply that comes later is dropped.
    void call(dsm::NodeId node, Request request, Done done, bool deadline = true);
    // With a deadline; what has become of the call in the end, if it has passed, goes to `late`.
    void call_to_the_end(dsm::NodeId node, Request request, Done done, Done late);
    // What another node has asked of this one, and waits for.
    void pass_on(dsm::NodeId node, Request request, Done done, bool deadline);
    // Tells a node something; nobody waits for the answer.
    void tell(dsm::NodeId node, Request request);

    void on_request(dsm::NodeId from, Request request);
    void on_reply(dsm::NodeId from, std::uint64_t call, Reply reply);
    void node_down(dsm::NodeId node);
    bool is_down(dsm::NodeId node) const { return down_[node]; }
    std::size_t nodes_down() const { return down_.count(); }
    std::size_t open_calls() const { return pending_.size(); }
    std::size_t open_requests() const { return open_requests_; } // of other nodes

    // ---- nodes that leave ----
    dsm::NodeId server_of(dsm::NodeId node) const { return server_[node]; } // where what was made there is
    bool serves(dsm::NodeId node) const { return server_[node] == self_; }
    // Whether a node can say what one that served for `name` has to say: it does itself, or may be about to.
    bool may_speak_for(dsm::NodeId node, dsm::NodeId name) const {
        return server_[name] == node || held_.contains(server_[name]);
    }
    // What is asked of a node's services waits, until let_go() or the node's end.
    void hold(dsm::NodeId node, Hold what);
    bool holds(dsm::NodeId node) const { return held_.contains(node); }
    void let_go(dsm::NodeId node);
    void left(dsm::NodeId node, dsm::NodeId successor); // it is down, and the other has what was made there
    // Answers what was passed on without a deadline with kWithdrawn.
    void withdraw();

  private:
    struct Pending {
        dsm::NodeId node;
        Done done, late;     // late: null if nobody wants it
        std::uint64_t timer; // 0: none
        bool passed_on = false;
    };
    struct Held {
        Hold what;
        std::vector<std::function<void()>> requests;
    };
    void ask(dsm::NodeId node, Request request, Pending pending, bool deadline);
    void ask_in_turn(dsm::NodeId node, Request request, Pending pending, bool deadline);
    dsm::NodeSet served_by(dsm::NodeId node) const;
    void end_all_to(dsm::NodeId node);
    void expire(std::uint64_t call);
    void finish(std::uint64_t call, Reply reply);

    dsm::NodeId self_;
    Loop &loop_;
    std::chrono::milliseconds timeout_;
    Send send_;
    Execute execute_;
    std::uint64_t next_call_ = 1;
    std::unordered_map<std::uint64_t, Pending> pending_;
    std::size_t open_requests_ = 0;
    dsm::NodeSet down_;
    std::array<dsm::NodeId, dsm::kMaxNodes> server_{}; // by node, where what was made there is
    std::map<dsm::NodeId, Held> held_;
    // While what was held is asked again: whatever is asked of these names meanwhile comes behind it.
    dsm::NodeSet asked_again_;
    std::deque<std::function<void()>> again_;
};

} // namespace norma::rt

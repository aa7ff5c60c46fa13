// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/port_refs.hpp"

#include "norma/mach.h"

#include <cassert>

namespace norma::rt {

Request request_for(Op op, const Right &target) {
    Request request;
    request.op = op;
    request.target = target;
    return request;
}

void PortRefs::hold(const Right &right, bool made, Then then) {
    if (right.kind != Right::Kind::port) {
        then(true);
        return;
    }
    auto &ref = refs_[right];
    const bool is_new = ref.count++ == 0 && ref.state == Ref::State::attaching && ref.waiting.empty();
    if (!is_new && ref.state != Ref::State::attaching) {
        if (made && ref.state == Ref::State::attached) {
            attach(right, true, false);
        }
        then(ref.state == Ref::State::attached);
        return;
    }
    ref.waiting.push_back(std::move(then));
    if (is_new || made) {
        attach(right, made, is_new);
    }
}

// Not `counted`: the home knows of this node already, or is about to; only one more right has been made.
void PortRefs::attach(const Right &right, bool made, bool counted) {
    auto request = request_for(Op::port_attach, right);
    request.args[0] = made ? 1 : 0;
    call_(
        node_of(right.task), std::move(request),
        [this, right, counted](const Reply &reply) {
            if (counted) {
                attached(right, reply.status);
            }
        },
        true);
}

void PortRefs::attached(const Right &right, std::int32_t status) {
    if (status == KERN_OPERATION_TIMED_OUT) { // nobody knows whether the home counts this node: it need not
        let_go(right);
    }
    const auto found = refs_.find(right);
    assert(found != refs_.end() && found->second.state == Ref::State::attaching);
    const bool alive = status == KERN_SUCCESS;
    found->second.state = alive ? Ref::State::attached : Ref::State::dead;
    const auto waiting = std::exchange(found->second.waiting, {});
    if (found->second.count == 0) { // dropped meanwhile
        refs_.erase(found);
        if (alive) {
            let_go(right);
        }
    }
    if (!alive) {
        lost_(right);
    }
    for (const auto &then : waiting) {
        then(alive);
    }
}

void PortRefs::drop(const Right &right) {
    if (right.kind != Right::Kind::port) {
        return;
    }
    const auto found = refs_.find(right);
    assert(found != refs_.end() && found->second.count > 0);
    if (--found->second.count > 0 || found->second.state == Ref::State::attaching) {
        return;
    }
    const bool alive = found->second.state == Ref::State::attached;
    refs_.erase(found);
    if (alive) {
        let_go(right);
    }
}

// Behind every attach() that has gone to the home before, and before every later one.
void PortRefs::let_go(const Right &right) {
    call_(
        node_of(right.task), request_for(Op::port_release, right), [](const Reply &) {}, true);
}

void PortRefs::mark_dead(const Right &right) {
    const auto found = refs_.find(right);
    if (found != refs_.end() && found->second.state == Ref::State::attached) {
        found->second.state = Ref::State::dead; // one that is attaching hears from its home
    }
}

bool PortRefs::is_dead(const Right &right) const {
    const auto found = refs_.find(right);
    return found != refs_.end() && found->second.state == Ref::State::dead;
}

std::vector<Right> PortRefs::made_on(const dsm::NodeSet &nodes) const {
    std::vector<Right> rights;
    for (const auto &[right, ref] : refs_) {
        if (nodes[node_of(right.task)]) {
            rights.push_back(right);
        }
    }
    return rights;
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// How many references this node has to each port: one for each name with send rights, one for each right in a message
// that is here. The port's home knows only whether there are any.
#pragma once

#include "runtime/right.hpp"
#include "runtime/server/router.hpp"

#include <functional>
#include <map>
#include <vector>

namespace norma::rt {

Request request_for(Op op, const Right &target);

class PortRefs {
  public:
    using Call = std::function<void(dsm::NodeId to, Request request, Done done, bool deadline)>;
    using Then = std::function<void(bool alive)>;

    // `lost` hears of a port that is found dead.
    PortRefs(Call call, std::function<void(const Right &)> lost) : call_(std::move(call)), lost_(std::move(lost)) {}

    // One more reference, to be dropped even if the port turns out to be dead. `then` hears when the home knows of
    // this node, which may be at once. `made`: the right has just been made from the right to receive. What is no port
    // needs no counting.
    void hold(const Right &right, bool made, Then then);
    void drop(const Right &right);
    void mark_dead(const Right &right);
    bool is_dead(const Right &right) const;
    std::vector<Right> made_on(const dsm::NodeSet &nodes) const;
    std::size_t ports() const { return refs_.size(); }

  private:
    struct Ref {
        std::uint64_t count = 0;
        enum class State : std::uint8_t { attaching, attached, dead } state = State::attaching;
        std::vector<Then> waiting; // for the home's answer
    };
    void attach(const Right &right, bool made, bool counted);
    void attached(const Right &right, std::int32_t status);
    void let_go(const Right &right);

    Call call_;
    std::function<void(const Right &)> lost_;
    std::map<Right, Ref> refs_;
};

} // namespace norma::rt

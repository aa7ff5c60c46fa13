// SPDX-License-Identifier: BSD-3-Clause
// The clocks of several hosts. By how much they differ can be known only as well as a message travels: so an operation
// is taken to have begun as early, and to have ended as late, as may be.
#pragma once

#include "tests/history/operation.hpp"

#include <cstdint>
#include <vector>

namespace history {

class Clocks {
  public:
    // In the first task of a job, before and after what is to be timed. Asks every node for the time, again and again.
    void compare();
    // After two comparisons: puts the times into those of node 0. A clock that nobody adjusts runs evenly, if not as
    // fast as another, so in between it is as far ahead as the two comparisons make it.
    void correct(std::vector<Operation> &operations) const;
    std::int64_t uncertainty() const; // nanoseconds, of the worst

  private:
    struct Ahead {           // of node 0's clock, at least and at most
        std::int64_t at = 0; // in the node's own time
        std::int64_t least = 0, most = 0;
    };
    static Ahead ask(int node);
    Ahead between(unsigned node, std::int64_t time) const;

    std::vector<std::vector<Ahead>> seen_; // by comparison, by node
};

} // namespace history

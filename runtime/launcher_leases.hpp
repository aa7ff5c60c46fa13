// SPDX-License-Identifier: BSD-3-Clause
// Which node servers still answer. Each has a lease: it is asked four times in it or more often, and one that does not
// answer for the whole of it is given up, also if its process is there (it hangs, or is stopped, or its host is). A
// question is out until it is answered, so a launcher that was stopped itself blames nobody: the answers have come
// meanwhile. Pure but for the time, which the caller says.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

namespace norma::rt {

class Leases {
  public:
    using Clock = std::chrono::steady_clock;
    Leases(std::size_t nodes, Clock::duration length, Clock::time_point now);

    // Nodes that have to be asked now; they count as asked.
    std::vector<std::size_t> to_ask(Clock::time_point now);
    void answered(std::size_t node, Clock::time_point now);
    // Nodes whose lease has run out. Each is named once, and not asked any more.
    std::vector<std::size_t> run_out(Clock::time_point now);
    void end(std::size_t node);                          // it is gone
    void begin(std::size_t node, Clock::time_point now); // it is new
    // When there will be something to do; nothing: never.
    std::optional<Clock::time_point> deadline() const;

  private:
    struct Lease {
        bool over = false, asked = false;
        Clock::time_point since; // it was asked; or else, when it is to be
    };
    Clock::duration length_;
    std::vector<Lease> leases_;
};

} // namespace norma::rt

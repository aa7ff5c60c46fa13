// SPDX-License-Identifier: BSD-3-Clause
// One random program: a few tasks on all nodes, and what the reference says of each.
#pragma once

#include "tests/system/reference.hpp"

#include <array>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace systest {

inline constexpr std::size_t kActors = 7; // the first is the task that directs, and takes part itself

struct Actor {
    task_t task = TASK_NULL;
    int node = 0;
    bool mute = false; // it has no seat, as it was made without memory
    ReferenceMemory memory;
};

// What an actor is told to read and write, and what must come of it.
struct Batch {
    std::size_t who = 0;
    std::vector<Access> orders, expected;
};

class Program {
  public:
    Program(Stage &stage, std::uint64_t seed);
    void play();

  private:
    using Step = void (Program::*)(std::size_t who);

    // Drawing.
    std::size_t below(std::size_t limit) { return random_() % limit; }
    bool chance(unsigned percent) { return below(100) < percent; }
    template <class T> auto one_of(const T &all) { return all[below(all.size())]; }
    int any_node() { return static_cast<int>(below(static_cast<std::size_t>(norma::node_count()))); }
    PageRange any_range();
    std::size_t any_actor();

    // Steps.
    void allocate(std::size_t who);
    void deallocate(std::size_t who);
    void inherit(std::size_t who);
    void protect(std::size_t who);
    void create(std::size_t who);
    void clone(std::size_t who);
    void teleport(std::size_t who);
    void terminate(std::size_t who);
    void access(std::size_t who);
    void access_by_all(std::size_t who);

    void adopt(task_t task, int node, bool mute, ReferenceMemory memory);
    void end(std::size_t who);

    // Reads and writes.
    void add(Batch &batch, vm_address_t page, std::size_t word, bool write);
    Batch some_accesses(std::size_t who, std::size_t count);
    Batch aside(std::size_t busy);
    void start(const Batch &batch);
    void finish(const Batch &batch);
    void check_everything();
    void check_contents();
    void check_regions(std::size_t who);

    // Results.
    void expect(kern_return_t expected, kern_return_t got);
    void log(std::size_t who, const std::string &what) {
        trace_ += fmt::format("\n  {}: task {} on node {}: {}", step_, who, actors_.at(who)->node, what);
    }
    [[noreturn]] void complain(const std::string &what) {
        systest::fail(__FILE__, __LINE__,
                      fmt::format("program {} of {} nodes, step {}: {}; what it did:{}", seed_, norma::node_count(),
                                  step_, what, trace_));
    }

    Stage &stage_;
    const std::uint64_t seed_;
    std::mt19937_64 random_;
    std::array<std::optional<Actor>, kActors> actors_;
    std::vector<PageRange> places_; // all that was ever allocated in; the first at addresses that programs choose
    std::vector<Step> steps_;       // the more often, the more likely
    std::size_t length_, most_actors_;
    unsigned asides_; // per cent
    std::size_t step_ = 0;
    std::uint64_t last_value_ = 0;
    std::string trace_;
};

} // namespace systest

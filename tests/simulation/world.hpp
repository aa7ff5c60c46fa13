// SPDX-License-Identifier: BSD-3-Clause
// One run: a whole job of node servers, made of production code, and the machines, network and programs around them.
// One World at a time; what the production code asks the system for finds it through world().
#pragma once

#include "runtime/server/node.hpp"
#include "tests/simulation/descriptors.hpp"
#include "tests/simulation/plan.hpp"
#include "tests/simulation/process.hpp"
#include "tests/simulation/program.hpp"
#include "tests/simulation/witness.hpp"

#include <optional>
#include <string>
#include <utility>

namespace norma::sim {

struct Report {
    std::uint64_t seed = 0;
    std::string error; // empty: nothing was wrong
    std::uint64_t reads = 0, writes = 0, poisons = 0, events = 0, messages = 0;
    unsigned nodes = 0, crashes = 0;
    std::uint64_t trace = 0, state = 0; // hashes of all events, and of what is there when nothing moves
    rpc::sim::Injected injected;
    std::uint64_t partitions = 0, slow_nodes = 0, kills = 0;
    Probes probes;
    Drilled drilled;
};

class World {
  public:
    World(std::uint64_t seed, std::FILE *trace, std::optional<Drill> drill = {});
    ~World();
    World(const World &) = delete;
    World &operator=(const World &) = delete;

    Report run();

    const std::uint64_t seed;
    rpc::sim::Random random;
    std::uint64_t last_key = 0;
    const Plan plan;
    rpc::sim::Scheduler scheduler;
    Trace trace;
    Probes probes;
    Oracle oracle;
    Witness witness;
    rpc::sim::Network network;
    Descriptors fds;
    Job job;
    Drilled drilled;
    struct Migration {
        std::set<PageNumber> arriving; // in the process
        std::vector<pid_t> children;   // that had room for its threads
    };
    std::map<pid_t, Migration> moves; // of tasks with all their threads, by the process that is left

    void fail(const std::string &what); // the first counts
    // What may go wrong only where somebody dies.
    void expect(bool condition, std::string_view what);
    void got_lock(std::uint64_t mutex, const Actor &actor);
    bool deadly() const {
        return plan.crashes + plan.kills + plan.partitions > 0 || (plan.drill && plan.drill->message > 0);
    }

    // ---- nodes.cpp: node servers and their loops ----
    int add_loop(rt::Loop &loop);
    void remove_loop(int number);
    void wake_soon(int loop);                  // it takes a turn
    void wake_at(int loop, Nanoseconds delay); // for a timer
    void send_notices(int loop);
    NodeId running() const { return running_; } // whose code runs
    rt::Node *node(NodeId number) const { return hosts_[number].node.get(); }

    // ---- processes of tasks ----
    pid_t add_process(int control);
    Process *process(pid_t pid);
    std::set<pid_t> all_processes() const;
    void end_process(pid_t pid, int status);
    std::optional<rt::Processes::End> next_end(); // of the node that runs
    int add_fault_descriptor(pid_t pid, std::shared_ptr<AddressSpace> space);
    void fault_waits(pid_t pid);
    bool is_new(const AddressSpace::Mapping &mapping) const;
    Actor &add_actor(Process &process, std::uint64_t entry, std::uint64_t argument);
    Actor *actor(std::uint64_t id);
    void remove_actor(std::uint64_t id);
    void thread_over(Actor &actor);
    std::uint64_t next_tid() { return next_tid_++; }
    // Whoever it was that ended the process, or its node: not the node server, and not the program.
    void end_by_force(pid_t pid);

  private:
    struct Host {
        std::unique_ptr<rt::Node> node;
        bool dead = false;
        bool slow = false;
        int children = -1; // the descriptor that tells of ended processes
        int loop = -1;
        std::vector<rt::Processes::End> ended;
    };
    struct LoopRecord {
        rt::Loop *loop = nullptr; // null: gone
        NodeId node = 0;
        bool awake = false; // a turn is to come
    };
    // Runs the action as code of that node.
    template <class Action> void as(NodeId node, Action action) {
        const auto before = std::exchange(running_, node);
        action();
        running_ = before;
    }
    void set_up();
    void start_job(std::uint32_t incarnation);
    void start_node(NodeId number, std::uint32_t incarnation);
    void end_former_life();
    void turn(int loop);
    void run_until_idle();
    void stop_node(NodeId number);

    // ---- chaos.cpp ----
    void plan_chaos();
    void at_random_time(unsigned times, std::function<void()> action);
    void partition();
    void slow_down();
    // `first`, if it is alive, hears of it long before the others.
    void crash(NodeId number, std::optional<NodeId> first = std::nullopt);
    void spread_the_news(NodeId gone, std::optional<NodeId> first);
    void crash_someone();
    void message_sent(NodeId from, NodeId to, const rt::Coherence &message);
    void call_sent(NodeId from, NodeId to);
    void drill_message(std::span<const std::byte> record);
    void strike();
    bool crash_may_come() const;
    void crash_soon(NodeId victim, std::optional<NodeId> first);
    void kill_someone();
    void fence(NodeId one, NodeId other);
    void heal();
    std::optional<NodeId> someone_alive();

    // ---- verdict.cpp ----
    void judge_quiet();
    void judge_nowhere(const Actor &actor);
    void judge_end();
    void judge_drill();
    void judge_node(const rt::Node &node);
    void judge_uses(const rt::Node &node);
    void remember(const rt::Node &node);
    void judge_empty(const rt::Node &node);
    void collect(Report &report);

    std::string error_;
    std::vector<Host> hosts_;
    std::vector<LoopRecord> loops_;
    NodeId running_ = 0;
    std::map<pid_t, std::unique_ptr<Process>> processes_;
    std::map<pid_t, int> fault_fds_;
    std::set<pid_t> ended_by_force_;
    std::map<std::uint64_t, std::unique_ptr<Actor>> actors_;
    pid_t next_pid_ = 1000;
    std::uint64_t next_tid_ = 100000, next_actor_ = 1;
    bool healed_ = false, in_former_life_ = false;
    std::uint64_t messages_ = 0, state_ = 0;
    std::uint64_t partitions_ = 0, slowed_ = 0, killed_ = 0;
    unsigned crashes_ = 0, crashes_to_come_ = 0;
};

World &world();

} // namespace norma::sim

// SPDX-License-Identifier: BSD-3-Clause
// A job as its launcher sees it: the node servers, and how far they are.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "runtime/job_settings.hpp"
#include "runtime/launch.hpp"
#include "runtime/launcher.hpp"
#include "runtime/launcher_control.hpp"
#include "runtime/launcher_gate.hpp"
#include "runtime/launcher_leases.hpp"
#include "runtime/launcher_node.hpp"
#include "runtime/launcher_restore.hpp"
#include "runtime/launcher_signals.hpp"

namespace norma::rt {

class LauncherJob {
  public:
    explicit LauncherJob(const JobOptions &options);
    int run();

  private:
    static constexpr std::uint64_t kByItself = 0; // a departure that nobody asked for by way of Control

    using Clock = std::chrono::steady_clock;
    enum class Phase { gathering, connecting, running, ending };

    struct Node {
        std::unique_ptr<NodeServer> server; // none: it has not joined yet
        std::string host;                   // of one that has joined
        std::vector<std::byte> address;
        bool ready = false, connected = false;
        bool left = false;         // it has left the job; its end is no news
        std::size_t successor = 0; // then: where what was made there is now

        bool alive() const { return server != nullptr && server->alive(); }
    };

    // Two nodes have lost each other. If both still live at this moment, the victim has to go.
    struct Dispute {
        Clock::time_point at;
        std::size_t victim = 0, other = 0;
        std::string why;
    };

    // A node that joins while the program runs. There is one at a time; others wait.
    struct Arrival {
        std::size_t node = 0;
        std::uint64_t wish = 0;        // of Control, for it; 0: it has come by the gate
        bool announced = false;        // the others have been told of it: its number is taken for good
        std::set<std::size_t> awaited; // who has still to meet it
        std::string trouble;           // why it cannot come
        std::optional<Clock::time_point> deadline;
    };

    // A node that leaves, one at a time (docs/draining.md).
    struct Departure {
        std::size_t node = 0;
        std::uint64_t number = 0; // of who asked, for Control
        std::uint32_t moved = 0;
        std::size_t successor = 0;        // once it has said so
        bool serving = false;             // the successor has been told to serve; so it has left, unless that dies
        std::optional<std::string> ended; // meanwhile, and why
    };

    // A checkpoint that a signal has asked for.
    struct Writing {
        SignalOrder order;
        Clock::time_point begun; // when the signal came
        pid_t writer = 0;        // the process that writes it
    };

    // ---- launcher_drain.cpp: a node leaves ----
    std::string begin_departure(std::uint64_t number, const launch::Drain &order); // why not; empty: it leaves
    bool handle_departure(std::size_t index, const launch::Record &record);        // whether it was about that
    void handed_over(const launch::Leaves &leaves);
    void departed();
    void gone_for_good();
    bool ended_in_departure(std::size_t index, const std::string &why); // whether that is all there is to say
    void say_down(std::size_t index, const std::string &why);

    // ---- launcher_on_signal.cpp ----
    bool asked_for(int signal); // false: it has its usual effect
    void serve_orders();
    void look_after_writer();
    void await_writer();
    void serve_leavers();
    bool nothing_under_way() const; // that a checkpoint or a node that leaves would have to wait for

    // ---- launcher_start.cpp: until the program runs ----
    void open_gate();
    void start_node_servers();
    void admit_joiners();
    void not_started_in_time();
    std::string name_absent(const std::vector<std::size_t> &nodes) const;
    void node_ready(std::size_t index, const std::vector<std::byte> &address);
    void node_connected(std::size_t index);
    void send_start();
    void send_run();

    // ---- launcher_arrival.cpp: nodes that join while it runs ----
    void serve_wishes();
    void add_node_here(std::uint64_t wish);
    Environment environment_here() const;
    void begin_arrival(std::unique_ptr<NodeServer> server, std::string host, std::uint64_t wish);
    bool from_arrival(std::size_t index, const launch::Record &record); // false: it means something else
    void announce_arrival();
    void meet_arrival(std::size_t index, const launch::Met &met);
    void settle_arrival();
    void give_up_arrival(const std::string &why);
    void handle_late_arrival();
    void arrival_ended(const std::string &why);
    bool is_arriving(std::size_t index) const { return arrival_ && arrival_->node == index; }
    JobSize size_with(std::size_t nodes) const;
    // ---- launcher_restore.cpp ----
    void begin_restoration();
    void restore_next();
    void piece_restored(std::size_t index, const launch::Restored &answer);
    void end_restoration(const std::string &why);

    // ---- launcher.cpp ----
    void open_control();
    Control::Job seen_from_outside();
    void wait_for_events();
    void handle_signals();
    void handle_sockets();
    void handle_deaths();
    void handle_leases();
    void handle_disputes();
    void handle_deadline();

    void drain(std::size_t index);
    void handle_record(std::size_t index, std::span<const std::byte> bytes);
    void suspected(std::size_t by, const launch::Suspect &suspect);
    void first_task_ended(int status, const std::string &note);
    void node_ended(std::size_t index, const NodeServer::End &end);

    void send(std::size_t index, const launch::Record &record);
    void shut_down(int exit_status);
    void kill_all();
    template <class Is> std::vector<std::size_t> nodes_that(Is is) const {
        std::vector<std::size_t> found;
        for (std::size_t index = 0; index < nodes_.size(); ++index) {
            if (std::invoke(is, nodes_[index])) {
                found.push_back(index);
            }
        }
        return found;
    }
    // Who has left before the program runs, or was refused; not one of whom the cluster's launcher starts each once.
    bool may_come_again() const { return options_.joining && options_.joining->expected.empty(); }
    std::size_t alive() const { return nodes_that(&Node::alive).size(); }

    const JobOptions &options_;
    const std::uint64_t key_;               // of the transport
    const std::chrono::milliseconds lease_; // 0: none
    Signals signals_;
    std::vector<Node> nodes_;
    std::optional<Arrival> arrival_; // of the last node
    std::optional<Departure> departure_;
    std::set<std::size_t> leavers_; // nodes whose joiners want them to leave
    std::optional<Writing> to_write_, writing_;
    std::vector<Dispute> disputes_; // in the order of their moments
    std::optional<Gate> gate_;
    std::optional<Control> control_;
    std::optional<Leases> leases_;           // while the program runs
    std::optional<RestoreFeed> restoration_; // until it runs again
    std::set<std::size_t> restoring_;        // who has yet to answer
    Phase phase_ = Phase::gathering;
    std::size_t first_task_at_ = 0;
    int exit_status_ = 1;
    bool killed_ = false; // this launcher has killed the node servers, so their deaths are no news
    std::optional<Clock::time_point> deadline_;
    std::vector<std::byte> buffer_;
};

std::string list_nodes(const std::vector<std::size_t> &nodes); // "nodes 1, 2"

} // namespace norma::rt

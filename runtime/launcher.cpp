// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>

#include <fmt/format.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/launch.hpp"
#include "runtime/launcher_node.hpp"
#include "runtime/launcher_signals.hpp"

namespace norma::rt {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kStartLimit = 60s;           // from the first fork until every node server is connected
constexpr auto kFirstTaskLostLimit = 500ms; // after its node is gone, for another node to say that it has moved there
constexpr auto kEndLimit = 3s;              // from the order to shut down until the node servers are killed
constexpr auto kKillLimit = 5s;             // from the kill until the launcher gives up waiting
constexpr std::uint32_t kIncarnation = 1;

template <class... Args> void say(fmt::format_string<Args...> format, Args &&...args) {
    // One write per line: several processes share the stream.
    const auto line = "norma: " + fmt::format(format, std::forward<Args>(args)...) + "\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

std::string describe_signal(int signal) {
    return fmt::format("signal {} ({})", signal, ::strsignal(signal));
}

std::string describe_end(int status) {
    if (WIFSIGNALED(status)) {
        return fmt::format("killed by signal {}", WTERMSIG(status));
    }
    return fmt::format("exit status {}", WEXITSTATUS(status));
}

std::uint64_t random_key() {
    std::uint64_t key = 0;
    while (key == 0) {
        if (::getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key) && errno != EINTR) {
            throw std::system_error(errno, std::generic_category(), "getrandom");
        }
    }
    return key;
}

struct Node {
    std::unique_ptr<NodeProcess> process;
    std::vector<std::byte> address;
    bool ready = false, connected = false;
};

class Job {
  public:
    explicit Job(const JobOptions &options) : options_(options) {}
    int run();

  private:
    enum class Phase { gathering, connecting, running, ending };

    void start_node_servers();
    void wait_for_events();
    void handle_signals();
    void handle_sockets();
    void handle_deaths();
    void handle_deadline();

    void drain(std::size_t index);
    void handle_record(std::size_t index, std::span<const std::byte> bytes);
    void node_ready(std::size_t index, const std::vector<std::byte> &address);
    void node_connected(std::size_t index);
    void first_task_ended(int status, const std::string &note);
    void node_ended(std::size_t index, int status);

    void send_start();
    void send_run();
    void send(std::size_t index, const launch::Record &record);
    void shut_down(int exit_status);
    void kill_all();
    std::string waiting_for() const;
    std::size_t alive() const {
        return static_cast<std::size_t>(
            std::count_if(nodes_.begin(), nodes_.end(), [](const Node &node) { return node.process->alive(); }));
    }

    const JobOptions &options_;
    Signals signals_;
    std::vector<Node> nodes_;
    Phase phase_ = Phase::gathering;
    std::size_t first_task_at_ = 0;
    int exit_status_ = 1;
    bool killed_ = false; // this launcher has killed the node servers, so their deaths are no news
    std::optional<Clock::time_point> deadline_;
    std::vector<std::byte> buffer_;
};

int Job::run() {
    deadline_ = Clock::now() + kStartLimit;
    start_node_servers();
    while (alive() > 0) {
        wait_for_events();
        handle_sockets();
        handle_signals();
        handle_deadline();
        if (killed_ && !deadline_) {
            break;
        }
    }
    return exit_status_;
}

void Job::start_node_servers() {
    const auto key = random_key();
    try {
        for (unsigned index = 0; index < options_.nodes; ++index) {
            nodes_.push_back({std::make_unique<NodeProcess>(index, options_.nodes, options_.node_server, options_.env,
                                                            signals_.before()),
                              {}});
            send(index, launch::JobKey{.key = key});
        }
    } catch (const std::system_error &error) {
        say("cannot start node {}: {}", nodes_.size(), error.what());
        phase_ = Phase::ending;
        kill_all();
    }
}

void Job::wait_for_events() {
    std::vector<pollfd> fds{{signals_.fd(), POLLIN, 0}};
    for (const auto &node : nodes_) {
        if (node.process->fd() >= 0) {
            fds.push_back({node.process->fd(), POLLIN, 0});
        }
    }
    int timeout = -1;
    if (deadline_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
        timeout = static_cast<int>(std::max(left, 0ms).count());
    }
    ::poll(fds.data(), fds.size(), timeout);
}

// A SIGCHLD that has been read must be followed by a look at the children: nothing else says that one has ended.
void Job::handle_signals() {
    bool child_ended = false;
    while (const auto signal = signals_.next()) {
        if (*signal == SIGCHLD) {
            child_ended = true;
        } else if (phase_ == Phase::ending) {
            kill_all(); // asked twice, or impatient with a job that ends slowly
        } else {
            shut_down(128 + *signal);
        }
    }
    if (child_ended) {
        handle_deaths();
    }
}

void Job::handle_sockets() {
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
        drain(index);
    }
}

void Job::handle_deaths() {
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
        auto &process = *nodes_[index].process;
        if (process.ended()) {
            drain(index); // its last words; reap() closes the socket
            node_ended(index, process.reap());
        }
    }
}

void Job::handle_deadline() {
    if (!deadline_ || Clock::now() < *deadline_ || alive() == 0) {
        return;
    }
    deadline_.reset();
    if (phase_ == Phase::running) {
        if (!nodes_[first_task_at_].process->alive()) {
            say("the first task was lost with node {}", first_task_at_);
            shut_down(1);
        }
    } else if (phase_ != Phase::ending) {
        say("{} not {} after {} s", waiting_for(), phase_ == Phase::gathering ? "ready" : "connected",
            kStartLimit / 1s);
        shut_down(1);
    } else if (!killed_) {
        say("{} did not end within {} s: killed", waiting_for(), kEndLimit / 1s);
        kill_all();
    } else {
        say("{} cannot be killed", waiting_for());
    }
}

void Job::drain(std::size_t index) {
    auto &process = *nodes_[index].process;
    for (;;) {
        switch (process.receive(buffer_)) {
        case NodeProcess::Received::record:
            handle_record(index, buffer_);
            break;
        case NodeProcess::Received::closed:
            // It cannot be told anything any more. Usually it is dying; kill() makes sure.
            if (phase_ != Phase::ending) {
                process.kill();
            }
            return;
        case NodeProcess::Received::nothing:
            return;
        }
    }
}

void Job::handle_record(std::size_t index, std::span<const std::byte> bytes) {
    const auto record = launch::decode(bytes);
    if (record) {
        if (const auto *ready = std::get_if<launch::Ready>(&*record); ready != nullptr && phase_ == Phase::gathering) {
            return node_ready(index, ready->address);
        }
        if (std::holds_alternative<launch::Connected>(*record) && phase_ == Phase::connecting) {
            return node_connected(index);
        }
        if (const auto *exited = std::get_if<launch::Exited>(&*record); exited != nullptr && phase_ == Phase::running) {
            // Of a task that has moved, the node it has left may not know that it has arrived.
            if (index == first_task_at_ || !nodes_[first_task_at_].process->alive()) {
                first_task_ended(exited->status, exited->note);
            }
            return;
        }
        if (std::holds_alternative<launch::Hosting>(*record) && phase_ == Phase::running) {
            first_task_at_ = index;
            deadline_.reset(); // it left its old node before that one died
            return;
        }
        if (const auto *fatal = std::get_if<launch::Fatal>(&*record)) {
            say("node {}: {}", index, fatal->why);
            return shut_down(1);
        }
    }
    if (phase_ != Phase::ending) {
        const auto type = bytes.empty() ? 0U : std::to_integer<unsigned>(bytes[0]);
        say("node {} sent an unexpected message (type {}, {} bytes)", index, type, bytes.size());
        shut_down(1);
    }
}

void Job::node_ready(std::size_t index, const std::vector<std::byte> &address) {
    nodes_[index].address = address;
    nodes_[index].ready = true;
    if (std::all_of(nodes_.begin(), nodes_.end(), [](const Node &node) { return node.ready; })) {
        send_start();
    }
}

void Job::node_connected(std::size_t index) {
    nodes_[index].connected = true;
    if (std::all_of(nodes_.begin(), nodes_.end(), [](const Node &node) { return node.connected; })) {
        send_run();
    }
}

void Job::first_task_ended(int status, const std::string &note) {
    if (!note.empty()) {
        say("{}", note);
    }
    if (WIFSIGNALED(status)) {
        say("task killed by {}", describe_signal(WTERMSIG(status)));
        shut_down(128 + WTERMSIG(status));
    } else {
        shut_down(WEXITSTATUS(status));
    }
}

void Job::node_ended(std::size_t index, int status) {
    if (killed_) {
        return;
    }
    // The end of a job may itself come from a death that has not been noticed here yet.
    const auto why = describe_end(status);
    if (phase_ != Phase::ending || WIFSIGNALED(status)) {
        say("node {} is gone ({})", index, why);
    }
    if (phase_ == Phase::ending) {
        return;
    }
    if (phase_ != Phase::running) {
        say("the job could not be started");
        return shut_down(1);
    }
    const launch::NodeDown down{.node = static_cast<std::uint16_t>(index), .why = why};
    for (std::size_t other = 0; other < nodes_.size(); ++other) {
        if (nodes_[other].process->alive()) {
            send(other, down);
        }
    }
    if (index == first_task_at_) {
        deadline_ = Clock::now() + kFirstTaskLostLimit;
    }
}

void Job::send_start() {
    phase_ = Phase::connecting;
    launch::Start start;
    for (const auto &node : nodes_) {
        start.nodes.push_back({.incarnation = kIncarnation, .address = node.address});
    }
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
        send(index, start);
    }
}

void Job::send_run() {
    phase_ = Phase::running;
    deadline_.reset();
    const auto run = launch::encode(
        launch::Run{.program = options_.program, .argv = options_.argv, .env = options_.env, .cwd = options_.cwd});
    if (!nodes_[0].process->send(run) && (errno == EMSGSIZE || errno == ENOBUFS)) {
        say("the program's arguments and environment are too long ({} bytes)", run.size());
        shut_down(1);
    }
}

// A node server that does not take a record will be found dead, or is stuck and as good as dead: so make sure.
void Job::send(std::size_t index, const launch::Record &record) {
    if (!nodes_[index].process->send(launch::encode(record))) {
        nodes_[index].process->kill();
    }
}

void Job::shut_down(int exit_status) {
    if (phase_ == Phase::ending) {
        return;
    }
    phase_ = Phase::ending;
    exit_status_ = exit_status;
    deadline_ = Clock::now() + kEndLimit;
    const auto record = launch::encode(launch::Shutdown{});
    for (auto &node : nodes_) {
        node.process->send(record); // one that does not listen meets the deadline
    }
}

void Job::kill_all() {
    killed_ = true;
    deadline_ = Clock::now() + kKillLimit;
    for (auto &node : nodes_) {
        node.process->kill();
    }
}

std::string Job::waiting_for() const {
    std::vector<std::string> names;
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
        const auto &node = nodes_[index];
        const bool waiting = phase_ == Phase::gathering    ? !node.ready
                             : phase_ == Phase::connecting ? !node.connected
                                                           : node.process->alive();
        if (waiting) {
            names.push_back(std::to_string(index));
        }
    }
    return fmt::format("node{} {}", names.size() == 1 ? "" : "s", fmt::join(names, ", "));
}

} // namespace

int run_job(const JobOptions &options) {
    try {
        return Job(options).run();
    } catch (const std::exception &error) {
        say("cannot run the job: {}", error.what());
        return 1;
    }
}

} // namespace norma::rt

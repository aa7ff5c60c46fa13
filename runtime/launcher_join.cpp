// SPDX-License-Identifier: BSD-3-Clause
// `norma node --join`: what the launcher is to the node servers of its host, the joiner is to the one here. It starts
// it, hands records to and fro, and ends it with all its tasks when the connection to the launcher ends.
#include "runtime/launcher.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "rpc/record.hpp"
#include "runtime/job_proof.hpp"
#include "runtime/job_settings.hpp"
#include "runtime/launch.hpp"
#include "runtime/launcher_input.hpp"
#include "runtime/launcher_node.hpp"
#include "runtime/launcher_say.hpp"
#include "runtime/launcher_signals.hpp"
#include "runtime/record_stream.hpp"

namespace norma::rt {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int kWrongInput = 2;
constexpr auto kRetry = 200ms; // until a launcher is there
constexpr auto kAttempt = 3s;  // at an address, while there are others

struct CommandLine {
    std::string join, key_file, transport;
    std::vector<std::string> on_signal;
    unsigned join_timeout = 60;
    bool verbose = false;
};

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

int milliseconds_until(Clock::time_point when) {
    return static_cast<int>(std::max(std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()), 0ms).count());
}

class Joiner {
  public:
    explicit Joiner(Place place) : place_(std::move(place)), deadline_(Clock::now() + place_.limit) {}
    int run();

  private:
    bool connect();
    bool wait_for(int fd, short events, Clock::time_point until); // false: a signal that ends it, or too late
    std::optional<launch::Welcome> introduce();
    bool start_node(const launch::Welcome &welcome);
    void relay();
    void from_launcher();
    void from_node();
    void handle_signals();
    bool asked_for(int signal); // false: it has its usual effect
    void drained(const launch::Drained &answer);
    void give_up(const std::string &why);

    const Place place_;
    const Clock::time_point deadline_; // for having a place
    Signals signals_{place_.on_signal};
    Endpoint launcher_at_;
    std::optional<RecordStream> launcher_;
    std::unique_ptr<NodeProcess> node_;
    std::vector<std::byte> buffer_;
    std::uint16_t number_ = 0; // of the node
    struct Leaving {
        int signal = 0;
        Clock::time_point begun;
    };
    std::optional<Leaving> leaving_;       // the launcher has been asked
    bool connected_ = true, over_ = false; // over: the launcher has said so
    int exit_status_ = 1;
};

int Joiner::run() {
    if (!connect()) {
        return exit_status_;
    }
    const auto welcome = introduce();
    if (!welcome || !start_node(*welcome)) {
        return exit_status_;
    }
    relay();
    return exit_status_;
}

// The launcher may be started after the joiners.
bool Joiner::connect() {
    const auto places = static_cast<unsigned>(place_.launcher.size());
    for (unsigned attempt = 0;; ++attempt) {
        launcher_at_ = place_.launcher[attempt % places];
        const int fd = begin_to_connect(launcher_at_, attempt / places);
        int error = errno;
        if (fd >= 0) {
            RecordStream stream(fd, kMaxLaunchBytes);
            const auto limit = places == 1 ? deadline_ : std::min(deadline_, Clock::now() + kAttempt);
            error = wait_for(fd, POLLOUT, limit) ? connect_outcome(fd) : ETIMEDOUT;
            if (error == 0) {
                launcher_.emplace(std::move(stream));
                return true;
            }
        }
        if (exit_status_ != 1) {
            return false; // a signal
        }
        if (Clock::now() + kRetry > deadline_) {
            say("cannot join at {}: {}", format_endpoint(launcher_at_), std::strerror(error));
            return false;
        }
        if ((attempt + 1) % places == 0) {
            wait_for(-1, 0, Clock::now() + kRetry);
        }
    }
}

bool Joiner::wait_for(int fd, short events, Clock::time_point until) {
    while (Clock::now() < until) {
        std::array<pollfd, 2> fds{pollfd{signals_.fd(), POLLIN, 0}, pollfd{fd, events, 0}};
        ::poll(fds.data(), fds.size(), milliseconds_until(until));
        handle_signals();
        if (exit_status_ != 1) {
            return false;
        }
        if (fds[1].revents != 0) {
            return true;
        }
    }
    return false;
}

std::optional<launch::Welcome> Joiner::introduce() {
    const launch::Join join{.wire = rpc::kWireVersion,
                            .number = fresh_number(),
                            .node = place_.node,
                            .host = host_name(),
                            .settings = settings_to_agree_on(place_.env)};
    launcher_->send(launch::encode(join));
    std::optional<launch::Challenge> challenge;
    const auto name = format_endpoint(launcher_at_);
    for (;;) {
        const auto received = launcher_->receive(buffer_);
        if (received == RecordStream::Received::nothing) {
            if (!wait_for(launcher_->fd(), launcher_->events(), deadline_)) {
                if (exit_status_ == 1) {
                    say("cannot join at {}: no answer within {} s", name, place_.limit / 1s);
                }
                return std::nullopt;
            }
            launcher_->flush();
            continue;
        }
        if (received == RecordStream::Received::closed) {
            say("cannot join at {}: the connection was closed", name);
            return std::nullopt;
        }
        auto record = received == RecordStream::Received::record ? launch::decode(buffer_) : std::nullopt;
        if (record && !challenge && std::holds_alternative<launch::Challenge>(*record)) {
            challenge = std::get<launch::Challenge>(*record);
            launcher_->send(launch::encode(launch::Proof{.proof = proof_of_joiner(place_.key, join, *challenge)}));
            continue;
        }
        if (record && challenge && std::holds_alternative<launch::Welcome>(*record)) {
            auto &welcome = std::get<launch::Welcome>(*record);
            if (is_same(welcome.proof, proof_of_launcher(place_.key, join, *challenge, welcome))) {
                return std::move(welcome);
            }
            say("cannot join at {}: what answers there does not know the job's key", name);
            return std::nullopt;
        }
        if (record && std::holds_alternative<launch::Refused>(*record)) {
            say("cannot join at {}: {}", name, printable(std::get<launch::Refused>(*record).why));
        } else {
            say("cannot join at {}: what answers there is no launcher of this version", name);
        }
        return std::nullopt;
    }
}

bool Joiner::start_node(const launch::Welcome &welcome) {
    const auto env = joined_environment(place_.env, welcome.settings);
    if (const auto why = cannot_run(welcome.program, welcome.cwd)) {
        give_up(*why);
        return false;
    }
    if (const auto mistakes = mistakes_in(env); !mistakes.empty()) {
        give_up(mistakes.front());
        return false;
    }
    try {
        node_ = std::make_unique<NodeProcess>(
            welcome.node, JobSize{.nodes = welcome.nodes, .founders = welcome.founders, .places = welcome.places},
            std::vector{find_node_server()}, env, signals_.before());
    } catch (const std::exception &error) {
        give_up(error.what());
        return false;
    }
    number_ = welcome.node;
    if (place_.verbose) {
        say("this is node {} of {}", welcome.node, welcome.nodes);
    }
    return true;
}

void Joiner::relay() {
    from_launcher(); // it may have sent more together with its welcome
    while (node_->alive()) {
        std::array<pollfd, 3> fds{pollfd{signals_.fd(), POLLIN, 0}, pollfd{node_->fd(), POLLIN, 0},
                                  pollfd{connected_ ? launcher_->fd() : -1, launcher_->events(), 0}};
        ::poll(fds.data(), fds.size(), -1);
        from_launcher();
        from_node();
        handle_signals();
        if (node_->ended()) { // after the signals: a SIGCHLD that has been read must be followed by this look
            from_node();
            const int status = node_->reap();
            launcher_->send(launch::encode(launch::Ended{.status = status}));
            if (exit_status_ == 1 && over_ && status == 0) {
                exit_status_ = 0;
            } else if (!over_ && connected_) {
                say("the node server has ended ({})", describe_end(status).why);
            }
        }
    }
}

void Joiner::from_launcher() {
    launcher_->flush();
    while (connected_) {
        const auto received = launcher_->receive(buffer_);
        if (received == RecordStream::Received::nothing) {
            return;
        }
        if (received != RecordStream::Received::record) {
            connected_ = false;
            if (!over_) {
                say("the connection to the launcher has ended, and this node with it");
            }
            node_->kill();
            return;
        }
        const auto record = launch::decode(buffer_);
        if (const auto *answer = record ? std::get_if<launch::Drained>(&*record) : nullptr) {
            drained(*answer);
            continue;
        }
        over_ = over_ || (record && std::holds_alternative<launch::Shutdown>(*record));
        if (!node_->send(buffer_)) {
            node_->kill(); // it is dying, or is stuck and as good as dead
        }
    }
}

void Joiner::from_node() {
    for (;;) {
        switch (node_->receive(buffer_)) {
        case NodeServer::Received::record:
            launcher_->send(buffer_); // if it is gone, that is seen when it is read
            break;
        case NodeServer::Received::closed:
            if (!over_) {
                node_->kill(); // it cannot be told anything any more; usually it is dying
            }
            return;
        case NodeServer::Received::nothing:
            return;
        }
    }
}

void Joiner::handle_signals() {
    while (const auto signal = signals_.next()) {
        if (*signal == SIGCHLD || asked_for(*signal)) {
            continue;
        }
        exit_status_ = 128 + *signal;
        if (node_ != nullptr) {
            node_->kill();
        }
    }
}

bool Joiner::asked_for(int signal) {
    using Act = SignalOrder::Act;
    const auto *order = order_for(signal, place_.on_signal);
    if (order == nullptr || (node_ == nullptr && order->act != Act::checkpoint)) {
        return false;
    }
    if (order->act != Act::drain) {
        return true; // the launcher's affair, which gets it, too
    }
    if (leaving_) {
        say("{}: node {} is leaving the job already", signal_name(signal), number_);
    } else {
        leaving_ = {.signal = signal, .begun = Clock::now()};
        launcher_->send(launch::encode(launch::Drain{.number = 0, .node = number_}));
    }
    return true;
}

// It has left, and ends; or it stays, and may be asked again.
void Joiner::drained(const launch::Drained &answer) {
    if (const auto leaving = std::exchange(leaving_, std::nullopt)) {
        const std::chrono::duration<double> took = Clock::now() - leaving->begun;
        const auto news = answer.why.empty() ? fmt::format("has left the job: {} task{} moved", answer.moved,
                                                           answer.moved == 1 ? "" : "s")
                                             : fmt::format("has not left the job: {}", printable(answer.why));
        say("{}: node {} {} ({:.1f} s)", signal_name(leaving->signal), number_, news, took.count());
    }
}

void Joiner::give_up(const std::string &why) {
    say("cannot join at {}: {}", format_endpoint(launcher_at_), why);
    launcher_->send(launch::encode(launch::Fatal{.why = why}));
}

Place place_for(const CommandLine &line) {
    const auto launcher = parse_endpoint(line.join);
    Place place{.launcher = {launcher},
                .key = {},
                .env = own_environment(),
                .limit = std::chrono::seconds(line.join_timeout),
                .verbose = line.verbose};
    if (launcher.port.empty()) {
        throw std::invalid_argument(fmt::format("'{}' has no port", line.join));
    }
    if (!line.transport.empty()) {
        set_in(place.env, "NORMA_TRANSPORT", line.transport);
    }
    if (const auto mistakes = mistakes_in(place.env); !mistakes.empty()) {
        throw std::invalid_argument(fmt::format("{}", fmt::join(mistakes, "\nnorma node: ")));
    }
    const auto key = given_key(line.key_file);
    if (!key) {
        throw std::invalid_argument("no job key is given (--key-file or NORMA_JOB_KEY)");
    }
    place.key = *key;
    place.on_signal = signal_orders(line.on_signal);
    unset_in(place.env, "NORMA_ON_SIGNAL");
    for (const auto &order : place.on_signal) {
        if (order.act != SignalOrder::Act::drain) {
            throw std::invalid_argument(fmt::format(
                "{} asks for a checkpoint, which is written by the launcher (norma run)", signal_name(order.signal)));
        }
    }
    return place;
}

} // namespace

int join_job(Place place) {
    return Joiner(std::move(place)).run();
}

int join_node_command(int argc, char **argv) {
    CLI::App app{"Joins a job that was started on another host with `norma run --listen`, and serves one node of it.",
                 "norma node"};
    CommandLine line;
    app.add_option("--join", line.join, "ADDRESS:PORT of the launcher")->required();
    app.add_option("--key-file", line.key_file, "its first line is the job's key (else NORMA_JOB_KEY)");
    app.add_option("-x,--transport", line.transport, "how nodes talk; another one than the launcher's is refused")
        ->check(CLI::IsMember(choices("NORMA_TRANSPORT")));
    app.add_option("--join-timeout", line.join_timeout, "seconds to wait for a place in the job; default: 60")
        ->check(CLI::Range(1U, 86'400U));
    app.add_option("--on-signal", line.on_signal,
                   "SIGNAL=drain: what to do when that signal comes, instead of ending; once for each signal\n"
                   "(else NORMA_ON_SIGNAL, with ; between them)")
        ->allow_extra_args(false);
    app.add_flag("-v,--verbose", line.verbose, "say which node this is");
    app.footer(
        "What tasks on this node write goes to this command's standard output and error, not to the launcher's;\n"
        "their standard input is empty.");
    try {
        app.parse(argc, argv);
        return join_job(place_for(line));
    } catch (const CLI::CallForHelp &help) {
        return app.exit(help);
    } catch (const CLI::ParseError &error) {
        fmt::print(stderr, "norma node: {}\n", error.what());
        return kWrongInput;
    } catch (const std::invalid_argument &error) {
        fmt::print(stderr, "norma node: {}\n", error.what());
        return kWrongInput;
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma node: {}\n", error.what());
        return 1;
    }
}

} // namespace norma::rt

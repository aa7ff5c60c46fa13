// SPDX-License-Identifier: BSD-3-Clause
// A node server without a network, memory or tasks of norma: it only speaks runtime/launch.hpp. LAUNCHER_TEST names
// what goes wrong: "NODE:WHAT", several separated by commas.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/c_strings.hpp"
#include "runtime/launch.hpp"

using norma::rt::kLaunchFd;
namespace launch = norma::rt::launch;

namespace {

unsigned self, count;
pid_t task = -1;

bool told_to(const std::string &what) {
    const char *all = std::getenv("LAUNCHER_TEST");
    return all != nullptr &&
           ("," + std::string(all) + ",").find(fmt::format(",{}:{},", self, what)) != std::string::npos;
}

void send_bytes(std::span<const std::byte> bytes) {
    if (::send(kLaunchFd, bytes.data(), bytes.size(), 0) < 0) {
        std::perror("fake node: send");
        std::exit(1);
    }
}

void send(const launch::Record &record) {
    send_bytes(launch::encode(record));
}

std::vector<std::byte> address_of(unsigned node) {
    const auto text = fmt::format("address of {}", node);
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

void fail(const std::string &text) {
    fmt::print(stderr, "fake node {}: {}\n", self, text);
    std::exit(1);
}

std::uint64_t job_key = 0;

void start(const launch::Start &start) {
    for (unsigned node = 0; node < start.nodes.size(); ++node) {
        if (start.nodes[node].address != address_of(node)) {
            fail(fmt::format("wrong address of node {}", node));
        }
    }
    if (job_key == 0 || start.nodes.size() != count) {
        fail("malformed start");
    }
    if (told_to("fatal")) {
        send(launch::Fatal{.why = "no userfaultfd for a fake"});
        std::exit(1);
    }
    if (!told_to("never-connect")) {
        send(launch::Connected{});
    }
    for (unsigned other = 0; other < count; ++other) {
        if (told_to(fmt::format("suspect-{}", other))) {
            send(launch::Suspect{.node = static_cast<std::uint16_t>(other), .why = "a fake wire"});
        }
    }
    if (told_to("die-running")) {
        ::usleep(300'000);
        ::kill(::getpid(), SIGKILL);
    }
    if (told_to("hang-up")) {
        ::usleep(300'000);
        ::close(kLaunchFd);
        ::pause(); // the launcher kills it
    }
}

void run(const launch::Run &run) {
    if (self != 0) {
        fail("told to run the first task");
    }
    task = ::fork();
    if (task == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigset_t none;
        sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::close(kLaunchFd);
        if (::chdir(run.cwd.c_str()) == 0) {
            const auto argv = norma::rt::c_strings(run.argv), env = norma::rt::c_strings(run.env);
            ::execve(run.program.c_str(), argv.data(), env.data());
        }
        ::_exit(126);
    }
}

// The first task has come here just in time, and ends after longer than the launcher would wait for a lost one.
void take_over() {
    send(launch::Hosting{});
    ::usleep(2'500'000);
    send(launch::Exited{.status = 4 << 8, .note = ""});
}

void node_down(const launch::NodeDown &down) {
    fmt::print(stderr, "fake node {}: told that {} is down: {}\n", self, down.node, down.why);
    if (told_to("end-when-peer-dies")) {
        send(launch::Exited{.status = 3 << 8, .note = "the fake first task is lost"});
    }
    if (told_to("believe-it-lost")) { // while another one has taken over
        ::usleep(500'000);
        send(launch::Exited{.status = 1 << 8, .note = "the first task was lost"});
    }
    if (told_to("take-over")) {
        take_over();
    }
}

struct Handler {
    void operator()(const launch::JobKey &record) const { job_key = record.key; }
    void operator()(const launch::Start &record) const { start(record); }
    void operator()(const launch::Run &record) const { run(record); }
    void operator()(const launch::NodeDown &record) const { node_down(record); }
    void operator()(const launch::StillHere &) const {
        if (!told_to("not-answer")) {
            send(launch::Here{});
        }
    }
    void operator()(const launch::Shutdown &) const {
        if (!told_to("ignore-shutdown")) {
            std::exit(0);
        }
    }
    void operator()(const auto &) const { fail("a record that is not for node servers"); }
};

void handle(std::span<const std::byte> bytes) {
    const auto record = launch::decode(bytes);
    if (!record) {
        fail("not one whole record");
    }
    std::visit(Handler{}, *record);
}

void serve(int signals) {
    std::vector<std::byte> buffer(norma::rt::kMaxLaunchBytes);
    for (;;) {
        pollfd fds[] = {{kLaunchFd, POLLIN, 0}, {signals, POLLIN, 0}};
        ::poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            const auto size = ::recv(kLaunchFd, buffer.data(), buffer.size(), 0);
            if (size <= 0) {
                std::exit(0);
            }
            handle(std::span(buffer).first(static_cast<std::size_t>(size)));
        }
        if (int status = 0; task > 0 && ::waitpid(task, &status, WNOHANG) == task) {
            task = -1;
            send(launch::Exited{.status = status, .note = ""});
        }
        signalfd_siginfo info;
        [[maybe_unused]] const auto ignored = ::read(signals, &info, sizeof info);
    }
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 5 || std::strcmp(argv[1], "--node") != 0 || std::strcmp(argv[3], "--nodes") != 0) {
        fail("usage: --node K --nodes N ...");
    }
    self = static_cast<unsigned>(std::atoi(argv[2]));
    count = static_cast<unsigned>(std::atoi(argv[4]));
    if (told_to("die-before-ready")) {
        ::raise(SIGSEGV);
    }
    if (told_to("garbage")) {
        const std::uint64_t garbage = 0xdeadbeef;
        send_bytes(std::as_bytes(std::span(&garbage, 1)));
    }
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &mask, nullptr);
    const int signals = ::signalfd(-1, &mask, SFD_NONBLOCK);
    send(launch::Ready{.address = address_of(self)});
    serve(signals);
}

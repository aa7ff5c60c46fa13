// SPDX-License-Identifier: BSD-3-Clause
// A node server without a network, memory or tasks of norma: it only speaks runtime/launch.hpp. LAUNCHER_TEST names
// what goes wrong: "NODE:WHAT", several separated by commas.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/wire.hpp"
#include "runtime/launch.hpp"

using norma::rpc::Reader;
using norma::rpc::Writer;
using norma::rt::kLaunchFd;
using norma::rt::LaunchMsg;

namespace {

unsigned self, count;
pid_t task = -1;

bool told_to(const std::string &what) {
    const char *all = std::getenv("LAUNCHER_TEST");
    return all != nullptr &&
           ("," + std::string(all) + ",").find(fmt::format(",{}:{},", self, what)) != std::string::npos;
}

void send(const Writer &record) {
    if (::send(kLaunchFd, record.bytes().data(), record.bytes().size(), 0) < 0) {
        std::perror("fake node: send");
        std::exit(1);
    }
}

std::string address_of(unsigned node) {
    return fmt::format("address of {}", node);
}

void fail(const std::string &text) {
    fmt::print(stderr, "fake node {}: {}\n", self, text);
    std::exit(1);
}

std::uint64_t job_key = 0;

void start(Reader &reader) {
    const auto nodes = reader.get<std::uint16_t>();
    for (unsigned node = 0; node < nodes; ++node) {
        reader.get<std::uint32_t>();
        if (reader.get_string() != address_of(node)) {
            fail(fmt::format("wrong address of node {}", node));
        }
    }
    if (job_key == 0 || nodes != count || !reader.done()) {
        fail("malformed start");
    }
    if (told_to("fatal")) {
        send(Writer().put(LaunchMsg::fatal).put_string("no userfaultfd for a fake"));
        std::exit(1);
    }
    if (!told_to("never-connect")) {
        send(Writer().put(LaunchMsg::connected));
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

std::vector<std::string> strings(Reader &reader) {
    std::vector<std::string> all(reader.get_count(4));
    for (auto &string : all) {
        string = reader.get_string();
    }
    return all;
}

std::vector<char *> pointers(std::vector<std::string> &all) {
    std::vector<char *> raw;
    for (auto &string : all) {
        raw.push_back(string.data());
    }
    raw.push_back(nullptr);
    return raw;
}

void run(Reader &reader) {
    const auto program = reader.get_string();
    auto argv = strings(reader), env = strings(reader);
    const auto cwd = reader.get_string();
    if (self != 0 || !reader.done()) {
        fail("malformed run");
    }
    task = ::fork();
    if (task == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigset_t none;
        sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::close(kLaunchFd);
        if (::chdir(cwd.c_str()) == 0) {
            ::execve(program.c_str(), pointers(argv).data(), pointers(env).data());
        }
        ::_exit(126);
    }
}

// The first task has come here just in time, and ends after longer than the launcher would wait for a lost one.
void take_over() {
    send(Writer().put(LaunchMsg::hosting));
    ::usleep(2'500'000);
    send(Writer().put(LaunchMsg::exited).put(std::int32_t{4 << 8}).put_string(""));
}

void node_down(Reader &reader) {
    const auto node = reader.get<std::uint16_t>();
    fmt::print(stderr, "fake node {}: told that {} is down: {}\n", self, node, reader.get_string());
    if (told_to("end-when-peer-dies")) {
        send(Writer().put(LaunchMsg::exited).put(std::int32_t{3 << 8}).put_string("the fake first task is lost"));
    }
    if (told_to("believe-it-lost")) { // while another one has taken over
        ::usleep(500'000);
        send(Writer().put(LaunchMsg::exited).put(std::int32_t{1 << 8}).put_string("the first task was lost"));
    }
    if (told_to("take-over")) {
        take_over();
    }
}

void handle(std::span<const std::byte> record) {
    Reader reader(record);
    switch (reader.get<LaunchMsg>()) {
    case LaunchMsg::job:
        job_key = reader.get<std::uint64_t>();
        return;
    case LaunchMsg::start:
        return start(reader);
    case LaunchMsg::run:
        return run(reader);
    case LaunchMsg::node_down:
        return node_down(reader);
    case LaunchMsg::shutdown:
        if (!told_to("ignore-shutdown")) {
            std::exit(0);
        }
        return;
    default:
        fail("unknown message");
    }
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
            send(Writer().put(LaunchMsg::exited).put(std::int32_t{status}).put_string(""));
        }
        signalfd_siginfo info;
        [[maybe_unused]] const auto ignored = ::read(signals, &info, sizeof info);
    }
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 5 || std::strcmp(argv[1], "--node") != 0 || std::strcmp(argv[3], "--nodes") != 0) {
        fail("usage: --node K --nodes N");
    }
    self = static_cast<unsigned>(std::atoi(argv[2]));
    count = static_cast<unsigned>(std::atoi(argv[4]));
    if (told_to("die-before-ready")) {
        ::raise(SIGSEGV);
    }
    if (told_to("garbage")) {
        send(Writer().put(std::uint64_t{0xdeadbeef}));
    }
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &mask, nullptr);
    const int signals = ::signalfd(-1, &mask, SFD_NONBLOCK);
    send(Writer().put(LaunchMsg::ready).put_string(address_of(self)));
    serve(signals);
}

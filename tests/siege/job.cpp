// SPDX-License-Identifier: BSD-3-Clause
#include "tests/siege/job.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace siege {

namespace {

namespace fs = std::filesystem;
namespace launch = norma::rt::launch;
using norma::rt::NodeProcess;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPatience = 30s;

fs::path make_folder() {
    auto pattern = (fs::temp_directory_path() / "norma-siege-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
        throw std::system_error(errno, std::generic_category(), "mkdtemp");
    }
    return pattern;
}

std::string contents(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> make_environment(const std::string &transport, std::vector<std::string> settings) {
    std::vector<std::string> variables;
    for (char **variable = environ; *variable != nullptr; ++variable) {
        if (!std::string_view(*variable).starts_with("NORMA_")) {
            variables.emplace_back(*variable);
        }
    }
    variables.push_back("NORMA_TRANSPORT=" + transport);
    variables.push_back("NORMA_WAIT=block");
    std::ranges::move(settings, std::back_inserter(variables));
    return variables;
}

} // namespace

Job::Job(unsigned servers, unsigned nodes, const std::string &transport, std::vector<std::string> settings)
    : folder_(make_folder()), environment_(make_environment(transport, std::move(settings))) {
    // The shell puts what they write where the test finds it.
    const std::vector<std::string> command{"/bin/sh", "-c", R"(exec "$@" >>"$0/out" 2>>"$0/err")", folder_.string(),
                                           NODE_SERVER};
    sigset_t none;
    sigemptyset(&none);
    for (unsigned node = 0; node < servers; ++node) {
        servers_.push_back(
            std::make_unique<NodeProcess>(node, norma::rt::JobSize{.nodes = nodes}, command, environment_, none));
        send(node, launch::JobKey{.key = kJobKey});
    }
    for (unsigned node = 0; node < servers; ++node) {
        addresses_.push_back(expect<launch::Ready>(node).address);
    }
}

Job::~Job() {
    for (auto &server : servers_) {
        if (server->alive()) {
            server->kill();
            server->reap();
        }
    }
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

void Job::connect(const std::vector<Address> &others) {
    addresses_.insert(addresses_.end(), others.begin(), others.end());
    launch::Start start;
    for (const auto &address : addresses_) {
        start.nodes.push_back({.incarnation = kIncarnation, .address = address});
    }
    for (unsigned node = 0; node < servers_.size(); ++node) {
        send(node, start);
    }
    for (unsigned node = 0; node < servers_.size(); ++node) {
        expect<launch::Connected>(node);
    }
}

void Job::run(std::vector<std::string> words) {
    const auto program = words.front();
    send(0, launch::Run{.program = program, .argv = std::move(words), .env = environment_, .cwd = "/"});
}

void Job::wait_for_output(const std::string &text) {
    const auto deadline = Clock::now() + kPatience;
    while (out().find(text) == std::string::npos) {
        if (Clock::now() > deadline) {
            throw std::runtime_error(
                fmt::format("the program does not say '{}'; it had said: {}{}", text, out(), err()));
        }
        ::usleep(1000);
    }
}

int Job::wait_for_end() {
    return expect<launch::Exited>(0).status;
}

void Job::shut_down() {
    for (unsigned node = 0; node < servers_.size(); ++node) {
        send(node, launch::Shutdown{});
    }
    const auto deadline = Clock::now() + kPatience;
    for (auto &server : servers_) {
        while (!server->ended()) {
            if (Clock::now() > deadline) {
                throw std::runtime_error("a node server does not end when it is told to");
            }
            ::usleep(1000);
        }
        if (const int status = server->reap(); status != 0) {
            throw std::runtime_error(fmt::format("a node server ended with status {:#x}", status));
        }
    }
}

std::string Job::out() const {
    return contents(folder_ / "out");
}
std::string Job::err() const {
    return contents(folder_ / "err");
}

launch::Record Job::next_record(unsigned node) {
    std::vector<std::byte> bytes;
    const auto deadline = Clock::now() + kPatience;
    while (Clock::now() < deadline) {
        pollfd ready{servers_.at(node)->fd(), POLLIN, 0};
        ::poll(&ready, 1, 100);
        switch (servers_.at(node)->receive(bytes)) {
        case NodeProcess::Received::record:
            if (auto record = launch::decode(bytes)) {
                return *std::move(record);
            }
            throw std::runtime_error(fmt::format("node {} sent a damaged record", node));
        case NodeProcess::Received::closed:
            throw std::runtime_error(fmt::format("node {} is gone; it had said: {}", node, err()));
        case NodeProcess::Received::nothing:
            break;
        }
    }
    throw std::runtime_error(fmt::format("nothing comes from node {}; it had said: {}", node, err()));
}

bool Job::is_silent(unsigned node, std::chrono::milliseconds time) {
    pollfd ready{servers_.at(node)->fd(), POLLIN, 0};
    return ::poll(&ready, 1, static_cast<int>(time.count())) == 0;
}

template <class Record> Record Job::expect(unsigned node) {
    auto record = next_record(node);
    if (auto *wanted = std::get_if<Record>(&record)) {
        return std::move(*wanted);
    }
    const auto *fatal = std::get_if<launch::Fatal>(&record);
    throw std::runtime_error(
        fmt::format("node {} sent an unexpected record: {}", node, fatal == nullptr ? err() : fatal->why));
}

void Job::send(unsigned node, const launch::Record &record) {
    if (!servers_.at(node)->send(launch::encode(record))) {
        throw std::system_error(errno, std::generic_category(), fmt::format("a record for node {}", node));
    }
}

} // namespace siege

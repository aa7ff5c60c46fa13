// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/control_client.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>
#include <poll.h>

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kPatience = 5s; // with a launcher, which gives its node servers two

int connected(const JobName &name) {
    const int fd = connect_control(name);
    if (fd < 0) {
        throw std::system_error(errno, std::generic_category(), fmt::format("job {}", name.launcher));
    }
    return fd;
}

} // namespace

ControlClient::ControlClient(const JobName &name) : name_(name), stream_(connected(name), kMaxLaunchBytes) {}

launch::Record ControlClient::next_record(std::chrono::milliseconds patience) {
    std::vector<std::byte> bytes;
    for (;;) {
        switch (stream_.receive(bytes)) {
        case RecordStream::Received::record:
            if (auto record = launch::decode(bytes)) {
                return std::move(*record);
            }
            throw std::runtime_error(fmt::format("job {} has a launcher of another version", name_.launcher));
        case RecordStream::Received::nothing: {
            stream_.flush();
            pollfd fd{stream_.fd(), stream_.events(), 0};
            if (::poll(&fd, 1, static_cast<int>(patience.count())) == 0) {
                throw std::runtime_error(fmt::format("the launcher of job {} does not answer", name_.launcher));
            }
            break;
        }
        case RecordStream::Received::closed:
        case RecordStream::Received::garbage:
            throw std::runtime_error(fmt::format("job {} has ended", name_.launcher));
        }
    }
}

JobView ControlClient::look(TaskId of) {
    const launch::Look question{.number = ++asked_, .task = of};
    stream_.send(launch::encode(question)); // that the connection is gone shows when it is read
    JobView view{.name = name_, .overview = {}, .nodes = {}};
    for (std::size_t answers = 0; view.overview.nodes == 0 || answers < view.nodes.size();) {
        auto record = next_record(kPatience);
        if (auto *overview = std::get_if<launch::Overview>(&record)) {
            view.overview = std::move(*overview);
            view.nodes.resize(view.overview.nodes);
        } else if (auto *seen = std::get_if<launch::Seen>(&record);
                   seen != nullptr && seen->report.node < view.nodes.size()) {
            view.nodes[seen->report.node].report = std::move(seen->report);
            ++answers;
        } else if (auto *unseen = std::get_if<launch::Unseen>(&record);
                   unseen != nullptr && unseen->node < view.nodes.size()) {
            view.nodes[unseen->node].why = std::move(unseen->why);
            ++answers;
        } else {
            throw std::runtime_error(fmt::format("job {} has a launcher of another version", name_.launcher));
        }
    }
    return view;
}

launch::Migrated ControlClient::migrate(TaskId task, std::uint16_t node, std::uint8_t flags) {
    stream_.send(launch::encode(launch::Migrate{.number = ++asked_, .task = task, .node = node, .flags = flags}));
    auto record = next_record(-1ms);
    if (auto *migrated = std::get_if<launch::Migrated>(&record)) {
        return std::move(*migrated);
    }
    throw std::runtime_error(fmt::format("job {} has a launcher of another version", name_.launcher));
}

launch::NodeAdded ControlClient::add_node() {
    stream_.send(launch::encode(launch::AddNode{.number = ++asked_}));
    auto record = next_record(-1ms);
    if (auto *added = std::get_if<launch::NodeAdded>(&record)) {
        return std::move(*added);
    }
    throw std::runtime_error(fmt::format("job {} has a launcher of another version", name_.launcher));
}

launch::CheckpointTaken ControlClient::checkpoint() {
    stream_.send(launch::encode(launch::Checkpoint{.number = ++asked_}));
    auto record = next_record(-1ms);
    if (auto *taken = std::get_if<launch::CheckpointTaken>(&record)) {
        return std::move(*taken);
    }
    throw std::runtime_error(fmt::format("job {} has a launcher of another version", name_.launcher));
}

launch::CheckpointPiece ControlClient::read_checkpoint(std::uint16_t node) {
    stream_.send(launch::encode(launch::CheckpointRead{.number = ++asked_, .node = node}));
    auto record = next_record(-1ms);
    if (auto *piece = std::get_if<launch::CheckpointPiece>(&record)) {
        return std::move(*piece);
    }
    throw std::runtime_error(fmt::format("job {} has a launcher of another version", name_.launcher));
}

launch::Drained ControlClient::drain(std::uint16_t node, std::uint16_t to,
                                     const std::function<void(const launch::Draining &)> &progress) {
    stream_.send(launch::encode(launch::Drain{.number = ++asked_, .node = node, .to = to}));
    for (;;) {
        auto record = next_record(-1ms);
        if (auto *drained = std::get_if<launch::Drained>(&record)) {
            return std::move(*drained);
        }
        const auto *draining = std::get_if<launch::Draining>(&record);
        if (draining == nullptr) {
            throw std::runtime_error(fmt::format("job {} has a launcher of another version", name_.launcher));
        }
        progress(*draining);
    }
}

JobName choose_job(std::optional<pid_t> launcher) {
    const auto jobs = jobs_here();
    if (launcher) {
        const auto found = std::ranges::find(jobs, *launcher, &JobName::launcher);
        if (found == jobs.end()) {
            throw std::runtime_error(fmt::format(
                "there is no job {} of yours on this machine; `norma ps` lists those there are", *launcher));
        }
        return *found;
    }
    if (jobs.empty()) {
        throw std::runtime_error("there is no job of yours on this machine");
    }
    if (jobs.size() > 1) {
        std::vector<pid_t> launchers;
        std::ranges::transform(jobs, std::back_inserter(launchers), &JobName::launcher);
        throw std::runtime_error(
            fmt::format("there are {} jobs: name one with --job ({})", jobs.size(), fmt::join(launchers, ", ")));
    }
    return jobs.front();
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_control.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "runtime/control_socket.hpp"

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostClients = 32, kMostQuestions = 256;
constexpr auto kPatience = 2s; // with a node server

} // namespace

Control::Control() : listener_(listen_for_control()) {}

Control::~Control() {
    ::close(listener_);
}

void Control::add_to(std::vector<pollfd> &fds) const {
    fds.push_back({listener_, POLLIN, 0});
    for (const auto &client : clients_) {
        fds.push_back({client.stream.fd(), client.stream.events(), 0});
    }
}

std::optional<Control::Clock::time_point> Control::deadline() const {
    // They were asked in this order, and all are given as long.
    return questions_.empty() ? std::nullopt : std::optional(questions_.begin()->second.deadline);
}

void Control::serve(const std::function<Job()> &job) {
    accept_all();
    for (auto client = clients_.begin(); client != clients_.end(); ++client) {
        hear(client, job);
    }
    give_up_the_late();
    drop_those_gone();
}

void Control::accept_all() {
    for (int fd = accept_control(listener_); fd >= 0; fd = accept_control(listener_)) {
        RecordStream stream(fd, kMaxJoinBytes);
        if (clients_.size() < kMostClients) { // else it is closed again, and may come later
            clients_.push_back({.stream = std::move(stream)});
        }
    }
}

void Control::hear(std::list<Client>::iterator client, const std::function<Job()> &job) {
    client->over = !client->stream.flush() || client->over;
    std::vector<std::byte> bytes;
    while (!client->over) {
        const auto received = client->stream.receive(bytes);
        if (received == RecordStream::Received::nothing) {
            return;
        }
        const auto record = received == RecordStream::Received::record ? launch::decode(bytes) : std::nullopt;
        const auto *look = record ? std::get_if<launch::Look>(&*record) : nullptr;
        const auto *move = record ? std::get_if<launch::Migrate>(&*record) : nullptr;
        const auto *add = record ? std::get_if<launch::AddNode>(&*record) : nullptr;
        const auto *drain = record ? std::get_if<launch::Drain>(&*record) : nullptr;
        const auto *checkpoint = record ? std::get_if<launch::Checkpoint>(&*record) : nullptr;
        const auto *read = record ? std::get_if<launch::CheckpointRead>(&*record) : nullptr;
        const bool room = questions_.size() + moves_.size() + wishes_.size() < kMostQuestions;
        if (look != nullptr && room) {
            begin(client, *look, job());
        } else if (move != nullptr && room) {
            begin(client, *move, job());
        } else if (add != nullptr && room) {
            wishes_[next_question_++] = {.client = client, .number = add->number};
        } else if (drain != nullptr && room) {
            begin(client, *drain, job());
        } else if (checkpoint != nullptr) {
            begin(client, *checkpoint, job());
        } else if (read != nullptr && writer_ == client) {
            checkpoint_.read(*read);
        } else {
            client->over = true;
        }
    }
}

void Control::begin(std::list<Client>::iterator client, const launch::Look &look, const Job &job) {
    auto overview = job.overview;
    overview.number = look.number;
    say_to(*client, overview);
    const auto number = next_question_++;
    auto &question = questions_[number];
    question = {.client = client, .number = look.number, .awaited = {}, .deadline = Clock::now() + kPatience};
    for (std::size_t node = 0; node < job.alive.size(); ++node) {
        if (job.alive[node]) {
            question.awaited.insert(node);
        } else {
            say_to(*client, launch::Unseen{.number = look.number,
                                           .node = static_cast<std::uint16_t>(node),
                                           .why = job.left[node] ? "" : "there is no node server"});
        }
    }
    for (const auto node : question.awaited) {
        job.ask(node, launch::Look{.number = number, .task = look.task});
    }
    if (question.awaited.empty()) {
        questions_.erase(number);
    }
}

void Control::begin(std::list<Client>::iterator client, const launch::Migrate &move, const Job &job) {
    const std::size_t node = node_of(move.task);
    if (node >= job.alive.size() || !job.alive[node]) {
        say_to(*client,
               launch::Migrated{.number = move.number, .task = 0, .why = "there is no node server where it was made"});
        return;
    }
    const auto number = next_question_++;
    moves_[number] = {.client = client, .number = move.number, .node = node};
    job.ask(node, launch::Migrate{.number = number, .task = move.task, .node = move.node, .flags = move.flags});
}

void Control::begin(std::list<Client>::iterator client, const launch::Drain &order, const Job &job) {
    const auto number = next_question_++;
    if (auto why = job.drain(number, order); !why.empty()) {
        say_to(*client, launch::Drained{.number = order.number, .moved = 0, .why = std::move(why)});
        return;
    }
    moves_[number] = {.client = client, .number = order.number, .node = order.node, .leaves = true};
}

void Control::draining(const launch::Draining &news) {
    if (const auto found = moves_.find(news.number); found != moves_.end()) {
        auto to_client = news;
        to_client.number = found->second.number;
        say_to(*found->second.client, to_client);
    }
}

void Control::drained(const launch::Drained &answer) {
    if (const auto found = moves_.extract(answer.number); !found.empty()) {
        auto to_client = answer;
        to_client.number = found.mapped().number;
        say_to(*found.mapped().client, to_client);
    }
}

void Control::begin(std::list<Client>::iterator client, const launch::Checkpoint &wanted, const Job &job) {
    std::string why;
    if (writing_down()) {
        why = "another checkpoint of it is being made";
    } else if (!job.busy.empty()) {
        why = job.busy;
    } else if (!job.overview.running) {
        why = "its program has not been started yet, or is ending";
    } else if (const auto dead = std::ranges::find(job.alive, false); dead != job.alive.end()) {
        const auto node = dead - job.alive.begin();
        why = fmt::format("node {} has {}", node, job.left.at(static_cast<std::size_t>(node)) ? "left it" : "died");
    }
    if (!why.empty()) {
        say_to(*client, launch::CheckpointTaken{.number = wanted.number, .nodes = 0, .pause_us = 0, .why = why});
        return;
    }
    writer_ = client;
    checkpoint_.begin(wanted.number, job.alive.size(), job.ask,
                      [client](const launch::Record &record) { say_to(*client, record); });
}

void Control::migrated(std::size_t node, const launch::Migrated &answer) {
    const auto found = moves_.find(answer.number);
    if (found != moves_.end() && found->second.node == node) {
        auto to_client = answer;
        to_client.number = found->second.number;
        say_to(*found->second.client, to_client);
        moves_.erase(found);
    }
}

std::optional<std::uint64_t> Control::next_wish() {
    const auto found = std::ranges::find_if(wishes_, [](const auto &entry) { return !entry.second.taken; });
    if (found == wishes_.end()) {
        return std::nullopt;
    }
    found->second.taken = true;
    return found->first;
}

void Control::wish_ends(std::uint64_t wish, std::uint16_t node, const std::string &why_not) {
    if (const auto found = wishes_.extract(wish)) { // else nobody waits for it any more
        const auto &[client, number, taken] = found.mapped();
        say_to(*client, launch::NodeAdded{.number = number, .node = node, .why = why_not});
    }
}

void Control::seen(std::size_t node, const launch::Seen &answer) {
    const auto found = questions_.find(answer.number);
    if (found == questions_.end() || found->second.awaited.erase(node) == 0) {
        return; // nobody waits for it any more
    }
    auto &question = found->second;
    auto report = answer.report;
    report.node = static_cast<std::uint16_t>(node);
    say_to(*question.client, launch::Seen{.number = question.number, .report = std::move(report)});
    if (question.awaited.empty()) {
        questions_.erase(found);
    }
}

void Control::node_ended(std::size_t node) {
    checkpoint_.node_ended(node);
    for (auto question = questions_.begin(); question != questions_.end();) {
        auto &[client, number, awaited, deadline] = question->second;
        if (awaited.erase(node) != 0) {
            say_to(*client, launch::Unseen{.number = number,
                                           .node = static_cast<std::uint16_t>(node),
                                           .why = "its node server has ended"});
        }
        question = awaited.empty() ? questions_.erase(question) : std::next(question);
    }
    std::erase_if(moves_, [node](const auto &entry) {
        const auto &move = entry.second;
        constexpr auto kWhy = "its node server has ended";
        if (move.node == node && move.leaves) {
            say_to(*move.client, launch::Drained{.number = move.number, .moved = 0, .why = kWhy});
        } else if (move.node == node) {
            say_to(*move.client, launch::Migrated{.number = move.number, .task = 0, .why = kWhy});
        }
        return move.node == node;
    });
}

void Control::give_up_the_late() {
    while (!questions_.empty() && Clock::now() >= questions_.begin()->second.deadline) {
        const auto &question = questions_.begin()->second;
        for (const auto node : question.awaited) {
            say_to(*question.client, launch::Unseen{.number = question.number,
                                                    .node = static_cast<std::uint16_t>(node),
                                                    .why = "its node server does not answer"});
        }
        questions_.erase(questions_.begin());
    }
}

void Control::drop_those_gone() {
    for (auto client = clients_.begin(); client != clients_.end();) {
        if (client->over) {
            const auto asked = [client](const auto &entry) { return entry.second.client == client; };
            std::erase_if(questions_, asked);
            std::erase_if(moves_, asked);
            std::erase_if(wishes_, asked);
            if (writer_ == client) {
                writer_.reset();
                checkpoint_.end();
            }
            client = clients_.erase(client);
        } else {
            ++client;
        }
    }
}

void Control::say_to(Client &client, const launch::Record &record) {
    client.over = !client.stream.send(launch::encode(record)) || client.over;
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// A node that leaves a running job (docs/draining.md). It does the work; here is decided whether it has left or died,
// so that all others hear of one or the other.
#include "runtime/launcher_job.hpp"

#include "runtime/launcher_say.hpp"

namespace norma::rt {

std::string LauncherJob::begin_departure(std::uint64_t number, const launch::Drain &order) {
    if (order.node >= nodes_.size()) {
        return fmt::format("there is no node {}", order.node);
    }
    if (nodes_[order.node].left || !nodes_[order.node].alive()) {
        return nodes_[order.node].left ? "it has left already" : "there is no node server";
    }
    if (phase_ != Phase::running || restoration_) {
        return "the program does not run";
    }
    if (arrival_) {
        return "a node is joining; try again";
    }
    if (control_ && control_->writing_down()) {
        return "a checkpoint of it is being made";
    }
    if (departure_) {
        return fmt::format("node {} is leaving, and one can at a time", departure_->node);
    }
    departure_ = {.node = order.node, .number = number, .ended = std::nullopt};
    send(order.node, launch::Drain{.number = number, .node = order.node, .to = order.to});
    return "";
}

bool LauncherJob::handle_departure(std::size_t index, const launch::Record &record) {
    if (std::holds_alternative<launch::Served>(record)) {
        if (departure_ && departure_->serving && departure_->successor == index) {
            departed();
        }
        return true;
    }
    if (std::holds_alternative<launch::Drain>(record) && !nodes_[index].host.empty()) {
        leavers_.insert(index); // its joiner has been told to
        return true;
    }
    const bool leaves = departure_ && departure_->node == index;
    if (const auto *news = std::get_if<launch::Draining>(&record)) {
        if (leaves && control_) {
            control_->draining(*news);
        }
        return true;
    }
    if (const auto *stays = std::get_if<launch::Drained>(&record)) {
        if (leaves) {
            if (control_) {
                control_->drained(*stays);
            }
            if (departure_->number == kByItself) {
                send(index, *stays);
            }
            departure_.reset();
        }
        return true;
    }
    if (const auto *all = std::get_if<launch::Leaves>(&record)) {
        if (leaves) {
            handed_over(*all);
        }
        return true;
    }
    return false;
}

// If the successor has died, the node hears of it and stays.
void LauncherJob::handed_over(const launch::Leaves &leaves) {
    if (leaves.successor < nodes_.size() && nodes_[leaves.successor].alive()) {
        departure_->serving = true;
        departure_->successor = leaves.successor;
        departure_->moved = leaves.moved;
        send(leaves.successor, launch::Serve{.node = static_cast<std::uint16_t>(departure_->node)});
    }
}

// The successor serves. That comes first, since the others ask it as soon as they hear of it.
void LauncherJob::departed() {
    const auto &departure = *departure_;
    nodes_[departure.node].left = true;
    nodes_[departure.node].successor = departure.successor;
    for (auto &node : nodes_) {
        if (node.left && node.successor == departure.node) {
            node.successor = departure.successor;
        }
    }
    const launch::NodeLeft left{.node = static_cast<std::uint16_t>(departure.node),
                                .successor = static_cast<std::uint16_t>(departure.successor)};
    for (const auto other : nodes_that(&Node::alive)) {
        if (other != departure.node) {
            send(other, left);
        }
    }
    if (nodes_[departure.node].alive()) {
        if (departure.number == kByItself) {
            send(departure.node, launch::Drained{.number = kByItself, .moved = departure.moved, .why = ""});
        }
        send(departure.node, launch::Shutdown{});
    } else {
        gone_for_good();
    }
}

// Its node server has ended, so its host may be switched off.
void LauncherJob::gone_for_good() {
    if (control_) {
        control_->drained({.number = departure_->number, .moved = departure_->moved, .why = ""});
    }
    departure_.reset();
}

bool LauncherJob::ended_in_departure(std::size_t index, const std::string &why) {
    if (nodes_[index].left) {
        return true;
    }
    if (!departure_ || phase_ != Phase::running) {
        return false;
    }
    auto &departure = *departure_;
    if (departure.node == index) {
        if (departure.serving) { // nothing was there any more
            departure.ended = why;
            return true;
        }
        departure_.reset();
    } else if (departure.serving && departure.successor == index) {
        departure.serving = false; // the node hears of this death, and stays
        if (departure.ended) {     // and if it is dead, too, it has not left
            const auto node = departure.node;
            const auto its_why = *departure.ended;
            departure_.reset();
            say("node {} is gone ({})", node, its_why);
            say_down(node, its_why);
        }
    }
    return false;
}

} // namespace norma::rt

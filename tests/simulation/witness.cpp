// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/witness.hpp"

#include <algorithm>
#include <bit>

namespace norma::sim {

using dsm::MsgType;

bool Witness::is_coherence(std::span<const std::byte> record) {
    return !record.empty() && static_cast<rt::PeerMsg>(record[0]) == rt::PeerMsg::coherence;
}

std::vector<rt::Coherence> Witness::messages(std::span<const std::byte> record) {
    std::vector<Coherence> result;
    if (is_coherence(record)) {
        for (; !record.empty(); record = record.subspan(std::min(record.size(), sizeof(rt::CoherenceRecord)))) {
            const auto size = std::min(record.size(), sizeof(rt::CoherenceRecord));
            if (const auto message = rt::decode_coherence(record.first(size))) {
                result.push_back(*message);
            }
        }
    }
    return result;
}

std::vector<rt::Coherence> Witness::sent(dsm::NodeId from, dsm::NodeId to, std::span<const std::byte> record) {
    auto all = messages(record);
    for (const auto &message : all) {
        const auto &msg = message.msg;
        trace_.mix(to);
        trace_.mix(msg.txn ^ msg.request << 20 ^ msg.base << 40 ^ msg.mask);
        if (trace_.talks()) {
            trace_.say(from, fmt::format("sends to {}: object {}.{} {}", to, message.object.home, message.object.serial,
                                         dsm::describe(msg)));
        }
        if (handling_ && from == self_) {
            answers_.push_back(message);
        }
        if (msg.type == MsgType::forward && msg.write) {
            promised_write_[{from, message.object, msg.txn}] = msg.requester;
        }
    }
    return all;
}

void Witness::begins(dsm::NodeId self, dsm::NodeId from, std::span<const std::byte> record) {
    self_ = self;
    handling_ = true;
    death_ = false;
    handled_ = messages(record);
    answers_.clear();
    if (trace_.talks()) {
        for (const auto &message : handled_) {
            trace_.say(self, fmt::format("gets from {}: object {}.{} {}", from, message.object.home,
                                         message.object.serial, dsm::describe(message.msg)));
        }
        if (handled_.empty()) {
            trace_.say(self, fmt::format("gets from {}: {} bytes of kind {}", from, record.size(),
                                         static_cast<unsigned>(record[0])));
        }
    }
}

void Witness::begins_death(dsm::NodeId self, dsm::NodeId dead) {
    self_ = self;
    dead_ = dead;
    handling_ = death_ = true;
    handled_.clear();
    answers_.clear();
}

void Witness::ends() {
    if (death_) {
        judge_death();
    }
    for (const auto &message : handled_) {
        judge(message);
    }
    handling_ = false;
}

bool Witness::answered(MsgType type, const Coherence &about) const {
    return std::any_of(answers_.begin(), answers_.end(), [&](const Coherence &answer) {
        return answer.msg.type == type && answer.object == about.object && answer.msg.base == about.msg.base;
    });
}

void Witness::judge(const Coherence &handled) {
    const auto &msg = handled.msg;
    auto &newest = newest_[{self_, handled.object, msg.base}];
    switch (msg.type) {
    case MsgType::get:
        probes_.hit(Probe::queued_behind_busy, answers_.empty() ? 1 : 0);
        break;
    case MsgType::forward:
        probes_.hit(Probe::deferred_forward, answered(MsgType::data, handled) ? 0 : 1);
        newest = std::max(newest, msg.txn);
        break;
    case MsgType::inval:
        newest = std::max(newest, msg.txn);
        break;
    case MsgType::data:
        judge_data(handled);
        break;
    case MsgType::grant:
        probes_.hit(Probe::upgrade_granted);
        break;
    case MsgType::done:
        promised_write_.erase({self_, handled.object, msg.txn});
        break;
    case MsgType::fail:
        probes_.hit(msg.lost ? Probe::lost_page_reported : Probe::supplier_died);
        failed_.insert({self_, handled.object, msg.request});
        break;
    default:
        break;
    }
}

void Witness::judge_data(const Coherence &handled) {
    const auto &msg = handled.msg;
    probes_.hit(Probe::zeros_travelled, msg.zero != 0 ? 1 : 0);
    probes_.hit(Probe::window_travelled, std::popcount(msg.mask) > 1 ? 1 : 0);
    probes_.hit(Probe::answer_after_the_end, failed_.contains({self_, handled.object, msg.request}) ? 1 : 0);
    const bool again = answered(MsgType::get, handled);
    probes_.hit(Probe::asked_again, again ? 1 : 0);
    const auto newest = newest_.find({self_, handled.object, msg.base});
    probes_.hit(Probe::barred_data, again && newest->second > msg.txn ? 1 : 0);
}

void Witness::judge_death() {
    const bool abandoned = std::any_of(promised_write_.begin(), promised_write_.end(), [&](const auto &entry) {
        return std::get<0>(entry.first) == self_ && entry.second == dead_;
    });
    probes_.hit(Probe::abandoned_write, abandoned ? 1 : 0);
    for (const auto &answer : answers_) {
        const bool goes_on = answer.msg.type == MsgType::forward || answer.msg.type == MsgType::grant ||
                             answer.msg.type == MsgType::data || answer.msg.type == MsgType::inval;
        probes_.hit(Probe::advanced_by_a_death, goes_on ? 1 : 0);
    }
}

} // namespace norma::sim

// SPDX-License-Identifier: BSD-3-Clause
// One event to one core, and what it answers, as text: the exact effects in their order.
#pragma once

#include "dsm/core/core.hpp"

#include <string>
#include <vector>

namespace norma::dsm {

using Lines = std::vector<std::string>;

inline std::string to_text(const Effect &effect) {
    constexpr const char *kTypes[] = {"protect", "stage", "drop",   "install", "resolve",
                                      "send",    "copy",  "freeze", "forget",  "frozen"};
    constexpr const char *kAccess[] = {"none", "read", "write", "lost"};
    if (effect.type == Effect::Type::send) {
        return "to " + std::to_string(effect.to) + ": " + describe(effect.msg);
    }
    const bool with_access = effect.type == Effect::Type::install || effect.type == Effect::Type::resolve;
    std::string pages;
    for (unsigned i = 0; i < kBatch; ++i) {
        if ((effect.mask >> i & 1) != 0) {
            pages += " " + std::to_string(effect.base + i);
        }
    }
    if (effect.type == Effect::Type::freeze || effect.type == Effect::Type::forget ||
        effect.type == Effect::Type::frozen) {
        pages = " stretch from " + std::to_string(effect.base);
    }
    if (effect.type == Effect::Type::copy) {
        pages += " from " + std::to_string(effect.from);
    }
    return std::string(kTypes[static_cast<unsigned>(effect.type)]) + pages +
           (with_access ? std::string(" ") + kAccess[static_cast<unsigned>(effect.access)] : "");
}

inline Lines to_text(const Outbox &out) {
    Lines lines;
    for (const Effect &effect : out) {
        lines.push_back(to_text(effect));
    }
    return lines;
}

inline Lines fault(State &state, PageIndex page, bool write, std::uint32_t window = 1) {
    Outbox out;
    step(state, {.type = Event::Type::fault, .page = page, .write = write, .window = window}, out);
    return to_text(out);
}

inline Lines message(State &state, NodeId from, const Msg &msg) {
    Outbox out;
    step(state, {.type = Event::Type::message, .from = from, .msg = msg}, out);
    return to_text(out);
}

// freeze, snapshot, thaw, end
inline Lines order(State &state, Event::Type type, std::uint64_t stretch) {
    Outbox out;
    step(state, {.type = type, .stretch = stretch}, out);
    return to_text(out);
}

inline Lines node_down(State &state, NodeId node) {
    Outbox out;
    step(state, {.type = Event::Type::node_down, .from = node}, out);
    return to_text(out);
}

// The home of the object in these tests is node 0.
inline State node(NodeId self, std::uint64_t pages = 100) {
    return State({.home = 0, .incarnation = 1, .serial = 7}, self, 0, pages, {.transaction = 1000, .request = 1});
}

struct Window {
    PageIndex base = 0;
    std::uint32_t count = 1;
};

inline Msg get_read(std::uint64_t request, Window window = {}) {
    return {.type = MsgType::get, .count = window.count, .request = request, .base = window.base};
}
inline Msg get_write(std::uint64_t request, Window window = {}, bool have = false) {
    return {.type = MsgType::get,
            .write = true,
            .have = have,
            .count = window.count,
            .request = request,
            .base = window.base};
}
inline Msg data(std::uint64_t txn, std::uint64_t request, bool write, PageIndex base = 0, std::uint64_t mask = 1) {
    return {.type = MsgType::data, .write = write, .txn = txn, .request = request, .base = base, .mask = mask};
}
inline Msg grant(std::uint64_t txn, std::uint64_t request, PageIndex base = 0, std::uint64_t mask = 1) {
    return {.type = MsgType::grant, .write = true, .txn = txn, .request = request, .base = base, .mask = mask};
}
inline Msg forward(std::uint64_t txn, NodeId requester, bool write, PageIndex base = 0, std::uint64_t mask = 1) {
    return {.type = MsgType::forward,
            .write = write,
            .requester = requester,
            .txn = txn,
            .request = 50,
            .base = base,
            .mask = mask};
}
inline Msg inval(std::uint64_t txn, PageIndex base = 0, std::uint64_t mask = 1) {
    return {.type = MsgType::inval, .txn = txn, .base = base, .mask = mask};
}
inline Msg release(PageIndex base = 0, std::uint64_t mask = 1) {
    return {.type = MsgType::release, .base = base, .mask = mask};
}
inline Msg inval_ack(std::uint64_t txn, PageIndex base = 0, std::uint64_t mask = 1) {
    return {.type = MsgType::inval_ack, .txn = txn, .base = base, .mask = mask};
}
inline Msg done(std::uint64_t txn, PageIndex base = 0, std::uint64_t mask = 1) {
    return {.type = MsgType::done, .txn = txn, .base = base, .mask = mask};
}
inline Msg fail(std::uint64_t txn, std::uint64_t request, bool lost, PageIndex base = 0, std::uint64_t mask = 1) {
    return {.type = MsgType::fail, .txn = txn, .request = request, .base = base, .mask = mask, .lost = lost};
}

} // namespace norma::dsm

// SPDX-License-Identifier: BSD-3-Clause
#include "tests/history/clocks.hpp"

#include "tests/history/recorder.hpp"
#include "tests/system/app.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

namespace history {

namespace {

constexpr std::uint64_t kQuestions = 20;

struct Conversation {
    alignas(4096) std::atomic<std::uint64_t> question; // its number
    alignas(4096) std::atomic<std::uint64_t> answer;
    std::int64_t time;
};

void wait_until(const std::atomic<std::uint64_t> &word, std::uint64_t value) {
    while (word.load() != value) {
        std::this_thread::yield();
    }
}

} // namespace

void Clocks::compare() {
    auto &seen = seen_.emplace_back();
    for (int node = 0; node < norma::node_count(); ++node) {
        seen.push_back(node == 0 ? Ahead{.at = now()} : ask(node));
    }
}

Clocks::Ahead Clocks::ask(int node) {
    auto *talk = systest::shared<Conversation>();
    auto task = systest::spawn(node, [talk] {
        for (std::uint64_t number = 1; number <= kQuestions; ++number) {
            wait_until(talk->question, number);
            talk->time = now();
            talk->answer = number;
        }
    });
    Ahead seen{.least = std::numeric_limits<std::int64_t>::min(), .most = std::numeric_limits<std::int64_t>::max()};
    for (std::uint64_t number = 1; number <= kQuestions; ++number) {
        const auto asked = now();
        talk->question = number;
        wait_until(talk->answer, number);
        const auto answered = now();
        seen.at = talk->time;
        seen.least = std::max(seen.least, talk->time - answered);
        seen.most = std::min(seen.most, talk->time - asked);
    }
    JOIN(task);
    CHECK(seen.least <= seen.most);
    return seen;
}

Clocks::Ahead Clocks::between(unsigned node, std::int64_t time) const {
    const auto &first = seen_.front().at(node);
    const auto &last = seen_.back().at(node);
    const auto part = static_cast<double>(time - first.at) / static_cast<double>(last.at - first.at);
    const auto part_of = [part](std::int64_t from, std::int64_t to) { return part * static_cast<double>(to - from); };
    return {.at = time,
            .least = first.least + static_cast<std::int64_t>(std::floor(part_of(first.least, last.least))),
            .most = first.most + static_cast<std::int64_t>(std::ceil(part_of(first.most, last.most)))};
}

void Clocks::correct(std::vector<Operation> &operations) const {
    for (auto &operation : operations) {
        operation.begin -= between(operation.node, operation.begin).most;
        if (operation.end != kNever) {
            operation.end -= between(operation.node, operation.end).least;
        }
    }
}

std::int64_t Clocks::uncertainty() const {
    std::int64_t worst = 0;
    for (const auto &seen : seen_) {
        for (const auto &ahead : seen) {
            worst = std::max(worst, ahead.most - ahead.least);
        }
    }
    return worst;
}

} // namespace history

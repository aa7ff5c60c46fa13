// SPDX-License-Identifier: BSD-3-Clause
#include "tests/history/litmus.hpp"

#include <fmt/format.h>

namespace history {

namespace {

constexpr std::uint8_t kX = 0;
constexpr std::uint8_t kY = 1;

constexpr Step write(std::uint8_t word, std::uint8_t value = 1) {
    return {.what = Step::What::write, .word = word, .value = value, .if_seen = false};
}
constexpr Step write_if_seen(std::uint8_t word) {
    return {.what = Step::What::write, .word = word, .value = 1, .if_seen = true};
}
constexpr Step read(std::uint8_t word) {
    return {.what = Step::What::read, .word = word, .value = 0, .if_seen = false};
}

// All that one run of a shape is about.
struct Run {
    std::array<std::uint8_t, 2> words{};
    std::array<std::size_t, kLitmusThreads> next{};
    std::array<std::size_t, kLitmusThreads> reads{};
    std::array<std::uint8_t, kLitmusThreads> last_read{};
    Outcome outcome;
};

void take_step(const Shape &shape, Run &run, std::size_t thread) {
    const auto &step = shape.threads[thread][run.next[thread]++];
    if (step.what == Step::What::read) {
        run.last_read[thread] = run.words[step.word];
        run.outcome.read[thread].at(run.reads[thread]++) = run.words[step.word];
    } else if (!step.if_seen || run.last_read[thread] != 0) {
        run.words[step.word] = step.value;
    }
}

void run_on(const Shape &shape, const Run &run, std::set<Outcome> &found) {
    bool over = true;
    for (std::size_t thread = 0; thread < kLitmusThreads; ++thread) {
        if (run.next[thread] < shape.threads[thread].size()) {
            over = false;
            auto further = run;
            take_step(shape, further, thread);
            run_on(shape, further, found);
        }
    }
    if (over) {
        auto outcome = run.outcome;
        outcome.last = run.words;
        found.insert(outcome);
    }
}

} // namespace

const std::vector<Shape> &shapes() {
    static const std::vector<Shape> all{
        {"MP", {{{write(kX), write(kY)}, {read(kY), read(kX)}}}, "a message arrived before what it announces"},
        {"SB", {{{write(kX), read(kY)}, {write(kY), read(kX)}}}, "two writes were both overtaken by reads"},
        {"LB", {{{read(kX), write(kY)}, {read(kY), write(kX)}}}, "two reads saw what was written after them"},
        {"IRIW",
         {{{write(kX)}, {write(kY)}, {read(kX), read(kY)}, {read(kY), read(kX)}}},
         "two threads saw two writes in different orders"},
        {"WRC",
         {{{write(kX)}, {read(kX), write_if_seen(kY)}, {read(kY), read(kX)}}},
         "an effect was seen and its cause was not"},
        {"CoRR",
         {{{write(kX)}, {read(kX), read(kX)}, {read(kX), read(kX)}, {read(kX), read(kX)}}},
         "a word went back to an older value"},
        {"CoWW", {{{write(kX, 1), write(kX, 2)}, {read(kX), read(kX)}}}, "two writes of one thread changed places"},
        {"2+2W", {{{write(kX, 1), write(kY, 2)}, {write(kY, 1), write(kX, 2)}}}, "four writes have no common order"},
    };
    return all;
}

std::string describe(const Shape &shape, const Outcome &outcome) {
    std::string text;
    for (std::size_t thread = 0; thread < kLitmusThreads; ++thread) {
        std::size_t reads = 0;
        for (const auto &step : shape.threads[thread]) {
            if (step.what == Step::What::read) {
                text += fmt::format("{}:{}={} ", thread, step.word == kX ? 'x' : 'y', outcome.read[thread][reads++]);
            }
        }
    }
    return text + fmt::format("x={} y={}", outcome.last[0], outcome.last[1]);
}

std::set<Outcome> allowed(const Shape &shape) {
    std::set<Outcome> found;
    run_on(shape, {}, found);
    return found;
}

} // namespace history

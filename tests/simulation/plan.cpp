// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/plan.hpp"

#include "dsm/core/core.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace norma::sim {

namespace {

// A fault site is armed in some runs only, with a probability of the run's own.
unsigned armed(Random &random, unsigned chance, unsigned most) {
    return random.chance(chance) ? static_cast<unsigned>(random.between(1, most)) : 0;
}

rpc::sim::Weather draw_weather(Random &random) {
    rpc::sim::Weather weather;
    weather.latency = random.between(1, 40) * kMicrosecond;
    weather.jitter = random.below(3 * weather.latency);
    weather.lateness = random.between(20, 3000) * kMicrosecond;
    weather.late = armed(random, 500, 100);
    weather.lost = armed(random, 400, 60);
    weather.overtaken = armed(random, 500, 300);
    weather.twice = armed(random, 300, 60);
    weather.garbage = armed(random, 300, 40);
    weather.free_order = armed(random, 500, 500);
    return weather;
}

} // namespace

Plan Plan::draw(Random &random) {
    constexpr std::array<std::uint64_t, 9> kPages{1, 1, 2, 3, 5, 8, 33, 64, 130};
    constexpr std::array kMoments{
        dsm::MsgType{},      dsm::MsgType{},      dsm::MsgType{},       dsm::MsgType{},        dsm::MsgType::data,
        dsm::MsgType::data,  dsm::MsgType::data,  dsm::MsgType::data,   dsm::MsgType::forward, dsm::MsgType::forward,
        dsm::MsgType::inval, dsm::MsgType::inval, dsm::MsgType::freeze, dsm::MsgType::frozen,  dsm::MsgType::forget};
    constexpr std::array<std::uint32_t, 4> kWindows{1, 2, 8, 64};
    Plan plan;
    plan.nodes = static_cast<unsigned>(random.chance(80) ? random.between(9, 64) : random.between(2, 8));
    plan.workers = static_cast<unsigned>(random.between(2, std::min(plan.nodes + 2, 9U)));
    plan.steps = static_cast<unsigned>(random.between(200, 2000) / plan.workers + 20);
    plan.pages = kPages[random.below(kPages.size())];
    plan.prefetch = kWindows[random.below(kWindows.size())];
    plan.writes = static_cast<unsigned>(random.between(50, 800));
    plan.hot = static_cast<unsigned>(random.between(100, 900));
    plan.scans = armed(random, 500, 200);
    plan.locked = armed(random, 600, 200);
    plan.moves = random.chance(150) ? static_cast<unsigned>(random.between(100, 400)) : armed(random, 700, 60);
    plan.copies = armed(random, 500, 60);
    plan.advice = armed(random, 400, 100);
    plan.barriers = armed(random, 400, 4);
    plan.think = random.between(1, 30) * kMicrosecond;
    plan.turn = random.between(1, 10) * kMicrosecond;
    plan.markers_survive = random.chance(700);
    plan.former_life = random.chance(150);
    plan.weather = draw_weather(random);
    plan.heals = random.between(2, 25) * kMillisecond;
    plan.patience = random.between(1, 20) * kMillisecond;
    plan.partitions = armed(random, 400, 3);
    plan.slow_nodes = armed(random, 300, 2);
    plan.crashes = armed(random, 500, std::max(plan.nodes / 3, 1U));
    const auto one_in = static_cast<unsigned>(random.between(5, 200));
    (random.chance(300) ? plan.crash_on_call : plan.crash_on_message) = random.chance(800) ? one_in : 0;
    plan.crash_moment = static_cast<unsigned>(kMoments[random.below(kMoments.size())]);
    plan.kills = armed(random, 250, 3);
    plan.kill_on_call = random.chance(500) ? static_cast<unsigned>(random.between(5, 200)) : 0;
    auto apart = random; // so that a run without it is what it was before there was this
    plan.reaches = armed(apart, 400, 60);
    plan.migrations = armed(apart, 350, 40);
    return plan;
}

// Four nodes and a calm network, whose delays only say what comes before what.
Plan Plan::of(const Drill &drill, Random &random) {
    Plan plan;
    plan.nodes = 4;
    plan.prefetch = random.chance(500) ? 1 : 8;
    plan.think = random.between(1, 20) * kMicrosecond;
    plan.turn = random.between(1, 5) * kMicrosecond;
    plan.weather.latency = random.between(2, 20) * kMicrosecond;
    plan.weather.jitter = random.below(3 * plan.weather.latency);
    plan.heals = kSecond;
    plan.drill = drill;
    return plan;
}

std::string Plan::describe() const {
    if (drill) {
        return fmt::format("{}: {} dies at message {}", kDrillCalls.at(static_cast<std::size_t>(drill->call)),
                           kDrillVictims.at(static_cast<std::size_t>(drill->victim)), drill->message);
    }
    return fmt::format(
        "nodes={} workers={} steps={} pages={} prefetch={} writes={} hot={} scans={} locked={} moves={} "
        "copies={} reaches={} migrations={} advice={} barriers={} think={}ns turn={}ns latency={}ns jitter={}ns "
        "late={} lost={} "
        "overtaken={} "
        "twice={} garbage={} free_order={} lateness={}ns heals={}ns patience={}ns partitions={} "
        "slow_nodes={} crashes={} crash_on_message={} crash_moment={} crash_on_call={} kills={} kill_on_call={} "
        "former_life={} markers_survive={}",
        nodes, workers, steps, pages, prefetch, writes, hot, scans, locked, moves, copies, reaches, migrations, advice,
        barriers, think, turn, weather.latency, weather.jitter, weather.late, weather.lost, weather.overtaken,
        weather.twice, weather.garbage, weather.free_order, weather.lateness, heals, patience, partitions, slow_nodes,
        crashes, crash_on_message, crash_moment, crash_on_call, kills, kill_on_call, former_life, markers_survive);
}

} // namespace norma::sim

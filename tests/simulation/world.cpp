// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/world.hpp"

#include <cassert>

namespace norma::sim {

namespace {

World *current = nullptr;

// Far more than any run needs that comes to its end.
constexpr std::uint64_t kMostEvents = 20'000'000;

} // namespace

World &world() {
    assert(current != nullptr);
    return *current;
}

World::World(std::uint64_t number, std::FILE *out, std::optional<Drill> drill)
    : seed(number), random(number), plan(drill ? Plan::of(*drill, random) : Plan::draw(random)), trace(scheduler, out),
      oracle([this](const std::string &what) { fail(what); }), witness(probes, trace),
      network(scheduler, random,
              {.ready = [this](int fd) { fds.signal(fd); },
               .sent =
                   [this](NodeId from, NodeId to, std::span<const std::byte> record) {
                       ++messages_;
                       for (const auto &message : witness.sent(from, to, record)) {
                           message_sent(from, to, message);
                       }
                       if (!Witness::is_coherence(record)) {
                           call_sent(from, to);
                       }
                       drill_message(record);
                   },
               .order_free = Witness::is_coherence}),
      fds([this](int loop) { wake_soon(loop); }) {
    assert(current == nullptr);
    current = this;
    network.weather = plan.weather;
}

World::~World() {
    actors_.clear();
    processes_.clear();
    hosts_.clear();
    current = nullptr;
}

void World::fail(const std::string &what) {
    if (error_.empty()) {
        error_ = what;
        trace.say(running_, "WRONG: " + what);
    }
}

void World::expect(bool condition, std::string_view what) {
    if (!condition && !deadly()) {
        fail(fmt::format("{}, although nobody dies in this run", what));
    }
}

// What a halted thread held may be given to another when its task is lost; then it must not go on.
void World::got_lock(std::uint64_t mutex, const Actor &taker) {
    auto *holder = actor(oracle.holder(mutex));
    if (holder != nullptr && holder->halted) {
        holder->over = true;
        oracle.actor_ended(holder->id);
    }
    oracle.locked(mutex, taker.id);
}

Report World::run() {
    if (trace.talks()) {
        trace.say(0, fmt::format("seed {}: {}", seed, plan.describe()));
    }
    try {
        set_up();
        run_until_idle();
        judge_quiet();
        judge_drill();
        judge_end();
    } catch (const std::exception &error) {
        fail(fmt::format("node {}: {}", running_, error.what()));
    }
    Report report;
    collect(report);
    return report;
}

void World::set_up() {
    if (plan.former_life) {
        in_former_life_ = true;
        start_job(1);
        const auto end = random.between(300, 3000) * kMicrosecond;
        while (!scheduler.idle() && scheduler.now() < end && error_.empty()) {
            scheduler.step();
        }
        end_former_life();
        in_former_life_ = false;
    }
    start_job(plan.former_life ? 2 : 1);
    plan_chaos();
}

void World::start_job(std::uint32_t incarnation) {
    hosts_.resize(plan.nodes);
    for (NodeId number = 0; number < plan.nodes; ++number) {
        start_node(number, incarnation);
    }
    for (NodeId number = 0; number < plan.nodes; ++number) {
        as(number, [&] {
            for (NodeId peer = 0; peer < plan.nodes; ++peer) {
                if (peer != number) {
                    const auto address = node(peer)->transport->address();
                    node(number)->transport->connect(peer, incarnation, address);
                }
            }
        });
    }
    rt::Program program{.path = "program", .argv = {}, .env = {}, .cwd = "/", .build_id = ""};
    if (plan.migrates()) { // a whole program; nobody looks at its variables
        program.build_id.assign(kBuildId.begin(), kBuildId.end());
        program.data = {.start = 0x10000, .size = 0x1000};
    }
    as(0, [&] { node(0)->start_first(program); });
}

// Everybody dies at once, and what was said stays on its way: the next job finds it.
void World::end_former_life() {
    for (NodeId number = 0; number < plan.nodes; ++number) {
        stop_node(number);
    }
    hosts_.clear();
    actors_.clear();
    oracle = Oracle([this](const std::string &what) { fail(what); });
    job = {};
    moves.clear();
}

void World::run_until_idle() {
    while (!scheduler.idle() && error_.empty()) {
        if (scheduler.events() > kMostEvents) {
            fail("there is no end of events");
            return;
        }
        scheduler.step();
    }
}

} // namespace norma::sim

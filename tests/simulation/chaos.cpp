// SPDX-License-Identifier: BSD-3-Clause
// What goes wrong in a run, beside what the network does to single messages, and when it stops.
#include "tests/simulation/world.hpp"

namespace norma::sim {

void World::plan_chaos() {
    at_random_time(plan.partitions, [this] { partition(); });
    at_random_time(plan.slow_nodes, [this] { slow_down(); });
    if (plan.crash_on_message + plan.crash_on_call == 0) {
        at_random_time(plan.crashes, [this] { crash_someone(); });
    }
    if (plan.kill_on_call == 0) {
        at_random_time(plan.kills, [this] { kill_someone(); });
    }
    scheduler.after(plan.heals, [this] { heal(); });
}

void World::at_random_time(unsigned times, std::function<void()> action) {
    for (unsigned i = 0; i < times; ++i) {
        scheduler.after(random.below(plan.heals), [this, action] {
            if (!healed_) {
                action();
            }
        });
    }
}

std::optional<NodeId> World::someone_alive() {
    std::vector<NodeId> alive;
    for (NodeId number = 0; number < plan.nodes; ++number) {
        if (!hosts_[number].dead) {
            alive.push_back(number);
        }
    }
    return alive.empty() ? std::nullopt : std::optional(alive[random.below(alive.size())]);
}

// One way or both, for a while. A connection that stands it for too long is given up, and then somebody must go: who is
// only unreachable to some would be taken for dead by them and alive by others.
void World::partition() {
    const auto one = someone_alive();
    const auto other = someone_alive();
    if (!one || !other || *one == *other) {
        return;
    }
    ++partitions_;
    const bool both_ways = random.chance(500);
    trace(*one, "cannot reach", *other, both_ways);
    network.block(*one, *other);
    if (both_ways) {
        network.block(*other, *one);
    }
    const auto lasts = random.between(100 * kMicrosecond, 2 * plan.patience);
    if (lasts > plan.patience) {
        scheduler.after(plan.patience, [this, a = *one, b = *other] {
            if (network.blocked(a, b)) {
                fence(a, b);
            }
        });
    }
    scheduler.after(lasts, [this, a = *one, b = *other] {
        network.unblock(a, b);
        network.unblock(b, a);
    });
}

void World::fence(NodeId one, NodeId other) {
    const auto victim = random.chance(500) ? one : other;
    if (!hosts_[one].dead && !hosts_[other].dead) {
        probes.hit(Probe::fenced_after_partition);
        crash(victim);
    }
}

void World::slow_down() {
    if (const auto who = someone_alive()) {
        ++slowed_;
        trace(*who, "becomes slow");
        hosts_[*who].slow = true;
        scheduler.after(random.below(plan.heals), [this, number = *who] { hosts_[number].slow = false; });
    }
}

void World::crash_someone() {
    if (const auto who = someone_alive(); who && (*who != 0 || random.chance(300))) { // node 0 has the most
        crash(*who);
    }
}

// The protocol's difficult moments are those when something is on its way: who sent it, is to get it, or waits for what
// it is about, dies. Pages that come straight from another owner are the rarest and the most difficult.
void World::message_sent(NodeId from, NodeId to, const rt::Coherence &message) {
    const auto &msg = message.msg;
    const bool armed = plan.crash_on_message > 0 && crash_may_come() &&
                       (plan.crash_moment == 0 || plan.crash_moment == static_cast<unsigned>(msg.type));
    const bool last_words = msg.type == dsm::MsgType::data && from != message.object.home;
    if (!armed || random.below(last_words ? plan.crash_on_message / 8 + 1 : plan.crash_on_message) != 0) {
        return;
    }
    auto victim = random.chance(600) ? from : to;
    std::optional<NodeId> first;
    if (msg.type == dsm::MsgType::forward && random.chance(400)) {
        victim = msg.requester;
    } else if (last_words && random.chance(700)) {
        victim = from;
        network.delay_this(random.below(5 * kMillisecond));
        first = static_cast<NodeId>(message.object.home); // and may tell the requester before the data comes
    }
    crash_soon(victim, first);
}

// What is made of several steps on several nodes (clone, teleport, a child by inheritance) has to be whole or not at
// all, whoever dies between any two of them.
void World::call_sent(NodeId from, NodeId to) {
    if (plan.crash_on_call > 0 && crash_may_come() && random.below(plan.crash_on_call) == 0) {
        probes.hit(Probe::crash_in_a_call);
        crash_soon(random.chance(500) ? from : to, std::nullopt);
    }
    if (plan.kill_on_call > 0 && killed_ < plan.kills && !healed_ && !in_former_life_ &&
        random.below(plan.kill_on_call) == 0) {
        scheduler.after(random.below(3 * plan.weather.latency), [this] { kill_someone(); });
    }
}

// When the drill's message is on its way: at once, or when it may have come.
void World::drill_message(std::span<const std::byte> record) {
    if (!plan.drill || !drilled.armed) {
        return;
    }
    const auto moment = drill_moment(record);
    drilled.gone = drilled.gone || moment == "sync_task_moved";
    if (++drilled.messages != plan.drill->message) {
        return;
    }
    drilled.moment = moment;
    scheduler.after(random.chance(500) ? 0 : random.below(3 * plan.weather.latency), [this] { strike(); });
}

void World::strike() {
    const auto victim = plan.drill->victim;
    drilled.struck_late = drilled.answered;
    if (victim <= Drill::Victim::target) {
        drilled.struck = true;
        const auto first = random.chance(500) ? std::optional(static_cast<NodeId>(random.below(4))) : std::nullopt;
        crash(static_cast<NodeId>(victim), first);
        return;
    }
    const NodeId where = plan.drill->call == Drill::Call::migrate_other ? 2 : 3;
    for (const auto &[pid, process] : processes_) {
        const bool hit = victim == Drill::Victim::caller  ? pid == drilled.caller_process
                         : victim == Drill::Victim::other ? pid == drilled.other_process
                                                          : process->node == where && !drilled.processes.contains(pid);
        if (hit) {
            drilled.struck = true;
            trace(process->node, "KILLED", static_cast<std::uint64_t>(pid));
            end_by_force(pid);
            return;
        }
    }
}

bool World::crash_may_come() const {
    return crashes_ + crashes_to_come_ < plan.crashes && !healed_ && !in_former_life_;
}

void World::crash_soon(NodeId victim, std::optional<NodeId> first) {
    ++crashes_to_come_;
    scheduler.after(random.below(3 * plan.weather.latency), [this, victim, first] {
        --crashes_to_come_;
        if (!hosts_[victim].dead && (victim != 0 || random.chance(500))) {
            crash(victim, first);
        }
    });
}

void World::crash(NodeId number, std::optional<NodeId> first) {
    trace(number, "CRASHES");
    ++crashes_;
    oracle.node_died(number);
    probes.hit(Probe::home_died, node(number)->objects.empty() ? 0 : 1);
    stop_node(number);
    for (const auto &[id, actor] : actors_) {
        if (actor->process == nullptr && !actor->halted && actor->came_from == number) {
            oracle.actor_ended(id); // whoever sees to locks may take it for dead with its node
        }
    }
    network.cut_off(number);
    spread_the_news(number, first);
}

// Each in its own time: by its connection, or from the launcher, whichever comes first.
void World::spread_the_news(NodeId gone, std::optional<NodeId> first) {
    const auto last = random.between(1, 5000) * kMicrosecond;
    for (NodeId observer = 0; observer < plan.nodes; ++observer) {
        const auto spread = observer == first ? kMicrosecond : last;
        scheduler.after(20 * kMicrosecond + random.below(spread),
                        [this, observer, gone] { network.report_down(observer, gone); });
        scheduler.after(20 * kMicrosecond + random.below(spread), [this, observer, gone] {
            if (node(observer) != nullptr) {
                as(observer, [&] {
                    witness.begins_death(observer, gone);
                    node(observer)->node_down(gone, "it was killed");
                    witness.ends();
                });
                wake_soon(hosts_[observer].loop);
            }
        });
    }
}

void World::kill_someone() {
    if (processes_.empty()) {
        return;
    }
    const auto victim = std::next(processes_.begin(), static_cast<long>(random.below(processes_.size())));
    ++killed_;
    trace(victim->second->node, "KILLED", static_cast<std::uint64_t>(victim->first));
    end_by_force(victim->first);
}

// From here on everything that is not lost has to come to its end.
void World::heal() {
    healed_ = true;
    trace(0, "everything heals");
    network.weather = {};
    for (auto &host : hosts_) {
        host.slow = false;
    }
    for (NodeId one = 0; one < plan.nodes; ++one) {
        for (NodeId other = 0; other < plan.nodes; ++other) {
            network.unblock(one, other);
        }
    }
}

} // namespace norma::sim

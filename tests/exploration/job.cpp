// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/job.hpp"

#include <algorithm>

namespace norma::exploration {

namespace {

using dsm::Mapping;
using dsm::NodeId;
using dsm::World;

// Whether the touch would change anything. Reading what is here changes nothing, and that it is the last write is
// checked for every mapped page in every state.
bool worthwhile(const World &world, NodeId node, const Touch &touch) {
    const Mapping mapping = world.frame(node, touch.page).mapping;
    switch (touch.kind) {
    case Touch::Kind::read:
        return mapping == Mapping::none && !world.waits(node, touch.page, false);
    case Touch::Kind::write:
        return !world.waits(node, touch.page, true);
    default:
        break;
    }
    // One wish at a time to be rid of a page, or there would be no end of states.
    return mapping != Mapping::none && node != world.home() &&
           std::none_of(world.flying().begin(), world.flying().end(), [&](const dsm::Packet &packet) {
               return packet.from == node && packet.msg.type == dsm::MsgType::release && packet.msg.base == touch.page;
           });
}

// The stretch is there, and frozen if it has to be.
bool possible(const Job &job, const World &world, const Touch &touch) {
    if (touch.kind == Touch::Kind::move) {
        return world.may_move_home(static_cast<NodeId>(touch.page));
    }
    if (is_order(touch.kind) && !world.home_in_charge()) {
        return false;
    }
    const std::uint64_t stretch = is_order(touch.kind) ? touch.page : touch.page / job.pages;
    return stretch < world.stretches() && world.live(stretch) &&
           (touch.kind != Touch::Kind::snapshot || world.frozen(stretch)) &&
           (touch.kind != Touch::Kind::end || world.freezes(stretch) == 0);
}

// The thread's last touch has been answered.
bool ready(const Job &job, const Position &position, std::size_t thread) {
    const auto &[node, touches] = job.threads[thread];
    const std::size_t next = position.next[thread];
    if (!position.world.alive(node) || next >= touches.size() || !possible(job, position.world, touches[next])) {
        return false;
    }
    if (next == 0 || touches[next - 1].kind == Touch::Kind::evict || is_order(touches[next - 1].kind)) {
        return true;
    }
    const Touch &last = touches[next - 1];
    return !position.world.waits(node, last.page, last.kind == Touch::Kind::write);
}

void use(World &world, NodeId node, const Touch &touch) {
    switch (touch.kind) {
    case Touch::Kind::read:
    case Touch::Kind::write:
        return world.access(node, touch.page, touch.kind == Touch::Kind::write, touch.window);
    case Touch::Kind::evict:
        return world.evict(node, touch.page, touch.window);
    case Touch::Kind::freeze:
        return world.freeze(touch.page);
    case Touch::Kind::snapshot:
        world.snapshot(touch.page);
        return;
    case Touch::Kind::thaw:
        return world.thaw(touch.page);
    case Touch::Kind::end:
        return world.end(touch.page);
    case Touch::Kind::move:
        return world.move_home(static_cast<NodeId>(touch.page));
    }
}

std::string to_text(const Touch &touch) {
    constexpr const char *kNames[] = {"read", "write", "evict", "freeze", "snapshot", "thaw", "end", "move to"};
    const char *what = touch.kind == Touch::Kind::move ? " node " : is_order(touch.kind) ? " stretch " : " page ";
    return kNames[static_cast<unsigned>(touch.kind)] + std::string(what) + std::to_string(touch.page) +
           (touch.window > 1 ? " window " + std::to_string(touch.window) : "");
}

template <class Add> void list_touches(const Job &job, const Position &position, Add add) {
    for (std::size_t thread = 0; thread < job.threads.size(); ++thread) {
        if (ready(job, position, thread)) {
            add(Choice::Kind::touch, job.threads[thread].node, thread);
        }
    }
    for (NodeId node = 0; node < job.nodes; ++node) {
        for (std::size_t i = 0; i < job.anything.size(); ++i) {
            if (position.world.alive(node) && worthwhile(position.world, node, job.anything[i])) {
                add(Choice::Kind::anything, node, i);
            }
        }
    }
}

} // namespace

Position start_of(const Job &job) {
    return {.world = World(job.nodes, kHome, job.pages),
            .next = {},
            .deaths = static_cast<std::uint8_t>(job.deaths),
            .suspicions = static_cast<std::uint8_t>(job.suspicions)};
}

void list_choices(const Job &job, const Position &position, std::vector<Choice> &choices) {
    const World &world = position.world;
    choices.clear();
    const auto add = [&choices](Choice::Kind kind, NodeId node, std::size_t index) {
        choices.push_back(
            {.kind = kind, .node = static_cast<std::uint8_t>(node), .index = static_cast<std::uint16_t>(index)});
    };
    list_touches(job, position, add);
    for (std::size_t i = 0; i < world.flying().size(); ++i) {
        add(Choice::Kind::deliver, world.flying()[i].to, i);
        if (job.lossy || world.losable(world.flying()[i])) {
            add(Choice::Kind::lose, world.flying()[i].to, i);
        }
    }
    for (std::size_t i = 0; i < world.notices().size(); ++i) {
        add(Choice::Kind::notice, world.notices()[i].observer, i);
    }
    if (choices.empty()) {
        return; // a job that can only lose a node has come to its end
    }
    for (NodeId node = 0; node < job.nodes; ++node) {
        if (position.deaths > 0 && world.alive(node)) {
            add(Choice::Kind::kill, node, 0);
        }
        if (position.suspicions > 0 && world.alive(node) && !world.suspected(node)) {
            add(Choice::Kind::suspect, node, 0);
        }
    }
}

void take(const Job &job, Position &position, const Choice &choice) {
    World &world = position.world;
    switch (choice.kind) {
    case Choice::Kind::touch: {
        const Thread &thread = job.threads[choice.index];
        return use(world, thread.node, thread.touches[position.next[choice.index]++]);
    }
    case Choice::Kind::anything:
        return use(world, choice.node, job.anything[choice.index]);
    case Choice::Kind::deliver:
        return world.deliver(choice.index);
    case Choice::Kind::notice:
        return world.notice(choice.index);
    case Choice::Kind::lose:
        return world.lose(choice.index);
    case Choice::Kind::kill:
        --position.deaths;
        return world.kill(choice.node);
    case Choice::Kind::suspect:
        --position.suspicions;
        return world.suspect(choice.node);
    }
}

Description describe(const Job &job, const Position &position, const Choice &choice) {
    const auto packet = [&] {
        const dsm::Packet &flying = position.world.flying()[choice.index];
        return Description{.event = choice.kind == Choice::Kind::lose ? "loss" : "arrival",
                           .node = std::to_string(flying.from) + " > " + std::to_string(flying.to),
                           .details = dsm::describe(flying.msg)};
    };
    const std::string node = std::to_string(choice.node);
    switch (choice.kind) {
    case Choice::Kind::touch:
        return {"access", node, to_text(job.threads[choice.index].touches[position.next[choice.index]])};
    case Choice::Kind::anything:
        return {"access", node, to_text(job.anything[choice.index])};
    case Choice::Kind::notice:
        return {"notice", node, std::to_string(position.world.notices()[choice.index].dead) + " is down"};
    case Choice::Kind::kill:
        return {"death", node, ""};
    case Choice::Kind::suspect:
        return {"suspicion", node, "lives on"};
    case Choice::Kind::deliver:
    case Choice::Kind::lose:
        break;
    }
    return packet();
}

} // namespace norma::exploration

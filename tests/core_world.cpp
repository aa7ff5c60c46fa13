// SPDX-License-Identifier: BSD-3-Clause
#include "tests/core_world.hpp"

#include <algorithm>
#include <utility>

namespace norma::dsm {

namespace {

template <class Visit> void for_each_page(PageIndex base, std::uint64_t mask, Visit visit) {
    for (unsigned i = 0; i < kBatch; ++i) {
        if ((mask >> i & 1) != 0) {
            visit(base + i);
        }
    }
}

} // namespace

Mapping mapping_for(Access access) {
    switch (access) {
    case Access::read:
        return Mapping::read_only;
    case Access::write:
        return Mapping::writable;
    default:
        return Mapping::none;
    }
}

std::string place(NodeId node, PageIndex page) {
    return "node " + std::to_string(node) + ", page " + std::to_string(page);
}

World::World(NodeId nodes, NodeId home, std::uint64_t pages)
    : home_(home), homes_{home}, pages_(pages), stretches_(1), latest_(pages, 0), newest_(pages, 0) {
    for (NodeId id = 0; id < nodes; ++id) {
        const Frame frame{.mapping = id == home ? Mapping::writable : Mapping::none, .version = 0};
        nodes_.push_back(
            std::make_shared<Node>(Node{.state = State({.home = home, .incarnation = 1, .serial = 1}, id, home, pages),
                                        .frames = std::vector<Frame>(pages, frame),
                                        .waiting = std::vector<Thread>(pages)}));
    }
}

// Copies of a world are cheap because one event changes one node. No two threads may use one world, but worlds that
// share nodes may be used by different threads, as long as the world that was copied is not used meanwhile.
World::Node &World::change(NodeId node) {
    std::shared_ptr<Node> &shared = nodes_[node];
    if (shared.use_count() != 1) {
        shared = std::make_shared<Node>(*shared);
    }
    return *shared;
}

void World::access(NodeId node, PageIndex page, bool write, std::uint32_t window) {
    const Mapping mapping = frame(node, page).mapping;
    if (mapping == Mapping::writable || (mapping == Mapping::read_only && !write)) {
        use(node, page, write);
        return;
    }
    Thread &thread = change(node).waiting[page];
    (write ? thread.writes : thread.reads) = true;
    if (trace_ != nullptr) {
        note("fault: " + place(node, page) + (write ? " write" : " read") + " window " + std::to_string(window));
    }
    run(node, {.type = Event::Type::fault, .page = page, .write = write, .window = window}, {});
}

void World::evict(NodeId node, PageIndex page, std::uint32_t window) {
    if (trace_ != nullptr) {
        note("evict: " + place(node, page) + " window " + std::to_string(window));
    }
    run(node, {.type = Event::Type::evict, .page = page, .window = window}, {});
}

void World::deliver(std::size_t packet) {
    const Packet taken = std::move(flying_[packet]);
    std::swap(flying_[packet], flying_.back());
    flying_.pop_back();
    if (alive(taken.to)) {
        if (trace_ != nullptr) {
            note("message: " + std::to_string(taken.from) + " -> " + std::to_string(taken.to) + ": " +
                 dsm::describe(taken.msg));
        }
        hear(taken);
    }
}

// Who has been told that the sender is dead takes nothing from it but data.
void World::hear(const Packet &packet) {
    const bool deaf = node(packet.to).is_down(packet.from) && packet.msg.type != MsgType::data;
    const std::vector<std::uint8_t> before = deaf ? node(packet.to).canonical() : std::vector<std::uint8_t>();
    run(packet.to, {.type = Event::Type::message, .from = packet.from, .msg = packet.msg}, packet.payload);
    if (deaf && node(packet.to).canonical() != before) {
        wrong("node " + std::to_string(packet.to) + " heeds what a dead node said");
    }
}

void World::repeat(std::size_t packet) {
    const MsgType type = flying_[packet].msg.type;
    if (type != MsgType::get && type != MsgType::forward && type != MsgType::record && type != MsgType::moved) {
        const Packet copy = flying_[packet];
        flying_.push_back(copy);
    }
}

void World::kill(NodeId node) {
    note("death: node " + std::to_string(node));
    change(node).alive = false;
    tell_of(node);
    std::erase_if(notices_, [&](const DeathNotice &notice) { return notice.observer == node; });
    std::erase_if(flying_, [&](const Packet &packet) { return packet.to == node; });
}

void World::suspect(NodeId node) {
    note("suspicion: node " + std::to_string(node));
    change(node).suspected = true;
    tell_of(node);
}

// Each survivor in its own time, and once.
void World::tell_of(NodeId dead) {
    deaths_ = true;
    for (NodeId other = 0; other < size(); ++other) {
        const bool told = this->node(other).is_down(dead) ||
                          std::any_of(notices_.begin(), notices_.end(), [&](const DeathNotice &notice) {
                              return notice.observer == other && notice.dead == dead;
                          });
        if (other != dead && alive(other) && !told) {
            notices_.push_back({.observer = other, .dead = dead});
        }
    }
}

bool World::losable(const Packet &packet) const {
    return !alive(packet.from) || cut_off(packet.from, packet.to) || cut_off(packet.to, packet.from);
}

// a is suspected, and b has been told so.
bool World::cut_off(NodeId a, NodeId b) const {
    return suspected(a) && node(b).is_down(a);
}

// The home goes on without a node that lives: what this one reads from now on is nobody's concern. It can still write
// only where it is the only one, for that takes the home's permission.
bool World::outcast(NodeId node) const {
    return std::any_of(homes_.begin(), homes_.end(), [&](NodeId home) { return cut_off(node, home); });
}

void World::lose(std::size_t packet) {
    if (trace_ != nullptr) {
        note("lost: " + dsm::describe(flying_[packet].msg));
    }
    flying_.erase(flying_.begin() + static_cast<std::ptrdiff_t>(packet));
}

void World::notice(std::size_t notice) {
    const DeathNotice taken = notices_[notice];
    notices_.erase(notices_.begin() + static_cast<std::ptrdiff_t>(notice));
    note("notice: " + std::to_string(taken.observer) + " learns that " + std::to_string(taken.dead) + " died");
    run(taken.observer, {.type = Event::Type::node_down, .from = taken.dead}, {});
}

void World::run(NodeId node, const Event &event, const std::vector<std::uint32_t> &payload) {
    Outbox out;
    step(change(node).state, event, out);
    for (const Effect &effect : out) {
        carry_out(node, effect, event, payload);
    }
    if (staged_mask_ != 0) {
        wrong("node " + std::to_string(node) + ": staged pages that were not sent");
    }
    if (this->node(node).rejected() != 0) {
        wrong("node " + std::to_string(node) + " rejected a message of a node that follows the protocol");
    }
    if (std::exchange(may_hand_over_, false)) {
        hand_over(node);
    }
    for (const Effect &effect : out) {
        for_each_page(effect.base, effect.mask, [&](PageIndex page) { check_page(page); });
        if (effect.type == Effect::Type::became_home || effect.type == Effect::Type::may_hand_over) {
            for (PageIndex page = 0; page < pages_; ++page) {
                check_page(page);
            }
        }
    }
}

void World::carry_out(NodeId node, const Effect &effect, const Event &event,
                      const std::vector<std::uint32_t> &payload) {
    const auto each = [&](auto action) { for_each_page(effect.base, effect.mask, action); };
    switch (effect.type) {
    case Effect::Type::protect:
        return each([&](PageIndex page) { protect(node, page); });
    case Effect::Type::stage:
        staged_.clear();
        staged_mask_ = effect.mask;
        return each([&](PageIndex page) { stage(node, page); });
    case Effect::Type::drop:
        return each([&](PageIndex page) { drop(node, page); });
    case Effect::Type::install:
        return install(node, effect, event.msg, payload);
    case Effect::Type::resolve:
        return each([&](PageIndex page) { resolve(node, page, effect.access); });
    case Effect::Type::send:
        return send(node, effect);
    case Effect::Type::copy:
        return each([&](PageIndex page) { copy(node, effect.from + (page - effect.base), page); });
    case Effect::Type::freeze:
        return freeze_mappings(node, effect.base);
    case Effect::Type::forget:
        return forget_frames(node, effect.base);
    case Effect::Type::frozen:
        return check_frozen(effect.base / pages_);
    case Effect::Type::may_hand_over:
        may_hand_over_ = true;
        return;
    case Effect::Type::became_home:
        return take_holes(node);
    case Effect::Type::stays_home:
    case Effect::Type::home_known:
        return;
    }
}

void World::protect(NodeId node, PageIndex page) {
    Frame &taken = change(node).frames[page];
    if (taken.mapping != Mapping::writable) {
        wrong("protect of what is not writable: " + place(node, page));
    }
    taken.mapping = Mapping::read_only;
}

void World::stage(NodeId node, PageIndex page) {
    const Frame &here = frame(node, page);
    if (here.mapping != Mapping::read_only) {
        wrong("stage of what is not here and write-protected: " + place(node, page));
    }
    staged_.push_back(here.version);
}

void World::drop(NodeId node, PageIndex page) {
    Frame &taken = change(node).frames[page];
    if (taken.mapping != Mapping::read_only) {
        wrong("drop of what is not here and write-protected: " + place(node, page));
    }
    taken = {};
}

void World::install(NodeId node, const Effect &effect, const Msg &msg, const std::vector<std::uint32_t> &payload) {
    if (effect.base != msg.base || (effect.mask & ~msg.mask) != 0) {
        wrong("install of other pages than the message brought, node " + std::to_string(node));
        return;
    }
    std::size_t next = 0;
    for_each_page(msg.base, msg.mask, [&](PageIndex page) {
        const auto bit = std::uint64_t{1} << (page - msg.base);
        const std::uint32_t version = (msg.zero & bit) != 0 ? 0 : payload.at(next++);
        if ((effect.mask & bit) == 0) {
            return; // came too late
        }
        Frame &fresh = change(node).frames[page];
        if (fresh.mapping != Mapping::none) {
            wrong("install over a frame: " + place(node, page));
        }
        fresh = {.mapping = mapping_for(effect.access), .version = version};
    });
}

void World::resolve(NodeId node, PageIndex page, Access access) {
    Node &here = change(node);
    Thread &thread = here.waiting[page];
    if (access == Access::lost) {
        poisoned_ += thread.reads || thread.writes ? 1 : 0;
        if (!deaths_ && live(page / pages_)) {
            wrong("lost although nobody died: " + place(node, page));
        }
        thread = {};
        return;
    }
    if (here.frames[page].mapping == Mapping::none) {
        wrong("resolve without a frame: " + place(node, page));
    }
    if (access == Access::write) {
        here.frames[page].mapping = Mapping::writable;
    }
    if (thread.reads) {
        thread.reads = false;
        use(node, page, false);
    }
    if (thread.writes && access == Access::write) {
        thread.writes = false;
        use(node, page, true);
    }
}

void World::send(NodeId node, const Effect &effect) {
    Packet packet{.from = node, .to = effect.to, .msg = effect.msg, .payload = {}};
    if (effect.msg.type == MsgType::data) {
        if (staged_mask_ != effect.msg.mask) {
            wrong("data sent that is not what was staged, node " + std::to_string(node));
        }
        std::size_t next = 0;
        for_each_page(effect.msg.base, effect.msg.mask, [&](PageIndex page) {
            const std::uint32_t version = staged_[next++];
            if (version == 0) {
                packet.msg.zero |= std::uint64_t{1} << (page - effect.msg.base);
            } else {
                packet.payload.push_back(version);
            }
        });
        staged_mask_ = 0;
    }
    if (effect.to == node || effect.to >= size()) {
        wrong("message to node " + std::to_string(effect.to));
    } else if (alive(effect.to)) {
        flying_.push_back(std::move(packet));
    }
}

// The instruction that touched the page is executed.
void World::use(NodeId node, PageIndex page, bool write) {
    if (frame(node, page).version != latest_[page] && !outcast(node)) {
        wrong("sees write " + std::to_string(frame(node, page).version) + ", not " + std::to_string(latest_[page]) +
              ": " + place(node, page));
    }
    if (write) {
        latest_[page] = ++newest_[page % pages_];
        change(node).frames[page].version = latest_[page];
    }
}

bool World::waits(NodeId node) const {
    return std::any_of(nodes_[node]->waiting.begin(), nodes_[node]->waiting.end(),
                       [](const Thread &thread) { return thread.reads || thread.writes; });
}

std::uint64_t World::late() const {
    std::uint64_t sum = 0;
    for (const auto &node : nodes_) {
        sum += node->state.late();
    }
    return sum;
}

void World::wrong(const std::string &what) {
    if (error_.empty()) {
        error_ = what;
        note("WRONG: " + what);
    }
}

void World::note(const std::string &line) {
    if (trace_ != nullptr) {
        trace_->push_back(line);
    }
}

std::vector<std::uint8_t> World::canonical() const {
    std::vector<std::uint8_t> bytes;
    const auto put = [&bytes](std::uint64_t value) {
        for (unsigned shift = 0; shift < 64; shift += 8) {
            bytes.push_back(static_cast<std::uint8_t>(value >> shift));
        }
    };
    for (const auto &node : nodes_) {
        bytes.push_back(static_cast<std::uint8_t>((node->alive ? 1 : 0) + (node->suspected ? 2 : 0)));
        if (!node->alive) {
            continue;
        }
        const auto state = node->state.canonical();
        put(state.size());
        bytes.insert(bytes.end(), state.begin(), state.end());
        for (PageIndex page = 0; page < pages(); ++page) {
            put(node->frames[page].version << 2 | static_cast<unsigned>(node->frames[page].mapping));
            put((node->waiting[page].reads ? 1 : 0) + (node->waiting[page].writes ? 2 : 0));
        }
    }
    for (const std::uint32_t version : latest_) {
        put(version);
    }
    for (const Stretch &stretch : stretches_) {
        put(stretch.freezes << 2 | (stretch.live ? 2U : 0U) | (stretch.frozen ? 1U : 0U));
    }
    // Messages have no order among them.
    std::vector<std::vector<std::uint8_t>> loose;
    for (const Packet &packet : flying_) {
        std::swap(bytes, loose.emplace_back());
        const Msg &msg = packet.msg;
        for (const std::uint64_t value :
             {std::uint64_t{packet.from}, std::uint64_t{packet.to}, static_cast<std::uint64_t>(msg.type),
              std::uint64_t{msg.write} + 2 * std::uint64_t{msg.have} + 4 * std::uint64_t{msg.lost},
              std::uint64_t{msg.requester}, std::uint64_t{msg.count}, msg.txn, msg.request, msg.base, msg.mask,
              msg.zero}) {
            put(value);
        }
        for (const std::uint32_t version : packet.payload) {
            put(version);
        }
        std::swap(bytes, loose.back());
    }
    for (const DeathNotice &notice : notices_) {
        loose.push_back({static_cast<std::uint8_t>(notice.observer), static_cast<std::uint8_t>(notice.dead)});
    }
    std::sort(loose.begin(), loose.end());
    for (const auto &part : loose) {
        put(part.size());
        bytes.insert(bytes.end(), part.begin(), part.end());
    }
    return bytes;
}

std::string World::describe() const {
    std::string text;
    for (const auto &node : nodes_) {
        text += node->alive ? node->state.describe() : "dead\n";
    }
    for (const Packet &packet : flying_) {
        text +=
            std::to_string(packet.from) + " -> " + std::to_string(packet.to) + ": " + dsm::describe(packet.msg) + "\n";
    }
    return text;
}

} // namespace norma::dsm

// SPDX-License-Identifier: BSD-3-Clause
// A whole job in one value: several nodes' shares of one object, the messages between them in flight, the frames an
// executor would keep, and an observer who knows the last write to every page. Whoever drives it chooses what happens
// next; the world carries out the effects and notes the first thing that is wrong.
#pragma once

#include "dsm/core/core.hpp"

#include <memory>
#include <string>
#include <vector>

namespace norma::dsm {

enum class Mapping : std::uint8_t { none, read_only, writable };

// The bytes of a page are stood for by the number of the write that made them; 0 is the zeros of a fresh object.
struct Frame {
    Mapping mapping = Mapping::none;
    std::uint32_t version = 0;
};

Mapping mapping_for(Access access);

struct Packet {
    NodeId from = 0;
    NodeId to = 0;
    Msg msg{};
    std::vector<std::uint32_t> payload; // the versions of the pages in mask & ~zero, in order
};

struct DeathNotice {
    NodeId observer = 0;
    NodeId dead = 0;
};

class World {
  public:
    World(NodeId nodes, NodeId home, std::uint64_t pages);

    // What can happen. A local thread uses a page: at once if its mapping allows, else it faults and waits.
    void access(NodeId node, PageIndex page, bool write, std::uint32_t window);
    void evict(NodeId node, PageIndex page, std::uint32_t window);
    void deliver(std::size_t packet);
    // The same message once more, while the original goes on its way. Gets, forwards and what hands a home over
    // excepted: the protocol asks the network not to repeat those.
    void repeat(std::size_t packet);
    void kill(NodeId node);
    // The others come to believe that a node has died which lives on. Who has been told is cut off from it.
    void suspect(NodeId node);
    // At the home, which lives.
    void freeze(std::uint64_t stretch);
    std::uint64_t snapshot(std::uint64_t stretch); // which is frozen
    void thaw(std::uint64_t stretch);
    void end(std::uint64_t stretch);
    bool may_move_home(NodeId to) const;
    void move_home(NodeId to);
    void lose(std::size_t packet); // only what is losable
    void notice(std::size_t notice);
    // Sent by a dead node, or between two that are cut off from each other. It may still arrive.
    bool losable(const Packet &packet) const;

    // Everything has happened that can: nothing may be left waiting, and the directory must be exact.
    void check_quiet();
    bool quiet() const { return flying_.empty() && notices_.empty(); }

    const std::vector<Packet> &flying() const { return flying_; }
    const std::vector<DeathNotice> &notices() const { return notices_; }
    const State &node(NodeId node) const { return nodes_[node]->state; }
    NodeId size() const { return static_cast<NodeId>(nodes_.size()); }
    NodeId home() const { return home_; }
    // It lives, is not suspected, and has not handed the object over to one who is not the home yet.
    bool home_in_charge() const { return alive(home_) && !suspected(home_) && node(home_).is_home(); }
    std::uint64_t pages() const { return latest_.size(); } // of all stretches
    std::uint64_t stretches() const { return stretches_.size(); }
    bool live(std::uint64_t stretch) const { return stretches_[stretch].live; }
    unsigned freezes(std::uint64_t stretch) const { return stretches_[stretch].freezes; }
    bool frozen(std::uint64_t stretch) const { return stretches_[stretch].frozen; }
    bool alive(NodeId node) const { return nodes_[node]->alive; }
    bool suspected(NodeId node) const { return nodes_[node]->suspected; }
    const Frame &frame(NodeId node, PageIndex page) const { return nodes_[node]->frames[page]; }
    std::uint32_t latest(PageIndex page) const { return latest_[page]; }
    bool waits(NodeId node) const;
    bool waits(NodeId node, PageIndex page, bool write) const {
        const Thread &thread = nodes_[node]->waiting[page];
        return write ? thread.writes : thread.reads;
    }
    const std::string &error() const { return error_; } // empty: nothing is wrong so far
    std::uint64_t poisoned() const { return poisoned_; }
    std::uint64_t late() const;

    std::vector<std::uint8_t> canonical() const;
    std::string describe() const;
    void trace_to(std::vector<std::string> *trace) { trace_ = trace; }

  private:
    struct Thread {
        bool reads = false;
        bool writes = false;
    };
    struct Node {
        State state;
        std::vector<Frame> frames;
        std::vector<Thread> waiting; // by page
        bool alive = true;
        bool suspected = false;
    };

    struct Stretch {
        bool live = true;
        unsigned freezes = 0;
        bool frozen = false; // the home said so
    };

    Node &change(NodeId node);
    bool cut_off(NodeId a, NodeId b) const;
    bool outcast(NodeId node) const;
    void tell_of(NodeId dead);
    void hear(const Packet &packet);
    void run(NodeId node, const Event &event, const std::vector<std::uint32_t> &payload);
    void carry_out(NodeId node, const Effect &effect, const Event &event, const std::vector<std::uint32_t> &payload);
    void protect(NodeId node, PageIndex page);
    void stage(NodeId node, PageIndex page);
    void drop(NodeId node, PageIndex page);
    void install(NodeId node, const Effect &effect, const Msg &msg, const std::vector<std::uint32_t> &payload);
    void resolve(NodeId node, PageIndex page, Access access);
    void send(NodeId node, const Effect &effect);
    void use(NodeId node, PageIndex page, bool write);
    void order(Event::Type type, std::uint64_t stretch);
    void copy(NodeId node, PageIndex from, PageIndex to);
    void freeze_mappings(NodeId node, PageIndex base);
    void forget_frames(NodeId node, PageIndex base);
    void call_off_move();
    void hand_over(NodeId node);
    void take_holes(NodeId node);
    void check_frozen(std::uint64_t stretch);
    void check_line(PageIndex page);
    void check_ended();
    void check_page(PageIndex page);
    void check_record(PageIndex page);
    void wrong(const std::string &what);
    void note(const std::string &line);

    std::vector<std::shared_ptr<Node>> nodes_; // shared by copies of a world until one of them changes the node
    NodeId home_;
    std::vector<NodeId> homes_; // all there have been
    bool may_hand_over_ = false;
    std::uint64_t pages_; // of each stretch
    std::vector<Stretch> stretches_;
    std::vector<std::uint32_t> latest_; // by page: the version of the last write in the job
    std::vector<std::uint32_t> newest_; // by page of a stretch: the version of the last write to any stretch's
    std::vector<Packet> flying_;
    std::vector<DeathNotice> notices_;
    std::vector<std::uint32_t> staged_; // payload of the next send
    std::uint64_t staged_mask_ = 0;
    bool deaths_ = false;
    std::uint64_t poisoned_ = 0;
    std::string error_;
    std::vector<std::string> *trace_ = nullptr;
};

} // namespace norma::dsm

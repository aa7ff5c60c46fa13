// SPDX-License-Identifier: BSD-3-Clause
// The connection to one peer, once it has a queue pair: flow control, and messages of any size over frames and reads.
//
// Flow control: the peers tell each other how many receive slots they have set aside. Each frame uses one up; the
// receiver gives it back with a later frame. A sender keeps its last slot for a frame that does nothing but give slots
// back, so two peers that wait for each other's slots can always go on. While announced messages are being read, no
// slots are given back: so neither they nor what comes after them, and has to wait for its turn, can pile up.
#pragma once

#include "rpc/staging.hpp"
#include "rpc/verbs/engine.hpp"
#include "rpc/verbs/frame.hpp"
#include "rpc/verbs/queue.hpp"

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace norma::rpc::verbs {

class Link {
  public:
    struct Hooks {
        // A message, as decode_message() has it.
        std::function<void(Link &, std::span<const std::byte> front, std::span<const std::byte> data)> message;
        std::function<void(Link &, std::string why)> broken;
    };
    // Takes over the identifier, and grants `credits` slots to the peer. Throws std::runtime_error.
    Link(Engine &engine, StagingPool &pool, Hooks hooks, std::uint32_t number);
    ~Link();
    Link(const Link &) = delete;
    Link &operator=(const Link &) = delete;

    // Life: started (a request is made of, or has come from, the peer), open (both sides are connected), revoked.
    void start(IdPtr id);        // owns the identifier from now on
    void make_queue();           // once the identifier has a device
    void open(unsigned credits); // the peer's slots
    void revoke();               // from now on the peer can neither write nor read here
    bool is_open() const { return open_ && !revoked_; }
    bool revoked() const { return revoked_; }
    bool has_queue() const { return queue_ != nullptr; }
    rdma_cm_id *id() const { return id_.get(); }
    std::uint32_t number() const { return number_; }
    unsigned granted() const { return granted_; }
    Queue &queue() { return *queue_; }

    // Queues the message until the link is open and has room.
    void send(std::span<const std::byte> front, StagingPtr payload);
    // A frame has arrived in `slot`.
    void received(SlotPtr slot, std::size_t bytes);
    // Sends what can be sent by now.
    void pump();
    // An empty write: the device finds out whether the peer is there, and says what has left by then.
    void touch();
    void keep_alive(); // touches a link on which nothing has been sent since the last time

    // Nothing is to be sent, and nothing that was sent is needed any more.
    bool idle() const;
    // Messages that the other side does not have yet, as far as this side knows.
    std::size_t unfinished() const { return waiting_.size() + announced_.size(); }
    bool waits_for_sends() const; // for a completion that makes something go on

  private:
    struct Outgoing {
        std::vector<std::byte> front;
        StagingPtr payload;
    };
    // A message that this side has announced, until the peer has read it.
    struct Announced {
        StagingPtr front, payload;
    };
    // A message that the peer has announced.
    struct Fetch {
        std::uint32_t token = 0;
        Announcement parts;
        SlotPtr slot; // holds the front if it came with the announcement
        std::span<const std::byte> front;
        StagingPtr front_staging, payload;
        unsigned reads = 0; // still under way
        bool started = false;
    };

    bool can_send() const { return is_open() && credits_ > 1 && queue_->room() > 1; }
    void post_message(std::span<const std::byte> front, StagingPtr payload);
    void post_announcement(std::span<const std::byte> front, StagingPtr payload);
    void post_control(FrameKind kind, std::uint32_t token);
    void post_frame(SlotPtr slot, std::size_t bytes, StagingPtr payload);
    Frame next_frame(FrameKind kind, std::uint32_t token = 0);
    Part expose(const Staging &staging) const;

    void begin_fetch(SlotPtr slot, const ArrivedFrame &arrived);
    void start_fetches();
    void read_part(Fetch &fetch, const Part &part, StagingPtr &into);
    void read_done(Fetch &fetch, bool ok);
    void give_back(SlotPtr slot);
    void break_off(std::string why);

    Engine &engine_;
    StagingPool &pool_;
    const Hooks hooks_;
    const std::uint32_t number_;
    const unsigned granted_;
    IdPtr id_;
    std::unique_ptr<Queue> queue_; // before the identifier goes
    bool open_ = false, revoked_ = false;

    unsigned credits_ = 0; // the peer's slots that this side may fill
    unsigned owed_ = 0;    // slots of this side that the peer does not know to be free again
    unsigned peer_credits_ = 0;
    bool active_ = false; // something was posted since the last keep_alive()
    bool touching_ = false;
    std::deque<Outgoing> waiting_;
    std::deque<std::uint32_t> to_confirm_; // tokens of announcements that have been read
    std::map<std::uint32_t, Announced> announced_;
    std::uint32_t next_token_ = 0;
    std::list<Fetch> fetches_; // in the order of their announcements
};

} // namespace norma::rpc::verbs

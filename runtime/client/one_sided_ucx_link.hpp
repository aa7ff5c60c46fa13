// SPDX-License-Identifier: BSD-3-Clause
// Messages of one-sided access over UCX, and how both sides send them. An Ask goes from importer to owner, Answers come
// back; large accesses travel in pieces, so that no message is put together from parts at its receiver.
#pragma once

#include "norma/region.h"
#include "rpc/ucx/engine.hpp"
#include "runtime/client/one_sided.hpp"
#include "runtime/client/one_sided_memory.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <span>
#include <vector>

namespace norma::rt {

inline constexpr unsigned kAskId = 0, kAnswerId = 1;
inline constexpr std::size_t kMostPiece = 64 * 1024;
// A shared-memory segment of UCX's holds 8 KiB.
inline constexpr std::size_t kSharedMemoryPiece = 8000;

// Payload: look: the address of the importer's worker; put: a Piece from `offset + at` on.
struct Ask {
    AccessKind kind;
    std::uint8_t reserved[3];
    std::uint32_t piece;      // get: most bytes of an answer
    std::uint64_t importer;   // random; which connection this is
    std::uint64_t op;         // the importer's; echoed
    std::uint64_t place;      // in the owner's table
    std::uint64_t secret[2];  //
    std::uint64_t offset;     // of the whole access, in the export
    std::uint64_t bytes;      // of the whole access
    std::uint64_t at;         // put: of the whole, what lies before this message's part
    std::uint64_t operand[2]; // fetch_add, compare_swap
};
static_assert(sizeof(Ask) == 88);

// Payload: get: a Piece from `at` on; look: the address of the owner's worker for this importer. A put is answered
// once, behind its last part.
struct Answer {
    std::int32_t status = KERN_SUCCESS;
    std::uint32_t reserved = 0;
    std::uint64_t op = 0;
    std::uint64_t at = 0;
    std::uint64_t value[2] = {}; // look: bytes and access of the export; atomics: what was there before
};
static_assert(sizeof(Answer) == 40);

// Bytes of a region, and behind them whether that is what they are: they are copied after the message's head has been
// written, when the region may have ended.
using PieceStatus = std::int32_t;

// Who knows what the bytes of a message are.
class Filler {
  public:
    // The `bytes` bytes that `ask` is about, from ask.at on.
    virtual PieceStatus fill(const Ask &ask, std::byte *to, std::size_t bytes) = 0;

  protected:
    ~Filler() = default;
};
// What a Filler has filled.
PieceStatus status_of(std::span<const std::byte> &piece); // takes it off the end

// UCX looks for peers that have died without a word in every 32nd turn only; a worker that sleeps has few.
void look_for_dead(const rpc::ucx::Worker &worker);

// A connection to another process's worker.
class Link {
  public:
    Link() = default;
    Link(const Link &) = delete;
    Link &operator=(const Link &) = delete;
    // Throws std::runtime_error.
    void open(const rpc::ucx::Worker &worker, std::span<const std::byte> address);
    // To be called outside UCX's callbacks. Messages under way are given up.
    void close();
    ucp_ep_h endpoint() const { return endpoint_; }
    bool broken() const { return broken_; }
    void mark_broken() { broken_ = true; }
    // Most bytes that fit one message; known once something has come back.
    std::size_t best_piece() const;

  private:
    ucp_ep_h endpoint_ = nullptr;
    bool broken_ = false;
};

// For a worker that is about to end: UCX 1.13 aborts if its endpoints are still being connected then.
void end_connection(const rpc::ucx::Worker &worker, Link &link);

// What is on its way over one link, so that who does not take it holds up nobody else. Nothing refers to the program's
// memory: its bytes are copied in first, or, if UCX would copy them once more, by the Filler into UCX's own buffer.
class Outbox {
  public:
    explicit Outbox(Filler &filler) : filler_(filler) {}
    Outbox(const Outbox &) = delete;
    Outbox &operator=(const Outbox &) = delete;
    // False: enough is under way; try after progress.
    bool room() const { return idle_.size() + kMost > messages_.size(); }
    // All need room(). `head` and `data` (an address) are copied.
    template <class Head> void send(Link &link, unsigned id, const Head &head, std::span<const std::byte> data = {}) {
        auto &message = next(head);
        std::memcpy(message.data.get(), data.data(), data.size());
        post(link, id, message, sizeof head, data.size());
    }
    template <class Head>
    void send_piece(Link &link, unsigned id, const Head &head, const Ask &ask, std::size_t bytes) {
        auto &message = next(head);
        message.ask = ask;
        message.bytes = bytes;
        post_piece(link, id, message, sizeof head);
    }

  private:
    static constexpr std::size_t kMost = 16; // messages under way
    struct Message {
        Outbox *outbox = nullptr;
        Link *link = nullptr;
        ucp_ep_h endpoint = nullptr;
        std::array<std::byte, sizeof(Ask)> head{};
        Ask ask{};
        std::size_t bytes = 0;
        std::unique_ptr<std::byte[]> data;
    };
    static void on_sent(void *request, ucs_status_t status, void *message);
    static ucp_datatype_t filled_late();
    Message &idle();
    template <class Head> Message &next(const Head &head) {
        static_assert(sizeof(Head) <= sizeof(Message::head));
        auto &message = idle();
        std::memcpy(message.head.data(), &head, sizeof head);
        return message;
    }
    void fill(Message &message, std::byte *to);
    void post_piece(Link &link, unsigned id, Message &message, std::size_t head);
    void post(Link &link, unsigned id, Message &message, std::size_t head, std::size_t bytes);
    void post(Link &link, unsigned id, Message &message, std::size_t head, ucp_datatype_t type, const void *data,
              std::size_t count);

    Filler &filler_;
    std::deque<Message> messages_;
    std::vector<Message *> idle_;
};

} // namespace norma::rt

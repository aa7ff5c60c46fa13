// SPDX-License-Identifier: BSD-3-Clause
// Puts the messages of one peer back into the order of their sequence numbers. Networks deliver in order nearly always,
// so the common case copies nothing; a message that is ahead of its time is copied and waits. Messages also wait while
// the inbox is closed, that is until connect() has told which incarnation of the peer is the right one.
#pragma once

#include "rpc/record.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace norma::rpc {

class Inbox {
  public:
    enum class Offer : std::uint8_t {
        deliver, // it is the next one: handle it now, then take() until that yields nothing
        held,    // copied; take() will yield it in its turn
        repeat,  // seen before: drop it
        refused, // too much is waiting already
    };
    static constexpr std::size_t kMaxHeldBytes = std::size_t{64} << 20;

    Offer offer(const Message &message);
    // Moves the next waiting message to `bytes` (record, then payload) if its turn has come.
    struct Held {
        std::size_t record_bytes = 0;
        std::vector<std::byte> bytes;
    };
    bool take(Held &out);
    // From now on messages of this incarnation are in turn; waiting ones of others are dropped, and counted in the
    // result.
    std::size_t open(std::uint32_t incarnation);
    // Forgets everything; the next connection counts from 0.
    void close();
    bool ready() const;

  private:
    // Before open() messages of several incarnations may wait, each counting from 0.
    struct Turn {
        std::uint32_t incarnation = 0;
        std::uint64_t sequence = 0;
        auto operator<=>(const Turn &) const = default;
    };
    std::map<Turn, Held> held_;
    std::size_t held_bytes_ = 0;
    std::uint64_t next_ = 0;
    std::uint32_t incarnation_ = 0; // 0: closed
};

} // namespace norma::rpc

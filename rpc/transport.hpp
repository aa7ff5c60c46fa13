// SPDX-License-Identifier: BSD-3-Clause
// How bytes travel between node servers. One transport instance belongs to one thread (the node server's loop); nothing
// here is thread-safe and nothing blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace norma::rpc {

using NodeId = std::uint16_t;
inline constexpr unsigned kMaxNodes = 256;
inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kMaxBatchPages = 64;
// A record is the part of a message that is decoded; the payload is the pages behind it. Both are bounded.
inline constexpr std::size_t kMaxRecordBytes = 64 * 1024;
inline constexpr std::size_t kMaxPayloadBytes = kMaxBatchPages * kPageBytes;

// A registered buffer from the transport's pool, big enough for kMaxPayloadBytes. Whoever holds it owns its bytes;
// handing it to send() gives it up, and the transport takes it back when the bytes have left.
class Staging {
  public:
    virtual ~Staging() = default;
    std::byte *data = nullptr; // page-aligned
    std::size_t size = 0;      // bytes in use, set by whoever fills it
};
// Returns the buffer to its pool rather than freeing it.
struct StagingReturn {
    void operator()(Staging *staging) const;
};
using StagingPtr = std::unique_ptr<Staging, StagingReturn>;

struct Handlers {
    // A message arrived. record and payload are valid during the call only. payload may be empty.
    std::function<void(NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload)> message;
    // The connection to a peer is gone for good. Called once per peer, never from inside send().
    std::function<void(NodeId peer, const std::string &why)> down;
    // A message was dropped unread, and counted. Not called for what a disconnected peer had still sent.
    std::function<void(const char *why)> dropped;
};

// Which RDMA device the kind "verbs" uses; what is not set is chosen.
struct VerbsSettings {
    std::string device{}; // empty: any
    unsigned port = 0;    // 0: any
    int gid_index = -1;   // -1: any
};

struct Options {
    NodeId self = 0;
    std::string kind = "ucx";      // ucx (its own choice), tcp, shm, verbs
    std::uint64_t job_key = 0;     // in every message; others are dropped and counted
    std::uint32_t incarnation = 1; // of this node server
    VerbsSettings verbs{};
};

struct Counters {
    std::uint64_t sent = 0, received = 0, bytes_sent = 0, bytes_received = 0;
    std::uint64_t dropped_garbage = 0, dropped_key = 0, dropped_version = 0, dropped_incarnation = 0;
    std::uint64_t dropped_late = 0; // of peers that had been disconnected
};

class Transport {
  public:
    virtual ~Transport() = default;
    // What a peer needs to connect() here; exchanged by the bootstrap.
    virtual std::vector<std::byte> address() const = 0;
    // Connects to a peer. Throws std::runtime_error with a message that names the peer if the address is no good.
    virtual void connect(NodeId peer, std::uint32_t incarnation, std::span<const std::byte> address) = 0;
    // Sends one message; messages to one peer arrive in the order of send(). Never fails: to a dead or unknown peer it
    // is a no-op (the peer's down handler has been, or will be, called). `record` is copied before it returns.
    virtual void send(NodeId peer, std::span<const std::byte> record, StagingPtr payload = nullptr) = 0;
    // A buffer from the pool; grows the pool if need be, so it is never null.
    virtual StagingPtr stage() = 0;
    // Does what can be done now and calls the handlers. True if anything happened.
    virtual bool progress() = 0;
    // For a blocking wait: poll event_fd() for POLLIN after arm() has returned true. False: progress() first.
    virtual int event_fd() const = 0;
    virtual bool arm() = 0;
    // Forgets a peer that is known to be dead: later messages from it are dropped, sends to it are no-ops.
    virtual void disconnect(NodeId peer) = 0;
    virtual const Counters &counters() const = 0;
    virtual std::string describe() const = 0; // one line for `norma info` and perf headers, e.g. "ucx tcp"
};

// Throws std::runtime_error naming the offending option.
std::unique_ptr<Transport> make_transport(const Options &options, Handlers handlers);

} // namespace norma::rpc

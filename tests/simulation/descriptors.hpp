// SPDX-License-Identifier: BSD-3-Clause
// File descriptors of the simulated machine: ends of packet sockets, userfaultfds, frames, and the news of ended
// children. Numbers are never used twice, so a mistake with a closed one is seen.
#pragma once

#include "tests/simulation/memory.hpp"

#include <cstddef>
#include <span>
#include <unordered_map>

namespace norma::sim {

struct PacketWithFd {
    std::vector<std::byte> bytes;
    int fd = -1;
};

class Descriptors {
  public:
    // A loop wants to know when `fd` can be read; see World.
    using Readable = std::function<void(int loop)>;
    explicit Descriptors(Readable readable) : readable_(std::move(readable)) {}

    std::pair<int, int> add_socket_pair();
    int add(std::shared_ptr<AddressSpace> space);
    int add(std::shared_ptr<FrameFile> file);
    int add_signal(); // readable once each time it is raised
    void close(int fd);
    // A socket's end changes hands: from now on it has another number, and the old one is closed.
    int move(int fd);

    // Sockets. false: the other end is closed.
    bool send(int fd, PacketWithFd packet);
    std::optional<PacketWithFd> receive(int fd);
    bool at_end(int fd) const; // nothing more will come
    // The owner of this end is not a loop: it is called when there is something.
    void on_packet(int fd, std::function<void()> action);

    std::shared_ptr<AddressSpace> space(int fd) const;
    std::shared_ptr<FrameFile> file(int fd) const;

    void watch(int fd, int loop);
    void unwatch(int fd);
    bool readable(int fd) const;
    void signal(int fd); // there may be something to read
    void clear(int fd);  // a raised signal has been seen
    // What a loop watches and can read, in the order of opening.
    std::vector<int> ready(int loop) const;
    void close_watched(int loop);

  private:
    struct Entry {
        int peer = -1; // socket
        bool peer_closed = false;
        bool raised = false;
        int loop = -1; // who watches it
        std::deque<PacketWithFd> packets;
        std::function<void()> on_packet;
        std::shared_ptr<AddressSpace> space;
        std::shared_ptr<FrameFile> file;
    };
    Entry *find(int fd);
    const Entry *find(int fd) const;
    int put(Entry entry);

    Readable readable_;
    std::unordered_map<int, Entry> entries_;
    std::map<int, std::set<int>> ready_; // by loop; may hold some that have been read since
    int next_ = 1 << 20;
};

} // namespace norma::sim

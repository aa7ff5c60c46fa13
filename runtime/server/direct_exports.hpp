// SPDX-License-Identifier: BSD-3-Clause
// Exported regions that importers on this machine have in their own memory (docs/one-sided.md). The node server, which
// has the frames, gives them out and takes them back; the owner's process takes no part.
#pragma once

#include "norma/mach.h"
#include "runtime/address_map.hpp"
#include "runtime/direct.hpp"
#include "runtime/server/task.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace norma::rt {

class Node;

class DirectExports {
  public:
    explicit DirectExports(Node &node) : node_(node) {}
    ~DirectExports();
    DirectExports(const DirectExports &) = delete;
    DirectExports &operator=(const DirectExports &) = delete;

    // Lets importers come. Throws std::system_error.
    void open();
    // Of the socket to which they come; empty: none do.
    const std::string &name() const { return name_; }

    struct Export {
        TaskId owner;
        std::uint64_t place; // in the owner's table
        std::uint64_t address, bytes;
        vm_prot_t access;
    };
    // All of it is wired.
    void add(const Export &made, const Key &secret);
    // No access begins any more: to exports of the task that touch the range; to one of its exports (false: there is
    // none); to any of them, since it has ended.
    void close(TaskId owner, Range range);
    bool close(TaskId owner, const Key &secret);
    void close_all(TaskId owner);
    // Calls `done`, perhaps at once, when no access goes on to what has been closed of the task's. Until then the pages
    // stay where they are.
    void when_quiet(TaskId owner, std::function<void()> done);

  private:
    // What an importer has. It wires the pages once more, and has a use of each stretch.
    struct Grant {
        TaskId owner = 0; // 0: it has not asked yet
        Key secret{};
        DirectControl *control = nullptr;
        Export about{};
        int page = -1; // which `control` is in, until it has been passed on
        std::vector<WiredPiece> pieces{};
        std::size_t unsettled = 0; // pieces that are not wired yet
        bool closed = false;       // nobody may enter any more
        bool ended = false;        // the importer is gone, or a page; to be forgotten when all is settled
    };
    using Grants = std::map<int, Grant>; // by socket

    void listen();
    bool arrive();
    void hear(int socket);
    bool begin(int socket, Grant &grant, const DirectAsk &ask);
    void settled(int socket, const WiredPiece &piece, dsm::WiringResult result);
    bool share(int socket, Grant &grant);
    std::vector<WiredPiece> pieces_of(const Export &wanted) const;
    void close(std::map<Key, Export>::iterator ended, DirectControl::State why);
    void end(Grants::iterator grant);
    void look_again();
    bool is_quiet(TaskId owner) const;

    Node &node_;
    int listener_ = -1;
    std::string name_;
    std::map<Key, Export> exports_; // by secret
    Grants grants_;
    bool looking_ = false; // a timer runs, as an importer is in what has been closed
    std::vector<std::pair<TaskId, std::function<void()>>> waiting_;
};

} // namespace norma::rt

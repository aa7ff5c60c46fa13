// SPDX-License-Identifier: BSD-3-Clause
// Tasks as processes: an id that is unique in the job, a parent that is told of their ends. The node that has made an
// id is its home: it knows, as long as the process lives, where it runs now, and what has become of its children.
#pragma once

#include "runtime/right.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace norma::rt {

using Pid = std::int32_t; // serial 23 | home node 8; 0 is none, 1 nobody's
inline constexpr unsigned kPidNodeBits = 8;
inline constexpr Pid kLastSerial = (Pid{1} << (31 - kPidNodeBits)) - 1;
static_assert(dsm::kMaxNodes == 1U << kPidNodeBits);
constexpr dsm::NodeId home_of(Pid pid) {
    return static_cast<dsm::NodeId>(pid & ((1 << kPidNodeBits) - 1));
}
inline constexpr Pid kNobody = 1; // the parent of those that have none

inline constexpr int kSignals = 64;
// Those that the C library and libnorma (SIGRTMAX - 2) have for themselves are nobody else's.
constexpr bool is_signal(std::uint64_t number) {
    return number <= kSignals && number != 32 && number != 33 && number != kSignals - 2;
}

// What a task is as a process. It keeps all of it when it is teleported.
struct Kin {
    Pid identity = 0;    // what its home knows it by
    Pid pid = 0;         // what it calls itself: its identity, or with CLONE_PID what its parent calls itself
    Pid parent = 0;      // the identity of its parent; 0: it has none
    int exit_signal = 0; // for the parent when it ends; 0: none
};

inline constexpr std::size_t kKinBytes = 16;
void put_kin(rpc::Writer &writer, const Kin &kin);
Kin get_kin(rpc::Reader &reader);

// Which children a wait is about, as wait(2) has it.
enum class Kinds : std::uint8_t { usual, clones, all }; // that end with SIGCHLD; that do not

class Families {
  public:
    struct Child {
        Kin kin;
        dsm::NodeId node = 0; // where it runs
        std::optional<int> status{};
    };
    // A signal that a process is to get, or with 0 news for whoever waits for its children.
    struct News {
        Pid parent;
        int signal;
    };
    struct Ended {
        Pid pid;
        int status;
    };

    explicit Families(dsm::NodeId self) : self_(self) {}

    struct Process {
        Right where;                     // the task it is now
        Pid pid = 0;                     // what it calls itself
        std::map<Pid, Child> children{}; // by identity
    };

    // The identity of a new process, which calls itself `pid`, or the same if that is 0. 0: there are no more.
    Pid make(const Right &where, Pid pid);
    const Process *find(Pid identity) const; // null: it has ended, or never was, or has its home elsewhere
    void set_place(Pid identity, const Right &where);
    void remove(Pid identity); // its children have no parent from then on

    // False: the parent has ended.
    bool add_child(const Kin &child, dsm::NodeId node);
    void child_moved(Pid parent, Pid child, dsm::NodeId node);
    std::optional<News> child_ended(Pid parent, Pid child, int status); // nothing if that was known, or nobody's
    void forget_child(Pid parent, Pid child);
    // What was running there has been killed.
    std::vector<News> node_down(dsm::NodeId node);

    // Takes one that has ended of those a wait is about: `wanted` as they call themselves; -1: any. Nothing if none
    // has; `any` says whether there are such children at all.
    std::optional<Ended> take_ended(Pid parent, Pid wanted, Kinds kinds, bool &any);

    std::size_t size() const { return processes_.size(); }

    // For when it goes to another node as a whole (docs/draining.md).
    void write(rpc::Writer &writer) const;
    bool read(rpc::Reader &reader); // into an empty one; false: it is no such thing
    void merge(Families &&other) { processes_.merge(other.processes_); }

  private:
    Child *find_child(Pid parent, Pid child);

    dsm::NodeId self_;
    Pid last_serial_ = 0;
    std::map<Pid, Process> processes_;
};

} // namespace norma::rt

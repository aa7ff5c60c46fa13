// SPDX-License-Identifier: BSD-3-Clause
// The name space of a task: which names it has, and for what. All rights to one port are under one name. Pure; the
// calls that Mach has for it return Mach's values.
//
// A name with send rights to a port holds one reference to the port for the node, however many rights it stands for
// (runtime/server/port_service). What a call lets go of is listed for the caller to see to: a Carried for each.
#pragma once

#include "runtime/right.hpp"

#include <norma/mach.h>

#include <cstdint>
#include <map>
#include <vector>

namespace norma::rt {

// Places for rights that a task hands on to its children: the bootstrap port, the registered ones, and where its
// samples go.
inline constexpr std::uint64_t kSlotBootstrap = TASK_BOOTSTRAP_PORT, kSlotRegistered = 16, kSlotSample = 32;
constexpr bool is_slot(std::uint64_t slot) {
    return slot == kSlotBootstrap || slot == kSlotSample ||
           (slot >= kSlotRegistered && slot < kSlotRegistered + TASK_PORT_REGISTER_MAX);
}
// And its exception ports; those of a thread are nobody's but its own.
inline constexpr std::uint64_t kSlotException = 48, kSlotsOfThread = 256;
constexpr std::uint64_t exception_slot(std::uint64_t thread, std::uint32_t type) { // thread 0: the task's
    return thread * kSlotsOfThread + kSlotException + type;
}
constexpr bool is_exception_slot(std::uint64_t slot) {
    return slot > kSlotException && slot < kSlotException + EXC_TYPES_COUNT;
}
using Slots = std::map<std::uint64_t, HeldRight>;

using Letting = std::vector<Carried>; // what is let go of

class NameSpace {
  public:
    struct Entry {
        Right right;        // kind dead: a dead name
        Key receive{};      // any: has the right to receive
        bool fixed = false; // one of the well-known names: has send rights without end
        std::uint32_t sends = 0, dead = 0;
        Right notify{}; // where the port's death is to be told; holds a reference
    };

    NameSpace(std::uint32_t first, std::map<std::uint32_t, Right> fixed);

    const Entry *find(std::uint32_t name) const;
    std::uint32_t name_of(const Right &right) const; // 0: none
    const std::map<std::uint32_t, Entry> &entries() const { return entries_; }

    // One more right, under the name that the port has or gets: 0 for none, ~0 for the dead. For a port the caller has
    // taken a reference; false: the name has held one before, so that is one too many.
    struct Added {
        std::uint32_t name;
        bool took_reference;
    };
    Added add(const Carried &carried);
    // The same under a name that is the caller's choice.
    kern_return_t add_as(std::uint32_t name, const Carried &carried, bool &took_reference);
    // A name of its own without a port; name 0: any.
    kern_return_t allocate_dead(std::uint32_t &name);
    bool is_free(std::uint32_t name) const; // and may be chosen

    // Takes a right out as a MACH_MSG_TYPE_ says. KERN_INVALID_NAME, KERN_INVALID_RIGHT, KERN_INVALID_VALUE (no such
    // disposition).
    struct Taken {
        Carried carried;
        bool needs_reference = false; // the name keeps its own
    };
    kern_return_t take(std::uint32_t name, std::uint32_t disposition, Taken &taken, Letting &out);
    // Brings back what was moved out, under its name if that is free still. `alive`: its port is.
    Added put_back(std::uint32_t name, const Carried &carried, bool alive);

    kern_return_t mod_refs(std::uint32_t name, std::uint32_t kind, std::int32_t delta, Letting &out);
    kern_return_t deallocate(std::uint32_t name, Letting &out);
    kern_return_t destroy(std::uint32_t name, Letting &out);
    std::uint32_t types(std::uint32_t name) const; // 0: no such name
    static std::uint32_t refs(const Entry &entry, std::uint32_t kind);
    // Replaces the place to notify; `previous` is let go.
    void ask_for_death(std::uint32_t name, const Right &notify, Letting &previous);

    // A port has died: its name, which is a dead one now, and where that is to be told, with the reference; the name
    // has one more reference then. Name 0: it had none.
    struct Death {
        std::uint32_t name = 0;
        Right notify{};
    };
    Death port_died(const Right &right, Letting &out);
    void clear(Letting &out);

    // Rights that the task has without a name, to hand them on to its children; with a reference, as names.
    Slots slots() const;
    HeldRight slot(std::uint64_t slot) const;
    void set_slot(std::uint64_t slot, const HeldRight &held, Letting &out); // right none: empties it
    void thread_ended(std::uint64_t thread, Letting &out);

    // ---- of a task that moves with all its threads (runtime/moved_names.hpp) ----
    // While it leaves nothing may change: what dies meanwhile is for the name space that goes on.
    bool is_leaving() const { return leaving_; }
    void set_leaving(bool leaving) { leaving_ = leaving; }
    std::uint32_t next_name() const { return next_; }
    Slots slots_of_threads() const;
    Letting surrender(); // the rights to receive: they are the other one's
    // In the one that goes on, with the references of the entry. False: it cannot be, there is such a name or right.
    bool adopt(std::uint32_t name, const Entry &entry);
    void set_next_name(std::uint32_t next) { next_ = next; }

  private:
    Entry *entry(std::uint32_t name);
    std::uint32_t next_free();
    void drop_if_empty(std::uint32_t name, Letting &out);
    void let_go_of(Entry &entry, Letting &out);

    std::uint32_t next_;
    std::map<std::uint32_t, Entry> entries_;
    std::map<Right, std::uint32_t> by_right_;
    Slots slots_; // those of threads, too
    bool leaving_ = false;
};

} // namespace norma::rt

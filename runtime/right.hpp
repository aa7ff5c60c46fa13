// SPDX-License-Identifier: BSD-3-Clause
// What a port name stands for, as node servers tell each other. A right is good only with the key of what it is to,
// 128 bits that its home has drawn and that nobody can guess; they are looked at where it lives.
#pragma once

#include "dsm/core/core.hpp"

#include "rpc/wire.hpp"

#include <compare>
#include <cstdint>

namespace norma::rt {

using TaskId = std::uint64_t; // birth node 16 | its incarnation 16 | serial 32; 0 is none
constexpr dsm::NodeId node_of(TaskId task) {
    return static_cast<dsm::NodeId>(task >> 48);
}

struct Key {
    std::uint64_t high = 0, low = 0; // both 0: none
    bool any() const { return (high | low) != 0; }
    auto operator<=>(const Key &) const = default;
};

inline constexpr std::size_t kKeyBytes = 16;
void put_key(rpc::Writer &writer, const Key &key);
Key get_key(rpc::Reader &reader);

struct Right {
    // names: the node's name server. object_name: stands for a memory object, but gives no right to map it. host_priv:
    // the job's privileged port.
    enum class Kind : std::uint8_t {
        none,
        task,
        thread,
        host,
        port,
        dead,
        names,
        object,
        object_name,
        ledger,
        host_priv
    } kind{};
    static constexpr Kind kLastKind = Kind::host_priv;
    TaskId task = 0; // host, port, names, ledger, host_priv: only its node and incarnation count; dead: not looked at
    std::uint64_t thread = 0; // number within the task; of a ledger its id (of an object both are said in wire.hpp)
    Key key{};
    auto operator<=>(const Right &) const = default;
};

//   kind 1 | task 8 | thread 8 | key 16
inline constexpr std::size_t kRightBytes = 33;
void put_right(rpc::Writer &writer, const Right &right);
bool get_right(rpc::Reader &reader, Right &right); // false: no such kind, or at a node that cannot be

// Of a node; every task of the job may ask it.
inline Right name_server(dsm::NodeId node) {
    return {.kind = Right::Kind::names, .task = TaskId{node} << 48, .thread = 0};
}

// A right that a task has without a name (runtime/names.hpp).
struct HeldRight {
    Right right;
    std::uint32_t behavior = 0, flavor = 0; // of an exception port: how exceptions are told there
    bool operator==(const HeldRight &) const = default;
};

// A right on its way from one name space to another.
struct Carried {
    Right right;   // none: there was none; dead: it was to something that is no more
    Key receive{}; // if any: this is the right to receive from the port, else to send to it
    bool operator==(const Carried &) const = default;
};

//   right 33 | receive 16
inline constexpr std::size_t kCarriedBytes = kRightBytes + 16;
void put_carried(rpc::Writer &writer, const Carried &carried);
bool get_carried(rpc::Reader &reader, Carried &carried); // also false: to receive from what is no port

} // namespace norma::rt

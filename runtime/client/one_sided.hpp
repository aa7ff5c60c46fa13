// SPDX-License-Identifier: BSD-3-Clause
// What libnorma needs of whoever carries one-sided access over a network. That is libnorma_one_sided.so, which is
// loaded at the first export or import, so that a program that does neither loads no network library.
#pragma once

#include "norma/region.h"
#include "rpc/transport.hpp"
#include "runtime/config.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

namespace norma::rt {

struct OneSidedOptions {
    std::string transport; // as NORMA_TRANSPORT
    rpc::VerbsSettings verbs{};
    WaitMode wait{};
    std::chrono::nanoseconds spin{};
    std::chrono::milliseconds timeout{};
    // Whether the node servers know a task that exports; asked when the network is silent.
    std::function<bool(std::uint64_t task)> task_lives{};
    // Where threads are named that are no part of the program: the one that carries accesses out, and one that the
    // network library may have.
    std::atomic<pid_t> *owner_thread = nullptr, *network_thread = nullptr;
};

enum class AccessKind : std::uint8_t { look = 1, get, put, fetch_add, compare_swap };

// One piece of an access.
struct Access {
    AccessKind kind{};
    std::uint64_t offset = 0;
    std::byte *buffer = nullptr; // get: written; put: read
    std::uint64_t bytes = 0;
    std::uint64_t operand[2] = {}; // fetch_add: what to add; compare_swap: expected, desired
    std::uint64_t *before = nullptr;
};

// Thread-safe. Throws std::runtime_error or std::bad_alloc only where said. In keys, words[0] is the caller's business.
class OneSided {
  public:
    virtual ~OneSided() = default;

    // ---- the owner's side ----
    // Where others find this process; from now on it answers. Throws.
    virtual std::vector<std::byte> address() = 0;
    // Makes a key; with open() it begins to give access. False: the export has ended in between.
    virtual norma_key_t expose(std::uint64_t address, std::uint64_t bytes, vm_prot_t access) = 0; // throws
    virtual bool open(const norma_key_t &key) = 0;                                                // throws
    virtual bool withdraw(const norma_key_t &key) = 0;
    // Ends every export of any of the range. When it returns nothing touches the range.
    virtual void revoke(std::uint64_t address, std::uint64_t bytes) = 0;
    // No access is answered any more; the process is about to end.
    virtual void stop() = 0;

    // ---- the importer's side ----
    virtual kern_return_t import(const norma_key_t &key, std::span<const std::byte> address, norma_region_t &region,
                                 std::uint64_t &bytes, vm_prot_t &access) = 0; // throws
    virtual kern_return_t release(norma_region_t region) = 0;
    virtual kern_return_t start(norma_region_t region, std::span<const Access> pieces, norma_op_t &op) = 0;
    virtual kern_return_t wait(norma_op_t op, std::chrono::milliseconds timeout) = 0;
    virtual kern_return_t test(norma_op_t op, bool &done) = 0;
    virtual kern_return_t fence(norma_region_t region) = 0;
};

// The one function of the library. Null, with `why`, if there is no such thing here.
using OpenOneSided = OneSided *(const OneSidedOptions &options, std::string &why);
inline constexpr const char *kOpenOneSided = "norma_open_one_sided";

// For the service thread: ends the exports of a range before it is unmapped or unwired.
void revoke_exports(std::uint64_t address, std::uint64_t bytes);

} // namespace norma::rt

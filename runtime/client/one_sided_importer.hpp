// SPDX-License-Identifier: BSD-3-Clause
// The importer's side of one-sided access, whatever the network: which accesses are under way, and who waits for them.
// Whichever thread waits for an access makes progress for all: there is one lock, which a thread that only looks
// whether something has come gives up at once when another one wants it.
#pragma once

#include "norma/region.h"
#include "runtime/client/one_sided.hpp"
#include "runtime/client/one_sided_slots.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>

namespace norma::rt {

class OneSidedImporter {
  public:
    explicit OneSidedImporter(const OneSidedOptions &options); // throws
    virtual ~OneSidedImporter();
    OneSidedImporter(const OneSidedImporter &) = delete;
    OneSidedImporter &operator=(const OneSidedImporter &) = delete;

    kern_return_t import(const norma_key_t &key, std::span<const std::byte> address, norma_region_t &region,
                         std::uint64_t &bytes, vm_prot_t &access); // throws
    kern_return_t release(norma_region_t region);
    kern_return_t start(norma_region_t region, std::span<const Access> pieces, norma_op_t &op);
    kern_return_t wait(norma_op_t op, std::chrono::milliseconds timeout);
    kern_return_t test(norma_op_t op, bool &done);
    kern_return_t fence(norma_region_t region);

  protected:
    // The way to a task, or to one of its regions: the network decides.
    struct Target {
        std::uint64_t task = 0;
        kern_return_t failure = KERN_SUCCESS; // what every access gets from now on
        std::deque<std::uint64_t> to_send{};  // parts; some may have been given up
        std::size_t users = 0;                // regions and parts
    };
    struct Part {
        std::uint64_t op = 0;
        Target *target = nullptr;
        norma_key_t key{};
        Access access;
        std::uint64_t sent = 0, received = 0; // bytes
    };

    // ---- what a network does, all of it under the lock ----
    virtual Target &target_for(const norma_key_t &key, std::span<const std::byte> address) = 0; // throws
    // Sends what it can of the target's parts; whether that was something.
    virtual bool send(Target &target) = 0;
    // Looks once whether something has come.
    virtual bool progress() = 0;
    // The target has failed: nothing of it is to touch a buffer any more.
    virtual void close(Target &target) = 0;
    // Nobody uses the target any more; it may be forgotten.
    virtual void unused(Target &target) = 0;
    // For each target that has not failed.
    virtual void for_each_target(const std::function<void(Target &)> &visit) = 0;
    virtual void look_for_dead_peers() = 0;
    // Waiting: once armed, the descriptor becomes readable when something comes. False: something has come already.
    virtual bool arm() = 0;
    virtual int event_fd() const = 0;

    // ---- what it calls ----
    Part *part(std::uint64_t number) { return parts_.find(number); }
    void finish(std::uint64_t part, kern_return_t status);
    void fail(Target &target, kern_return_t failure);

  private:
    using Clock = std::chrono::steady_clock;

    struct Region {
        Target *target = nullptr;
        norma_key_t key{};
    };
    struct Op {
        norma_region_t region = 0;
        std::size_t open = 0; // parts
        kern_return_t status = KERN_SUCCESS;
    };
    // Holds the lock, and is seen to want it meanwhile.
    class Hold;
    // Counts a thread that waits for an access; made and ended with the lock.
    class Looking;

    void begin(Op &op, std::uint64_t number, Target &target, const norma_key_t &key, const Access &access);
    void forget_part(std::uint64_t number);
    void leave(Target &target);
    void look_for_dead_owners(std::unique_lock<std::mutex> &lock);
    void give_up(norma_op_t op);
    std::optional<kern_return_t> result_of(norma_op_t op);
    // KERN_INVALID_VALUE for an op of nobody's.
    std::optional<kern_return_t> result_for_caller(norma_op_t op);
    // Progress until `over`, with the lock; false: the time has passed.
    template <class Over> bool progress_until(std::chrono::milliseconds timeout, Over over);
    template <class Over> bool look(bool &happened, Over over);
    void sleep(std::unique_lock<std::mutex> &lock, Clock::time_point deadline);

    WaitMode wait_;
    std::chrono::nanoseconds spin_;
    std::chrono::milliseconds timeout_;
    std::function<bool(std::uint64_t)> task_lives_;

    std::mutex mutex_; // of all that follows, and of the network
    std::atomic<unsigned> wanted_{0};
    unsigned looking_ = 0; // threads that wait for an access
    std::condition_variable changed_;
    int wake_;              // a descriptor for who sleeps
    bool sleeping_ = false; // a thread waits for the network's descriptor
    unsigned sleepers_ = 0; // threads that wait for that one
    Slots<Region> regions_;
    Slots<Op> ops_;
    Slots<Part> parts_;
};

} // namespace norma::rt

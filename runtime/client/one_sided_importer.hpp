// SPDX-License-Identifier: BSD-3-Clause
// The importer's side of one-sided access. Whichever thread waits for an access makes progress for all: there is one
// lock, which a thread that only looks whether something has come gives up at once when another one wants it.
#pragma once

#include "runtime/client/one_sided_link.hpp"
#include "runtime/client/one_sided_slots.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

namespace norma::rt {

class OneSidedImporter {
  public:
    explicit OneSidedImporter(const OneSidedOptions &options); // throws

    kern_return_t import(const norma_key_t &key, std::span<const std::byte> address, norma_region_t &region,
                         std::uint64_t &bytes, vm_prot_t &access); // throws
    kern_return_t release(norma_region_t region);
    kern_return_t start(norma_region_t region, std::span<const Access> pieces, norma_op_t &op);
    kern_return_t wait(norma_op_t op, std::chrono::milliseconds timeout);
    kern_return_t test(norma_op_t op, bool &done);
    kern_return_t fence(norma_region_t region);

  private:
    using Clock = std::chrono::steady_clock;

    struct Owner {
        std::uint64_t task = 0;
        Link link;
        Outbox outbox;
        bool failed = false;
        std::size_t piece = 0;             // most bytes of one message
        std::deque<std::uint64_t> to_send; // parts
    };
    struct Region {
        Owner *owner = nullptr;
        norma_key_t key{};
    };
    struct Op {
        norma_region_t region = 0;
        std::size_t open = 0; // parts
        kern_return_t status = KERN_SUCCESS;
    };
    struct Part {
        std::uint64_t op = 0;
        Owner *owner = nullptr;
        norma_key_t key{};
        Access access;
        std::uint64_t at = 0; // get: received; put: sent
        std::uint64_t found[2] = {};
    };
    // Holds the lock, and is seen to want it meanwhile.
    class Hold;

    static ucs_status_t on_answer(void *self, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                                  const ucp_am_recv_param_t *param);
    void take(const Answer &answer, std::span<const std::byte> data);
    void finish(std::uint64_t part, kern_return_t status);
    void begin(Op &op, std::uint64_t number, Owner &owner, const norma_key_t &key, const Access &access);
    bool send(Owner &owner);
    bool send_part(Part &part, std::uint64_t number, std::byte *room);
    bool progress();
    void fail(Owner &owner);
    void look_for_dead_owners(std::unique_lock<std::mutex> &lock);
    void give_up(norma_op_t op);
    std::optional<kern_return_t> result_of(norma_op_t op);
    // Progress until `over`, with the lock; false: the deadline has passed.
    template <class Over> bool progress_until(Clock::time_point deadline, Over over);
    void sleep(std::unique_lock<std::mutex> &lock, Clock::time_point deadline);
    Owner &owner_of(std::uint64_t task, std::span<const std::byte> address);

    WaitMode wait_;
    std::chrono::nanoseconds spin_;
    std::chrono::milliseconds timeout_;
    std::function<bool(std::uint64_t)> task_lives_;
    rpc::ucx::Context context_;
    rpc::ucx::Worker worker_;
    std::vector<std::byte> address_;
    std::uint64_t self_; // random

    std::mutex mutex_; // of all that follows, and of the worker
    std::atomic<unsigned> wanted_{0};
    std::condition_variable changed_;
    bool sleeping_ = false; // a thread waits for the worker's descriptor
    unsigned sleepers_ = 0; // threads that wait for that one
    std::deque<Owner> owners_;
    std::map<std::uint64_t, Owner *> owner_by_task_;
    Slots<Region> regions_;
    Slots<Op> ops_;
    Slots<Part> parts_;
};

} // namespace norma::rt

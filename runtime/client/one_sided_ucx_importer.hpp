// SPDX-License-Identifier: BSD-3-Clause
// The importer's side over UCX: each access is a question to the owner's thread, and its answer.
#pragma once

#include "runtime/client/one_sided_importer.hpp"
#include "runtime/client/one_sided_ucx_link.hpp"

#include <list>
#include <map>

namespace norma::rt {

class UcxImporter final : public OneSidedImporter, public Filler {
  public:
    explicit UcxImporter(const OneSidedOptions &options); // throws

  private:
    // A worker for each owner: over shared memory, a process that is killed while it writes to a worker's queue blocks
    // that queue for ever.
    struct Owner : Target {
        Owner(const rpc::ucx::Context &context, Filler &filler) : outbox(filler), worker(context, kMode) {}
        static constexpr auto kMode = UCS_THREAD_MODE_SERIALIZED;
        UcxImporter *importer = nullptr;
        std::uint64_t id = 0;               // random
        std::size_t piece = 0;              // most bytes of one message
        std::vector<std::byte> own_address; // of the owner's worker for this importer, when it has just been told
        Link door, link;                    // to the worker where owners are found, and to that one
        Outbox outbox;                      // outlives the worker, whose end reports what became of messages
        rpc::ucx::Worker worker;
    };

    Target &target_for(const norma_key_t &key, std::span<const std::byte> address) override;
    bool send(Target &target) override;
    bool progress() override;
    void close(Target &target) override;
    void unused(Target &) override {} // a connection to a task is kept for its next region
    void for_each_target(const std::function<void(Target &)> &visit) override;
    void look_for_dead_peers() override;
    bool arm() override;
    int event_fd() const override { return waiting_.get(); }
    PieceStatus fill(const Ask &ask, std::byte *to, std::size_t bytes) override;

    bool send_part(Owner &owner, Part &part, std::uint64_t number);
    void enter(Owner &owner);
    static ucs_status_t on_answer(void *owner, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                                  const ucp_am_recv_param_t *param);
    void take(Owner &owner, const Answer &answer, std::span<const std::byte> data);

    rpc::ucx::Context context_;
    rpc::ucx::WaitSet waiting_;
    std::list<Owner> owners_;
    std::map<std::uint64_t, Owner *> owner_by_task_;
};

} // namespace norma::rt

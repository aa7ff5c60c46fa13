// SPDX-License-Identifier: BSD-3-Clause
// The importer's side over UCX: each access is a question to the owner's thread, and its answer.
#pragma once

#include "runtime/client/one_sided_importer.hpp"
#include "runtime/client/one_sided_ucx_link.hpp"

#include <map>

namespace norma::rt {

class UcxImporter final : public OneSidedImporter {
  public:
    explicit UcxImporter(const OneSidedOptions &options); // throws

  private:
    struct Owner : Target {
        Link link;
        Outbox outbox;
        std::size_t piece = 0; // most bytes of one message
    };

    Target &target_for(const norma_key_t &key, std::span<const std::byte> address) override;
    bool send(Target &target) override;
    bool progress() override;
    void close(Target &target) override;
    void unused(Target &) override {} // a connection to a task is kept for its next region
    void for_each_target(const std::function<void(Target &)> &visit) override;
    void look_for_dead_peers() override { look_for_dead(worker_); }
    bool arm() override;
    int event_fd() const override { return worker_.event_fd(); }

    bool send_part(Owner &owner, Part &part, std::uint64_t number, std::byte *room);
    static ucs_status_t on_answer(void *self, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                                  const ucp_am_recv_param_t *param);
    void take(const Answer &answer, std::span<const std::byte> data);

    std::deque<Owner> owners_; // outlive the worker, whose end reports what became of messages
    std::map<std::uint64_t, Owner *> owner_by_task_;
    rpc::ucx::Context context_;
    rpc::ucx::Worker worker_;
    std::vector<std::byte> address_;
    std::uint64_t self_; // random
};

} // namespace norma::rt

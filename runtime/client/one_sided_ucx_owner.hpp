// SPDX-License-Identifier: BSD-3-Clause
// The owner's side of one-sided access: the table of live exports, and the thread that carries accesses out after
// looking at it. Nothing else in the process uses the thread's workers.
#pragma once

#include "runtime/client/one_sided_exports.hpp"
#include "runtime/client/one_sided_ucx_link.hpp"

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <variant>

namespace norma::rt {

class UcxOwner final : public Filler {
  public:
    explicit UcxOwner(const OneSidedOptions &options); // throws
    ~UcxOwner();
    UcxOwner(const UcxOwner &) = delete;
    UcxOwner &operator=(const UcxOwner &) = delete;

    const std::vector<std::byte> &address() const { return address_; }
    norma_key_t expose(std::uint64_t address, std::uint64_t bytes, vm_prot_t access);
    bool withdraw(const norma_key_t &key);
    void revoke(std::uint64_t address, std::uint64_t bytes);
    bool open(const norma_key_t &key);

  private:
    struct Reading { // a get that is not answered to its end
        Ask ask;
        std::uint64_t at;
    };
    struct Waiting { // an answer for which there was no room
        Answer answer;
        bool welcome; // to a new importer: with the address of its worker
    };
    // A worker for each importer: over shared memory, a process that is killed while it writes to a worker's queue
    // blocks that queue for ever.
    struct Importer {
        Importer(const rpc::ucx::Context &context, UcxOwner &made_by)
            : owner(made_by), outbox(made_by), worker(context) {}
        UcxOwner &owner;
        Link link;
        Outbox outbox; // outlives the worker, whose end reports what became of messages
        rpc::ucx::Worker worker;
        std::deque<Waiting> answers;
        std::deque<Reading> readings;
        bool busy() const { return !answers.empty() || !readings.empty(); }
    };
    struct Arrival { // somebody who wants to import
        Ask ask;
        std::vector<std::byte> address;
    };

    static ucs_status_t on_arrival(void *self, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                                   const ucp_am_recv_param_t *param);
    static ucs_status_t on_ask(void *importer, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                               const ucp_am_recv_param_t *param);
    void serve(Importer &importer, const Ask &ask, std::span<const std::byte> data);
    bool let_in();
    void look(const Arrival &arrival);
    Importer &importer_of(const Arrival &arrival);
    PieceStatus fill(const Ask &ask, std::byte *to, std::size_t bytes) override;
    // Null, with the status: refused.
    std::byte *admitted(const Ask &ask, vm_prot_t needed, std::int32_t &status);
    void answer(Importer &importer, const Answer &answer, bool welcome = false);
    void put(Importer &importer, const Ask &ask, std::span<const std::byte> data);
    void change(Importer &importer, const Ask &ask);
    bool go_on(Importer &importer);
    bool go_on_reading(Importer &importer);
    bool send_part(Importer &importer, Reading &reading);
    bool go_on();
    bool progress(bool at_the_door);
    void tidy();
    void forget(std::map<std::uint64_t, Importer>::iterator importer);
    void run(std::atomic<pid_t> *who);
    void wait();

    WaitMode wait_;
    std::chrono::nanoseconds spin_;
    rpc::ucx::Context context_;
    rpc::ucx::Worker door_; // where importers arrive
    rpc::ucx::WaitSet waiting_;
    std::vector<std::byte> address_;

    // The thread's own.
    std::vector<Arrival> arrivals_;
    std::map<std::uint64_t, Importer> importers_;
    std::vector<Importer *> busy_; // perhaps

    std::mutex memory_; // held while exported memory is touched, and while the table changes
    Exports<std::monostate> exports_;

    std::atomic<bool> stop_{false};
    std::thread thread_;
};

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// The owner's side of one-sided access: the table of live exports, and the thread that carries accesses out after
// looking at it. Nothing else in the process uses the thread's worker.
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

class UcxOwner {
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
    struct Importer {
        Link link;
        Outbox outbox;
        std::deque<Answer> answers; // for which there was no room
        std::deque<Reading> readings;
        bool closed = false;
        bool busy() const { return !answers.empty() || !readings.empty(); }
    };

    static ucs_status_t on_ask(void *self, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                               const ucp_am_recv_param_t *param);
    void serve(const Ask &ask, std::span<const std::byte> data);
    Importer *importer_of(const Ask &ask, std::span<const std::byte> address);
    // Null, with the status: refused.
    std::byte *admitted(const Ask &ask, vm_prot_t needed, std::int32_t &status);
    void answer(Importer &importer, const Answer &answer);
    void put(Importer &importer, const Ask &ask, std::span<const std::byte> data);
    void change(Importer &importer, const Ask &ask);
    bool go_on(Importer &importer);
    bool go_on_reading(Importer &importer);
    bool go_on();
    void tidy();
    void run(std::atomic<pid_t> *who);
    void wait();

    WaitMode wait_;
    std::chrono::nanoseconds spin_;
    // The thread's own. They outlive the worker, whose end reports what became of messages.
    std::map<std::uint64_t, Importer> importers_;
    std::vector<Importer *> busy_; // perhaps

    rpc::ucx::Context context_;
    rpc::ucx::Worker worker_;
    std::vector<std::byte> address_;

    std::mutex memory_; // held while exported memory is touched, and while the table changes
    Exports<std::monostate> exports_;

    std::atomic<bool> stop_{false};
    std::thread thread_;
};

} // namespace norma::rt

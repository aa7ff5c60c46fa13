// SPDX-License-Identifier: BSD-3-Clause
// The owner's side of one-sided access over verbs. The device carries accesses out and checks them; the thread only
// lets importers connect. Each export has a protection domain of its own, and each importer of it a queue pair in that
// domain: so through a connection nothing but the one export can be reached, whatever its other side asks for.
#pragma once

#include "rpc/verbs/engine.hpp"
#include "runtime/client/one_sided.hpp"
#include "runtime/client/one_sided_exports.hpp"

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace norma::rt {

class VerbsOwner {
  public:
    explicit VerbsOwner(const OneSidedOptions &options,
                        rpc::verbs::Provider &provider = rpc::verbs::system_provider()); // throws
    ~VerbsOwner();
    VerbsOwner(const VerbsOwner &) = delete;
    VerbsOwner &operator=(const VerbsOwner &) = delete;

    std::vector<std::byte> address() const;
    norma_key_t expose(std::uint64_t address, std::uint64_t bytes, vm_prot_t access);
    bool open(const norma_key_t &key); // throws
    bool withdraw(const norma_key_t &key);
    void revoke(std::uint64_t address, std::uint64_t bytes);

  private:
    struct Importer {
        rpc::verbs::IdPtr id;
        std::unique_ptr<rpc::verbs::Queue> queue;
    };
    // Ended from the last member to the first: queue pairs, registration, domain. Then no device touches the memory.
    struct Registration {
        rpc::verbs::Owned<ibv_pd, &rpc::verbs::Provider::dealloc_pd> domain;
        rpc::verbs::Owned<ibv_mr, &rpc::verbs::Provider::dereg_mr> memory;
        std::list<Importer> importers;
        ~Registration();
    };
    using Export = Exports<std::unique_ptr<Registration>>::Export;

    void run(std::atomic<pid_t> *who);
    void handle(const rpc::verbs::CmEvent &event);
    void requested(const rpc::verbs::CmEvent &event);
    void accept(Export &wanted, rpc::verbs::IdPtr id);
    void refuse(const rpc::verbs::IdPtr &id, kern_return_t status);

    rpc::verbs::Engine engine_;
    rpc::verbs::Descriptor stop_;
    std::mutex mutex_; // of what follows, and of the connections
    Exports<std::unique_ptr<Registration>> exports_;
    std::thread thread_;
};

} // namespace norma::rt

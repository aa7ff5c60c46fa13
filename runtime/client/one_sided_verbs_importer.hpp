// SPDX-License-Identifier: BSD-3-Clause
// The importer's side over verbs: each imported region has a queue pair of its own, so what goes wrong with one costs
// the others nothing. Bytes go through registered buffers of this side's: the program's own may be memory that the
// coherence protocol takes away.
#pragma once

#include "rpc/verbs/engine.hpp"
#include "runtime/client/one_sided_importer.hpp"
#include "runtime/client/one_sided_verbs_hello.hpp"

#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

namespace norma::rt {

class VerbsImporter final : public OneSidedImporter {
  public:
    explicit VerbsImporter(const OneSidedOptions &options,
                           rpc::verbs::Provider &provider = rpc::verbs::system_provider()); // throws

  private:
    struct Connection : Target {
        norma_key_t key{};
        std::vector<std::byte> address;
        rpc::verbs::IdPtr id;
        std::unique_ptr<rpc::verbs::Queue> queue; // ends before the identifier
        std::uint32_t number = 0;                 // of the queue
        bool open = false, broken = false, forgotten = false;
        unsigned attempts = 0; // to connect, since something has been carried out
        Welcome welcome;
        std::vector<std::uint64_t> stranded; // parts that were under way when the connection broke
    };

    Target &target_for(const norma_key_t &key, std::span<const std::byte> address) override;
    bool send(Target &target) override;
    bool progress() override;
    void close(Target &target) override;
    void unused(Target &target) override { static_cast<Connection &>(target).forgotten = true; }
    void for_each_target(const std::function<void(Target &)> &visit) override;
    void look_for_dead_peers() override {} // a silent one is noticed by the device
    bool arm() override;
    int event_fd() const override { return engine_.event_fd(); }

    // Connections.
    void connect(Connection &connection);
    void disconnect(Connection &connection);
    void lost(Connection &connection);
    bool handle_events();
    void handle(const rpc::verbs::CmEvent &event);
    void handle(Connection &connection, const rpc::verbs::CmEvent &event);
    void request(Connection &connection);
    void opened(Connection &connection, const rpc::verbs::CmEvent &event);
    void refused(Connection &connection, const rpc::verbs::CmEvent &event);

    // Accesses.
    bool handle_completions();
    bool send_part(Connection &connection, std::uint64_t number, Part &part); // false: no room
    bool post(Connection &connection, std::uint64_t number, Part &part);
    void done(Connection &connection, std::uint64_t number, const std::byte *data, std::uint64_t at,
              std::uint64_t bytes, bool ok);

    rpc::verbs::Engine engine_;
    rpc::StagingPool::Ptr pool_;
    std::list<Connection> connections_; // ended before the buffers that their queue pairs use
    std::unordered_map<std::uint32_t, Connection *> by_number_;
    std::uint32_t next_number_ = 0;
    unsigned turns_ = 0;
    bool armed_ = false;
};

} // namespace norma::rt

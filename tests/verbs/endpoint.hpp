// SPDX-License-Identifier: BSD-3-Clause
// A machine of the fake network with a transport on it, and two of them that are connected.
#pragma once

#include "fake_provider.hpp"
#include "rpc/verbs/transport.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace norma::rpc::verbs::fake {

struct Got {
    unsigned char fill = 0;
    bool whole = true; // every byte is the fill
    std::size_t record = 0, payload = 0;
};

class Endpoint {
  public:
    Endpoint(Fabric &fabric, NodeId self, FakeLimits limits = {}, std::uint32_t incarnation = 1)
        : provider(fabric, limits), self_(self), incarnation_(incarnation) {
        start();
    }
    void start(VerbsSettings settings = {}) {
        const Options options{
            .self = self_, .kind = "verbs", .job_key = 7, .incarnation = incarnation_, .verbs = std::move(settings)};
        transport = std::make_unique<VerbsTransport>(
            options,
            Handlers{.message = [this](NodeId, auto record, auto payload) { note(record, payload); },
                     .down = [this](NodeId, const std::string &why) { downs.push_back(why); },
                     .dropped = nullptr},
            provider);
    }
    void connect(const Endpoint &other, std::uint32_t incarnation = 1) {
        transport->connect(other.self_, incarnation, other.transport->address());
    }
    void send(NodeId peer, std::size_t record, std::size_t payload, unsigned char fill) {
        StagingPtr staging;
        if (payload != 0) {
            staging = transport->stage();
            std::memset(staging->data, fill, payload);
            staging->size = payload;
        }
        transport->send(peer, std::vector<std::byte>(record, std::byte{fill}), std::move(staging));
    }
    template <class Done> void run_until(Done done) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!done()) {
            transport->progress();
            if (std::chrono::steady_clock::now() > deadline) {
                throw std::runtime_error("waited in vain");
            }
        }
    }

    FakeProvider provider;
    std::vector<Got> got;
    std::vector<std::string> downs;
    std::unique_ptr<VerbsTransport> transport;

  private:
    void note(std::span<const std::byte> record, std::span<const std::byte> payload) {
        Got arrived{.record = record.size(), .payload = payload.size()};
        arrived.fill = static_cast<unsigned char>(!record.empty()    ? record.front()
                                                  : !payload.empty() ? payload.front()
                                                                     : static_cast<std::byte>(got.size()));
        for (const auto part : {record, payload}) {
            arrived.whole &= std::ranges::all_of(part, [&](auto byte) { return byte == std::byte{arrived.fill}; });
        }
        got.push_back(arrived);
    }
    NodeId self_;
    std::uint32_t incarnation_;
};

struct Pair {
    explicit Pair(FakeLimits limits = {}) : a(fabric, 0, limits), b(fabric, 1, limits) {
        a.connect(b);
        b.connect(a);
        a.send(1, 1, 0, 1);
        b.send(0, 1, 0, 1);
        run_until([&] { return a.got.size() == 1 && b.got.size() == 1; });
        a.got.clear();
        b.got.clear();
    }
    ~Pair() {
        a.transport.reset();
        b.transport.reset();
        EXPECT_EQ(fabric.live_queue_pairs(), 0u);
        for (const auto &complaint : fabric.complaints()) {
            ADD_FAILURE() << complaint;
        }
        EXPECT_EQ(a.provider.registered() + b.provider.registered(), 0u);
    }
    Pair(const Pair &) = delete;
    Pair &operator=(const Pair &) = delete;
    template <class Done> void run_until(Done done) {
        b.run_until([&] {
            a.transport->progress();
            return done();
        });
    }
    Fabric fabric;
    Endpoint a, b;
};

} // namespace norma::rpc::verbs::fake

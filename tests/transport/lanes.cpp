// SPDX-License-Identifier: BSD-3-Clause
#include "lanes.hpp"

#include "rpc/sim/network.hpp"
#include "rpc/sim/transport.hpp"
#include "rpc/verbs/devices.hpp"
#include "rpc/verbs/transport.hpp"
#include "tests/verbs/fake_provider.hpp"

#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <unistd.h>

#include <fmt/format.h>

namespace norma::rpc::test {

namespace {

// What make_transport() makes, each node in a process of its own.
class ProcessLane final : public Lane {
  public:
    std::unique_ptr<Transport> make(const Options &options, Handlers handlers) override {
        return make_transport(options, std::move(handlers));
    }
    void die(NodeId) override { ::kill(::getpid(), SIGKILL); }
};

// The verbs transport over the pretended RDMA network.
class FakeVerbsLane final : public Lane {
  public:
    std::unique_ptr<Transport> make(const Options &options, Handlers handlers) override {
        verbs::fake::FakeProvider *provider = nullptr;
        {
            const std::scoped_lock lock(mutex_);
            provider = machines_.emplace_back(std::make_unique<verbs::fake::FakeProvider>(fabric_)).get();
            latest_[options.self] = provider;
        }
        return std::make_unique<verbs::VerbsTransport>(options, std::move(handlers), *provider);
    }
    void die(NodeId self) override {
        const std::scoped_lock lock(mutex_);
        latest_.at(self)->die();
    }
    std::string complaints() override {
        auto all = fabric_.complaints();
        if (fabric_.receiver_not_ready() != 0) {
            all.push_back(fmt::format("{} sends found no receive slot", fabric_.receiver_not_ready()));
        }
        if (fabric_.live_queue_pairs() != 0) {
            all.push_back(fmt::format("{} queue pairs are left", fabric_.live_queue_pairs()));
        }
        return fmt::format("{}", fmt::join(all, "; "));
    }

  private:
    std::mutex mutex_;
    verbs::fake::Fabric fabric_;
    std::vector<std::unique_ptr<verbs::fake::FakeProvider>> machines_;
    std::map<NodeId, verbs::fake::FakeProvider *> latest_;
};

// The simulated network, whose time goes on when a node asks for progress and there is nothing to do.
class SimLane final : public Lane {
  public:
    SimLane() { network_.weather.late = network_.weather.overtaken = 100; }
    std::unique_ptr<Transport> make(const Options &options, Handlers handlers) override;
    void die(NodeId self) override {
        const std::scoped_lock lock(mutex_);
        dead_.insert(self);
        network_.cut_off(self);
        for (NodeId other = 0; other < 16; ++other) {
            network_.report_down(other, self);
        }
    }

  private:
    friend class LockedSim;
    std::recursive_mutex mutex_;
    sim::Scheduler scheduler_;
    sim::Random random_{1};
    sim::Network network_{
        scheduler_,
        random_,
        {.ready = [](int) {}, .sent = [](NodeId, NodeId, auto) {}, .order_free = [](auto) { return false; }}};
    std::set<NodeId> dead_;
};

// One node's transport, which shares network and clock with other threads.
class LockedSim final : public Transport {
  public:
    LockedSim(SimLane &lane, const Options &options, Handlers handlers)
        : lane_(lane), self_(options.self), lock_(lane.mutex_),
          inner_(std::make_unique<sim::SimTransport>(lane.network_, options, std::move(handlers))) {
        lock_.unlock();
    }
    ~LockedSim() override {
        lock_.lock();
        if (!lane_.dead_.contains(self_)) {
            // What has been sent is still delivered, as a real network would.
            for (int i = 0; i < 10000 && !lane_.scheduler_.idle(); ++i) {
                lane_.scheduler_.step();
            }
            for (NodeId other = 0; other < 16; ++other) {
                lane_.network_.report_down(other, self_);
            }
        }
        inner_.reset();
    }
    std::vector<std::byte> address() const override {
        const std::scoped_lock lock(lane_.mutex_);
        return inner_->address();
    }
    void connect(NodeId peer, std::uint32_t incarnation, std::span<const std::byte> address) override {
        const std::scoped_lock lock(lane_.mutex_);
        inner_->connect(peer, incarnation, address);
    }
    void send(NodeId peer, std::span<const std::byte> record, StagingPtr payload) override {
        const std::scoped_lock lock(lane_.mutex_);
        inner_->send(peer, record, std::move(payload));
    }
    StagingPtr stage() override {
        const std::scoped_lock lock(lane_.mutex_);
        return inner_->stage();
    }
    bool progress() override {
        const std::scoped_lock lock(lane_.mutex_);
        if (inner_->progress()) {
            return true;
        }
        if (!lane_.scheduler_.idle()) {
            lane_.scheduler_.step();
        }
        return inner_->progress();
    }
    int event_fd() const override { return inner_->event_fd(); }
    bool arm() override { return false; }
    void disconnect(NodeId peer) override {
        const std::scoped_lock lock(lane_.mutex_);
        inner_->disconnect(peer);
    }
    const Counters &counters() const override { return inner_->counters(); }
    std::string describe() const override { return inner_->describe(); }

  private:
    SimLane &lane_;
    const NodeId self_;
    std::unique_lock<std::recursive_mutex> lock_;
    std::unique_ptr<sim::SimTransport> inner_;
};

std::unique_ptr<Transport> SimLane::make(const Options &options, Handlers handlers) {
    return std::make_unique<LockedSim>(*this, options, std::move(handlers));
}

bool has_verbs() {
    if (std::getenv("NORMA_TEST_VERBS") != nullptr) {
        return true;
    }
    try {
        verbs::choose(verbs::find_candidates(verbs::system_provider()), {});
    } catch (const std::runtime_error &) {
        return false;
    }
    return true;
}

unsigned divisor() {
    const char *given = std::getenv("NORMA_TEST_DIVIDE");
    const int number = given != nullptr ? std::atoi(given) : 1;
    return number > 0 ? static_cast<unsigned>(number) : 1;
}

} // namespace

std::vector<Kind> kinds() {
    const auto divide = divisor();
    std::vector<Kind> all{
        {.name = "tcp", .divide = divide},
        {.name = "shm", .misses_ends = true, .divide = divide},
        {.name = "ucx", .misses_ends = true, .divide = divide},
        {.name = "sim", .processes = false, .blocks = false, .misses_strangers = true, .divide = 10 * divide},
        {.name = "fake_verbs", .processes = false, .refuses_early = true, .divide = divide},
    };
    if (has_verbs()) {
        all.push_back({.name = "verbs", .refuses_early = true, .divide = divide});
    }
    return all;
}

std::unique_ptr<Lane> make_lane(const Kind &kind) {
    if (kind.name == "sim") {
        return std::make_unique<SimLane>();
    }
    if (kind.name == "fake_verbs") {
        return std::make_unique<FakeVerbsLane>();
    }
    return std::make_unique<ProcessLane>();
}

} // namespace norma::rpc::test

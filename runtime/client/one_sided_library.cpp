// SPDX-License-Identifier: BSD-3-Clause
// libnorma_one_sided.so: one-sided access over UCX and over verbs.
#include "rpc/ucx/settings.hpp"
#include "runtime/client/one_sided_ucx_importer.hpp"
#include "runtime/client/one_sided_ucx_owner.hpp"
#include "runtime/client/one_sided_verbs_importer.hpp"
#include "runtime/client/one_sided_verbs_owner.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>

namespace norma::rt {

namespace {

// UCX has one thread of its own in a process, from some moment on, and calls it so.
constexpr std::string_view kNetworkThread = "async";

std::set<pid_t> network_threads() {
    std::set<pid_t> found;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::ifstream(entry.path() / "comm") >> name;
        if (name == kNetworkThread) {
            found.insert(static_cast<pid_t>(std::stol(entry.path().filename())));
        }
    }
    return found;
}

// No signal of the program's reaches threads that are made while this is there.
class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked &) = delete;
    SignalsBlocked &operator=(const SignalsBlocked &) = delete;

  private:
    sigset_t before_{};
};

struct OverUcx {
    using Owner = UcxOwner;
    using Importer = UcxImporter;
    using Settings = rpc::ucx::ScopedSettings; // are there while a side is made
};
struct OverVerbs {
    using Owner = VerbsOwner;
    using Importer = VerbsImporter;
    struct Settings {
        explicit Settings(const std::string &) {}
    };
};

// Each side is made when it is first needed. They share nothing, so neither waits for the other.
template <class Network> class OneSidedOver final : public OneSided {
  public:
    explicit OneSidedOver(OneSidedOptions options) : options_(std::move(options)) {}

    std::vector<std::byte> address() override { return owner().address(); }
    norma_key_t expose(std::uint64_t address, std::uint64_t bytes, vm_prot_t access) override {
        return owner().expose(address, bytes, access);
    }
    bool open(const norma_key_t &key) override { return owner().open(key); }
    bool withdraw(const norma_key_t &key) override {
        auto *owner = made_owner();
        return owner != nullptr && owner->withdraw(key);
    }
    void revoke(std::uint64_t address, std::uint64_t bytes) override {
        if (auto *owner = made_owner()) {
            owner->revoke(address, bytes);
        }
    }
    void stop() override {
        const std::lock_guard hold(making_);
        visible_owner_ = nullptr;
        owner_.reset();
    }
    kern_return_t import(const norma_key_t &key, std::span<const std::byte> address, norma_region_t &region,
                         std::uint64_t &bytes, vm_prot_t &access) override {
        return importer().import(key, address, region, bytes, access);
    }
    kern_return_t release(norma_region_t region) override {
        auto *importer = made_importer();
        return importer == nullptr ? KERN_INVALID_VALUE : importer->release(region);
    }
    kern_return_t start(norma_region_t region, std::span<const Access> pieces, norma_op_t &op) override {
        auto *importer = made_importer();
        return importer == nullptr ? KERN_INVALID_VALUE : importer->start(region, pieces, op);
    }
    kern_return_t wait(norma_op_t op, std::chrono::milliseconds timeout) override {
        auto *importer = made_importer();
        return importer == nullptr ? KERN_INVALID_VALUE : importer->wait(op, timeout);
    }
    kern_return_t test(norma_op_t op, bool &done) override {
        auto *importer = made_importer();
        return importer == nullptr ? KERN_INVALID_VALUE : importer->test(op, done);
    }
    kern_return_t fence(norma_region_t region) override {
        auto *importer = made_importer();
        return importer == nullptr ? KERN_INVALID_VALUE : importer->fence(region);
    }

  private:
    using Owner = typename Network::Owner;
    using Importer = typename Network::Importer;
    Owner *made_owner() { return visible_owner_.load(std::memory_order_acquire); }
    Importer *made_importer() { return visible_importer_.load(std::memory_order_acquire); }
    Owner &owner() { return make(owner_, visible_owner_); }
    Importer &importer() { return make(importer_, visible_importer_); }
    template <class Side> Side &make(std::unique_ptr<Side> &side, std::atomic<Side *> &visible) {
        const std::lock_guard hold(making_);
        if (side == nullptr) {
            const typename Network::Settings settings(options_.transport);
            const auto before = network_threads();
            const SignalsBlocked blocked;
            side = std::make_unique<Side>(options_);
            for (const auto thread : network_threads()) {
                if (!before.contains(thread)) {
                    *options_.network_thread = thread;
                }
            }
            visible.store(side.get(), std::memory_order_release);
        }
        return *side;
    }

    const OneSidedOptions options_;
    std::mutex making_;
    std::unique_ptr<Owner> owner_;
    std::unique_ptr<Importer> importer_;
    std::atomic<Owner *> visible_owner_{nullptr};
    std::atomic<Importer *> visible_importer_{nullptr};
};

} // namespace

extern "C" NORMA_EXPORT OneSided *norma_open_one_sided(const OneSidedOptions &options, std::string &why) {
    try {
        if (options.transport == "verbs") {
            return new OneSidedOver<OverVerbs>(options);
        }
        rpc::ucx::quieten_library();
        return new OneSidedOver<OverUcx>(options);
    } catch (const std::exception &error) {
        why = error.what();
        return nullptr;
    }
}

} // namespace norma::rt

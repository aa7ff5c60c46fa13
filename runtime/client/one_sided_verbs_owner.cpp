// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_verbs_owner.hpp"

#include "runtime/client/one_sided_verbs_hello.hpp"

#include <array>
#include <csignal>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace norma::rt {

namespace {

int rights(vm_prot_t access, bool atomics) {
    int flags = 0;
    if ((access & VM_PROT_READ) != 0) {
        flags |= IBV_ACCESS_REMOTE_READ;
    }
    if ((access & VM_PROT_WRITE) != 0) {
        flags |= IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
    }
    if (access == (VM_PROT_READ | VM_PROT_WRITE) && atomics) {
        flags |= IBV_ACCESS_REMOTE_ATOMIC;
    }
    return flags;
}

} // namespace

VerbsOwner::Registration::~Registration() {
    for (auto &importer : importers) {
        importer.queue->revoke();
        importer.id.get_deleter().provider->disconnect(importer.id.get());
    }
}

VerbsOwner::VerbsOwner(const OneSidedOptions &options, rpc::verbs::Provider &provider)
    : engine_(provider, options.verbs), stop_(::eventfd(0, EFD_CLOEXEC)),
      thread_([this, who = options.owner_thread] { run(who); }) {}

VerbsOwner::~VerbsOwner() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
}

std::vector<std::byte> VerbsOwner::address() const {
    const auto listening = engine_.listening_at();
    const auto bytes = std::as_bytes(std::span(&listening, 1));
    return {bytes.begin(), bytes.end()};
}

norma_key_t VerbsOwner::expose(std::uint64_t address, std::uint64_t bytes, vm_prot_t access) {
    const std::lock_guard hold(mutex_);
    return exports_.add(address, bytes, access);
}

bool VerbsOwner::open(const norma_key_t &key) {
    const std::lock_guard hold(mutex_);
    auto *opened = exports_.find(key);
    if (opened == nullptr) {
        return false;
    }
    try {
        auto &provider = engine_.provider();
        auto domain = engine_.new_domain();
        const int flags = rights(opened->access, engine_.limits().atomics);
        auto *memory = rpc::verbs::register_memory(provider, domain.get(), opened->base, opened->bytes, flags);
        opened->backing.reset(new Registration{std::move(domain), {memory, {&provider}}, {}});
    } catch (...) {
        exports_.end(*opened);
        throw;
    }
    return true;
}

bool VerbsOwner::withdraw(const norma_key_t &key) {
    const std::lock_guard hold(mutex_);
    auto *ended = exports_.find(key);
    if (ended != nullptr) {
        exports_.end(*ended);
    }
    return ended != nullptr;
}

void VerbsOwner::revoke(std::uint64_t address, std::uint64_t bytes) {
    const std::lock_guard hold(mutex_);
    exports_.end_all_of(address, bytes);
}

void VerbsOwner::run(std::atomic<pid_t> *who) {
    *who = gettid(); // from now on nobody stops this thread, so the signal for that need not come through
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    std::array<pollfd, 2> ready{{{.fd = engine_.event_fd(), .events = POLLIN, .revents = 0},
                                 {.fd = stop_.get(), .events = POLLIN, .revents = 0}}};
    while (ready[1].revents == 0) {
        poll(ready.data(), ready.size(), -1);
        const std::lock_guard hold(mutex_);
        engine_.take_ready();
        ibv_async_event ignored{}; // a queue pair that breaks is noticed by its other side
        while (engine_.next_device_event(ignored)) {
        }
        rpc::verbs::CmEvent event;
        while (engine_.next_connection_event(event)) {
            handle(event);
        }
    }
}

void VerbsOwner::handle(const rpc::verbs::CmEvent &event) {
    switch (event.type) {
    case RDMA_CM_EVENT_CONNECT_REQUEST:
        requested(event);
        return;
    case RDMA_CM_EVENT_ESTABLISHED:
    case RDMA_CM_EVENT_TIMEWAIT_EXIT:
    case RDMA_CM_EVENT_ADDR_CHANGE:
        return;
    default: // however it came, this importer has gone
        exports_.for_each([&](Export &other) {
            if (other.backing) {
                other.backing->importers.remove_if([&](const Importer &gone) { return gone.id.get() == event.id; });
            }
        });
    }
}

void VerbsOwner::requested(const rpc::verbs::CmEvent &event) {
    rpc::verbs::IdPtr id(event.id, {&engine_.provider()});
    const auto visit = read_hello<Visit>(event.data);
    auto *wanted = visit ? exports_.find(visit->place, visit->secret) : nullptr;
    if (wanted == nullptr || !wanted->backing) {
        refuse(id, KERN_INVALID_CAPABILITY);
        return;
    }
    accept(*wanted, std::move(id));
}

void VerbsOwner::accept(Export &wanted, rpc::verbs::IdPtr id) {
    auto &registration = *wanted.backing;
    engine_.limit_patience(id.get());
    try {
        auto queue = engine_.new_passive_queue(id.get(), registration.domain.get());
        registration.importers.push_back({std::move(id), std::move(queue)});
    } catch (const std::runtime_error &) {
        refuse(id, KERN_RESOURCE_SHORTAGE);
        return;
    }
    const Welcome welcome{.key = registration.memory->rkey,
                          .address = reinterpret_cast<std::uintptr_t>(wanted.base),
                          .bytes = wanted.bytes,
                          .access = static_cast<std::uint32_t>(wanted.access),
                          .atomics = engine_.limits().atomics};
    auto param = engine_.connection_param(bytes_of(welcome));
    if (engine_.provider().accept(registration.importers.back().id.get(), &param) != 0) {
        registration.importers.pop_back();
    }
}

void VerbsOwner::refuse(const rpc::verbs::IdPtr &id, kern_return_t status) {
    const Refusal refusal{.status = status};
    engine_.provider().reject(id.get(), &refusal, sizeof refusal);
}

} // namespace norma::rt

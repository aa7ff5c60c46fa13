// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/arena.hpp"

#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <sys/mman.h>

#include <fmt/core.h>

namespace norma::rpc::verbs {

void SlotReturn::operator()(Slot *slot) const {
    slot->arena->give_back(slot);
}

ibv_mr *register_memory(Provider &provider, ibv_pd *pd, std::byte *base, std::size_t size, int access) {
    auto *registration = provider.reg_mr(pd, base, size, access);
    if (registration == nullptr) {
        throw std::runtime_error(fmt::format("transport 'verbs': cannot register {} KiB of memory: {} (`ulimit -l`?)",
                                             size >> 10, std::strerror(errno)));
    }
    return registration;
}

Arena::~Arena() {
    for (const auto &chunk : chunks_) {
        provider_.dereg_mr(chunk.registration);
        ::munmap(chunk.base, kSlotsPerChunk * kSlotBytes);
    }
}

SlotPtr Arena::take() {
    if (free_.empty()) {
        grow();
    }
    auto *slot = free_.back();
    free_.pop_back();
    return SlotPtr(slot);
}

void Arena::grow() {
    constexpr auto kBytes = kSlotsPerChunk * kSlotBytes;
    void *memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc();
    }
    auto *base = static_cast<std::byte *>(memory);
    ibv_mr *registration = nullptr;
    try {
        chunks_.reserve(chunks_.size() + 1);
        registration = register_memory(provider_, pd_, base, kBytes, IBV_ACCESS_LOCAL_WRITE);
    } catch (...) {
        ::munmap(memory, kBytes);
        throw;
    }
    chunks_.push_back({base, registration});
    for (std::size_t i = kSlotsPerChunk; i-- > 0;) {
        slots_.push_back({.data = base + i * kSlotBytes, .key = registration->lkey, .arena = this});
        free_.push_back(&slots_.back());
    }
}

} // namespace norma::rpc::verbs

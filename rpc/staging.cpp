// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/staging.hpp"

#include <new>
#include <sys/mman.h>

namespace norma::rpc {

namespace {
constexpr std::size_t kSlabBytes = StagingPool::kBufferBytes * StagingPool::kBuffersPerSlab;
}

void StagingReturn::operator()(Staging *staging) const {
    auto *buffer = static_cast<StagingBuffer *>(staging);
    buffer->pool->give_back(buffer);
}

StagingPool::Ptr StagingPool::make(Registrar registrar) {
    return Ptr(new StagingPool(std::move(registrar)));
}

StagingPool::~StagingPool() {
    for (const auto &slab : slabs_) {
        ::munmap(slab->base, kSlabBytes);
    }
}

StagingPtr StagingPool::take() {
    if (free_.empty()) {
        grow();
    }
    auto *buffer = free_.back();
    free_.pop_back();
    ++lent_;
    buffer->size = 0;
    return StagingPtr(buffer);
}

void StagingPool::give_back(StagingBuffer *buffer) {
    free_.push_back(buffer); // capacity was reserved by grow()
    --lent_;
    if (retired_ && lent_ == 0) {
        delete this;
    }
}

void StagingPool::grow() {
    slabs_.reserve(slabs_.size() + 1);
    auto owner = std::make_unique<Slab>();
    owner->buffers.resize(kBuffersPerSlab);
    free_.reserve((slabs_.size() + 1) * kBuffersPerSlab);
    void *base =
        ::mmap(nullptr, kSlabBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        throw std::bad_alloc();
    }
    auto *slab = slabs_.emplace_back(std::move(owner)).get(); // owns the memory even if it cannot be registered
    slab->base = static_cast<std::byte *>(base);
    slab->registration = registrar_.add ? registrar_.add(slab->base, kSlabBytes) : nullptr;
    for (std::size_t i = kBuffersPerSlab; i-- > 0;) {
        auto &buffer = slab->buffers[i];
        buffer.data = slab->base + i * kBufferBytes;
        buffer.pool = this;
        buffer.registration = slab->registration;
        free_.push_back(&buffer);
    }
}

void StagingPool::retire() {
    for (const auto &slab : slabs_) {
        if (slab->registration != nullptr) {
            registrar_.remove(slab->registration);
        }
    }
    registrar_ = {};
    retired_ = true;
    if (lent_ == 0) {
        delete this;
    }
}

} // namespace norma::rpc

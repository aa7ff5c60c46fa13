// SPDX-License-Identifier: BSD-3-Clause
// The pool behind Transport::stage(): page-aligned buffers cut from slabs that the network registers once.
//
// Ownership: the pool owns the slabs; a StagingPtr owns the right to use one buffer. A buffer may outlive the transport
// (whoever holds it need not know), so the pool is retired rather than destroyed: the network's registrations end at
// once, the memory with the last buffer.
#pragma once

#include "rpc/transport.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace norma::rpc {

class StagingPool;

class StagingBuffer final : public Staging {
  public:
    StagingPool *pool = nullptr;
    void *registration = nullptr; // what Registrar::add gave for its slab
};

struct Registrar {
    std::function<void *(std::byte *base, std::size_t size)> add;
    std::function<void(void *registration)> remove;
};

class StagingPool {
  public:
    static constexpr std::size_t kBufferBytes = kMaxPayloadBytes;
    static constexpr std::size_t kBuffersPerSlab = 16;
    struct Retire {
        void operator()(StagingPool *pool) const { pool->retire(); }
    };
    using Ptr = std::unique_ptr<StagingPool, Retire>;

    static Ptr make(Registrar registrar);
    // Throws std::bad_alloc if the machine has no more memory.
    StagingPtr take();
    void give_back(StagingBuffer *buffer);
    std::size_t lent() const { return lent_; }
    std::size_t slabs() const { return slabs_.size(); }

  private:
    struct Slab {
        std::byte *base = nullptr;
        void *registration = nullptr;
        std::vector<StagingBuffer> buffers;
    };
    explicit StagingPool(Registrar registrar) : registrar_(std::move(registrar)) {}
    ~StagingPool();
    void grow();
    void retire();

    Registrar registrar_;
    std::vector<std::unique_ptr<Slab>> slabs_;
    // Last in, first out: the buffer used last is the one still in the cache.
    std::vector<StagingBuffer *> free_;
    std::size_t lent_ = 0;
    bool retired_ = false;
};

} // namespace norma::rpc

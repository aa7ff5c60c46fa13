// SPDX-License-Identifier: BSD-3-Clause
// All that one node's core keeps, as plain data: for telling states apart, for tables, for comparing with the model.
#pragma once

#include "dsm/core/core.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace norma::exploration {

inline constexpr dsm::NodeId kMostNodes = 4;
inline constexpr std::size_t kMostPages = 4;
inline constexpr std::size_t kMostQueued = std::size_t{2} * kMostNodes;   // a get and a release from each node
inline constexpr std::size_t kMostDeferred = std::size_t{4} * kMostNodes; // one for each page and requester

// A short list without an allocation: explorers make millions of these.
template <class T, std::size_t Most> class Few {
  public:
    void add(const T &item) {
        NORMA_CHECK(size_ < Most);
        items_[size_++] = item;
    }
    const T *begin() const { return items_.data(); }
    const T *end() const { return items_.data() + size_; }
    std::size_t size() const { return size_; }
    const T &operator[](std::size_t index) const { return items_[index]; }

  private:
    std::array<T, Most> items_{};
    std::size_t size_ = 0;
};

struct CacheView {
    dsm::Access access{};
    bool wants_read = false;
    bool wants_write = false;
    std::uint64_t epoch = 0;
    std::uint64_t request = 0; // 0: none is under way
    dsm::PageIndex base = 0;   // of the request, like all below
    std::uint32_t count = 0;
    bool write = false;
};

struct GetView {
    dsm::NodeId from = 0;
    std::uint64_t request = 0;
    dsm::PageIndex base = 0;
    std::uint32_t count = 0;
    bool write = false;
    bool have = false;
    bool release = false;
};

struct TransactionView {
    std::uint64_t number = 0;
    std::uint32_t slot = 0;
    GetView get;
    std::uint64_t mask = 0;
    std::uint32_t waiting = 0; // nodes, as bits
    dsm::NodeId supplier = 0;
    bool upgrade = false;
    bool answering = false;
};

struct RecordView {
    dsm::NodeId owner = 0;
    std::uint32_t sharers = 0; // nodes, as bits
    bool lost = false;
    bool busy = false;
    TransactionView transaction; // if busy
    Few<GetView, kMostQueued> queue;
};

struct StateView {
    std::uint32_t down = 0; // nodes, as bits
    Few<CacheView, kMostPages> cache;
    Few<RecordView, kMostPages> records;       // at the home only
    Few<std::uint32_t, kMostPages> free_slots; // of transactions, the last is taken first
    Few<dsm::Msg, kMostDeferred> deferred;
};

// Of the first `pages` pages, of all stretches.
StateView view_of(const dsm::State &state, std::uint64_t pages);

} // namespace norma::exploration

// SPDX-License-Identifier: BSD-3-Clause
// Arrays that begin with a page and end with one, so that no page is shared with something else.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

namespace apps {

inline constexpr std::size_t kPage = 4096;

template <class T> class Pages {
  public:
    static_assert(std::is_trivially_copyable_v<T> && kPage % alignof(T) == 0);

    /// Not initialised, so that each page is first touched by whoever works with it. Throws std::bad_alloc.
    explicit Pages(std::size_t count = 0) : count_(count) {
        if (count > (std::size_t{1} << 60) / sizeof(T)) {
            throw std::bad_alloc();
        }
        const std::size_t bytes = (count * sizeof(T) + kPage - 1) / kPage * kPage;
        memory_.reset(static_cast<T *>(std::aligned_alloc(kPage, bytes)));
        if (bytes > 0 && memory_ == nullptr) {
            throw std::bad_alloc();
        }
    }
    std::span<T> all() { return {memory_.get(), count_}; }
    std::span<const T> all() const { return {memory_.get(), count_}; }
    T &operator[](std::size_t index) { return memory_.get()[index]; }
    const T &operator[](std::size_t index) const { return memory_.get()[index]; }
    std::size_t size() const { return count_; }

  private:
    struct Free {
        void operator()(T *block) const { std::free(block); }
    };
    std::size_t count_;
    std::unique_ptr<T, Free> memory_;
};

} // namespace apps

// SPDX-License-Identifier: BSD-3-Clause
// Room for what a call sends, where neither the stack nor the heap will do: both may be coherent memory, and a signal
// handler may not use the heap.
#pragma once

#include <sys/mman.h>
#include <type_traits>

namespace norma::rt {

template <class Content> class PrivateRoom {
    static_assert(std::is_trivially_destructible_v<Content> && std::is_trivially_default_constructible_v<Content>);

  public:
    PrivateRoom() noexcept
        : room_(mmap(nullptr, sizeof(Content), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
    PrivateRoom(const PrivateRoom &) = delete;
    PrivateRoom &operator=(const PrivateRoom &) = delete;
    ~PrivateRoom() {
        if (*this) {
            munmap(room_, sizeof(Content));
        }
    }
    explicit operator bool() const { return room_ != MAP_FAILED; }
    Content &operator*() { return *static_cast<Content *>(room_); } // all zeros at first
    Content *operator->() { return static_cast<Content *>(room_); }

  private:
    void *room_;
};

} // namespace norma::rt

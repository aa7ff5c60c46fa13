// SPDX-License-Identifier: BSD-3-Clause
// Ranges of coherent memory; part of <norma/norma.hpp>.
#ifndef NORMA_MEMORY_HPP
#define NORMA_MEMORY_HPP

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <norma/error.hpp>

namespace norma {

enum class inheritance : vm_inherit_t { share = VM_INHERIT_SHARE, copy = VM_INHERIT_COPY, none = VM_INHERIT_NONE };

/// A range of coherent memory that somebody else owns: an address and a size. Trivially copyable, so it may be kept
/// in coherent memory itself, and made in any task that has the range.
class region_view {
  public:
    region_view() noexcept = default;
    region_view(void *address, std::size_t size) noexcept : address_(address), size_(size) {}

    void *data() const noexcept { return address_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    /// The range as an array of as many T as fit.
    template <class T> std::span<T> as_span() const noexcept {
        static_assert(std::is_trivially_copyable_v<T>, "what several tasks share must be trivially copyable");
        assert(reinterpret_cast<std::uintptr_t>(address_) % alignof(T) == 0);
        return {static_cast<T *>(address_), size_ / sizeof(T)};
    }

    /// What becomes of the range in children made by task_create; clone and teleport share it always.
    void inherit(inheritance how, std::error_code &error) const noexcept {
        error = make_error_code(vm_inherit(mach_task_self(), reinterpret_cast<vm_address_t>(address_), size_,
                                           static_cast<vm_inherit_t>(how)));
    }
    void inherit(inheritance how) const {
        std::error_code error;
        inherit(how, error);
        detail::check(error, "norma::region::inherit");
    }

    /// VM_PROT_READ, VM_PROT_WRITE and so on, for this task.
    void protect(vm_prot_t protection, std::error_code &error) const noexcept {
        error = make_error_code(
            vm_protect(mach_task_self(), reinterpret_cast<vm_address_t>(address_), size_, FALSE, protection));
    }
    void protect(vm_prot_t protection) const {
        std::error_code error;
        protect(protection, error);
        detail::check(error, "norma::region::protect");
    }

  private:
    void *address_ = nullptr;
    std::size_t size_ = 0;
};

/// A range of coherent memory, zero-filled, deallocated from this task when the object goes. Tasks cloned meanwhile
/// keep the memory: each task has its own mapping.
class region : public region_view {
  public:
    region() noexcept = default;
    explicit region(std::size_t bytes) : region_view(allocate(bytes)) {}
    region(std::size_t bytes, std::error_code &error) noexcept : region_view(allocate(bytes, error)) {}
    /// Room for `count` objects of type T.
    template <class T> static region of(std::size_t count) {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) {
            throw std::system_error(errc::resource_shortage, "norma::region::of");
        }
        return region(count * sizeof(T));
    }

    region(region &&other) noexcept : region_view(other.release()) {}
    region &operator=(region &&other) noexcept {
        region taken(std::move(other));
        std::swap(static_cast<region_view &>(*this), static_cast<region_view &>(taken));
        return *this;
    }
    region(const region &) = delete;
    region &operator=(const region &) = delete;
    ~region() {
        if (!empty()) {
            vm_deallocate(mach_task_self(), reinterpret_cast<vm_address_t>(data()), size());
        }
    }

    region_view view() const noexcept { return *this; }
    /// Gives the range up without freeing it.
    region_view release() noexcept { return std::exchange(static_cast<region_view &>(*this), region_view()); }

  private:
    static region_view allocate(std::size_t bytes, std::error_code &error) noexcept {
        vm_address_t address = 0;
        error = make_error_code(vm_allocate(mach_task_self(), &address, bytes, TRUE));
        return error ? region_view() : region_view(reinterpret_cast<void *>(address), bytes);
    }
    static region_view allocate(std::size_t bytes) {
        std::error_code error;
        const region_view result = allocate(bytes, error);
        if (error) {
            throw std::system_error(error, "norma::region of " + std::to_string(bytes) + " bytes");
        }
        return result;
    }
};

static_assert(std::is_trivially_copyable_v<region_view>);

} // namespace norma

#endif

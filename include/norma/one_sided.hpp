// SPDX-License-Identifier: BSD-3-Clause
//
// One-sided access (<norma/region.h>) as types; part of <norma/norma.hpp>. Both belong to the task that made them.
#ifndef NORMA_ONE_SIDED_HPP
#define NORMA_ONE_SIDED_HPP

#include <norma/memory.hpp>
#include <norma/region.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace norma {

/// A range of this task's coherent memory that others may reach: wired and exported until the object goes. Unwiring is
/// by whole pages, so what else is exported of the same pages ends with it.
class exported_region {
  public:
    exported_region() noexcept = default;
    exported_region(region_view range, vm_prot_t access, std::error_code &error) noexcept {
        error = make_error_code(vm_wire(mach_host_self(), mach_task_self(), address(range), range.size(), access));
        if (error) {
            return;
        }
        range_ = range;
        error = make_error_code(norma_region_export(address(range), range.size(), access, &key_));
        if (error) {
            end();
        }
    }
    exported_region(region_view range, vm_prot_t access) {
        std::error_code error;
        *this = exported_region(range, access, error);
        detail::check(error, "norma::exported_region");
    }
    exported_region(exported_region &&other) noexcept
        : range_(std::exchange(other.range_, {})), key_(std::exchange(other.key_, {})) {}
    exported_region &operator=(exported_region &&other) noexcept {
        exported_region taken(std::move(other));
        std::swap(range_, taken.range_);
        std::swap(key_, taken.key_);
        return *this;
    }
    exported_region(const exported_region &) = delete;
    exported_region &operator=(const exported_region &) = delete;
    ~exported_region() { end(); }

    /// For imported_region; plain bytes that may be kept in coherent memory.
    const norma_key_t &key() const noexcept { return key_; }
    region_view range() const noexcept { return range_; }

  private:
    static vm_address_t address(region_view range) noexcept { return reinterpret_cast<vm_address_t>(range.data()); }
    void end() noexcept {
        if (!range_.empty()) {
            vm_wire(mach_host_self(), mach_task_self(), address(range_), range_.size(), VM_PROT_NONE);
            range_ = {};
        }
    }
    region_view range_;
    norma_key_t key_{};
};

/// An exported range that this task reaches. Offsets are bytes from its start.
class imported_region {
  public:
    imported_region() noexcept = default;
    imported_region(const norma_key_t &key, std::error_code &error) noexcept {
        error = make_error_code(norma_region_import(&key, &handle_, &size_, &access_));
    }
    explicit imported_region(const norma_key_t &key) {
        std::error_code error;
        *this = imported_region(key, error);
        detail::check(error, "norma::imported_region");
    }
    imported_region(imported_region &&other) noexcept
        : handle_(std::exchange(other.handle_, 0)), size_(std::exchange(other.size_, 0)),
          access_(std::exchange(other.access_, VM_PROT_NONE)) {}
    imported_region &operator=(imported_region &&other) noexcept {
        imported_region taken(std::move(other));
        std::swap(handle_, taken.handle_);
        std::swap(size_, taken.size_);
        std::swap(access_, taken.access_);
        return *this;
    }
    imported_region(const imported_region &) = delete;
    imported_region &operator=(const imported_region &) = delete;
    ~imported_region() {
        if (handle_ != 0) {
            norma_region_release(handle_);
        }
    }

    std::size_t size() const noexcept { return size_; }
    vm_prot_t access() const noexcept { return access_; }
    /// For the calls of <norma/region.h>: vectored accesses, and those that go on by themselves.
    norma_region_t handle() const noexcept { return handle_; }

    void get(std::size_t offset, std::span<std::byte> to, std::error_code &error) const noexcept {
        error = make_error_code(norma_get(handle_, offset, to.data(), to.size()));
    }
    void get(std::size_t offset, std::span<std::byte> to) const {
        std::error_code error;
        get(offset, to, error);
        check(error, "get", offset, to.size());
    }
    void put(std::size_t offset, std::span<const std::byte> from, std::error_code &error) const noexcept {
        error = make_error_code(norma_put(handle_, offset, from.data(), from.size()));
    }
    void put(std::size_t offset, std::span<const std::byte> from) const {
        std::error_code error;
        put(offset, from, error);
        check(error, "put", offset, from.size());
    }
    /// What was there before.
    std::uint64_t fetch_add(std::size_t offset, std::uint64_t add, std::error_code &error) const noexcept {
        std::uint64_t before = 0;
        error = make_error_code(norma_fetch_add(handle_, offset, add, &before));
        return before;
    }
    std::uint64_t fetch_add(std::size_t offset, std::uint64_t add) const {
        std::error_code error;
        const auto before = fetch_add(offset, add, error);
        check(error, "fetch_add", offset, sizeof add);
        return before;
    }
    /// What was there before: it took place if that is `expected`.
    std::uint64_t compare_swap(std::size_t offset, std::uint64_t expected, std::uint64_t desired,
                               std::error_code &error) const noexcept {
        std::uint64_t before = 0;
        error = make_error_code(norma_compare_swap(handle_, offset, expected, desired, &before));
        return before;
    }
    std::uint64_t compare_swap(std::size_t offset, std::uint64_t expected, std::uint64_t desired) const {
        std::error_code error;
        const auto before = compare_swap(offset, expected, desired, error);
        check(error, "compare_swap", offset, sizeof desired);
        return before;
    }

  private:
    static void check(const std::error_code &error, const char *what, std::size_t offset, std::size_t bytes) {
        if (error) {
            throw std::system_error(error, std::string("norma::imported_region::") + what + " of " +
                                               std::to_string(bytes) + " bytes at " + std::to_string(offset));
        }
    }
    norma_region_t handle_ = 0;
    vm_size_t size_ = 0;
    vm_prot_t access_ = VM_PROT_NONE;
};

} // namespace norma

#endif

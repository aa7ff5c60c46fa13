// SPDX-License-Identifier: BSD-3-Clause
// The C library's allocation functions, and C++'s, as whole programs see them. See malloc(3), posix_memalign(3).
#include "norma/mach.h"
#include "runtime/program/allocation.hpp"

#include <bit>
#include <cerrno>
#include <new>
#include <unistd.h>

namespace rt = norma::rt;

// The code that has called the function this stands in.
#define NORMA_CALLER __builtin_return_address(0)

namespace {

constexpr std::size_t kPage = 4096;

void *or_throw(void *block) {
    if (block == nullptr) {
        throw std::bad_alloc();
    }
    return block;
}

std::size_t number(std::align_val_t alignment) {
    return static_cast<std::size_t>(alignment);
}

} // namespace

extern "C" {

NORMA_EXPORT void *malloc(std::size_t size) {
    return rt::allocate(size, NORMA_CALLER);
}

NORMA_EXPORT void *calloc(std::size_t count, std::size_t size) {
    return rt::allocate_zeros(count, size, NORMA_CALLER);
}

NORMA_EXPORT void *realloc(void *block, std::size_t size) {
    return rt::resize(block, size, NORMA_CALLER);
}

NORMA_EXPORT void *reallocarray(void *block, std::size_t count, std::size_t size) {
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return nullptr;
    }
    return rt::resize(block, bytes, NORMA_CALLER);
}

NORMA_EXPORT void free(void *block) {
    rt::release(block);
}

NORMA_EXPORT int posix_memalign(void **block, std::size_t alignment, std::size_t size) {
    if (!std::has_single_bit(alignment) || alignment % sizeof(void *) != 0) {
        return EINVAL;
    }
    const int saved = errno;
    void *made = rt::allocate_aligned(alignment, size, NORMA_CALLER);
    errno = saved;
    if (made == nullptr) {
        return ENOMEM;
    }
    *block = made;
    return 0;
}

NORMA_EXPORT void *aligned_alloc(std::size_t alignment, std::size_t size) {
    if (!std::has_single_bit(alignment)) {
        errno = EINVAL;
        return nullptr;
    }
    return rt::allocate_aligned(alignment, size, NORMA_CALLER);
}

NORMA_EXPORT void *memalign(std::size_t alignment, std::size_t size) {
    return rt::allocate_aligned(std::bit_ceil(alignment), size, NORMA_CALLER);
}

NORMA_EXPORT void *valloc(std::size_t size) {
    return rt::allocate_aligned(kPage, size, NORMA_CALLER);
}

NORMA_EXPORT void *pvalloc(std::size_t size) {
    return rt::allocate_aligned(kPage, (size + kPage - 1) / kPage * kPage, NORMA_CALLER);
}

NORMA_EXPORT std::size_t malloc_usable_size(void *block) {
    return rt::usable(block);
}
}

NORMA_EXPORT void *operator new(std::size_t size) {
    return or_throw(rt::allocate(size, NORMA_CALLER));
}
NORMA_EXPORT void *operator new[](std::size_t size) {
    return or_throw(rt::allocate(size, NORMA_CALLER));
}
NORMA_EXPORT void *operator new(std::size_t size, const std::nothrow_t &) noexcept {
    return rt::allocate(size, NORMA_CALLER);
}
NORMA_EXPORT void *operator new[](std::size_t size, const std::nothrow_t &) noexcept {
    return rt::allocate(size, NORMA_CALLER);
}
NORMA_EXPORT void *operator new(std::size_t size, std::align_val_t alignment) {
    return or_throw(rt::allocate_aligned(number(alignment), size, NORMA_CALLER));
}
NORMA_EXPORT void *operator new[](std::size_t size, std::align_val_t alignment) {
    return or_throw(rt::allocate_aligned(number(alignment), size, NORMA_CALLER));
}
NORMA_EXPORT void *operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t &) noexcept {
    return rt::allocate_aligned(number(alignment), size, NORMA_CALLER);
}
NORMA_EXPORT void *operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t &) noexcept {
    return rt::allocate_aligned(number(alignment), size, NORMA_CALLER);
}
// The C++ library's other forms of delete call one of these two, or are given here because they must match.
NORMA_EXPORT void operator delete(void *block) noexcept {
    rt::release(block);
}
NORMA_EXPORT void operator delete[](void *block) noexcept {
    rt::release(block);
}
NORMA_EXPORT void operator delete(void *block, std::size_t) noexcept {
    rt::release(block);
}
NORMA_EXPORT void operator delete[](void *block, std::size_t) noexcept {
    rt::release(block);
}
NORMA_EXPORT void operator delete(void *block, std::align_val_t) noexcept {
    rt::release(block);
}
NORMA_EXPORT void operator delete[](void *block, std::align_val_t) noexcept {
    rt::release(block);
}
NORMA_EXPORT void operator delete(void *block, std::size_t, std::align_val_t) noexcept {
    rt::release(block);
}
NORMA_EXPORT void operator delete[](void *block, std::size_t, std::align_val_t) noexcept {
    rt::release(block);
}

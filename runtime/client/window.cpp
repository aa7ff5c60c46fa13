// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/window.hpp"

#include "norma/mach.h"
#include "runtime/client/job.hpp"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr std::uint64_t kPage = 4096;

bool inside(std::uint64_t address, std::uint64_t bytes) {
    const auto within = [&](std::uint64_t start, std::uint64_t size) {
        return address >= start && bytes <= size && address - start <= size - bytes;
    };
    return address % kPage == 0 && bytes % kPage == 0 && bytes > 0 &&
           (within(job.window_base, job.window_size) || within(job.data_start, job.data_size));
}

int native(int mach_protection) {
    return ((mach_protection & VM_PROT_READ) != 0 ? PROT_READ : 0) |
           ((mach_protection & VM_PROT_WRITE) != 0 ? PROT_WRITE : 0) |
           ((mach_protection & VM_PROT_EXECUTE) != 0 ? PROT_EXEC : 0);
}

void *at(std::uint64_t address) {
    return reinterpret_cast<void *>(address);
}

int map_fixed(std::uint64_t address, std::uint64_t bytes, int protection, int flags, int fd, std::uint64_t offset) {
    return mmap(at(address), bytes, protection, flags | MAP_FIXED, fd, static_cast<off_t>(offset)) == MAP_FAILED ? errno
                                                                                                                 : 0;
}

// A mapping behind the end of its file raises SIGBUS on every access, with the address that was touched.
int map_nothing(std::uint64_t address, std::uint64_t bytes) {
    static const int empty = memfd_create("norma-poison", MFD_CLOEXEC);
    return empty < 0 ? ENOMEM : map_fixed(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, empty, 0);
}

} // namespace

int reserve_window() {
    const void *const got = mmap(at(job.window_base), job.window_size, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED) {
        return errno;
    }
    if (got != at(job.window_base)) { // a kernel that does not know the flag
        munmap(const_cast<void *>(got), job.window_size);
        return EEXIST;
    }
    return 0;
}

void release_window() {
    munmap(at(job.window_base), job.window_size);
}

void poison_window() {
    if (map_nothing(job.window_base, job.window_size) != 0) { // then an access ends the process in another way
        map_fixed(job.window_base, job.window_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
}

int map_frames(std::uint64_t address, std::uint64_t bytes, int mach_protection, int fd, std::uint64_t offset) {
    if (!inside(address, bytes)) {
        return EINVAL;
    }
    if (const int error = map_fixed(address, bytes, native(mach_protection), MAP_SHARED, fd, offset); error != 0) {
        return error;
    }
    // A plain fork's child has no userfaultfd, so its touch would put pages of zeros into the frames; huge pages would
    // cover pages of other nodes; and a core dump would fetch the whole job's memory.
    for (const int advice : {MADV_DONTFORK, MADV_NOHUGEPAGE, MADV_DONTDUMP}) {
        if (madvise(at(address), bytes, advice) != 0 && advice == MADV_DONTFORK) {
            return errno;
        }
    }
    return 0;
}

int map_data(std::uint64_t address, std::uint64_t bytes, int mach_protection, int fd, std::uint64_t offset) {
    if (!inside(address, bytes)) {
        return EINVAL;
    }
    auto *const copy = static_cast<std::byte *>(
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (copy == MAP_FAILED) {
        return errno;
    }
    static constexpr std::byte zeros[kPage]{};
    const auto carry = [bytes](std::byte *to, const std::byte *from) {
        for (std::uint64_t done = 0; done < bytes; done += kPage) {
            if (std::memcmp(from + done, zeros, kPage) != 0) { // what is all zeros takes no frame
                std::memcpy(to + done, from + done, kPage);
            }
        }
    };
    auto *const there = static_cast<std::byte *>(at(address));
    carry(copy, there);
    const int error = map_frames(address, bytes, mach_protection, fd, offset);
    if (error == 0) {
        carry(there, copy);
    }
    munmap(copy, bytes);
    return error;
}

int unmap_range(std::uint64_t address, std::uint64_t bytes) {
    return inside(address, bytes)
               ? map_fixed(address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
               : EINVAL;
}

int protect_range(std::uint64_t address, std::uint64_t bytes, int mach_protection) {
    if (!inside(address, bytes)) {
        return EINVAL;
    }
    return mprotect(at(address), bytes, native(mach_protection)) != 0 ? errno : 0;
}

int lock_range(std::uint64_t address, std::uint64_t bytes) {
    if (!inside(address, bytes)) {
        return EINVAL;
    }
    return mlock(at(address), bytes) != 0 ? errno : 0;
}

int unlock_range(std::uint64_t address, std::uint64_t bytes) {
    if (!inside(address, bytes)) {
        return EINVAL;
    }
    return munlock(at(address), bytes) != 0 ? errno : 0;
}

int blank_page(std::uint64_t address) {
    return inside(address, kPage)
               ? map_fixed(address, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
               : EINVAL;
}

int poison_page(std::uint64_t address) {
    return inside(address, kPage) ? map_nothing(address, kPage) : EINVAL;
}

} // namespace norma::rt

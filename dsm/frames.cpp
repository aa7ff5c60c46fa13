// SPDX-License-Identifier: BSD-3-Clause
#include "dsm/frames.hpp"

#include "rpc/transport.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace norma::dsm {

namespace {

constexpr std::uint64_t kPage = rpc::kPageBytes;

[[noreturn]] void fail(const char *what) {
    throw std::system_error(errno, std::generic_category(), what);
}

} // namespace

Frames::Frames(std::uint64_t pages) : fd_(memfd_create("norma-frames", MFD_CLOEXEC)) {
    if (fd_ < 0) {
        fail("memfd_create");
    }
    try {
        grow(pages);
    } catch (...) {
        ::close(fd_);
        throw;
    }
}

Frames::~Frames() {
    ::close(fd_);
}

void Frames::grow(std::uint64_t pages) {
    if (pages <= pages_) {
        return;
    }
    if (ftruncate(fd_, static_cast<off_t>(pages * kPage)) != 0) {
        fail("ftruncate of a memory object");
    }
    pages_ = pages;
}

void Frames::read(std::uint64_t page, std::span<std::byte> into) const {
    const auto got = pread(fd_, into.data(), into.size(), static_cast<off_t>(page * kPage));
    if (got != static_cast<ssize_t>(into.size())) {
        fail("pread of frames");
    }
}

void Frames::write(std::uint64_t page, std::span<const std::byte> from) {
    const auto put = pwrite(fd_, from.data(), from.size(), static_cast<off_t>(page * kPage));
    if (put != static_cast<ssize_t>(from.size())) {
        fail("pwrite of frames");
    }
}

Frames::Run Frames::next(std::uint64_t page, std::uint64_t count) const {
    const auto end = static_cast<off_t>((page + count) * kPage);
    const auto data = lseek(fd_, static_cast<off_t>(page * kPage), SEEK_DATA);
    if (data < 0 && errno != ENXIO) {
        fail("lseek(SEEK_DATA) of frames");
    }
    if (data < 0 || data >= end) {
        return {.first = page + count, .count = 0};
    }
    const auto hole = lseek(fd_, data, SEEK_HOLE);
    if (hole < 0) {
        fail("lseek(SEEK_HOLE) of frames");
    }
    return {.first = static_cast<std::uint64_t>(data) / kPage,
            .count = static_cast<std::uint64_t>(std::min(hole, end) - data) / kPage};
}

std::uint64_t Frames::bytes() const {
    struct stat status {};
    if (fstat(fd_, &status) != 0) {
        fail("fstat of frames");
    }
    return static_cast<std::uint64_t>(status.st_blocks) * 512; // stat(2)
}

bool Frames::allocate(std::uint64_t page, std::uint64_t count) {
    int error = 0;
    do {
        error = posix_fallocate(fd_, static_cast<off_t>(page * kPage), static_cast<off_t>(count * kPage));
    } while (error == EINTR);
    return error == 0;
}

void Frames::drop(std::uint64_t page, std::uint64_t count) {
    if (fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(page * kPage),
                  static_cast<off_t>(count * kPage)) != 0) {
        fail("fallocate(FALLOC_FL_PUNCH_HOLE) of frames");
    }
}

} // namespace norma::dsm

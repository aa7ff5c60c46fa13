// SPDX-License-Identifier: BSD-3-Clause
#include "dsm/backing.hpp"

#include "rpc/transport.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <unistd.h>
#include <utility>

namespace norma::dsm {

namespace {

constexpr std::uint64_t kPage = rpc::kPageBytes;

} // namespace

Backing::Backing(int fd, std::uint64_t bytes, bool writable)
    : fd_(fd), bytes_(bytes), writable_(writable), content_((bytes + kPage - 1) / kPage, Content::in_file) {}

Backing::~Backing() {
    ::close(fd_);
}

void Backing::make_writable(int fd) {
    ::close(std::exchange(fd_, fd));
    writable_ = true;
}

void Backing::set(std::uint64_t page, std::uint64_t count, Content content) {
    std::fill_n(content_.begin() + static_cast<std::ptrdiff_t>(page), count, content);
}

int Backing::read(std::uint64_t page, std::span<std::byte> into) const {
    const auto wanted = std::min<std::uint64_t>(into.size(), bytes_ - page * kPage);
    std::size_t done = 0;
    while (done < wanted) {
        const auto got = pread(fd_, into.data() + done, wanted - done, static_cast<off_t>(page * kPage + done));
        if (got < 0 && errno != EINTR) {
            return errno;
        }
        if (got == 0) {
            break;
        }
        done += got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    std::ranges::fill(into.subspan(done), std::byte{0});
    return 0;
}

int Backing::write(std::uint64_t page, std::span<const std::byte> from) const {
    std::array<std::byte, kPage> there;
    if (const int error = read(page, there); error != 0) {
        return error;
    }
    const auto size = std::min<std::uint64_t>(kPage, bytes_ - page * kPage);
    if (std::memcmp(there.data(), from.data(), size) == 0) {
        return 0;
    }
    std::size_t done = 0;
    while (done < size) {
        const auto put = pwrite(fd_, from.data() + done, size - done, static_cast<off_t>(page * kPage + done));
        if (put < 0 && errno != EINTR) {
            return errno;
        }
        done += put > 0 ? static_cast<std::size_t>(put) : 0;
    }
    return 0;
}

} // namespace norma::dsm

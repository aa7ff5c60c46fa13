// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/reach.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/errors.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>

namespace norma::rt {

namespace {

constexpr std::size_t kMostAtOnce = 0x7ffff000; // as the kernel has it

} // namespace

Outcome reach(int fd, const Orders &orders, std::span<const std::byte> data, std::span<std::byte> answered) noexcept {
    const auto answer = call(Op::file_access, kNameNull,
                             {static_cast<std::uint64_t>(fd), static_cast<std::uint64_t>(orders.action), orders.first,
                              orders.second, 0, orders.third},
                             data, -1, answered);
    if (const int error = errno_of(answer); error != 0) {
        errno = error;
        return {.result = -1};
    }
    return {.result = static_cast<ssize_t>(answer.vals[0]),
            .kind = static_cast<FileKind>(answer.vals[2]),
            .more = answer.vals[3],
            .answered = std::min(answer.blob.size(), answered.size())};
}

std::size_t Parts::left() const noexcept {
    std::size_t sum = 0;
    for (const auto &part : parts_) {
        sum += std::min(part.iov_len, kMostAtOnce);
    }
    return std::min(sum - done_, kMostAtOnce);
}

void Parts::put(std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty() && !parts_.empty()) {
        const auto some = std::min(bytes.size(), parts_.front().iov_len - done_);
        std::copy_n(bytes.begin(), some, static_cast<std::byte *>(parts_.front().iov_base) + done_);
        bytes = bytes.subspan(some);
        drop(some);
    }
}

std::size_t Parts::take(std::span<std::byte> room) const noexcept {
    const auto wanted = std::min(room.size(), left());
    auto skipped = done_;
    std::size_t taken = 0;
    for (const auto &part : parts_) {
        const auto some = std::min(wanted - taken, part.iov_len - skipped);
        std::copy_n(static_cast<const std::byte *>(part.iov_base) + skipped, some, room.begin() + taken);
        taken += some;
        skipped = 0;
    }
    return taken;
}

void Parts::drop(std::size_t bytes) noexcept {
    done_ += bytes;
    while (!parts_.empty() && done_ >= parts_.front().iov_len) {
        done_ -= parts_.front().iov_len;
        parts_ = parts_.subspan(1);
    }
}

bool are_parts(std::span<const iovec> parts) noexcept {
    constexpr std::size_t most = SSIZE_MAX;
    bool good = parts.size() <= IOV_MAX;
    std::size_t sum = 0;
    for (auto part = parts.begin(); good && part != parts.end(); ++part) {
        good = part->iov_len <= most - sum;
        sum += part->iov_len;
    }
    errno = good ? errno : EINVAL;
    return good;
}

} // namespace norma::rt

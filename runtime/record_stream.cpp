// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/record_stream.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/launch.hpp"

namespace norma::rt {
namespace {

constexpr std::size_t kHead = sizeof(std::uint32_t);
constexpr std::size_t kMostWaiting = 4 * kMaxLaunchBytes; // for somebody who does not read

} // namespace

RecordStream::RecordStream(RecordStream &&other) noexcept
    : fd_(std::exchange(other.fd_, -1)), most_(other.most_), in_(std::move(other.in_)), out_(std::move(other.out_)),
      at_end_(other.at_end_) {}

RecordStream::~RecordStream() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

short RecordStream::events() const {
    return static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT));
}

bool RecordStream::send(std::span<const std::byte> record) {
    if (record.size() > kMaxLaunchBytes) {
        errno = EMSGSIZE;
        return false;
    }
    if (out_.size() > kMostWaiting) {
        errno = ENOBUFS;
        return false;
    }
    const auto size = static_cast<std::uint32_t>(record.size());
    const auto *head = reinterpret_cast<const std::byte *>(&size);
    out_.insert(out_.end(), head, head + sizeof size);
    out_.insert(out_.end(), record.begin(), record.end());
    return flush();
}

bool RecordStream::flush() {
    while (!out_.empty()) {
        const auto sent = ::send(fd_, out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return errno == EAGAIN;
        }
        if (sent > 0) {
            out_.erase(out_.begin(), out_.begin() + sent);
        }
    }
    return true;
}

RecordStream::Received RecordStream::receive(std::vector<std::byte> &record) {
    for (;;) {
        const auto found = take(record);
        if (found != Received::nothing || at_end_) {
            return found == Received::nothing ? Received::closed : found;
        }
        if (!read_some() && !at_end_) {
            return Received::nothing;
        }
    }
}

void RecordStream::hang_up() {
    ::shutdown(fd_, SHUT_RDWR); // and whoever polls it wakes up
    in_.clear();
    out_.clear();
    at_end_ = true;
}

// Whether anything came. Only as much is read as the record at hand may still need, give or take a buffer.
bool RecordStream::read_some() {
    std::array<std::byte, 16384> buffer;
    const auto size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size > 0) {
        in_.insert(in_.end(), buffer.begin(), buffer.begin() + size);
        return true;
    }
    at_end_ = size == 0 || (errno != EAGAIN && errno != EINTR);
    return false;
}

RecordStream::Received RecordStream::take(std::vector<std::byte> &record) {
    std::uint32_t size = 0;
    if (in_.size() < kHead) {
        return Received::nothing;
    }
    std::memcpy(&size, in_.data(), kHead);
    if (size == 0 || size > most_) {
        in_.clear();
        at_end_ = true;
        return Received::garbage;
    }
    if (in_.size() - kHead < size) {
        return Received::nothing;
    }
    const auto begin = in_.begin() + kHead;
    record.assign(begin, begin + size);
    in_.erase(in_.begin(), begin + size);
    return Received::record;
}

} // namespace norma::rt

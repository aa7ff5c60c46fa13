// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/poll_elsewhere.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/descriptors.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/client/private_room.hpp"

#include <cerrno>
#include <cstring>
#include <optional>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr std::size_t kMostWaitedFor = std::size_t{1} << 20; // more than a process can have

// What the kernel and the node server read and write, which must not be coherent memory.
struct Room {
    struct Fixed {
        timespec left;
        sigset_t mask;
        PollAnswer answer;
        std::array<PolledFile, kMostPolled> files; // behind the answer, as they come
    };

    explicit Room(std::size_t count) noexcept
        : size(sizeof(Fixed) + (count + 1) * sizeof(pollfd)),
          start(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
    Room(const Room &) = delete;
    Room &operator=(const Room &) = delete;
    ~Room() {
        if (start != MAP_FAILED) {
            munmap(start, size);
        }
    }
    Fixed &fixed() const { return *static_cast<Fixed *>(start); }
    pollfd *waits() const { return reinterpret_cast<pollfd *>(static_cast<std::byte *>(start) + sizeof(Fixed)); }

    std::size_t size;
    void *start;
};

// The end of a socket on which the node server tells of files that are elsewhere. -1 in waits of others.
class Teller {
  public:
    Teller() = default;
    Teller(const Teller &) = delete;
    Teller &operator=(const Teller &) = delete;
    ~Teller() { close_private(fd_); }
    int fd() const { return fd_; }

    // 0 or an errno value.
    int ask(std::span<const PolledFile> files, bool wait) {
        std::array<int, 2> ends{};
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
            return errno;
        }
        fd_ = duplicate_away(ends[0], 0);
        int error = fd_ < 0 ? errno : 0;
        if (error == 0) {
            keep_private(fd_);
            error = errno_of(call(Op::file_poll, kNameNull, {wait ? 1U : 0U}, std::as_bytes(files), ends[1]));
        }
        syscall(SYS_close, ends[0]);
        syscall(SYS_close, ends[1]);
        return error;
    }

  private:
    int fd_ = -1;
};

constexpr long kBillion = 1'000'000'000;

timespec now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time;
}

class Poll {
  public:
    Poll(std::span<pollfd> files, const sigset_t *mask) : files_(files), room_(files.size()), masked_(mask != nullptr) {
        if (room_.start != MAP_FAILED && masked_) {
            std::memcpy(&room_.fixed().mask, mask, sizeof(sigset_t));
        }
    }
    bool has_room() const { return room_.start != MAP_FAILED; }

    // Sorts the files into those of the kernel and those that are elsewhere. False: too many.
    bool sort() {
        auto *const waits = room_.waits();
        for (std::size_t i = 0; i < files_.size(); ++i) {
            const auto &file = files_[i];
            waits[i] = {.fd = file.fd, .events = file.events, .revents = 0};
            if (is_elsewhere(file.fd)) {
                if (elsewhere_ == kMostPolled) {
                    return false;
                }
                waits[i].fd = -1;
                room_.fixed().files.at(elsewhere_++) = {.place = static_cast<std::uint32_t>(i),
                                                        .number = static_cast<std::uint16_t>(file.fd),
                                                        .events = static_cast<std::uint16_t>(file.events)};
            }
        }
        waits[files_.size()] = {.fd = -1, .events = POLLIN, .revents = 0};
        return true;
    }

    // What ppoll says of the kernel's files, and of the teller if there is one.
    long wait(const std::optional<timespec> &limit, const Teller *teller) {
        room_.waits()[files_.size()].fd = teller == nullptr ? -1 : teller->fd();
        if (limit) {
            room_.fixed().left = *limit;
        }
        return syscall(SYS_ppoll, room_.waits(), files_.size() + 1, limit ? &room_.fixed().left : nullptr,
                       masked_ ? &room_.fixed().mask : nullptr, _NSIG / 8);
    }

    int ask(Teller &teller, bool wait) { return teller.ask(std::span(room_.fixed().files).first(elsewhere_), wait); }

    // 0 or an errno value. Waits for the answer, which comes at once.
    int read(const Teller &teller) {
        auto &fixed = room_.fixed();
        ssize_t size = 0;
        do {
            size = syscall(SYS_recvfrom, teller.fd(), &fixed.answer, sizeof fixed - offsetof(Room::Fixed, answer), 0,
                           nullptr, nullptr);
        } while (size < 0 && errno == EINTR);
        const auto bytes = static_cast<std::size_t>(std::max<ssize_t>(size, 0));
        if (bytes < sizeof fixed.answer) {
            return EIO; // the node server is gone, and this process is about to be
        }
        for (const auto &file : std::span(fixed.files).first((bytes - sizeof fixed.answer) / sizeof(PolledFile))) {
            if (file.place < files_.size()) {
                room_.waits()[file.place].revents = static_cast<short>(file.events);
            }
        }
        return static_cast<int>(fixed.answer.error);
    }
    bool told() const { return room_.waits()[files_.size()].revents != 0; }

    int result() {
        int ready = 0;
        for (std::size_t i = 0; i < files_.size(); ++i) {
            files_[i].revents = room_.waits()[i].revents;
            ready += files_[i].revents != 0 ? 1 : 0;
        }
        return ready;
    }

  private:
    std::span<pollfd> files_;
    Room room_;
    bool masked_;
    std::size_t elsewhere_ = 0;
};

} // namespace

timespec deadline_in(const timespec &time) {
    const auto began = now();
    const long nanoseconds = began.tv_nsec + time.tv_nsec;
    const auto seconds = static_cast<std::uint64_t>(began.tv_sec) + static_cast<std::uint64_t>(time.tv_sec) +
                         (nanoseconds >= kBillion ? 1U : 0U);
    return {static_cast<time_t>(std::min<std::uint64_t>(seconds, INT64_MAX)), nanoseconds % kBillion};
}

timespec left_until(const timespec &deadline) {
    const auto time = now();
    const bool borrows = deadline.tv_nsec < time.tv_nsec;
    const timespec left{deadline.tv_sec - time.tv_sec - (borrows ? 1 : 0),
                        deadline.tv_nsec - time.tv_nsec + (borrows ? kBillion : 0)};
    return left.tv_sec < 0 ? timespec{0, 0} : left;
}

int poll_files(std::span<pollfd> files, const timespec *limit, const sigset_t *mask) noexcept {
    if (limit != nullptr && (limit->tv_sec < 0 || limit->tv_nsec < 0 || limit->tv_nsec >= kBillion)) {
        return fail_with(EINVAL);
    }
    if (files.size() > kMostWaitedFor) {
        return fail_with(EINVAL);
    }
    const auto deadline = limit == nullptr ? std::nullopt : std::optional(deadline_in(*limit));
    Poll poll(files, mask);
    if (!poll.has_room() || !poll.sort()) {
        return fail_with(ENOMEM);
    }
    // What is ready is told of all of them. So the first look waits for nothing.
    const long ready = poll.wait(timespec{0, 0}, nullptr);
    if (ready < 0) {
        return -1;
    }
    const bool looks = ready > 0 || (limit != nullptr && limit->tv_sec == 0 && limit->tv_nsec == 0);
    Teller teller;
    if (const int error = poll.ask(teller, !looks); error != 0) {
        return fail_with(error);
    }
    if (!looks) {
        const auto left = deadline ? std::optional(left_until(*deadline)) : std::nullopt;
        if (poll.wait(left, &teller) < 0) {
            return -1;
        }
    }
    if (looks || poll.told()) {
        if (const int error = poll.read(teller); error != 0) {
            return fail_with(error);
        }
    }
    return poll.result();
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "dsm/userfault.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace norma::dsm {

namespace {

// /dev/userfaultfd (Linux 6.1) gives the full mode to whoever may open it; the system call gives it to CAP_SYS_PTRACE
// or where vm.unprivileged_userfaultfd is 1.
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

int open_full() {
    const int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
    if (fd >= 0 || errno != EPERM) {
        return fd;
    }
    const int device = ::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        errno = EPERM;
        return -1;
    }
    const int made = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    const int why = errno;
    ::close(device);
    errno = why;
    return made;
}

constexpr std::uint64_t kPage = 4096;

int write_protect(int fd, std::uint64_t address, std::uint64_t bytes, bool on) {
    uffdio_writeprotect request{};
    request.range.start = address;
    request.range.len = bytes;
    request.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
    while (ioctl(fd, UFFDIO_WRITEPROTECT, &request) != 0) {
        if (errno == ENOENT && bytes > kPage) {
            // Linux 6.1 refuses a range that crosses from one mapping into the next, which vm_protect makes of one.
            const auto half = bytes / kPage / 2 * kPage;
            const int first = write_protect(fd, address, half, on);
            const int second = write_protect(fd, address + half, bytes - half, on);
            return first != 0 ? first : second;
        }
        if (errno != EAGAIN) {
            return errno;
        }
    }
    return 0;
}

} // namespace

int Userfault::open(bool user_only, FaultMode &got) {
    got = FaultMode::none;
    int fd = user_only ? -1 : open_full();
    FaultMode mode = FaultMode::full;
    if (fd < 0) {
        fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
        mode = FaultMode::user_only;
    }
    if (fd < 0) {
        return -1;
    }
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
                   UFFD_FEATURE_THREAD_ID;
    if (ioctl(fd, UFFDIO_API, &api) != 0) {
        const int why = errno;
        ::close(fd);
        errno = why;
        return -1;
    }
    got = mode;
    return fd;
}

Userfault::~Userfault() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

std::optional<PageFault> Userfault::read() {
    uffd_msg message{};
    if (::read(fd_, &message, sizeof message) != sizeof message || message.event != UFFD_EVENT_PAGEFAULT) {
        return std::nullopt;
    }
    const auto flags = message.arg.pagefault.flags;
    return PageFault{.address = message.arg.pagefault.address,
                     .thread = message.arg.pagefault.feat.ptid,
                     .write = (flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP)) != 0,
                     .write_protected = (flags & UFFD_PAGEFAULT_FLAG_WP) != 0};
}

int Userfault::add_range(std::uint64_t address, std::uint64_t bytes) {
    uffdio_register request{};
    request.range.start = address;
    request.range.len = bytes;
    request.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
    if (ioctl(fd_, UFFDIO_REGISTER, &request) == 0) {
        return 0;
    }
    const int error = errno;
    // Of an address space that is being torn down it says ENOMEM, where everything else says ESRCH.
    return error == ENOMEM && protect(address, bytes) == ESRCH ? ESRCH : error;
}

int Userfault::copy(std::uint64_t address, const void *source, std::uint64_t bytes, bool protect, std::uint64_t &done) {
    done = 0;
    std::uint64_t most = bytes; // at once
    while (done < bytes) {
        uffdio_copy request{};
        request.dst = address + done;
        request.src = reinterpret_cast<std::uint64_t>(source) + done;
        request.len = std::min(most, bytes - done);
        request.mode = protect ? UFFDIO_COPY_MODE_WP : 0;
        if (ioctl(fd_, UFFDIO_COPY, &request) == 0) {
            done += request.len;
            continue;
        }
        const int why = errno;
        if (request.copy > 0) {
            done += static_cast<std::uint64_t>(request.copy);
        } else if (why == ENOENT && request.len > kPage) {
            most = request.len / kPage / 2 * kPage; // it may cross from one mapping into the next, as above
        } else if (why != EAGAIN) {                 // EAGAIN: the task's map is changing at this moment
            return why;
        }
    }
    return 0;
}

int Userfault::protect(std::uint64_t address, std::uint64_t bytes) {
    return write_protect(fd_, address, bytes, true);
}

int Userfault::unprotect(std::uint64_t address, std::uint64_t bytes) {
    return write_protect(fd_, address, bytes, false);
}

int Userfault::wake(std::uint64_t address, std::uint64_t bytes) {
    uffdio_range range{.start = address, .len = bytes};
    return ioctl(fd_, UFFDIO_WAKE, &range) == 0 ? 0 : errno;
}

} // namespace norma::dsm

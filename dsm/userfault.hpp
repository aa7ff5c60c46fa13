// SPDX-License-Identifier: BSD-3-Clause
// A task's userfaultfd, used from the node server: the task makes it and passes it over, so every operation here acts
// on the task's address space without any code of the task taking part (userfaultfd(2), ioctl_userfaultfd(2)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace norma::dsm {

// How much of the kernel's service one gets. `full` also serves faults raised inside system calls.
enum class FaultMode : std::uint8_t { none, user_only, full };

struct PageFault {
    std::uint64_t address = 0;
    std::uint32_t thread = 0;     // kernel thread id
    bool write = false;           // the access was a store
    bool write_protected = false; // a frame or a marker is there, but not for writing; else the page is missing
};

class Userfault {
  public:
    // Makes a descriptor for the calling process with all features norma needs. `user_only` asks for no more than user
    // faults. Returns -1 with errno on failure; `got` tells the mode.
    static int open(bool user_only, FaultMode &got);

    explicit Userfault(int fd) : fd_(fd) {}
    ~Userfault();
    Userfault(const Userfault &) = delete;
    Userfault &operator=(const Userfault &) = delete;

    int fd() const { return fd_; }
    std::optional<PageFault> read();

    // Every call returns 0 or an errno value. ESRCH and ENOENT mean that the task is ending or the range is unmapped;
    // callers treat both as "nothing to do".
    int add_range(std::uint64_t address, std::uint64_t bytes);
    // Puts pages there and wakes who waits for them. `done` is how many bytes were placed before an error.
    int copy(std::uint64_t address, const void *source, std::uint64_t bytes, bool protect, std::uint64_t &done);
    int protect(std::uint64_t address, std::uint64_t bytes);
    int unprotect(std::uint64_t address, std::uint64_t bytes); // and wakes
    int wake(std::uint64_t address, std::uint64_t bytes);

  private:
    int fd_;
};

} // namespace norma::dsm

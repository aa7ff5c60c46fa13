// SPDX-License-Identifier: BSD-3-Clause
// What this machine lets norma do: tried out, not guessed from version numbers where a try is possible.
#pragma once

#include "dsm/userfault.hpp"
#include "runtime/config.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace norma::rt {

struct UserfaultReport {
    dsm::FaultMode mode{};                     // what a task gets, NORMA_UFFD considered
    int error = 0;                             // errno if the mode is none
    bool by_call = false;                      // the system call gives the full mode
    bool by_call_user = false;                 // the system call gives the user-only mode
    bool by_device = false;                    // /dev/userfaultfd may be opened
    bool has_device = false;                   // it exists
    std::optional<std::uint64_t> sysctl;       // vm.unprivileged_userfaultfd
    std::vector<std::string> missing_features; // that norma needs and this kernel lacks
};

struct HostReport {
    std::string kernel; // release
    unsigned kernel_major = 0, kernel_minor = 0;
    UserfaultReport userfault;
    bool fixed_addresses = false; // address randomisation is off or may be switched off
    bool memfd = false;           // memfd_create(2)
    bool pidfd = false;           // pidfd_open(2)
    int window_error = 0;         // errno of setting aside the window of coherent memory; 0 if it worked
    std::uint64_t memory = 0;     // of the machine, bytes
    std::uint64_t shm_free = 0;   // bytes free in /dev/shm; 0 if it is not there
    std::optional<std::uint64_t> max_map_count, overcommit, huge_pages;
    std::string transparent_huge_pages;                            // the kernel's own words; empty if it has none
    std::uint64_t lock_limit = 0, file_limit = 0, space_limit = 0; // rlimits; ~0 if there is none
};

HostReport probe_host(const Config &config);

} // namespace norma::rt

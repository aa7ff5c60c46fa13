// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/requirements.hpp"

#include "runtime/values.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <sys/resource.h>
#include <tuple>

namespace norma::rt {
namespace {

using State = Requirement::State;

Requirement ok(std::string name, std::string found) {
    return {State::ok, std::move(name), std::move(found), {}};
}

Requirement judge_kernel(const HostReport &host) {
    constexpr auto kOldest = std::pair(5u, 19u);
    const std::string found = fmt::format("Linux {}", host.kernel);
    if (std::pair(host.kernel_major, host.kernel_minor) < kOldest) {
        return {State::missing, "kernel", found,
                fmt::format("norma needs Linux {}.{} or later", kOldest.first, kOldest.second)};
    }
    return ok("kernel", found);
}

Requirement judge_userfault(const HostReport &host, UffdMode wanted) {
    const UserfaultReport &report = host.userfault;
    const std::string found = mode_name(report.mode);
    if (!report.missing_features.empty()) {
        return {State::missing, "userfaultfd", fmt::format("no {}", fmt::join(report.missing_features, ", ")),
                "this needs Linux 5.19 or later, built with CONFIG_PTE_MARKER_UFFD_WP"};
    }
    switch (report.mode) {
    case dsm::FaultMode::full:
        return ok("userfaultfd", found);
    case dsm::FaultMode::user_only:
        if (wanted == UffdMode::user) {
            return {State::limited, "userfaultfd", found + ", because NORMA_UFFD=user asks for it", "unset NORMA_UFFD"};
        }
        return {State::limited, "userfaultfd", found,
                "for the full mode: run as root, or `sysctl -w vm.unprivileged_userfaultfd=1`, or let the user open "
                "/dev/userfaultfd (chown or chmod it)"};
    case dsm::FaultMode::none:
        break;
    }
    return {State::missing, "userfaultfd", fmt::format("refused: {}", std::strerror(report.error)),
            "the kernel needs CONFIG_USERFAULTFD; in a container, allow the system call (docker: --security-opt "
            "seccomp=unconfined, or a profile with userfaultfd)"};
}

Requirement judge_addresses(const HostReport &host) {
    if (host.fixed_addresses) {
        return ok("fixed addresses", "address randomisation can be switched off for tasks");
    }
    return {State::missing, "fixed addresses", "address randomisation cannot be switched off",
            "in a container, allow personality(2) (docker: --security-opt seccomp=unconfined), or `sysctl -w "
            "kernel.randomize_va_space=0` on the machine"};
}

Requirement judge_calls(const HostReport &host) {
    if (host.memfd && host.pidfd) {
        return ok("memfd, pidfd", "there");
    }
    return {State::missing, "memfd, pidfd",
            fmt::format("no {}", host.memfd   ? "pidfd_open"
                                 : host.pidfd ? "memfd_create"
                                              : "memfd_create, pidfd_open"),
            "in a container, allow these system calls"};
}

Requirement judge_window(const Findings &findings) {
    const HostReport &host = findings.host;
    const std::string window =
        fmt::format("{} at {:#x}", format_bytes(findings.config.window_size), findings.config.window_base);
    if (host.window_error == 0) {
        return ok("address window", window);
    }
    std::string mend = "set NORMA_WINDOW_BASE to where the process has room, or NORMA_WINDOW_SIZE smaller";
    if (host.space_limit < findings.config.window_size) {
        mend = "`ulimit -v unlimited`, or set NORMA_WINDOW_SIZE below the limit";
    } else if (host.overcommit == std::uint64_t{2}) {
        mend = "`sysctl -w vm.overcommit_memory=0`, or set NORMA_WINDOW_SIZE smaller";
    }
    return {State::missing, "address window", fmt::format("{}: {}", window, std::strerror(host.window_error)), mend};
}

Requirement judge_maps(const HostReport &host) {
    constexpr std::uint64_t kEnough = 65530; // the kernel's default
    const std::string found =
        host.max_map_count ? fmt::format("vm.max_map_count is {}", *host.max_map_count) : "not known";
    if (host.max_map_count.value_or(kEnough) < kEnough) {
        return {
            State::limited, "mappings", found,
            fmt::format("`sysctl -w vm.max_map_count={}`: programs that protect many single pages need it", kEnough)};
    }
    return ok("mappings", found);
}

Requirement judge_files(const HostReport &host) {
    constexpr std::uint64_t kEnough = 1024;
    const std::string found = fmt::format("up to {}", host.file_limit);
    if (host.file_limit < kEnough) {
        return {State::limited, "open files", found,
                fmt::format("`ulimit -n {}`: a node server holds a few for each task and memory object", kEnough)};
    }
    return ok("open files", found);
}

bool has(const std::vector<std::string> &transports, std::string_view prefix) {
    return std::ranges::any_of(transports, [&](const std::string &name) { return name.starts_with(prefix); });
}

Requirement judge_tcp(const Findings &findings) {
    if (has(findings.transports, "tcp/")) {
        return ok("UCX over TCP", "there");
    }
    const auto &chosen = findings.config.transport;
    const State state = chosen == "shm" || chosen == "verbs" ? State::limited : State::missing;
    return {state, "UCX over TCP", "no network device", "bring one up: `ip link set lo up` is enough on one machine"};
}

Requirement judge_shm(const Findings &findings) {
    constexpr std::uint64_t kEnough = 64u << 20;
    const std::string free = format_bytes(findings.host.shm_free >> 20 << 20);
    if (!has(findings.transports, "posix/")) {
        return {State::limited, "UCX over shared memory", "no", "mount a tmpfs on /dev/shm; needed for -x shm only"};
    }
    if (findings.host.shm_free < kEnough) {
        return {State::limited, "UCX over shared memory", fmt::format("{} free in /dev/shm", free),
                "make it larger (`mount -o remount,size=1G /dev/shm`; docker: --shm-size 1g)"};
    }
    return ok("UCX over shared memory", fmt::format("there, {} free in /dev/shm", free));
}

Requirement judge_verbs(const Findings &findings) {
    if (findings.rdma.usable) {
        return ok("RDMA (verbs)", findings.rdma.choice);
    }
    const bool wanted = findings.config.transport == "verbs";
    return {wanted ? State::missing : State::ok, "RDMA (verbs)", wanted ? findings.rdma.choice : "no device",
            wanted ? "give the RDMA port's network interface an IP address, or set NORMA_TRANSPORT otherwise" : ""};
}

Requirement judge_locked(const Findings &findings) {
    constexpr std::uint64_t kEnough = 256u << 20;
    const std::uint64_t limit = findings.host.lock_limit;
    const std::string found = limit == RLIM_INFINITY ? "unlimited" : fmt::format("up to {}", format_bytes(limit));
    // Only an RDMA adapter's buffers are locked.
    if (!findings.rdma_devices.empty() && limit < kEnough) {
        return {State::limited, "locked memory", found, "`ulimit -l unlimited` for RDMA"};
    }
    return ok("locked memory", found);
}

Requirement judge_config(const Findings &findings) {
    if (findings.config_mistakes.empty()) {
        return ok("configuration", "every NORMA_ variable that is set is valid");
    }
    return {State::missing, "configuration", fmt::format("{}", fmt::join(findings.config_mistakes, "; ")),
            "correct or unset it"};
}

} // namespace

std::vector<Requirement> judge(const Findings &findings) {
    const HostReport &host = findings.host;
    return {judge_config(findings), judge_kernel(host),    judge_userfault(host, findings.config.uffd),
            judge_addresses(host),  judge_calls(host),     judge_window(findings),
            judge_maps(host),       judge_files(host),     judge_tcp(findings),
            judge_shm(findings),    judge_verbs(findings), judge_locked(findings)};
}

bool can_run(const std::vector<Requirement> &requirements) {
    return std::ranges::none_of(requirements, [](const Requirement &r) { return r.state == State::missing; });
}

std::string mode_name(dsm::FaultMode mode) {
    constexpr std::array kNames = {"none", "user-mode only", "full"};
    return kNames.at(std::size_t(mode));
}

std::string mode_meaning(dsm::FaultMode mode) {
    constexpr std::array kMeanings = {
        "no faults are served",
        "faults of the program's own code are served; a system call on memory that is not here fails with EFAULT "
        "unless the program touches the memory first",
        "system calls on coherent memory work wherever the memory is",
    };
    return kMeanings.at(std::size_t(mode));
}

} // namespace norma::rt

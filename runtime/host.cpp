// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/host.hpp"

#include "runtime/values.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace norma::rt {
namespace {

// Closes what it holds; -1 is nothing.
class Descriptor {
  public:
    explicit Descriptor(long fd) : fd_(int(fd)) {}
    ~Descriptor() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;
    bool ok() const { return fd_ >= 0; }
    int get() const { return fd_; }

  private:
    int fd_;
};

std::string first_line(const char *path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::optional<std::uint64_t> number_in(const char *path) {
    const auto number = parse_integer(first_line(path));
    return number ? std::optional(std::uint64_t(*number)) : std::nullopt;
}

std::uint64_t limit(int resource) {
    rlimit found{};
    return getrlimit(__rlimit_resource(resource), &found) == 0 ? found.rlim_cur : 0;
}

std::vector<std::string> missing_features(int fd) {
    struct Feature {
        std::uint64_t bit;
        const char *name;
    };
    constexpr std::array kNeeded = {
        Feature{UFFD_FEATURE_PAGEFAULT_FLAG_WP, "PAGEFAULT_FLAG_WP"},
        Feature{UFFD_FEATURE_MISSING_SHMEM, "MISSING_SHMEM"},
        Feature{UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "WP_HUGETLBFS_SHMEM"},
        Feature{UFFD_FEATURE_THREAD_ID, "THREAD_ID"},
    };
    uffdio_api api{};
    api.api = UFFD_API; // asking for no feature is answered with all there are
    const bool answered = ioctl(fd, UFFDIO_API, &api) == 0;
    std::vector<std::string> missing;
    for (const Feature &feature : kNeeded) {
        if (!answered || (api.features & feature.bit) == 0) {
            missing.emplace_back(feature.name);
        }
    }
    return missing;
}

UserfaultReport probe_userfault(UffdMode wanted) {
    UserfaultReport report;
    report.sysctl = number_in("/proc/sys/vm/unprivileged_userfaultfd");
    report.has_device = ::access("/dev/userfaultfd", F_OK) == 0;
    report.by_device = Descriptor(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)).ok();
    report.by_call = Descriptor(syscall(SYS_userfaultfd, O_CLOEXEC)).ok();
    const Descriptor user(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
    report.by_call_user = user.ok();
    if (user.ok()) {
        report.missing_features = missing_features(user.get());
    }
    const Descriptor real(dsm::Userfault::open(wanted == UffdMode::user, report.mode));
    report.error = real.ok() ? 0 : errno;
    return report;
}

// The setting touches only programs that are started later, and is undone at once.
bool can_fix_addresses() {
    constexpr unsigned long kAsk = 0xffffffff;
    const int before = personality(kAsk);
    if (number_in("/proc/sys/kernel/randomize_va_space") == std::uint64_t{0} ||
        (before >= 0 && (before & ADDR_NO_RANDOMIZE) != 0)) {
        return true;
    }
    if (before < 0 || personality(static_cast<unsigned long>(before) | ADDR_NO_RANDOMIZE) < 0) {
        return false;
    }
    const bool set = (personality(kAsk) & ADDR_NO_RANDOMIZE) != 0;
    personality(static_cast<unsigned long>(before));
    return set;
}

int try_window(const Config &config) {
    void *const base = reinterpret_cast<void *>(config.window_base);
    void *const got = mmap(base, config.window_size, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED) {
        return errno;
    }
    munmap(got, config.window_size);
    return got == base ? 0 : EEXIST;
}

std::uint64_t free_in(const char *directory) {
    struct statvfs found {};
    return statvfs(directory, &found) == 0 ? std::uint64_t(found.f_bavail) * found.f_frsize : 0;
}

} // namespace

HostReport probe_host(const Config &config) {
    HostReport report;
    utsname name{};
    uname(&name);
    report.kernel = name.release;
    // A release that does not start with two numbers leaves them 0, and is reported as too old.
    std::sscanf(name.release, "%u.%u", &report.kernel_major, &report.kernel_minor); // NOLINT(cert-err34-c)
    report.userfault = probe_userfault(config.uffd);
    report.fixed_addresses = can_fix_addresses();
    report.memfd = Descriptor(memfd_create("norma-probe", MFD_CLOEXEC)).ok();
    report.pidfd = Descriptor(syscall(SYS_pidfd_open, getpid(), 0)).ok();
    report.window_error = try_window(config);
    report.memory = std::uint64_t(sysconf(_SC_PHYS_PAGES)) * std::uint64_t(sysconf(_SC_PAGESIZE));
    report.shm_free = free_in("/dev/shm");
    report.max_map_count = number_in("/proc/sys/vm/max_map_count");
    report.overcommit = number_in("/proc/sys/vm/overcommit_memory");
    report.huge_pages = number_in("/proc/sys/vm/nr_hugepages");
    report.transparent_huge_pages = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
    report.lock_limit = limit(RLIMIT_MEMLOCK);
    report.file_limit = limit(RLIMIT_NOFILE);
    report.space_limit = limit(RLIMIT_AS);
    return report;
}

} // namespace norma::rt

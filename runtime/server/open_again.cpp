// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/open_again.hpp"

#include "runtime/sockets.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr int kIgnoredFlags = 0100000 | O_NOFOLLOW | O_CLOEXEC; // the first: O_LARGEFILE, as the kernel has it

std::string words_of(int error) {
    return std::error_code(error, std::generic_category()).message();
}

} // namespace

const std::string &this_machine() {
    static const std::string id = [] {
        std::string text;
        std::ifstream("/proc/sys/kernel/random/boot_id") >> text;
        return text;
    }();
    return id;
}

namespace {

// Of those that keep nothing, whoever opens them.
bool is_stateless(const struct stat &about) {
    constexpr unsigned kMemoryDevices = 1, kNull = 3, kZero = 5;
    return S_ISCHR(about.st_mode) && major(about.st_rdev) == kMemoryDevices &&
           (minor(about.st_rdev) == kNull || minor(about.st_rdev) == kZero);
}

const char *kind_of(const struct stat &about) {
    switch (about.st_mode & S_IFMT) {
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "what has no name (an eventfd or the like)";
    }
}

std::string path_of(int fd) {
    std::array<char, PATH_MAX> target{};
    const auto size = ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), target.data(), target.size());
    return {target.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

bool mark_of(int fd, FileMark &mark) {
    struct stat about {};
    struct statfs system {};
    if (::fstat(fd, &about) != 0 || ::fstatfs(fd, &system) != 0) {
        return false;
    }
    constexpr std::int64_t kSecond = 1'000'000'000;
    mark = {.machine = this_machine(),
            .device = about.st_dev,
            .inode = about.st_ino,
            .special = about.st_rdev,
            .size = static_cast<std::uint64_t>(about.st_size),
            .written = about.st_mtim.tv_sec * kSecond + about.st_mtim.tv_nsec,
            .mode = about.st_mode,
            .system = static_cast<std::uint32_t>(system.f_type),
            .system_id = 0};
    static_assert(sizeof system.f_fsid == sizeof mark.system_id);
    std::memcpy(&mark.system_id, &system.f_fsid, sizeof mark.system_id);
    return true;
}

// Also a lease. Locks of records that are a process's have ended with that.
bool is_locked(int fd) {
    std::ifstream about(fmt::format("/proc/self/fdinfo/{}", fd));
    bool locked = !about;
    for (std::string line; !locked && std::getline(about, line);) {
        locked = line.starts_with("lock:");
    }
    return locked;
}

// 0: they are one; 1, 2: this one is before the other, or behind it.
long order_of(int fd, int other) {
    const auto self = ::getpid();
    return ::syscall(SYS_kcmp, self, self, KCMP_FILE, fd, other);
}

} // namespace

std::string look_at(int fd, MovedFile &file) {
    struct stat about {};
    struct stat named {};
    if (::fstat(fd, &about) != 0) {
        return fmt::format("an open file cannot be looked at: {}", words_of(errno));
    }
    file.path = path_of(fd);
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode) && !is_stateless(about)) {
        return fmt::format("{} ({})", kind_of(about), file.path);
    }
    const bool has_name = !file.path.empty() && ::stat(file.path.c_str(), &named) == 0;
    if (!has_name || named.st_dev != about.st_dev || named.st_ino != about.st_ino) {
        return fmt::format("{} has no name any more, or another one", file.path);
    }
    const int flags = ::fcntl(fd, F_GETFL) & ~kIgnoredFlags;
    const auto offset = ::lseek(fd, 0, SEEK_CUR);
    if (!are_moved_flags(flags) || offset < 0) {
        return fmt::format("{} is open in a way (flags {:#o}) in which it cannot be opened again", file.path, flags);
    }
    if (is_locked(fd)) {
        return fmt::format("{} is locked", file.path);
    }
    file.flags = flags;
    file.offset = static_cast<std::uint64_t>(offset);
    return mark_of(fd, file.mark) ? "" : fmt::format("{} cannot be looked at: {}", file.path, words_of(errno));
}

// Without waiting, should it be something else that has the name now.
OpenedAgain open_again(const MovedFile &file, bool settled) {
    if (file.path.empty()) {
        const int fd = ::fcntl(file.stream, F_DUPFD_CLOEXEC, 0);
        return {.fd = fd, .why = fd >= 0 ? "" : fmt::format("standard stream {}: {}", file.stream, words_of(errno))};
    }
    const int fd = ::open(file.path.c_str(), file.flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return {.why = fmt::format("{}: {}", file.path, words_of(errno))};
    }
    FileMark here;
    const auto verdict = mark_of(fd, here) ? compare(file.mark, here, settled) : Sameness::other;
    if (verdict != Sameness::same) {
        ::close(fd);
        const auto *what = verdict == Sameness::other ? "is another file" : "is another file, or changes all the time";
        return {.why = fmt::format("{} {}", file.path, what)};
    }
    const bool is_positioned = ::lseek(fd, static_cast<off_t>(file.offset), SEEK_SET) >= 0;
    if (!is_positioned || ::fcntl(fd, F_SETFL, file.flags) != 0) {
        const int error = errno;
        ::close(fd);
        return {.why = fmt::format("{}: {}", file.path, words_of(error))};
    }
    return {.fd = fd};
}

OpenedFiles::~OpenedFiles() {
    for (const int fd : fds_) {
        close_if_open(fd);
    }
}

std::string OpenedFiles::open(const std::vector<MovedFile> &files) {
    for (const auto &file : files) {
        auto opened = open_again(file, true);
        if (!opened.why.empty()) {
            return opened.why;
        }
        fds_.push_back(opened.fd);
    }
    return "";
}

bool can_be_told_apart(int fd) {
    return order_of(fd, fd) == 0;
}

bool is_before(int fd, int other) {
    return order_of(fd, other) == 1;
}

bool are_one(int fd, int other) {
    return order_of(fd, other) == 0;
}

} // namespace norma::rt

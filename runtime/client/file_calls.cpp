// SPDX-License-Identifier: BSD-3-Clause
// The C library's calls that open, close and use files, for tasks that share theirs (shared_files.hpp): these functions
// stand in front of them. In any other task they add a comparison. What reads and writes is in syscalls.cpp, too.
//
// What opens is shared if the program itself calls it; what libraries open for themselves, streams among it, is the
// task's own. What closes or uses is about the number, whoever calls it.
#include "norma/norma.h"
#include "runtime/client/descriptors.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/client/files_elsewhere.hpp"
#include "runtime/client/interposed.hpp"
#include "runtime/client/shared_files.hpp"

#include <cerrno>
#include <cstdarg>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using norma::rt::fail_with;
using norma::rt::is_elsewhere;
using norma::rt::next;
using norma::rt::publish;
using norma::rt::shared_numbers;
using norma::rt::Whose;

// Of a call that has just returned a new file, or -1.
int opened(int fd, const void *caller) {
    return fd >= 0 && shared_numbers.concerns(caller) ? publish(fd) : fd;
}

int opened_two(int result, int *ends, const void *caller) {
    if (result != 0 || !shared_numbers.concerns(caller)) {
        return result;
    }
    for (int i = 0; i < 2; ++i) {
        ends[i] = publish(ends[i]);
        if (ends[i] < 0) {
            const int error = errno;
            close(ends[1 - i]);
            return fail_with(error);
        }
    }
    return 0;
}

int duplicate_onto(int fd, int number, bool close_on_exec, const void *caller) {
    static const auto real = next<int(int, int, int)>("dup3");
    const bool concerned =
        shared_numbers[fd] != Whose::own || shared_numbers[number] != Whose::own || shared_numbers.concerns(caller);
    if (!concerned || fcntl(fd, F_GETFD) < 0 || number < 0) {
        return real(fd, number, close_on_exec ? O_CLOEXEC : 0);
    }
    if (static_cast<std::uint32_t>(number) >= norma::rt::kMostFiles || norma::rt::is_private(number)) {
        return fail_with(static_cast<std::uint32_t>(number) >= norma::rt::kMostFiles ? EBADF : EBUSY);
    }
    if (shared_numbers[number] == Whose::own) {
        close(number); // it is to be another file
    }
    if (shared_numbers[fd] != Whose::own) {
        return norma::rt::duplicate_shared(fd, number, true, close_on_exec);
    }
    return publish(fd, number);
}

bool has_mode(int flags) {
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

} // namespace

#define NORMA_MODE(mode, last)                                                                                         \
    mode_t mode = 0;                                                                                                   \
    if (has_mode(last)) {                                                                                              \
        va_list list;                                                                                                  \
        va_start(list, last);                                                                                          \
        (mode) = va_arg(list, mode_t);                                                                                 \
        va_end(list);                                                                                                  \
    }

extern "C" {

NORMA_EXPORT int open(const char *path, int flags, ...) {
    static const auto real = next<int(const char *, int, mode_t)>("open");
    NORMA_MODE(mode, flags)
    return opened(real(path, flags, mode), __builtin_return_address(0));
}

NORMA_EXPORT int openat(int folder, const char *path, int flags, ...) {
    static const auto real = next<int(int, const char *, int, mode_t)>("openat");
    NORMA_MODE(mode, flags)
    return opened(real(folder, path, flags, mode), __builtin_return_address(0));
}

// What programs call that were compiled with _FORTIFY_SOURCE.
NORMA_EXPORT int __open_2(const char *path, int flags) {
    static const auto real = next<int(const char *, int)>("__open_2");
    return opened(real(path, flags), __builtin_return_address(0));
}

NORMA_EXPORT int __openat_2(int folder, const char *path, int flags) {
    static const auto real = next<int(int, const char *, int)>("__openat_2");
    return opened(real(folder, path, flags), __builtin_return_address(0));
}

NORMA_EXPORT int creat(const char *path, mode_t mode) {
    static const auto real = next<int(const char *, mode_t)>("creat");
    return opened(real(path, mode), __builtin_return_address(0));
}

NORMA_EXPORT int memfd_create(const char *name, unsigned flags) noexcept {
    static const auto real = next<int(const char *, unsigned)>("memfd_create");
    return opened(real(name, flags), __builtin_return_address(0));
}

NORMA_EXPORT int eventfd(unsigned count, int flags) noexcept {
    static const auto real = next<int(unsigned, int)>("eventfd");
    return opened(real(count, flags), __builtin_return_address(0));
}

NORMA_EXPORT int socket(int domain, int type, int protocol) noexcept {
    static const auto real = next<int(int, int, int)>("socket");
    return opened(real(domain, type, protocol), __builtin_return_address(0));
}

NORMA_EXPORT int accept(int fd, sockaddr *from, socklen_t *bytes) {
    static const auto real = next<int(int, sockaddr *, socklen_t *)>("accept");
    return opened(real(fd, from, bytes), __builtin_return_address(0));
}

NORMA_EXPORT int accept4(int fd, sockaddr *from, socklen_t *bytes, int flags) {
    static const auto real = next<int(int, sockaddr *, socklen_t *, int)>("accept4");
    return opened(real(fd, from, bytes, flags), __builtin_return_address(0));
}

NORMA_EXPORT int pipe(int *ends) noexcept {
    static const auto real = next<int(int *)>("pipe");
    return opened_two(real(ends), ends, __builtin_return_address(0));
}

NORMA_EXPORT int pipe2(int *ends, int flags) noexcept {
    static const auto real = next<int(int *, int)>("pipe2");
    return opened_two(real(ends, flags), ends, __builtin_return_address(0));
}

NORMA_EXPORT int socketpair(int domain, int type, int protocol, int *ends) noexcept {
    static const auto real = next<int(int, int, int, int *)>("socketpair");
    return opened_two(real(domain, type, protocol, ends), ends, __builtin_return_address(0));
}

NORMA_EXPORT int dup(int fd) noexcept {
    static const auto real = next<int(int)>("dup");
    const bool concerned = shared_numbers[fd] != Whose::own && shared_numbers.concerns(__builtin_return_address(0));
    return concerned ? norma::rt::duplicate_shared(fd, 0, false, false) : real(fd);
}

NORMA_EXPORT int dup2(int fd, int number) noexcept {
    if (fd == number) {
        return fcntl(fd, F_GETFD) < 0 ? -1 : number;
    }
    return duplicate_onto(fd, number, false, __builtin_return_address(0));
}

NORMA_EXPORT int dup3(int fd, int number, int flags) noexcept {
    if (fd == number || (flags & ~O_CLOEXEC) != 0) {
        return fail_with(EINVAL);
    }
    return duplicate_onto(fd, number, (flags & O_CLOEXEC) != 0, __builtin_return_address(0));
}

NORMA_EXPORT int close(int fd) {
    static const auto real = next<int(int)>("close");
    return shared_numbers[fd] != Whose::own ? norma::rt::close_shared(fd) : real(fd);
}

NORMA_EXPORT int fcntl(int fd, int command, ...) {
    static const auto real = next<int(int, int, ...)>("fcntl");
    va_list list;
    va_start(list, command);
    void *const argument = va_arg(list, void *);
    va_end(list);
    const auto number = static_cast<int>(reinterpret_cast<std::intptr_t>(argument));
    const bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    if (duplicates && shared_numbers[fd] != Whose::own && shared_numbers.concerns(__builtin_return_address(0))) {
        return number < 0 || static_cast<std::uint32_t>(number) >= norma::rt::kMostFiles
                   ? fail_with(EINVAL)
                   : norma::rt::duplicate_shared(fd, number, false, command == F_DUPFD_CLOEXEC);
    }
    if (command == F_SETFD && shared_numbers[fd] != Whose::own) {
        return norma::rt::set_shared_flags(fd, (number & FD_CLOEXEC) != 0);
    }
    const bool of_records = command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK ||
                            command == F_OFD_SETLKW || command == F_OFD_GETLK;
    if (is_elsewhere(fd) && of_records) {
        return fail_with(ENOLCK);
    }
    if (is_elsewhere(fd) && command == F_GETFL) {
        return norma::rt::flags_elsewhere(fd);
    }
    if (is_elsewhere(fd) && command == F_SETFL) {
        return norma::rt::set_flags_elsewhere(fd, number);
    }
    return real(fd, command, argument);
}

NORMA_EXPORT off_t lseek(int fd, off_t offset, int whence) noexcept {
    static const auto real = next<off_t(int, off_t, int)>("lseek");
    return is_elsewhere(fd) ? norma::rt::seek_elsewhere(fd, offset, whence) : real(fd, offset, whence);
}

NORMA_EXPORT int fstat(int fd, struct stat *status) noexcept {
    static const auto real = next<int(int, struct stat *)>("fstat");
    return is_elsewhere(fd) ? norma::rt::status_elsewhere(fd, status) : real(fd, status);
}

NORMA_EXPORT int fstat64(int fd, struct stat64 *status) noexcept {
    static_assert(sizeof(struct stat64) == sizeof(struct stat));
    return fstat(fd, reinterpret_cast<struct stat *>(status));
}

NORMA_EXPORT int ftruncate(int fd, off_t size) noexcept {
    static const auto real = next<int(int, off_t)>("ftruncate");
    return is_elsewhere(fd) ? norma::rt::truncate_elsewhere(fd, size) : real(fd, size);
}

NORMA_EXPORT int fsync(int fd) {
    static const auto real = next<int(int)>("fsync");
    return is_elsewhere(fd) ? norma::rt::sync_elsewhere(fd, false) : real(fd);
}

NORMA_EXPORT int fdatasync(int fd) {
    static const auto real = next<int(int)>("fdatasync");
    return is_elsewhere(fd) ? norma::rt::sync_elsewhere(fd, true) : real(fd);
}

NORMA_EXPORT int fallocate(int fd, int mode, off_t offset, off_t size) {
    static const auto real = next<int(int, int, off_t, off_t)>("fallocate");
    return is_elsewhere(fd) ? norma::rt::allocate_elsewhere(fd, mode, offset, size) : real(fd, mode, offset, size);
}

// Says what is wrong, and leaves errno alone.
NORMA_EXPORT int posix_fallocate(int fd, off_t offset, off_t size) {
    static const auto real = next<int(int, off_t, off_t)>("posix_fallocate");
    if (!is_elsewhere(fd)) {
        return real(fd, offset, size);
    }
    const int saved = errno;
    const int error = norma::rt::allocate_elsewhere(fd, 0, offset, size) == 0 ? 0 : errno;
    errno = saved;
    return error;
}

NORMA_EXPORT int fstatfs(int fd, struct statfs *status) noexcept {
    static const auto real = next<int(int, struct statfs *)>("fstatfs");
    return is_elsewhere(fd) ? norma::rt::system_status_elsewhere(fd, status) : real(fd, status);
}

NORMA_EXPORT int fstatfs64(int fd, struct statfs64 *status) noexcept {
    static_assert(sizeof(struct statfs64) == sizeof(struct statfs));
    return fstatfs(fd, reinterpret_cast<struct statfs *>(status));
}

NORMA_EXPORT int flock(int fd, int operation) noexcept {
    static const auto real = next<int(int, int)>("flock");
    return is_elsewhere(fd) ? norma::rt::lock_elsewhere(fd, operation) : real(fd, operation);
}

NORMA_EXPORT int isatty(int fd) noexcept {
    static const auto real = next<int(int)>("isatty");
    return is_elsewhere(fd) ? static_cast<int>(norma::rt::is_terminal_elsewhere(fd)) : real(fd);
}

NORMA_EXPORT int shutdown(int fd, int how) noexcept {
    static const auto real = next<int(int, int)>("shutdown");
    return is_elsewhere(fd) ? norma::rt::shut_down_elsewhere(fd, how) : real(fd, how);
}

// Sizes and offsets have 64 bits either way.
static_assert(O_LARGEFILE == 0 && sizeof(off_t) == sizeof(off64_t));
NORMA_EXPORT int open64(const char *path, int flags, ...) __attribute__((alias("open")));
NORMA_EXPORT int openat64(int folder, const char *path, int flags, ...) __attribute__((alias("openat")));
NORMA_EXPORT int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
NORMA_EXPORT int __openat64_2(int folder, const char *path, int flags) __attribute__((alias("__openat_2")));
NORMA_EXPORT int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));
NORMA_EXPORT int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
NORMA_EXPORT off64_t lseek64(int fd, off64_t offset, int whence) noexcept __attribute__((alias("lseek")));
NORMA_EXPORT int ftruncate64(int fd, off64_t size) noexcept __attribute__((alias("ftruncate")));
NORMA_EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t size) __attribute__((alias("fallocate")));
NORMA_EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t size) __attribute__((alias("posix_fallocate")));
}

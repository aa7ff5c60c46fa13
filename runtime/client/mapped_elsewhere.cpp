// SPDX-License-Identifier: BSD-3-Clause
// mmap(2) of files that are open on another node: private ones are read into memory of this process. (A file that tasks
// are to share in memory is norma_object_open_file's.)
#include "norma/norma.h"
#include "runtime/client/errors.hpp"
#include "runtime/client/files_elsewhere.hpp"
#include "runtime/client/interposed.hpp"
#include "runtime/client/shared_files.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>

namespace {

using norma::rt::fail_with;
using norma::rt::is_elsewhere;
using norma::rt::next;

constexpr std::size_t kPage = 4096;

void *real_mmap(void *address, std::size_t size, int protection, int flags, int fd, off_t offset) {
    static const auto real = next<void *(void *, std::size_t, int, int, int, off_t)>("mmap");
    return real(address, size, protection, flags, fd, offset);
}

// The bytes that there are to be read, or -1.
off_t bytes_of(int fd, std::size_t size, int flags, off_t offset) {
    const int type = flags & MAP_TYPE;
    if (size == 0 || offset < 0 || offset % off_t{kPage} != 0 ||
        (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)) {
        return fail_with(EINVAL);
    }
    struct stat about {};
    const int access = norma::rt::flags_elsewhere(fd);
    if (access < 0 || norma::rt::status_elsewhere(fd, &about) != 0) {
        return -1;
    }
    if ((access & O_ACCMODE) == O_WRONLY) {
        return fail_with(EACCES);
    }
    if (type != MAP_PRIVATE || !S_ISREG(about.st_mode)) {
        return fail_with(ENODEV);
    }
    const auto behind = std::max<off_t>(about.st_size - offset, 0);
    return static_cast<std::size_t>(behind) < size ? behind : static_cast<off_t>(size);
}

// False: the errno of what has failed.
bool read_all(int fd, std::byte *to, std::size_t size, off_t offset) {
    for (std::size_t had = 0; had < size;) {
        const auto some = norma::rt::read_elsewhere(fd, to + had, size - had, offset + static_cast<off_t>(had));
        if (some < 0) {
            return false;
        }
        if (some == 0) { // it has become shorter
            break;
        }
        had += static_cast<std::size_t>(some);
    }
    return true;
}

// What is mapped at a fixed address stays there unless everything else has succeeded.
void *map_elsewhere(void *address, std::size_t size, int protection, int flags, int fd, off_t offset) {
    const auto bytes = bytes_of(fd, size, flags, offset);
    if (bytes < 0) {
        return MAP_FAILED;
    }
    const bool replaces = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) == MAP_FIXED;
    if (replaces && reinterpret_cast<std::uintptr_t>(address) % kPage != 0) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    const int ours = (replaces ? flags & ~MAP_FIXED : flags) | MAP_ANONYMOUS;
    void *const made = real_mmap(replaces ? nullptr : address, size, PROT_READ | PROT_WRITE, ours, -1, 0);
    if (made == MAP_FAILED) {
        return MAP_FAILED;
    }
    if (read_all(fd, static_cast<std::byte *>(made), static_cast<std::size_t>(bytes), offset) &&
        mprotect(made, size, protection) == 0) {
        void *const placed = replaces ? mremap(made, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, address) : made;
        if (placed != MAP_FAILED) {
            return placed;
        }
    }
    const int error = errno;
    munmap(made, size);
    errno = error;
    return MAP_FAILED;
}

} // namespace

extern "C" {

NORMA_EXPORT void *mmap(void *address, std::size_t size, int protection, int flags, int fd, off_t offset) noexcept {
    return (flags & MAP_ANONYMOUS) == 0 && is_elsewhere(fd)
               ? map_elsewhere(address, size, protection, flags, fd, offset)
               : real_mmap(address, size, protection, flags, fd, offset);
}

NORMA_EXPORT void *mmap64(void *address, std::size_t size, int protection, int flags, int fd, off64_t offset) noexcept
    __attribute__((alias("mmap")));
}

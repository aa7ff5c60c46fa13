// SPDX-License-Identifier: BSD-3-Clause
// C library streams on files that tasks share. Those that are open on another node get streams that read and write by
// functions of ours; to the rest of the C library and to C++'s they are streams like others.
#include "norma/norma.h"
#include "runtime/client/errors.hpp"
#include "runtime/client/files_elsewhere.hpp"
#include "runtime/client/interposed.hpp"
#include "runtime/client/shared_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <string_view>
#include <unistd.h>

namespace {

using norma::rt::fail_with;
using norma::rt::is_elsewhere;
using norma::rt::next;
using norma::rt::shared_numbers;
using norma::rt::Whose;

std::mutex guarded;
std::map<const FILE *, int> numbers; // of our streams

int number_in(void *cookie) {
    return static_cast<int>(reinterpret_cast<std::intptr_t>(cookie));
}

ssize_t read_some(void *cookie, char *buffer, std::size_t size) {
    return norma::rt::read_elsewhere(number_in(cookie), buffer, size);
}

// 0 says that it has failed.
ssize_t write_some(void *cookie, const char *buffer, std::size_t size) {
    return std::max<ssize_t>(norma::rt::write_elsewhere(number_in(cookie), buffer, size), 0);
}

int seek(void *cookie, off64_t *offset, int whence) {
    const auto place = norma::rt::seek_elsewhere(number_in(cookie), *offset, whence);
    if (place < 0) {
        return -1;
    }
    *offset = place;
    return 0;
}

int close_number(void *cookie) {
    return norma::rt::close_shared(number_in(cookie));
}

// What the mode of a stream asks for: the file must allow it, and appends from now on if the stream does.
int prepare(int fd, std::string_view mode) {
    const int flags = norma::rt::flags_elsewhere(fd);
    if (flags < 0) {
        return -1;
    }
    if (mode.empty() || std::string_view("rwa").find(mode.front()) == mode.npos) {
        return fail_with(EINVAL);
    }
    const bool both = mode.find('+') != mode.npos;
    const bool reads = both || mode.front() == 'r';
    const bool writes = both || mode.front() != 'r';
    if ((reads && (flags & O_ACCMODE) == O_WRONLY) || (writes && (flags & O_ACCMODE) == O_RDONLY)) {
        return fail_with(EINVAL);
    }
    const bool appends = mode.front() == 'a' && (flags & O_APPEND) == 0;
    return appends ? norma::rt::set_flags_elsewhere(fd, flags | O_APPEND) : 0;
}

FILE *open_elsewhere(int fd, const char *mode) {
    if (prepare(fd, mode) != 0) {
        return nullptr;
    }
    FILE *const stream = fopencookie(reinterpret_cast<void *>(std::intptr_t{fd}), mode,
                                     {.read = read_some, .write = write_some, .seek = seek, .close = close_number});
    if (stream != nullptr) {
        const std::lock_guard guard(guarded);
        numbers[stream] = fd;
    }
    return stream;
}

// -1: it is none of ours.
int number_of(const FILE *stream) {
    const std::lock_guard guard(guarded);
    const auto found = numbers.find(stream);
    return found == numbers.end() ? -1 : found->second;
}

// False: it is none of ours.
bool forget(const FILE *stream) {
    const std::lock_guard guard(guarded);
    return numbers.erase(stream) != 0;
}

int print(int fd, const char *format, va_list list) {
    char *text = nullptr;
    const int size = vasprintf(&text, format, list);
    if (size < 0) {
        return -1;
    }
    const auto written = norma::rt::write_elsewhere(fd, text, static_cast<std::size_t>(size));
    const int saved = errno;
    std::free(text);
    errno = saved;
    return written == size ? size : -1;
}

} // namespace

extern "C" {

NORMA_EXPORT FILE *fdopen(int fd, const char *mode) noexcept {
    static const auto real = next<FILE *(int, const char *)>("fdopen");
    return is_elsewhere(fd) ? open_elsewhere(fd, mode) : real(fd, mode);
}

NORMA_EXPORT int fileno(FILE *stream) noexcept {
    static const auto real = next<int(FILE *)>("fileno");
    const int ours = shared_numbers.any ? number_of(stream) : -1;
    return ours >= 0 ? ours : real(stream);
}

NORMA_EXPORT int fileno_unlocked(FILE *stream) noexcept __attribute__((alias("fileno")));

// The stream closes what is not shared, and the number is closed for all.
NORMA_EXPORT int fclose(FILE *stream) {
    static const auto real = next<int(FILE *)>("fclose");
    if (!shared_numbers.any || forget(stream)) {
        return real(stream);
    }
    const int fd = fileno(stream);
    if (shared_numbers[fd] == Whose::own) {
        return real(stream);
    }
    const int copy = next<int(int)>("dup")(fd);
    if (copy < 0) {
        return EOF;
    }
    stream->_fileno = copy;
    const int closed = real(stream);
    return norma::rt::close_shared(fd) == 0 ? closed : EOF;
}

NORMA_EXPORT int vdprintf(int fd, const char *format, va_list list) {
    static const auto real = next<int(int, const char *, va_list)>("vdprintf");
    return is_elsewhere(fd) ? print(fd, format, list) : real(fd, format, list);
}

NORMA_EXPORT int dprintf(int fd, const char *format, ...) {
    va_list list;
    va_start(list, format);
    const int size = vdprintf(fd, format, list);
    va_end(list);
    return size;
}

// What programs call that were compiled with _FORTIFY_SOURCE.
NORMA_EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list list) {
    static const auto real = next<int(int, int, const char *, va_list)>("__vdprintf_chk");
    return is_elsewhere(fd) ? print(fd, format, list) : real(fd, flag, format, list);
}

NORMA_EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...) {
    va_list list;
    va_start(list, format);
    const int size = __vdprintf_chk(fd, flag, format, list);
    va_end(list);
    return size;
}
}

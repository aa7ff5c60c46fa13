// SPDX-License-Identifier: BSD-3-Clause
// Files that are open on another node, mapped privately.
#include "tests/clone/open_files.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace {

using clonetest::child;
using clonetest::digits;
using clonetest::end_of;
using clonetest::here_and_elsewhere;
using clonetest::kSharing;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kBytes = 40 * kPage + 100;

int large_file() {
    std::vector<char> bytes(kBytes);
    for (std::size_t i = 0; i < kBytes; ++i) {
        bytes[i] = static_cast<char>(i * 7 / 5);
    }
    const int fd = memfd_create("large", 0);
    CHECK_EQ(ssize_t{kBytes}, write(fd, bytes.data(), kBytes));
    return fd;
}

char *map(int fd, std::size_t size, int protection, int flags, off_t offset, void *address = nullptr) {
    void *const made = mmap(address, size, protection, flags, fd, offset);
    CHECK_EQ(0, made == MAP_FAILED ? errno : 0);
    return static_cast<char *>(made);
}

#define CHECK_NOT_MAPPED(error, ...)                                                                                   \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        CHECK(mmap(__VA_ARGS__) == MAP_FAILED);                                                                        \
        CHECK_EQ(error, errno);                                                                                        \
    } while (0)

SYSTEM_CASE(mapped_elsewhere) {
    const int fd = large_file();
    std::array<int, 2> ends{};
    CHECK_EQ(0, pipe(ends.data()));
    const int write_only = open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY);
    CHECK(write_only >= 0);
    const int pid = child(0, kSharing, [] { return 0; }); // here, files are shared from now on
    CHECK_EQ(0, end_of(pid));
    here_and_elsewhere([=] {
        std::vector<char> bytes(kBytes);
        CHECK_EQ(ssize_t{kBytes}, pread(fd, bytes.data(), kBytes, 0));
        char *all = map(fd, kBytes, PROT_READ, MAP_PRIVATE, 0);
        CHECK(std::equal(bytes.begin(), bytes.end(), all));
        CHECK(std::all_of(all + kBytes, all + 41 * kPage, [](char byte) { return byte == 0; }));
        CHECK_EQ(0, munmap(all, kBytes));

        // A part, written to: nobody else sees it. Then another one in its place.
        char *part = map(fd, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, 3 * kPage);
        CHECK_EQ(0, std::memcmp(part, &bytes[3 * kPage], 2 * kPage));
        part[0] = static_cast<char>(part[0] + 1);
        char now = 0;
        CHECK_EQ(1, pread(fd, &now, 1, 3 * kPage));
        CHECK_EQ(bytes[3 * kPage], now);
        CHECK(map(fd, kPage, PROT_READ, MAP_PRIVATE | MAP_FIXED, 40 * kPage, part) == part);
        CHECK_EQ(0, std::memcmp(part, &bytes[40 * kPage], 100));
        CHECK_EQ(0, std::memcmp(part + kPage, &bytes[4 * kPage], kPage));

        // What is refused takes nothing away.
        const auto fixed = MAP_PRIVATE | MAP_FIXED;
        CHECK_NOT_MAPPED(EINVAL, part, kPage, PROT_READ, fixed, fd, 100);
        CHECK_NOT_MAPPED(EINVAL, part + 1, kPage, PROT_READ, fixed, fd, 0);
        CHECK_NOT_MAPPED(EINVAL, nullptr, 0, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK_NOT_MAPPED(EINVAL, nullptr, kPage, PROT_READ, 0, fd, 0);
        CHECK_NOT_MAPPED(EACCES, part, kPage, PROT_READ, fixed, write_only, 0);
        CHECK_NOT_MAPPED(ENODEV, part, kPage, PROT_READ, fixed, ends[0], 0);
        CHECK_NOT_MAPPED(EBADF, part, kPage, PROT_READ, fixed, 900, 0);
        CHECK_NOT_MAPPED(EEXIST, part, kPage, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
        CHECK_EQ(0, std::memcmp(part, &bytes[40 * kPage], 100));
        CHECK_EQ(0, munmap(part, 2 * kPage));
        char *other = map(-1, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 0);
        CHECK_EQ(0, munmap(other, kPage));
    });
    // What is different elsewhere, as docs/clone.md says.
    const int last = child(systest::last_node(), kSharing, [fd] {
        CHECK_NOT_MAPPED(ENODEV, nullptr, kPage, PROT_READ, MAP_SHARED, fd, 0);
        const char *part = map(fd, 3 * kPage, PROT_READ, MAP_PRIVATE, 40 * kPage);
        CHECK_EQ(char{0}, part[2 * kPage]); // behind the end
        return 0;
    });
    CHECK_EQ(0, end_of(last));
    return 0;
}

} // namespace

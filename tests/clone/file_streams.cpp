// SPDX-License-Identifier: BSD-3-Clause
// Streams of C and C++ on files that are open on another node.
#include "tests/clone/open_files.hpp"

#include <cstdio>
#include <cstring>
#include <ext/stdio_filebuf.h>
#include <istream>
#include <ostream>
#include <string>

namespace {

using clonetest::child;
using clonetest::digits;
using clonetest::end_of;
using clonetest::here_and_elsewhere;
using clonetest::kSharing;

std::string content(int fd) {
    std::array<char, 100> bytes{};
    const auto size = pread(fd, bytes.data(), bytes.size(), 0);
    CHECK(size >= 0);
    return {bytes.data(), static_cast<std::size_t>(size)};
}

// A duplicate of a file, for a stream to close.
int another(int fd) {
    const int made = dup(fd);
    CHECK(made >= 0);
    return made;
}

FILE *stream_on(int fd, const char *mode) {
    FILE *stream = fdopen(fd, mode);
    CHECK_EQ(0, stream == nullptr ? errno : 0);
    return stream;
}

SYSTEM_CASE(streams_elsewhere) {
    const int fd = digits();
    std::array<int, 2> ends{};
    CHECK_EQ(0, pipe(ends.data()));
    here_and_elsewhere([=] {
        CHECK_EQ(0, ftruncate(fd, 0));
        CHECK_EQ(off_t{0}, lseek(fd, 0, SEEK_SET));
        CHECK_EQ(0, fcntl(fd, F_SETFL, 0));
        const int one = another(fd);
        FILE *stream = stream_on(one, "r+");
        CHECK_EQ(one, fileno(stream));
        CHECK_EQ(8, std::fprintf(stream, "line %d\n%c", 1, 'l'));
        CHECK_EQ(std::string(), content(fd)); // it is in the buffer
        CHECK_EQ(0, std::fflush(stream));
        CHECK_EQ(std::string("line 1\nl"), content(fd));
        CHECK(std::fputs("ine 2\n", stream) >= 0);
        std::rewind(stream);
        std::array<char, 40> line{};
        CHECK(std::fgets(line.data(), line.size(), stream) != nullptr);
        CHECK_EQ(std::string("line 1\n"), std::string(line.data()));
        CHECK_EQ(7L, std::ftell(stream));
        int number = 0;
        CHECK_EQ(1, std::fscanf(stream, "line %d", &number));
        CHECK_EQ(2, number);
        CHECK_EQ(0, std::fseek(stream, -3, SEEK_END));
        CHECK_EQ(std::size_t{3}, std::fread(line.data(), 1, line.size(), stream));
        CHECK(std::feof(stream) != 0);
        CHECK_EQ(0, std::memcmp(line.data(), " 2\n", 3));
        CHECK_EQ(0, std::fclose(stream));
        CHECK_FAILS(EBADF, fcntl(one, F_GETFD));

        stream = stream_on(another(fd), "a");
        CHECK(std::fputs("end\n", stream) >= 0);
        CHECK_EQ(0, std::fclose(stream));
        CHECK_EQ(std::string("line 1\nline 2\nend\n"), content(fd));
        CHECK_EQ(6, dprintf(fd, "%s %d\n", "no", 77));
        CHECK_EQ(std::string("line 1\nline 2\nend\nno 77\n"), content(fd));

        // What cannot be seeked.
        FILE *in = stream_on(another(ends[0]), "r");
        FILE *out = stream_on(another(ends[1]), "w");
        CHECK(std::fprintf(out, "through %s\n", "a pipe") > 0);
        CHECK_EQ(0, std::fflush(out));
        CHECK(std::fgets(line.data(), line.size(), in) != nullptr);
        CHECK_EQ(std::string("through a pipe\n"), std::string(line.data()));
        CHECK_FAILS(ESPIPE, std::fseek(in, 0, SEEK_SET));
        CHECK_EQ(0, std::fclose(in));
        CHECK_EQ(0, std::fclose(out));

        errno = 0;
        CHECK(fdopen(fd, "x") == nullptr && errno == EINVAL);
        errno = 0;
        CHECK(fdopen(ends[0], "w") == nullptr && errno == EINVAL);
        errno = 0;
        CHECK(fdopen(ends[1], "r") == nullptr && errno == EINVAL);
        errno = 0;
        CHECK(fdopen(900, "r") == nullptr && errno == EBADF);
        CHECK_FAILS(EBADF, dprintf(900, "x"));
        CHECK_FAILS(EBADF, dprintf(ends[0], "x"));
    });
    return 0;
}

SYSTEM_CASE(streams_of_cpp) {
    const int fd = digits();
    here_and_elsewhere([=] {
        CHECK_EQ(off_t{0}, lseek(fd, 0, SEEK_SET));
        {
            __gnu_cxx::stdio_filebuf<char> buffer(another(fd), std::ios::in | std::ios::out);
            CHECK(buffer.is_open());
            std::iostream stream(&buffer);
            stream << "some " << 42 << " words\n" << std::flush;
            stream.seekg(5);
            int number = 0;
            std::string word;
            stream >> number >> word;
            CHECK(stream.good());
            CHECK_EQ(42, number);
            CHECK_EQ(std::string("words"), word);
        }
        CHECK_EQ(std::string("some 42 words\n"), content(fd));
    });
    return 0;
}

// What is in a stream's buffer is written when the task ends, and is known to be lost when the file is out of reach.
SYSTEM_CASE(streams_that_end) {
    const int fd = digits();
    const int pid = child(systest::last_node(), kSharing, [=] {
        std::fputs("abc", stream_on(another(fd), "r+"));
        return 0;
    });
    CHECK_EQ(0, end_of(pid));
    CHECK_EQ(std::string("abc3456789"), content(fd));
    auto *lost = new std::atomic<int>{-1};
    const int opener = child(1, kSharing, [lost] {
        *lost = digits();
        CHECK_SOON(*lost == -2);
        return 0;
    });
    CHECK_SOON(*lost >= 0);
    FILE *stream = stream_on(*lost, "r+");
    CHECK_EQ(3, std::fprintf(stream, "abc"));
    systest::kill_node(1);
    CHECK_EQ(SIGKILL, end_of(opener));
    CHECK_FAILS(EHOSTDOWN, std::fflush(stream));
    CHECK(std::ferror(stream) != 0);
    std::fclose(stream);
    CHECK_FAILS(EBADF, fcntl(*lost, F_GETFD));
    return 0;
}

} // namespace

// SPDX-License-Identifier: BSD-3-Clause
// The file behind a memory object: its odd end, what others do to it, what cannot be read or written.
#include "dsm/backing.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace norma::dsm {
namespace {

constexpr std::uint64_t kPage = 4096, kBytes = 2 * kPage + 100;

using Bytes = std::vector<std::byte>;

class BackingFile : public ::testing::Test {
  protected:
    BackingFile() : fd(::mkstemp(path.data())) {
        const Bytes ones(kBytes, std::byte{1});
        EXPECT_EQ(::write(fd, ones.data(), ones.size()), static_cast<ssize_t>(kBytes));
    }
    ~BackingFile() override {
        ::close(fd);
        ::unlink(path.c_str());
    }
    int opened(int how) const { return ::open(path.c_str(), how | O_CLOEXEC); }
    std::byte at(std::uint64_t offset) const {
        std::byte byte{};
        EXPECT_EQ(::pread(fd, &byte, 1, static_cast<off_t>(offset)), 1);
        return byte;
    }

    std::string path = ::testing::TempDir() + "norma-backing-XXXXXX";
    int fd;
};

TEST_F(BackingFile, ReadsZerosBehindItsEnd) {
    const Backing backing(opened(O_RDONLY), kBytes, false);
    Bytes bytes(3 * kPage, std::byte{7});
    EXPECT_EQ(backing.read(0, bytes), 0);
    EXPECT_EQ(bytes[kBytes - 1], std::byte{1});
    EXPECT_EQ(bytes[kBytes], std::byte{0});
    EXPECT_EQ(bytes[3 * kPage - 1], std::byte{0});
    EXPECT_EQ(::ftruncate(fd, kPage), 0); // by somebody else
    EXPECT_EQ(backing.read(1, std::span(bytes).first(kPage)), 0);
    EXPECT_EQ(bytes[0], std::byte{0});
    EXPECT_EQ(::ftruncate(fd, 4 * kPage), 0);
    EXPECT_EQ(::pwrite(fd, "x", 1, kBytes), 1);
    EXPECT_EQ(backing.read(2, std::span(bytes).first(kPage)), 0);
    EXPECT_EQ(bytes[100], std::byte{0}); // it was not there at first
}

TEST_F(BackingFile, WritesNothingBehindItsEnd) {
    const Backing backing(opened(O_RDWR), kBytes, true);
    EXPECT_EQ(backing.write(0, Bytes(kPage, std::byte{2})), 0);
    EXPECT_EQ(backing.write(2, Bytes(kPage, std::byte{3})), 0);
    EXPECT_EQ(at(0), std::byte{2});
    EXPECT_EQ(at(kPage), std::byte{1});
    EXPECT_EQ(at(kBytes - 1), std::byte{3});
    EXPECT_EQ(::lseek(fd, 0, SEEK_END), static_cast<off_t>(kBytes));
}

TEST_F(BackingFile, WritesOnlyWhatDiffers) {
    const Backing backing(opened(O_RDONLY), kBytes, false);
    Bytes bytes(kPage, std::byte{1});
    EXPECT_EQ(backing.write(1, bytes), 0);
    std::fill(bytes.begin() + 100, bytes.end(), std::byte{9}); // behind the end
    EXPECT_EQ(backing.write(2, bytes), 0);
    EXPECT_EQ(backing.write(1, bytes), EBADF);
}

TEST_F(BackingFile, SaysWhatCannotBeRead) {
    Backing backing(opened(O_WRONLY), kBytes, true);
    Bytes bytes(kPage);
    EXPECT_EQ(backing.read(0, bytes), EBADF);
    EXPECT_EQ(backing.write(0, bytes), EBADF);
    backing.make_writable(opened(O_RDWR));
    EXPECT_EQ(backing.read(0, bytes), 0);
}

TEST_F(BackingFile, RemembersWhereContentIs) {
    Backing backing(opened(O_RDONLY), kBytes, false);
    EXPECT_EQ(backing.content(2), Backing::Content::in_file);
    backing.set(1, 2, Backing::Content::in_memory);
    EXPECT_EQ(backing.content(0), Backing::Content::in_file);
    EXPECT_EQ(backing.content(2), Backing::Content::in_memory);
}

} // namespace
} // namespace norma::dsm

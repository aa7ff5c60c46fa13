// SPDX-License-Identifier: BSD-3-Clause
// Open files that go from a node which leaves to its successor: what of them travels, which files are the same on two
// nodes, and what can be opened again.
#include "runtime/server/open_again.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace norma::rt {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// ---- which files are the same ----

FileMark of_the_network() {
    return {.machine = "one",
            .device = 50,
            .inode = 1234,
            .size = 4096,
            .written = 77,
            .mode = S_IFREG | 0644,
            .system = NFS_SUPER_MAGIC,
            .system_id = 9};
}

TEST(FileMarks, OnOneMachineTheNumbersCount) {
    const auto there = of_the_network();
    auto here = there;
    here.size += 10; // somebody else writes it
    here.written += 10;
    EXPECT_EQ(compare(there, here, true), Sameness::same);
    here.inode = 1235;
    EXPECT_EQ(compare(there, here, true), Sameness::other);
    here = there;
    here.device = 51;
    EXPECT_EQ(compare(there, here, true), Sameness::other);
    here = there;
    here.mode = S_IFREG | 0600;
    EXPECT_EQ(compare(there, here, true), Sameness::other);
}

TEST(FileMarks, OnTwoEverythingMustAgreeButTheDevice) {
    const auto there = of_the_network();
    auto here = there;
    here.machine = "two";
    here.device = 3;
    EXPECT_EQ(compare(there, here, true), Sameness::same);
    auto other = here;
    other.inode = 1235;
    EXPECT_EQ(compare(there, other, true), Sameness::other);
    other = here;
    other.system = CEPH_SUPER_MAGIC;
    EXPECT_EQ(compare(there, other, true), Sameness::other);
    other = here;
    other.system_id = 8;
    EXPECT_EQ(compare(there, other, true), Sameness::other);
    other = here;
    other.size = 4097;
    EXPECT_EQ(compare(there, other, true), Sameness::changed);
    EXPECT_EQ(compare(there, other, false), Sameness::same);
    other = here;
    other.written = 78;
    EXPECT_EQ(compare(there, other, true), Sameness::changed);
}

// Two hosts that were set up from one image have local files that agree in everything.
TEST(FileMarks, LocalFilesOfTwoMachinesAreNeverTheSame) {
    auto there = of_the_network();
    there.system = EXT4_SUPER_MAGIC;
    auto here = there;
    here.machine = "two";
    EXPECT_EQ(compare(there, here, true), Sameness::other);
    there.machine = here.machine = ""; // nobody knows
    EXPECT_EQ(compare(there, here, true), Sameness::other);
}

TEST(FileMarks, DevicesAreWhatTheyAre) {
    const FileMark there{.machine = "one", .device = 5, .inode = 4, .special = 0x103, .mode = S_IFCHR | 0666};
    FileMark here{.machine = "two", .device = 6, .inode = 9, .special = 0x103, .mode = S_IFCHR | 0666};
    EXPECT_EQ(compare(there, here, true), Sameness::same);
    here.special = 0x105;
    EXPECT_EQ(compare(there, here, true), Sameness::other);
}

// ---- what travels ----

MovedFiles some_files() {
    MovedFiles files;
    files.files = {{.path = "/tmp/log", .flags = O_WRONLY | O_APPEND, .offset = 5, .mark = of_the_network()},
                   {.path = "", .stream = 2}};
    auto &table = files.tables[1U << kTableNodeBits | 2].table;
    table.add(3, {.node = 1});
    table.add(7, {.node = 1, .close_on_exec = true});
    table.add(9, {.node = 0});
    files.tables.begin()->second.open = {{3, 0}, {7, 1}};
    files.homes[files.tables.begin()->first] = {.members = {TaskId{2} << 48 | 7, 8}, .nodes = 0b110};
    return files;
}

std::vector<std::byte> bytes_of(const MovedFiles &files) {
    rpc::Writer writer;
    put_files(writer, files);
    return writer.bytes();
}

bool is_sound(std::span<const std::byte> bytes, unsigned nodes = 3) {
    rpc::Reader reader(bytes);
    MovedFiles files;
    return get_files(reader, files, nodes) && reader.done();
}

template <class F> bool is_sound_after(F change) {
    auto files = some_files();
    change(files);
    return is_sound(bytes_of(files));
}

TEST(MovedFiles, TravelAsTheyAre) {
    const auto files = some_files();
    const auto bytes = bytes_of(files);
    rpc::Reader reader(bytes);
    MovedFiles got;
    ASSERT_TRUE(get_files(reader, got, 3));
    EXPECT_TRUE(reader.done());
    EXPECT_EQ(got.files, files.files);
    EXPECT_EQ(bytes_of(got), bytes);
    EXPECT_EQ(got.tables.begin()->second.open, files.tables.begin()->second.open);
    EXPECT_EQ(got.homes.begin()->second.members, files.homes.begin()->second.members);
    EXPECT_EQ(got.homes.begin()->second.nodes, files.homes.begin()->second.nodes);
}

TEST(MovedFiles, WhatIsDamagedIsRefused) {
    const auto bytes = bytes_of(some_files());
    ASSERT_TRUE(is_sound(bytes));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(is_sound(std::span(bytes).first(size))) << size;
    }
    EXPECT_FALSE(is_sound(bytes, 2)); // there is no node 2
    EXPECT_TRUE(is_sound_after([](auto &) {}));
    EXPECT_FALSE(is_sound_after([](auto &files) { files.files[0].path = "tmp/log"; }));
    EXPECT_FALSE(is_sound_after([](auto &files) { files.files[0].path += std::string(1, '\0'); }));
    EXPECT_FALSE(is_sound_after([](auto &files) { files.files[0].path.resize(5000, 'a'); }));
    EXPECT_FALSE(is_sound_after([](auto &files) { files.files[0].stream = 1; })); // and a path
    EXPECT_FALSE(is_sound_after([](auto &files) { files.files[1].stream = 3; }));
    EXPECT_FALSE(is_sound_after([](auto &files) { files.files[0].offset = ~0ULL; }));
    EXPECT_FALSE(is_sound_after([](auto &files) { files.files[0].mark.machine.resize(65, 'a'); }));
    for (const int flag : {O_CREAT, O_TRUNC, O_EXCL, O_TMPFILE, O_PATH, O_ASYNC, O_ACCMODE}) {
        EXPECT_FALSE(is_sound_after([flag](auto &files) { files.files[0].flags |= flag; })) << flag;
    }
    EXPECT_FALSE(is_sound_after([](auto &files) { files.tables.begin()->second.open[9] = 2; })); // of two
    EXPECT_FALSE(is_sound_after([](auto &files) { files.tables.begin()->second.open[8] = 0; })); // not in the table
    EXPECT_FALSE(is_sound_after([](auto &files) { files.homes[99]; }));                          // without its table
    EXPECT_FALSE(is_sound_after([](auto &files) { files.homes.begin()->second.members.insert(TaskId{3} << 48); }));
    EXPECT_FALSE(is_sound_after([](auto &files) { files.homes.begin()->second.nodes.set(3); }));
}

// ---- opening ----

struct OpenAgain : ::testing::Test {
    OpenAgain() {
        std::filesystem::create_directory(folder);
        std::ofstream(path) << "0123456789";
    }
    ~OpenAgain() override {
        for (const int fd : opened) {
            ::close(fd);
        }
        std::filesystem::remove_all(folder);
    }
    int open(int flags) {
        opened.push_back(::open(path.c_str(), flags, 0600));
        EXPECT_GE(opened.back(), 0);
        return opened.back();
    }
    std::string why_not(int fd) {
        file = {};
        return look_at(fd, file);
    }
    int again(bool settled = true) {
        const auto got = open_again(file, settled);
        EXPECT_EQ(got.why, "");
        opened.push_back(got.fd);
        return got.fd;
    }
    std::string refusal() {
        const auto got = open_again(file, true);
        EXPECT_EQ(got.fd, -1);
        return got.why;
    }

    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("norma-open-again-" + std::to_string(::getpid()));
    const std::string path = folder / "file";
    std::vector<int> opened;
    MovedFile file;
};

TEST_F(OpenAgain, WhereItWasAndAsItWas) {
    const int fd = open(O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK);
    ASSERT_EQ(::lseek(fd, 4, SEEK_SET), 4);
    ASSERT_EQ(why_not(fd), "");
    EXPECT_EQ(file.path, path);
    const int other = again();
    EXPECT_FALSE(are_one(fd, other));
    EXPECT_EQ(::fcntl(other, F_GETFL), ::fcntl(fd, F_GETFL));
    char byte = 0;
    EXPECT_EQ(::read(other, &byte, 1), 1);
    EXPECT_EQ(byte, '4');
    EXPECT_EQ(::lseek(fd, 0, SEEK_CUR), 4); // another offset
}

// Neither emptied nor made, and it may be waited for again.
TEST_F(OpenAgain, NotAsIfItWereNew) {
    const int fd = open(O_WRONLY | O_CREAT | O_TRUNC);
    ASSERT_EQ(::write(fd, "abc", 3), 3);
    ASSERT_EQ(why_not(fd), "");
    const int other = again();
    EXPECT_EQ(::write(other, "d", 1), 1);
    EXPECT_EQ(std::filesystem::file_size(path), 4U);
    EXPECT_EQ(::fcntl(other, F_GETFL) & O_NONBLOCK, 0);
    std::filesystem::remove(path);
    EXPECT_THAT(refusal(), EndsWith("/file: No such file or directory"));
    std::ofstream(path) << "abcd";
    EXPECT_THAT(refusal(), EndsWith("/file is another file"));
}

TEST_F(OpenAgain, DirectoriesAndDevices) {
    opened.push_back(::open(folder.c_str(), O_RDONLY | O_DIRECTORY));
    ASSERT_EQ(why_not(opened.back()), "");
    struct stat about {};
    EXPECT_EQ(::fstat(again(), &about), 0);
    EXPECT_TRUE(S_ISDIR(about.st_mode));
    opened.push_back(::open("/dev/zero", O_RDONLY));
    ASSERT_EQ(why_not(opened.back()), "");
    char byte = 1;
    EXPECT_EQ(::read(again(), &byte, 1), 1);
    EXPECT_EQ(byte, 0);
}

TEST_F(OpenAgain, NotWhatHasNoName) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    opened.insert(opened.end(), {ends[0], ends[1]});
    EXPECT_THAT(why_not(ends[0]), StartsWith("a pipe (pipe:["));
    opened.push_back(::memfd_create("memory", 0));
    EXPECT_THAT(why_not(opened.back()), StartsWith("/memfd:memory (deleted) has no name"));
    opened.push_back(::open(folder.c_str(), O_RDWR | O_TMPFILE, 0600));
    if (opened.back() >= 0) { // not all file systems can
        EXPECT_THAT(why_not(opened.back()), HasSubstr(" has no name any more"));
    }
    opened.push_back(::open("/dev/random", O_RDONLY));
    EXPECT_EQ(why_not(opened.back()), "a device (/dev/random)");
    const int fd = open(O_RDONLY);
    const int linked = open(O_RDONLY);
    std::filesystem::rename(path, path + "2");
    EXPECT_EQ(why_not(fd), "");
    EXPECT_EQ(file.path, path + "2");
    std::filesystem::remove(path + "2");
    EXPECT_THAT(why_not(linked), EndsWith("/file2 (deleted) has no name any more, or another one"));
}

TEST_F(OpenAgain, NotWhatIsLockedOrOpenInAnotherWay) {
    const int locked = open(O_RDWR), free = open(O_RDWR);
    ASSERT_EQ(::flock(locked, LOCK_EX), 0);
    EXPECT_EQ(why_not(locked), path + " is locked");
    EXPECT_EQ(why_not(free), "");
    ASSERT_EQ(::flock(locked, LOCK_UN), 0);
    EXPECT_EQ(why_not(locked), "");
    struct flock part {};
    part.l_type = F_WRLCK;
    ASSERT_EQ(::fcntl(locked, F_OFD_SETLK, &part), 0);
    EXPECT_EQ(why_not(locked), path + " is locked");
    EXPECT_THAT(why_not(open(O_PATH)), HasSubstr(path + " is open in a way (flags "));
}

TEST_F(OpenAgain, OneFileForAllItsNumbers) {
    const int fd = open(O_RDONLY), same = ::dup(fd), other = open(O_RDONLY);
    opened.push_back(same);
    ASSERT_TRUE(can_be_told_apart(fd));
    EXPECT_TRUE(are_one(fd, same));
    EXPECT_FALSE(are_one(fd, other));
    EXPECT_FALSE(is_before(fd, same) || is_before(same, fd));
    EXPECT_NE(is_before(fd, other), is_before(other, fd));
    EXPECT_FALSE(can_be_told_apart(-1));
}

} // namespace
} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// What a node server does with its files for tasks of other nodes: what it refuses, and how it stops waiting.
#include "runtime/server/file_job.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace norma::rt {
namespace {

Request request_for(FileAction action, std::array<std::uint64_t, 3> args = {}, std::size_t bytes = 0) {
    Request request;
    request.op = Op::file_reach;
    request.args = {0, static_cast<std::uint64_t>(action), args[0], args[1], 0, args[2]};
    request.blob.resize(bytes);
    return request;
}

std::int64_t result_of(const FileJob &job) {
    return static_cast<std::int64_t>(job.reply.vals[0]);
}

TEST(FileJobs, AreRefusedIfTheyCannotBe) {
    constexpr auto most = kFileBytesAtOnce;
    EXPECT_TRUE(is_file_job(request_for(FileAction::read, {most})));
    EXPECT_FALSE(is_file_job(request_for(FileAction::read, {most + 1})));
    EXPECT_FALSE(is_file_job(request_for(FileAction::read_at, {~std::uint64_t{0}})));
    EXPECT_FALSE(is_file_job(request_for(FileAction::receive, {most + 1})));
    EXPECT_TRUE(is_file_job(request_for(FileAction::write, {}, most)));
    EXPECT_FALSE(is_file_job(request_for(FileAction::write, {}, most + 1)));
    EXPECT_TRUE(is_file_job(request_for(FileAction::send, {0, kMostAddressBytes}, most + kMostAddressBytes)));
    EXPECT_FALSE(is_file_job(request_for(FileAction::send, {0, kMostAddressBytes}, most + kMostAddressBytes + 1)));
    EXPECT_FALSE(is_file_job(request_for(FileAction::send, {0, kMostAddressBytes + 1}, most)));
    EXPECT_FALSE(is_file_job(request_for(FileAction::send, {0, 10}, 9)));
    const auto behind = static_cast<std::uint64_t>(kLastFileAction) + 1;
    EXPECT_TRUE(is_file_job(request_for(kLastFileAction)));
    EXPECT_FALSE(is_file_job(request_for(static_cast<FileAction>(behind))));
    EXPECT_FALSE(is_file_job(request_for(static_cast<FileAction>(~std::uint64_t{0}))));
}

TEST(FileJobs, ArePolledIfTheyCanBe) {
    std::vector<std::byte> bytes(2 * sizeof(PolledFile));
    const PolledFile second{.place = 7, .number = 65535, .events = POLLIN};
    std::memcpy(&bytes[sizeof second], &second, sizeof second);
    const auto files = polled_in(bytes);
    ASSERT_TRUE(files.has_value());
    ASSERT_EQ(files->size(), 2U);
    EXPECT_EQ(files->at(1).place, 7U);
    EXPECT_EQ(files->at(1).number, 65535U);
    EXPECT_EQ(files->at(1).events, POLLIN);
    bytes.pop_back();
    EXPECT_FALSE(polled_in(bytes).has_value());
    EXPECT_TRUE(polled_in(std::vector<std::byte>(kMostPolled * sizeof(PolledFile))).has_value());
    EXPECT_FALSE(polled_in(std::vector<std::byte>((kMostPolled + 1) * sizeof(PolledFile))).has_value());
}

// Any arguments get an answer.
TEST(FileJobs, SayWhatIsWrong) {
    const int fd = memfd_create("file", 0);
    for (std::uint64_t action = 0; action <= static_cast<std::uint64_t>(kLastFileAction); ++action) {
        for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{77}, std::uint64_t{32768}}) {
            const auto request = request_for(static_cast<FileAction>(action), {first, ~std::uint64_t{0}, 5});
            if (is_file_job(request)) {
                const auto job = make_file_job(request, fd);
                run(*job);
                EXPECT_EQ(job->reply.vals[1] != 0, result_of(*job) < 0) << action << " " << first;
                EXPECT_LE(job->reply.blob.size(), kFileBytesAtOnce);
            }
        }
    }
    ::close(fd);
}

// A job that waits for what does not come ends when it is broken off, and only then.
void expect_to_wait(const Request &request, int fd) {
    const auto job = make_file_job(request, fd);
    std::atomic<bool> over = false;
    std::thread worker([&] {
        run(*job);
        over = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    EXPECT_FALSE(over);
    break_off(*job);
    worker.join();
    EXPECT_EQ(result_of(*job), -1);
    EXPECT_EQ(job->reply.vals[1], static_cast<std::uint64_t>(EINTR));
}

TEST(FileJobs, StopWaiting) {
    std::array<int, 2> pipe{};
    std::array<int, 2> sockets{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()), 0);
    expect_to_wait(request_for(FileAction::read, {1}), pipe[0]);
    expect_to_wait(request_for(FileAction::read, {1}), sockets[0]);
    expect_to_wait(request_for(FileAction::receive, {1}), sockets[0]);
    std::vector<char> much(1 << 20);
    while (::send(sockets[1], much.data(), much.size(), MSG_DONTWAIT) > 0) {
    }
    expect_to_wait(request_for(FileAction::send, {0, 0, 32768}, 32768), sockets[1]);
    const int file = memfd_create("file", 0);
    const int other = ::open(("/proc/self/fd/" + std::to_string(file)).c_str(), O_RDWR);
    ASSERT_EQ(::flock(file, LOCK_EX), 0);
    expect_to_wait(request_for(FileAction::lock, {LOCK_SH}), other);

    const auto job = make_poll_job();
    job->polled.push_back({.fd = ::dup(pipe[0]), .events = POLLIN, .revents = 0});
    std::thread worker([&] { run_poll(*job, true); });
    break_off(*job);
    worker.join();
    EXPECT_EQ(job->polled[0].revents, 0);
    const auto again = make_poll_job();
    again->polled.push_back({.fd = ::dup(pipe[1]), .events = POLLOUT, .revents = 0});
    run_poll(*again, true);
    EXPECT_EQ(again->polled[0].revents, POLLOUT);
    for (const int fd : {pipe[0], pipe[1], sockets[0], sockets[1], file, other}) {
        ::close(fd);
    }
}

} // namespace
} // namespace norma::rt

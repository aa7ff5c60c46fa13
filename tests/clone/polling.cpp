// SPDX-License-Identifier: BSD-3-Clause
// Waiting for files of which some are open on another node.
#include "tests/clone/open_files.hpp"

#include <chrono>
#include <climits>
#include <filesystem>
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <thread>

namespace {

using clonetest::child;
using clonetest::digits;
using clonetest::end_of;
using clonetest::here_and_elsewhere;
using clonetest::kSharing;
using clonetest::Meeting;
using clonetest::next_of;

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::array<int, 2> make_pipe() {
    std::array<int, 2> ends{};
    CHECK_EQ(0, pipe(ends.data()));
    return ends;
}

pollfd wait_for(int fd, int events) {
    return {.fd = fd, .events = static_cast<short>(events), .revents = 0x7f};
}

// In a moment, while the caller waits. The child is of the caller's node, and uses what the caller uses.
int write_soon(int fd) {
    return child(norma::this_node(), kSharing, [fd] {
        usleep(50'000);
        CHECK_EQ(1, write(fd, "w", 1));
        return 0;
    });
}

SYSTEM_CASE(polling_elsewhere) {
    const auto theirs = make_pipe();
    const int file = digits();
    const int closed = 900; // which nobody opens
    here_and_elsewhere([=] {
        const auto own = make_pipe();
        std::array files{wait_for(theirs[0], POLLIN), wait_for(own[0], POLLIN)};
        const auto began = Clock::now();
        CHECK_EQ(0, poll(files.data(), 2, 0));
        CHECK_EQ(0, poll(files.data(), 2, 60));
        CHECK(Clock::now() - began >= milliseconds(60));
        CHECK_EQ(0, files[0].revents | files[1].revents);

        // Whoever is first; what is ready is told of all.
        for (const auto &[ready, other] : {std::pair{0, 1}, std::pair{1, 0}}) {
            const int end = ready == 0 ? theirs[1] : own[1];
            for (const int limit : {-1, 60'000}) {
                const int writer = write_soon(end);
                CHECK_EQ(1, poll(files.data(), 2, limit));
                CHECK_EQ(short{POLLIN}, files.at(static_cast<std::size_t>(ready)).revents);
                CHECK_EQ(short{0}, files.at(static_cast<std::size_t>(other)).revents);
                CHECK_EQ(0, end_of(writer));
                CHECK_EQ('w', next_of(files.at(static_cast<std::size_t>(ready)).fd));
            }
        }
        CHECK_EQ(1, write(theirs[1], "t", 1));
        CHECK_EQ(1, write(own[1], "o", 1));
        std::array many{wait_for(theirs[0], POLLIN | POLLPRI), wait_for(own[0], POLLIN),    wait_for(theirs[0], POLLIN),
                        wait_for(theirs[1], POLLIN | POLLOUT), wait_for(-5, POLLIN),        wait_for(closed, POLLIN),
                        wait_for(file, POLLIN | POLLOUT),      wait_for(theirs[0], POLLOUT)};
        for (const int limit : {0, -1}) {
            CHECK_EQ(6, poll(many.data(), many.size(), limit));
            const std::array expected{POLLIN, POLLIN, POLLIN, POLLOUT, 0, POLLNVAL, POLLIN | POLLOUT, 0};
            for (std::size_t i = 0; i < many.size(); ++i) {
                CHECK_EQ(expected.at(i), int{many.at(i).revents});
            }
        }
        CHECK_EQ('t', next_of(theirs[0]));
        CHECK_EQ('o', next_of(own[0]));
        const timespec bad{0, 1'000'000'000};
        CHECK_FAILS(EINVAL, ppoll(files.data(), 2, &bad, nullptr));
        const timespec negative{-1, 0};
        CHECK_FAILS(EINVAL, ppoll(files.data(), 2, &negative, nullptr));
        const timespec moment{0, 1'000'000};
        CHECK_EQ(0, ppoll(files.data(), 2, &moment, nullptr));
        CHECK_EQ(0, close(own[0]));
        CHECK_EQ(0, close(own[1]));
    });
    return 0;
}

SYSTEM_CASE(selecting_elsewhere) {
    const auto theirs = make_pipe();
    const int closed = 900; // which nobody opens
    here_and_elsewhere([=] {
        const auto own = make_pipe();
        const int count = closed + 1;
        fd_set read;
        fd_set write_to;
        fd_set except;
        const auto set_all = [&] {
            for (auto *set : {&read, &write_to, &except}) {
                FD_ZERO(set);
                FD_SET(theirs[0], set);
                FD_SET(own[0], set);
            }
            FD_SET(theirs[1], &write_to);
        };
        set_all();
        CHECK_EQ(1, write(theirs[1], "t", 1));
        timeval time{60, 0};
        CHECK_EQ(2, select(count, &read, &write_to, &except, &time));
        CHECK(FD_ISSET(theirs[0], &read) && FD_ISSET(theirs[1], &write_to));
        CHECK(!FD_ISSET(own[0], &read) && !FD_ISSET(theirs[0], &write_to) && !FD_ISSET(theirs[0], &except));
        CHECK(time.tv_sec <= 60);
        CHECK_EQ('t', next_of(theirs[0]));

        set_all();
        time = {0, 30'000};
        CHECK_EQ(0, select(count, &read, nullptr, &except, &time));
        CHECK(!FD_ISSET(theirs[0], &read) && !FD_ISSET(own[0], &except));
        CHECK_EQ(0L, time.tv_sec + time.tv_usec);
        const timespec moment{0, 1000};
        set_all();
        CHECK_EQ(0, pselect(count, &read, nullptr, nullptr, &moment, nullptr));
        set_all();
        const int writer = write_soon(theirs[1]);
        CHECK_EQ(1, pselect(count, &read, nullptr, nullptr, nullptr, nullptr));
        CHECK(FD_ISSET(theirs[0], &read));
        CHECK_EQ(0, end_of(writer));
        CHECK_EQ('w', next_of(theirs[0]));

        set_all();
        FD_SET(closed, &read);
        CHECK_FAILS(EBADF, select(count, &read, nullptr, nullptr, nullptr));
        time = {-1, 0};
        CHECK_FAILS(EINVAL, select(count, &read, nullptr, nullptr, &time));
        CHECK_FAILS(EINVAL, select(-1, &read, nullptr, nullptr, nullptr));
        CHECK_EQ(0, close(own[0]));
        CHECK_EQ(0, close(own[1]));
    });
    return 0;
}

// The server of this node, whose child every task is, has a thread for each access to its files.
std::ptrdiff_t threads_of_server() {
    return std::distance(std::filesystem::directory_iterator(fmt::format("/proc/{}/task", getppid())), {});
}

std::atomic<int> handled{0};

void handle(int /*signal*/) {
    ++handled;
}

SYSTEM_CASE(polling_is_broken_off) {
    const auto theirs = make_pipe();
    auto *waits = new std::atomic<int>{0};
    const int pid = child(systest::last_node(), kSharing, [=] {
        struct sigaction action {};
        action.sa_handler = handle;
        action.sa_flags = SA_RESTART; // which does not hold for poll
        CHECK_EQ(0, sigaction(SIGALRM, &action, nullptr));
        auto file = wait_for(theirs[0], POLLIN);
        CHECK_EQ(0, poll(&file, 1, 1));
        *waits = 1;
        CHECK_SOON(*waits == 2);
        const itimerval soon{{}, {0, 50'000}};
        CHECK_EQ(0, setitimer(ITIMER_REAL, &soon, nullptr));
        CHECK_FAILS(EINTR, poll(&file, 1, -1));
        CHECK_EQ(1, handled.load());
        // A signal that is let in only while it waits.
        sigset_t alarm;
        sigset_t before;
        sigemptyset(&alarm);
        sigaddset(&alarm, SIGALRM);
        CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &alarm, &before));
        CHECK_EQ(0, raise(SIGALRM));
        CHECK_EQ(0, poll(&file, 1, 30));
        CHECK_EQ(1, handled.load());
        CHECK_FAILS(EINTR, ppoll(&file, 1, nullptr, &before));
        CHECK_EQ(2, handled.load());
        CHECK_EQ(0, raise(SIGALRM));
        fd_set read;
        FD_ZERO(&read);
        FD_SET(theirs[0], &read);
        CHECK_FAILS(EINTR, pselect(theirs[0] + 1, &read, nullptr, nullptr, nullptr, &before));
        CHECK_EQ(3, handled.load());
        for (int i = 0; i < 10; ++i) {
            CHECK_EQ(0, poll(&file, 1, 1));
        }
        *waits = 3;
        return poll(&file, 1, -1);
    });
    CHECK_SOON(*waits == 1);
    usleep(50'000); // the thread of what was just not waited for any more
    const auto usual = threads_of_server();
    *waits = 2;
    CHECK_SOON(*waits == 3);
    usleep(50'000); // it may wait, or be about to
    CHECK_EQ(0, norma_kill(pid, SIGKILL));
    CHECK_EQ(SIGKILL, end_of(pid));
    CHECK_SOON(threads_of_server() <= usual); // nobody waits here for what nobody wants there
    return 0;
}

// Files of a node that dies are in error; those of others, and one's own, can still be waited for.
SYSTEM_CASE(lost_polls) {
    auto *meeting = new Meeting;
    const auto theirs = make_pipe();
    const int opener = child(1, kSharing, [meeting] {
        const auto ends = make_pipe();
        meeting->second = ends[1];
        meeting->number = ends[0];
        CHECK_SOON(meeting->turn == 99);
        return 0;
    });
    const int waiter = child(2, kSharing, [meeting, theirs] {
        CHECK_SOON(meeting->number >= 0);
        const auto own = make_pipe();
        std::array files{wait_for(own[0], POLLIN), wait_for(meeting->number, POLLIN), wait_for(theirs[0], POLLIN)};
        meeting->turn = 1;
        CHECK_EQ(1, poll(files.data(), files.size(), -1));
        CHECK_EQ(POLLERR | POLLHUP, int{files[1].revents});
        CHECK_EQ(1, poll(files.data(), files.size(), 0));
        CHECK_EQ(POLLERR | POLLHUP, int{files[1].revents});
        files[1].fd = -1;
        meeting->turn = 2;
        CHECK_EQ(1, poll(files.data(), files.size(), -1));
        CHECK_EQ(POLLIN, int{files[2].revents});
        return 0;
    });
    CHECK_SOON(meeting->turn == 1);
    usleep(50'000); // it may wait, or be about to
    systest::kill_node(1);
    CHECK_SOON(meeting->turn == 2);
    CHECK_EQ(1, write(theirs[1], "x", 1));
    CHECK_EQ(0, end_of(waiter));
    CHECK_EQ(SIGKILL, end_of(opener));
    return 0;
}

} // namespace

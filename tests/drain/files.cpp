// SPDX-License-Identifier: BSD-3-Clause
// Open files of a node that leaves: its tasks and others use them all the time, and find in the end that nothing of it
// was lost, done twice or out of order.
#include "tests/clone/open_files.hpp"
#include "tests/migration/moving.hpp"

#include <cstring>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>

namespace {

using namespace moving;
using clonetest::kSharing;

constexpr int kRecord = 16;
constexpr int kInput = 1 << 20;
constexpr mode_t kMode = 0600;

std::atomic<int> begun, opened_as;
std::atomic<long> rounds[3];
std::string folder; // of the case

std::string in_folder(const char *name) {
    return folder + "/" + name;
}

std::string record(char who, long number) {
    return fmt::format("{}{:014}\n", who, number);
}

void write_record(int fd, char who, long number) {
    const auto text = record(who, number);
    CHECK_EQ(kRecord, write(fd, text.data(), text.size()));
}

std::string content_of(const char *name) {
    std::ifstream file(in_folder(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// As `who` alone has written it, `count` times.
void check_records(const char *name, char who, long count) {
    const auto content = content_of(name);
    CHECK_EQ(static_cast<std::size_t>(count * kRecord), content.size());
    for (long i = 0; i < count; ++i) {
        CHECK_EQ(record(who, i), content.substr(static_cast<std::size_t>(i * kRecord), kRecord));
    }
}

// Two have written it, with one offset: the records of each are in order, and all are there.
void check_records_of_two(const char *name, long first, long second) {
    const auto content = content_of(name);
    CHECK_EQ(static_cast<std::size_t>((first + second) * kRecord), content.size());
    long had[2] = {0, 0};
    for (std::size_t at = 0; at < content.size(); at += kRecord) {
        const char who = content[at];
        CHECK(who == 'A' || who == 'B');
        CHECK_EQ(record(who, had[who - 'A']++), content.substr(at, kRecord));
    }
    CHECK_EQ(first, had[0]);
    CHECK_EQ(second, had[1]);
}

char input_at(long offset) {
    return static_cast<char>(offset * 7 + offset / 251);
}

void write_input() {
    std::string content;
    for (long offset = 0; offset < kInput; ++offset) {
        content += input_at(offset);
    }
    std::ofstream(in_folder("input"), std::ios::binary) << content;
}

// Reads on where it is; from the start again at the end.
void read_input(int fd, long &offset) {
    char bytes[13];
    const auto size = read(fd, bytes, sizeof bytes);
    CHECK_EQ(std::min<long>(sizeof bytes, kInput - offset), size);
    for (int i = 0; i < size; ++i) {
        CHECK_EQ(input_at(offset + i), bytes[i]);
    }
    offset += size;
    if (offset == kInput) {
        CHECK_EQ(off_t{0}, lseek(fd, 0, SEEK_SET));
        offset = 0;
    }
}

// A task whose files are its own, until it is moved.
void use_files_alone() {
    const int log = open(in_folder("log").c_str(), O_WRONLY | O_CREAT | O_TRUNC, kMode);
    const int again = dup(log);
    const int input = open(in_folder("input").c_str(), O_RDONLY);
    const int appended = open(in_folder("appended").c_str(), O_WRONLY | O_APPEND | O_CREAT, kMode);
    const int null = open("/dev/null", O_WRONLY);
    CHECK(log >= 0 && again >= 0 && input >= 0 && appended >= 0 && null >= 0);
    long offset = 5;
    CHECK_EQ(off_t{5}, lseek(input, offset, SEEK_SET));
    ++begun;
    long round = 0;
    for (; !over; ++round) {
        write_record(round % 3 == 0 ? again : log, 'A', round);
        write_record(appended, 'A', round);
        write_record(null, 'A', round);
        read_input(input, offset);
        rounds[0] = round + 1;
    }
    CHECK_EQ(round * kRecord, lseek(again, 0, SEEK_CUR));
    CHECK((fcntl(appended, F_GETFL) & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY));
    for (const int fd : {log, again, input, appended, null}) {
        CHECK_EQ(0, close(fd));
    }
}

// One of two tasks with one table, who open and close all the time.
void use_shared_file(int fd, char who) {
    auto &count = rounds[who == 'A' ? 1 : 2];
    ++begun;
    for (long round = 0; !over; ++round) {
        const int other = dup(fd);
        CHECK(other >= 0);
        write_record(round % 2 == 0 ? other : fd, who, round);
        CHECK_EQ(0, close(other));
        count = round + 1;
    }
}

void use_files_together() {
    const int both = open(in_folder("both").c_str(), O_RDWR | O_CREAT | O_TRUNC, kMode);
    CHECK(both >= 0);
    const int other = clonetest::child(systest::last_node(), kSharing, [both] {
        use_shared_file(both, 'B');
        return 0;
    });
    use_shared_file(both, 'A');
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(other));
    const int late = clonetest::child(norma::this_node(), kSharing, [both] {
        write_record(both, 'A', rounds[1]++);
        return 0;
    });
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(late));
}

// In a task on node 1, which ends: the file stays open there, for this one.
int opened_there(const std::function<int()> &open_it) {
    opened_as = -1;
    const int pid = clonetest::child(1, kSharing, [&open_it] {
        opened_as = open_it();
        return 0;
    });
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(pid));
    CHECK(opened_as >= 0);
    return opened_as;
}

void tell_begun() {
    std::printf("begun\n");
    std::fflush(stdout);
}

bool is_there(const char *name) {
    return ::access(in_folder(name).c_str(), F_OK) == 0;
}

// Words: a folder for the files; when the nodes have left there is one called "enough" in it.
SYSTEM_CASE(files_go_on) {
    folder = args[0];
    over = false;
    begun = 0;
    write_input();
    const int own = open(in_folder("own").c_str(), O_WRONLY | O_CREAT | O_EXCL, kMode);
    CHECK(own >= 0);
    auto alone = systest::spawn(1, use_files_alone);
    auto together = systest::spawn(1, use_files_together);
    CHECK_SOON(begun == 3);
    tell_begun();
    long round = 0;
    for (; !is_there("enough"); ++round) {
        write_record(own, 'A', round);
        rest(1ms);
    }
    for (auto &count : rounds) { // without the nodes
        const auto enough = count + 50;
        CHECK_SOON(count >= enough);
    }
    over = true;
    JOIN(alone);
    JOIN(together);
    check_records("log", 'A', rounds[0]);
    check_records("appended", 'A', rounds[0]);
    check_records_of_two("both", rounds[1], rounds[2]);
    check_records("own", 'A', round);
    return 0;
}

void check_directory(int fd) {
    struct stat here {};
    struct stat there {};
    CHECK_EQ(0, stat(folder.c_str(), &here));
    CHECK_EQ(0, fstat(fd, &there));
    CHECK(S_ISDIR(there.st_mode) && here.st_ino == there.st_ino && here.st_dev == there.st_dev);
}

// Words: a folder. A task with an open directory does not move, so it is of another one's node.
SYSTEM_CASE(directory_goes_on) {
    folder = args[0];
    const int directory = opened_there([] { return open(folder.c_str(), O_RDONLY | O_DIRECTORY); });
    tell_begun();
    CHECK_SOON(is_there("enough"));
    check_directory(directory);
    for (const int node : {0, 2}) { // as members of the table, and with copies of it
        for (const int flags : {kSharing, CLONE_VM | SIGCHLD}) {
            const int child = clonetest::child(node, flags, [directory] {
                check_directory(directory);
                return 0;
            });
            CHECK_EQ(clonetest::exited(0), clonetest::end_of(child));
        }
    }
    CHECK_EQ(0, close(directory));
    CHECK_FAILS(EBADF, dup(directory));
    return 0;
}

// Words: a folder. A task on the successor has the file as if it had been opened there: it can be mapped.
SYSTEM_CASE(file_comes_to_its_user) {
    folder = args[0];
    std::ofstream(in_folder("digits")) << "0123456789";
    const int fd = opened_there([] { return open(in_folder("digits").c_str(), O_RDONLY); });
    CHECK_EQ('0', clonetest::next_of(fd));
    begun = 0;
    const int user = clonetest::child(2, kSharing, [fd] {
        CHECK_EQ('1', clonetest::next_of(fd));
        const auto can_be_mapped = [fd] { return mmap(nullptr, 10, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED; };
        CHECK(!can_be_mapped());
        ++begun;
        CHECK_SOON(is_there("enough"));
        CHECK_SOON(can_be_mapped());
        CHECK_EQ('2', clonetest::next_of(fd));
        return 0;
    });
    CHECK_SOON(begun == 1);
    tell_begun();
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(user));
    CHECK_EQ('3', clonetest::next_of(fd));
    return 0;
}

// Words: a folder. Who waits at a file when its node leaves waits where it is then: for a lock that the first task has,
// and until a file of the first task's node can be read.
SYSTEM_CASE(waits_at_files_go_on) {
    folder = args[0];
    begun = 0;
    const auto open_it = [] { return open(in_folder("locked").c_str(), O_RDWR | O_CREAT, kMode); };
    const int own = open_it(), fd = opened_there(open_it);
    CHECK_EQ(0, flock(own, LOCK_EX));
    static std::array<int, 2> ends;
    CHECK_EQ(0, pipe(ends.data()));
    const int locks = clonetest::child(2, kSharing, [fd] {
        ++begun;
        CHECK_EQ(0, flock(fd, LOCK_EX));
        CHECK(is_there("enough"));
        return 0;
    });
    const int polls = clonetest::child(2, kSharing, [fd] {
        std::array<pollfd, 2> files{
            {{.fd = fd, .events = 0, .revents = 0}, {.fd = ends[0], .events = POLLIN, .revents = 0}}};
        ++begun;
        CHECK_EQ(1, poll(files.data(), files.size(), -1));
        CHECK(is_there("enough"));
        CHECK_EQ(0, files[0].revents);
        return 0;
    });
    CHECK_SOON(begun == 2);
    rest(100ms);
    tell_begun();
    CHECK_SOON(is_there("enough"));
    CHECK_EQ(0, flock(own, LOCK_UN));
    CHECK_EQ(1, write(ends[1], "x", 1));
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(locks));
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(polls));
    return 0;
}

// ---- what keeps its node ----

int make_pipe() {
    int ends[2];
    CHECK_EQ(0, pipe(ends));
    CHECK_EQ(kRecord, write(ends[1], record('A', 0).data(), kRecord));
    return ends[0];
}

int make_file(const char *name) {
    const int fd = open(in_folder(name).c_str(), O_RDWR | O_CREAT, kMode);
    CHECK_EQ(kRecord, write(fd, record('A', 0).data(), kRecord));
    CHECK_EQ(off_t{0}, lseek(fd, 0, SEEK_SET));
    return fd;
}

int make_deleted() {
    const int fd = make_file("deleted");
    CHECK_EQ(0, unlink(in_folder("deleted").c_str()));
    return fd;
}

int make_replaced() {
    const int fd = make_file("replaced");
    CHECK_EQ(0, close(make_file("other")));
    CHECK_EQ(0, rename(in_folder("other").c_str(), in_folder("replaced").c_str()));
    return fd;
}

int make_locked() {
    const int fd = make_file("locked");
    CHECK_EQ(0, flock(fd, LOCK_EX));
    return fd;
}

struct Maker {
    const char *name;
    int (*make)();
};
constexpr Maker kMakers[] = {
    {"pipe", make_pipe}, {"deleted", make_deleted}, {"replaced", make_replaced}, {"locked", make_locked}};

// Words: a folder; what keeps node 1; it has been tried when there is a file called "enough".
SYSTEM_CASE(file_keeps_its_node) {
    folder = args[0];
    const auto *const maker = std::find_if(std::begin(kMakers), std::end(kMakers),
                                           [&](const Maker &one) { return std::strcmp(one.name, args[1]) == 0; });
    CHECK(maker != std::end(kMakers));
    const int fd = opened_there(maker->make);
    tell_begun();
    CHECK_SOON(is_there("enough"));
    char bytes[kRecord];
    CHECK_EQ(kRecord, read(fd, bytes, kRecord));
    CHECK_EQ(record('A', 0), std::string(bytes, kRecord));
    return 0;
}

// Words: a folder. Writes until there is a file called "enough", or the node is lost where the file is open, and says
// how much.
SYSTEM_CASE(file_survives_or_is_lost) {
    folder = args[0];
    const int fd = opened_there([] { return open(in_folder("log").c_str(), O_WRONLY | O_CREAT | O_EXCL, kMode); });
    tell_begun();
    long number = 0;
    bool lost = false;
    for (; !lost && !is_there("enough"); number += lost ? 0 : 1) {
        const auto text = record('A', number);
        lost = write(fd, text.data(), text.size()) != kRecord;
        CHECK(!lost || errno == EHOSTDOWN);
    }
    const auto content = content_of("log"); // what was under way when the node died may be there
    check_records("log", 'A', static_cast<long>(content.size()) / kRecord);
    const auto more = static_cast<long>(content.size()) - number * kRecord;
    CHECK(more == 0 || (lost && more == kRecord));
    std::printf("%s\n", lost ? "lost" : "whole");
    return 0;
}

} // namespace

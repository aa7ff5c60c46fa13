// SPDX-License-Identifier: BSD-3-Clause
// System calls are made as such: the functions of the C library would ask all others to join in (file_calls.cpp).
#include "runtime/client/shared_files.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/descriptors.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/sockets.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <mutex>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace norma::rt {

SharedNumbers shared_numbers;

namespace {

constexpr int kOutOfTheWay = 512; // where programs have few files

std::mutex sharing;
int stand_in = -1; // for what is open elsewhere

int raw_close(int fd) {
    return static_cast<int>(syscall(SYS_close, fd));
}

int raw_duplicate(int fd, int least, bool close_on_exec) {
    return static_cast<int>(syscall(SYS_fcntl, fd, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD, least));
}

int raw_replace(int fd, std::uint32_t number, bool close_on_exec) {
    return static_cast<int>(syscall(SYS_dup3, fd, number, close_on_exec ? O_CLOEXEC : 0));
}

// Reading, writing and nearly everything else fails with EBADF.
int make_stand_in(int least) {
    const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_PATH | O_CLOEXEC));
    if (fd < 0) {
        return errno;
    }
    stand_in = duplicate_away(fd, least);
    const int error = stand_in < 0 ? errno : 0;
    raw_close(fd);
    keep_private(stand_in);
    return error;
}

void set_whose(std::uint32_t number, Whose whose) {
    shared_numbers.whose.at(number) = whose;
}

// A number that this task has for something of its own is not taken from it.
int install(int fd, const FileChange &change, Whose whose, std::uint64_t &free) {
    const auto number = change.number;
    if (shared_numbers.whose.at(number) != Whose::own) {
        if (raw_replace(fd, number, change.close_on_exec) < 0) {
            return errno;
        }
        set_whose(number, whose);
        return 0;
    }
    const int got = raw_duplicate(fd, static_cast<int>(number), change.close_on_exec);
    if (got < 0) {
        return errno == EINVAL ? EMFILE : errno;
    }
    if (got != static_cast<int>(number)) {
        raw_close(got);
        free = static_cast<std::uint64_t>(got);
        return EBUSY;
    }
    set_whose(number, whose);
    return 0;
}

// 0 or an errno value; `number` is what the home of the table says.
int ask(const FileChange &change, int fd, int &number) {
    const auto words = encode(change);
    const auto answer = call(Op::file_change, kNameNull, {words[0], words[1], words[2]}, {}, fd);
    number = static_cast<int>(answer.vals[0]);
    return errno_of(answer);
}

} // namespace

int duplicate_away(int fd, int least) noexcept {
    const int away = raw_duplicate(fd, std::max(least, kOutOfTheWay), true);
    return away >= 0 ? away : raw_duplicate(fd, least, true);
}

namespace {

// The files of this task in a parcel, and a stand-in for those that will be elsewhere. 0 or an errno value.
int prepare_sharing(std::vector<PackedFile> &files, int &parcel) {
    if (const int error = list_files(files); error != 0) {
        return error;
    }
    std::erase_if(files, [](const auto &file) { return static_cast<std::uint32_t>(file.number) >= kMostFiles; });
    parcel = pack(files);
    if (parcel < 0) {
        return errno == ENOMEM ? ENOMEM : EAGAIN;
    }
    shared_numbers.program = program_code();
    const int error = stand_in < 0 ? make_stand_in(0) : 0;
    if (error != 0) {
        raw_close(parcel);
    }
    return error;
}

void begin_sharing(const std::vector<PackedFile> &files) {
    for (const auto &file : files) {
        set_whose(static_cast<std::uint32_t>(file.number), Whose::shared);
    }
    shared_numbers.any = true;
}

} // namespace

int share_files() noexcept {
    const std::lock_guard guard(sharing);
    if (shared_numbers.any) {
        return 0;
    }
    std::vector<PackedFile> files;
    int parcel = -1;
    if (const int error = prepare_sharing(files, parcel); error != 0) {
        return error;
    }
    const auto answer = call(Op::files_share, kNameNull, {}, {}, parcel);
    raw_close(parcel);
    const int error = errno_of(answer);
    if (error == 0) {
        begin_sharing(files);
    }
    return error;
}

int offer_files() noexcept {
    std::vector<PackedFile> files;
    int parcel = -1;
    if (shared_numbers.any) {
        return 0;
    }
    if (const int error = prepare_sharing(files, parcel); error != 0) {
        return error;
    }
    tell(TaskMsg::files, {}, {}, parcel);
    raw_close(parcel);
    begin_sharing(files);
    return 0;
}

void forget_sharing() noexcept {
    shared_numbers.any = false;
    for (auto &whose : shared_numbers.whose) {
        whose = Whose::own;
    }
}

int publish(int fd, int number) noexcept {
    const int flags = static_cast<int>(syscall(SYS_fcntl, fd, F_GETFD));
    const int away = duplicate_away(fd, fd + 1);
    const int trouble = errno;
    if (number < 0) { // its number is as free here as in the other tasks then
        raw_close(fd);
    }
    if (away < 0) {
        return fail_with(trouble);
    }
    const FileChange change{.kind = FileChange::Kind::open,
                            .close_on_exec = (flags & FD_CLOEXEC) != 0,
                            .exact = number >= 0,
                            .number = static_cast<std::uint32_t>(number >= 0 ? number : fd)};
    int made = -1;
    const int error = ask(change, away, made);
    raw_close(away);
    return error == 0 ? made : fail_with(error);
}

int duplicate_shared(int fd, int number, bool exact, bool close_on_exec) noexcept {
    int made = -1;
    const int error = ask({.kind = FileChange::Kind::duplicate,
                           .close_on_exec = close_on_exec,
                           .exact = exact,
                           .number = static_cast<std::uint32_t>(number),
                           .subject = static_cast<std::uint64_t>(fd)},
                          -1, made);
    return error == 0 ? made : fail_with(error);
}

int close_shared(int fd) noexcept {
    int closed = -1;
    const int error = ask({.kind = FileChange::Kind::close, .number = static_cast<std::uint32_t>(fd)}, -1, closed);
    return error == 0 ? 0 : fail_with(error);
}

int set_shared_flags(int fd, bool close_on_exec) noexcept {
    int changed = -1;
    const int error = ask(
        {.kind = FileChange::Kind::set_flags, .close_on_exec = close_on_exec, .number = static_cast<std::uint32_t>(fd)},
        -1, changed);
    return error == 0 ? 0 : fail_with(error);
}

int begin_files(int parcel) noexcept {
    std::vector<PackedFile> files;
    int error = unpack(parcel, files);
    error = error == 0 ? adopt_files(files) : error;
    int least = 0;
    for (const auto &file : files) {
        least = std::max(least, file.number + 1);
        close_if_open(file.fd);
    }
    shared_numbers.program = program_code();
    error = error == 0 ? make_stand_in(least) : error;
    for (const auto &file : files) {
        const auto number = static_cast<std::uint32_t>(file.number);
        if (error != 0 || number >= kMostFiles) {
            break;
        }
        set_whose(number, file.elsewhere ? Whose::elsewhere : Whose::shared);
        error = file.elsewhere && raw_replace(stand_in, number, file.close_on_exec) < 0 ? errno : 0;
    }
    shared_numbers.any = error == 0;
    return error;
}

int change_file(const FileChange &change, int fd, std::uint64_t &free) noexcept {
    if (!shared_numbers.any) { // it is in what the task is about to begin with
        return 0;
    }
    const auto subject = static_cast<std::uint32_t>(std::min<std::uint64_t>(change.subject, kMostFiles - 1));
    const bool known = shared_numbers.whose.at(change.number) != Whose::own;
    switch (change.kind) {
    case FileChange::Kind::open:
        return install(fd >= 0 ? fd : stand_in, change, fd >= 0 ? Whose::shared : Whose::elsewhere, free);
    case FileChange::Kind::duplicate:
        return install(static_cast<int>(subject), change, shared_numbers.whose.at(subject), free);
    case FileChange::Kind::close:
        if (known) {
            set_whose(change.number, Whose::own);
            raw_close(static_cast<int>(change.number));
        }
        return 0;
    case FileChange::Kind::set_flags:
        return known && syscall(SYS_fcntl, change.number, F_SETFD, change.close_on_exec ? FD_CLOEXEC : 0) < 0 ? errno
                                                                                                              : 0;
    default:
        return 0;
    }
}

} // namespace norma::rt

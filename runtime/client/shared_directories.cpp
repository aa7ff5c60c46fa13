// SPDX-License-Identifier: BSD-3-Clause
// The C library's calls that change a process's directories and its umask. In a task that shares these, they change
// them for all who share them. Signal handlers may make these calls.
#include "runtime/client/shared_directories.hpp"

#include "norma/norma.h"
#include "runtime/client/descriptors.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/client/private_room.hpp"
#include "runtime/client/tables.hpp"

#include <climits>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace norma::rt {

namespace {

enum class Kind : std::uint32_t { directory, root, mask };

struct DirectoryChange {
    Kind kind;
    mode_t mask;
    char path[PATH_MAX]; // absolute; as much of it as there is
};

struct Room {
    DirectoryChange change;
    mode_t mask_before;
    char link[64];
};

// What a change of this kind does, in this process alone.
int change_here(Kind kind, const char *path) {
    return static_cast<int>(syscall(kind == Kind::root ? SYS_chroot : SYS_chdir, path));
}

std::array<char, PATH_MAX> root{'/'};

// ---- the service thread's ----

struct Prepared {
    Kind kind;
    mode_t mask;
    std::string path;
    int fd = -1; // of the directory
};
std::optional<Prepared> prepared;

int prepare_to_enter(Prepared &what) {
    if (what.path.front() != '/') {
        return ENOENT; // what it is called here cannot be said
    }
    // Who may not make the root what it is already may not make it anything else.
    if (what.kind == Kind::root && change_here(Kind::root, "/") != 0) {
        return errno;
    }
    what.fd = ::open((what.path + "/.").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); // the dot needs the right to search
    if (what.fd < 0) {
        return errno;
    }
    keep_private(what.fd);
    return 0;
}

// ---- the program's threads' ----

int change_for_all(Room &room) {
    const auto bytes = std::as_bytes(std::span(&room.change, 1));
    const auto size = offsetof(DirectoryChange, path) + std::strlen(room.change.path) + 1;
    return change_for_all(Table::directories, bytes.first(size),
                          std::as_writable_bytes(std::span(&room.mask_before, 1)));
}

// A name that means the same in all processes.
int put_path(char (&absolute)[PATH_MAX], const char *path) {
    if (path[0] == 0) {
        return ENOENT;
    }
    if (path[0] != '/' && getcwd(absolute, sizeof absolute - 1) == nullptr) {
        return errno;
    }
    auto size = std::strlen(absolute);
    if (path[0] != '/') {
        absolute[size++] = '/';
    }
    if (size + std::strlen(path) >= sizeof absolute) {
        return ENAMETOOLONG;
    }
    std::strcpy(absolute + size, path);
    return 0;
}

int change_directory_for_all(Kind kind, const char *path) {
    PrivateRoom<Room> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    room->change.kind = kind;
    int error = put_path(room->change.path, path);
    error = error == 0 ? change_for_all(*room) : error;
    return error == 0 ? 0 : fail_with(error);
}

int change_directory(Kind kind, const char *path) {
    if (const ChangeAlone may_change(Table::directories); may_change) {
        const int error = kind == Kind::root ? enter_root(path) : change_here(kind, path) == 0 ? 0 : errno;
        return error == 0 ? 0 : fail_with(error);
    }
    return change_directory_for_all(kind, path);
}

int change_directory_for_all(int fd) {
    PrivateRoom<Room> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    if (fcntl(fd, F_GETFD) < 0) {
        return -1;
    }
    std::snprintf(room->link, sizeof room->link, "/proc/self/fd/%d", fd);
    if (readlink(room->link, room->change.path, sizeof room->change.path - 1) < 0) {
        return -1;
    }
    room->change.kind = Kind::directory;
    const int error = change_for_all(*room);
    return error == 0 ? 0 : fail_with(error);
}

mode_t change_mask_for_all(mode_t mask) {
    PrivateRoom<Room> room;
    if (!room) {
        return static_cast<mode_t>(fail_with(ENOMEM));
    }
    room->change.kind = Kind::mask;
    room->change.mask = mask;
    const int error = change_for_all(*room);
    return error == 0 ? room->mask_before : static_cast<mode_t>(fail_with(error));
}

// Of a directory that is about to be the root, seen from the root that was there before. Empty: nobody knows.
void put_root_name(std::array<char, PATH_MAX> &name, int fd) {
    std::array<char, 64> link{};
    std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd);
    name = root;
    const bool at_top = std::strcmp(root.data(), "/") == 0;
    const auto size = at_top ? 0 : std::strlen(root.data());
    const auto added = root[0] == 0 ? -1 : readlink(link.data(), name.data() + size, name.size() - size);
    if (added <= 0 || size + static_cast<std::size_t>(added) >= name.size()) {
        name[0] = 0;
        return;
    }
    const bool stays = added == 1 && !at_top; // at the old root itself, which is called "/"
    name.at(stays ? size : size + static_cast<std::size_t>(added)) = 0;
}

} // namespace

const char *root_directory() noexcept {
    return root.data();
}

int enter_root(const char *path) noexcept {
    const int fd = ::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    std::array<char, PATH_MAX> name{};
    put_root_name(name, fd);
    const int error = change_here(Kind::root, path) == 0 ? 0 : errno;
    ::close(fd);
    if (error == 0) {
        root = name;
    }
    return error;
}

int prepare_directory(std::span<const std::byte> change) {
    constexpr auto kHead = offsetof(DirectoryChange, path);
    DirectoryChange wanted{};
    if (change.size() <= kHead || change.size() > sizeof wanted || change.back() != std::byte{0}) {
        return EINVAL;
    }
    std::memcpy(&wanted, change.data(), change.size());
    if (wanted.kind > Kind::mask || (wanted.kind != Kind::mask && wanted.path[0] == 0)) {
        return EINVAL;
    }
    drop_directory();
    Prepared what{.kind = wanted.kind, .mask = wanted.mask & 0777, .path = wanted.path};
    const int error = what.kind == Kind::mask ? 0 : prepare_to_enter(what);
    if (error == 0) {
        prepared = std::move(what);
    }
    return error;
}

int commit_directory(std::vector<std::byte> &before) {
    if (!prepared) {
        return EINVAL;
    }
    int error = 0;
    if (prepared->kind == Kind::mask) {
        const auto mask = static_cast<mode_t>(syscall(SYS_umask, prepared->mask));
        const auto bytes = std::as_bytes(std::span(&mask, 1));
        before.assign(bytes.begin(), bytes.end());
    } else if (prepared->kind == Kind::root) {
        error = enter_root(prepared->path.c_str());
    } else {
        error = syscall(SYS_fchdir, prepared->fd) == 0 ? 0 : errno;
    }
    drop_directory();
    return error;
}

void drop_directory() {
    if (prepared) {
        close_private(prepared->fd);
    }
    prepared.reset();
}

} // namespace norma::rt

using namespace norma::rt;

extern "C" {

NORMA_EXPORT int chdir(const char *path) noexcept {
    return change_directory(Kind::directory, path);
}

NORMA_EXPORT int chroot(const char *path) noexcept {
    return change_directory(Kind::root, path);
}

NORMA_EXPORT int fchdir(int fd) noexcept {
    if (const ChangeAlone may_change(Table::directories); may_change) {
        return static_cast<int>(syscall(SYS_fchdir, fd));
    }
    return change_directory_for_all(fd);
}

NORMA_EXPORT mode_t umask(mode_t mask) noexcept {
    if (const ChangeAlone may_change(Table::directories); may_change) {
        return static_cast<mode_t>(syscall(SYS_umask, mask));
    }
    return change_mask_for_all(mask & 0777);
}
}

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/descriptors.hpp"

#include "runtime/client/job.hpp"
#include "runtime/sockets.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <new>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace norma::rt {

namespace {

constexpr std::size_t kMost = 65536; // descriptors of the library's that are known as such
std::array<std::atomic<bool>, kMost> own;

bool is_private(int fd) {
    return fd == job.control || fd == job.userfault ||
           (static_cast<std::size_t>(fd) < kMost && own.at(static_cast<std::size_t>(fd)));
}

struct File {
    std::int32_t number = -1;
    std::int32_t flags = 0; // FD_CLOEXEC
};

// What goes in one packet; one without files is the last.
constexpr std::size_t kFilesAtOnce = 253; // the kernel's limit
struct Batch {
    std::uint32_t count = 0;
    std::array<File, kFilesAtOnce> files{};
    std::array<int, kFilesAtOnce> descriptors{}; // does not travel
    std::size_t bytes() const { return offsetof(Batch, descriptors); }
};

// Read by hand: what the C library allocates for a directory may be coherent memory.
template <class Visit> bool for_each_descriptor(Visit visit) {
    struct Folder {
        int fd = ::open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ~Folder() { close_if_open(fd); }
    } const folder;
    std::vector<char> entries(4096);
    for (;;) {
        const auto bytes = syscall(SYS_getdents64, folder.fd, entries.data(), entries.size());
        if (bytes <= 0) {
            return bytes == 0;
        }
        for (long at = 0; at < bytes;) {
            const auto *entry = reinterpret_cast<const dirent64 *>(entries.data() + at);
            at += entry->d_reclen;
            const int fd = entry->d_name[0] == '.' ? -1 : std::atoi(entry->d_name);
            if (fd >= 0 && fd != folder.fd && !is_private(fd)) {
                visit(fd);
            }
        }
    }
}

bool send_batch(int socket, Batch &batch) {
    std::vector<char> control(CMSG_SPACE(kFilesAtOnce * sizeof(int)));
    iovec part{&batch, batch.bytes()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (batch.count > 0) {
        const auto size = batch.count * sizeof(int);
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(size);
        auto *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(header), batch.descriptors.data(), size);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

// Other threads may close files meanwhile: those are left out.
bool send_all(int socket, std::vector<int> files) {
    const auto batch = std::make_unique<Batch>();
    while (!files.empty()) {
        std::erase_if(files, [](int fd) { return fcntl(fd, F_GETFD) < 0; });
        batch->count = static_cast<std::uint32_t>(std::min(files.size(), kFilesAtOnce));
        for (std::uint32_t i = 0; i < batch->count; ++i) {
            batch->files.at(i) = {.number = files[i], .flags = fcntl(files[i], F_GETFD)};
            batch->descriptors.at(i) = files[i];
        }
        if (batch->count == 0 || send_batch(socket, *batch)) {
            files.erase(files.begin(), files.begin() + batch->count);
        } else if (errno != EBADF) {
            return false;
        }
    }
    batch->count = 0;
    return send_batch(socket, *batch);
}

// Appends what is in one packet, its descriptors in place of their numbers there: 0 or an errno value.
int receive_batch(int parcel, Batch &batch, std::vector<std::pair<File, int>> &files) {
    std::vector<char> control(CMSG_SPACE(kFilesAtOnce * sizeof(int)));
    iovec part{&batch, batch.bytes()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    batch.count = 0;
    const auto size = recvmsg(parcel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    std::size_t received = 0;
    if (const auto *header = CMSG_FIRSTHDR(&message); header != nullptr) {
        received = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        std::memcpy(batch.descriptors.data(), CMSG_DATA(header), received * sizeof(int));
    }
    const auto known = std::min<std::size_t>(received, batch.count);
    for (std::size_t i = 0; i < received; ++i) {
        files.emplace_back(i < known ? batch.files.at(i) : File{}, batch.descriptors.at(i));
    }
    if (size != static_cast<ssize_t>(batch.bytes())) {
        return EPROTO;
    }
    return (message.msg_flags & MSG_CTRUNC) != 0 || received != batch.count ? EMFILE : 0;
}

int move_above(int &fd, int least) {
    const int moved = fcntl(fd, F_DUPFD_CLOEXEC, least);
    if (moved < 0) {
        return errno;
    }
    ::close(std::exchange(fd, moved));
    return 0;
}

// Out of the way of the numbers that the files are to have.
int clear_the_way(std::vector<std::pair<File, int>> &files) {
    int least = 0;
    for (const auto &[file, fd] : files) {
        least = std::max(least, file.number + 1);
    }
    int error = move_above(job.control, least);
    for (auto &[file, fd] : files) {
        error = error == 0 && fd < least ? move_above(fd, least) : error;
    }
    return error;
}

int adopt(const std::vector<std::pair<File, int>> &files) {
    std::vector<int> strangers; // what a task has from its node server
    const auto is_stranger = [&](int fd) {
        return std::ranges::none_of(files, [fd](const auto &file) { return file.second == fd; });
    };
    const bool listed = for_each_descriptor([&](int fd) {
        if (is_stranger(fd)) {
            strangers.push_back(fd);
        }
    });
    if (!listed) {
        return errno;
    }
    for (const int fd : strangers) {
        ::close(fd);
    }
    for (const auto &[file, fd] : files) {
        if (dup3(fd, file.number, (file.flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0) < 0) {
            return errno;
        }
    }
    return 0;
}

} // namespace

void keep_private(int fd) noexcept {
    if (static_cast<std::size_t>(fd) < kMost) {
        own.at(static_cast<std::size_t>(fd)) = true;
    }
}

void close_private(int fd) noexcept {
    if (fd >= 0 && static_cast<std::size_t>(fd) < kMost) {
        own.at(static_cast<std::size_t>(fd)) = false;
    }
    close_if_open(fd);
}

int pack_files() noexcept {
    std::vector<int> files;
    std::array<int, 2> ends{};
    if (!for_each_descriptor([&files](int fd) { files.push_back(fd); }) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return -1;
    }
    const bool packed = send_all(ends[0], std::move(files));
    const int error = errno;
    ::close(ends[0]);
    if (!packed) {
        ::close(ends[1]);
        errno = error;
        return -1;
    }
    return ends[1];
}

int unpack_files(int parcel) noexcept {
    std::vector<std::pair<File, int>> files;
    const auto batch = std::make_unique<Batch>();
    int error = 0;
    do {
        error = receive_batch(parcel, *batch, files);
    } while (error == 0 && batch->count > 0);
    ::close(parcel);
    error = error == 0 ? clear_the_way(files) : error;
    error = error == 0 ? adopt(files) : error;
    for (const auto &[file, fd] : files) {
        ::close(fd);
    }
    return error;
}

} // namespace norma::rt

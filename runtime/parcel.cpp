// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/parcel.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace norma::rt {

namespace {

struct File {
    std::int32_t number = -1;
    std::uint8_t close_on_exec = 0, elsewhere = 0;
};

// What goes in one packet; one without files is the last.
constexpr std::size_t kFilesAtOnce = 253; // the kernel's limit
struct Batch {
    std::uint32_t count = 0;
    std::array<File, kFilesAtOnce> files{};
    std::uint32_t sent = 0; // descriptors: of the files that are here, in order. Does not travel, nor do they
    std::array<int, kFilesAtOnce> descriptors{};
    static std::size_t bytes() { return offsetof(Batch, sent); }
};

void fill(Batch &batch, const std::vector<PackedFile> &files) {
    batch.count = static_cast<std::uint32_t>(std::min(files.size(), kFilesAtOnce));
    batch.sent = 0;
    for (std::uint32_t i = 0; i < batch.count; ++i) {
        const auto &file = files[i];
        batch.files.at(i) = {.number = file.number,
                             .close_on_exec = static_cast<std::uint8_t>(file.close_on_exec),
                             .elsewhere = static_cast<std::uint8_t>(file.elsewhere)};
        if (!file.elsewhere) {
            batch.descriptors.at(batch.sent++) = file.fd;
        }
    }
}

bool send_batch(int socket, Batch &batch) {
    std::vector<char> control(CMSG_SPACE(kFilesAtOnce * sizeof(int)));
    iovec part{&batch, Batch::bytes()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (batch.sent > 0) {
        const auto size = batch.sent * sizeof(int);
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

bool send_all(int socket, std::vector<PackedFile> files) {
    const auto batch = std::make_unique<Batch>();
    while (!files.empty()) {
        std::erase_if(files, [](const auto &file) { return !file.elsewhere && fcntl(file.fd, F_GETFD) < 0; });
        fill(*batch, files);
        if (batch->count == 0 || send_batch(socket, *batch)) {
            files.erase(files.begin(), files.begin() + batch->count);
        } else if (errno != EBADF) {
            return false;
        }
    }
    batch->count = batch->sent = 0;
    return send_batch(socket, *batch);
}

// Appends what is in one packet: 0 or an errno value.
int receive_batch(int parcel, Batch &batch, std::vector<PackedFile> &files) {
    std::vector<char> control(CMSG_SPACE(kFilesAtOnce * sizeof(int)));
    iovec part{&batch, Batch::bytes()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    batch.count = 0;
    const auto size = recvmsg(parcel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    std::size_t received = 0;
    if (const auto *header = CMSG_FIRSTHDR(&message); size >= 0 && header != nullptr) {
        received = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        std::memcpy(batch.descriptors.data(), CMSG_DATA(header), received * sizeof(int));
    }
    const bool sound = size == static_cast<ssize_t>(Batch::bytes()) && batch.count <= kFilesAtOnce;
    std::size_t used = 0;
    for (std::uint32_t i = 0; sound && i < batch.count; ++i) {
        const auto &file = batch.files.at(i);
        if (file.elsewhere != 0 || used < received) {
            files.push_back({.number = file.number,
                             .close_on_exec = file.close_on_exec != 0,
                             .elsewhere = file.elsewhere != 0,
                             .fd = file.elsewhere != 0 ? -1 : batch.descriptors.at(used++)});
        } else {
            return EMFILE;
        }
    }
    for (; used < received; ++used) {
        files.push_back({.fd = batch.descriptors.at(used)});
    }
    if (!sound) {
        return EPROTO;
    }
    return (message.msg_flags & MSG_CTRUNC) != 0 ? EMFILE : 0;
}

} // namespace

int pack(std::vector<PackedFile> files) noexcept {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
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

int unpack(int parcel, std::vector<PackedFile> &files) noexcept {
    const auto batch = std::make_unique<Batch>();
    int error = 0;
    do {
        error = receive_batch(parcel, *batch, files);
    } while (error == 0 && batch->count > 0);
    ::close(parcel);
    return error;
}

} // namespace norma::rt

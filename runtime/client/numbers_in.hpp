// SPDX-License-Identifier: BSD-3-Clause
// The folders of proc(5) whose entries are numbers. Read by hand: what the C library allocates for a folder may be
// coherent memory.
#pragma once

#include "runtime/client/descriptors.hpp"

#include <cstdlib>
#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace norma::rt {

// False with errno set: it cannot be read to its end.
template <class Visit> bool for_each_number_in(const char *path, Visit visit) {
    struct Folder {
        int fd;
        ~Folder() { close_briefly(fd); }
    } const folder{open_briefly(path)};
    std::vector<char> entries(4096);
    for (;;) {
        const auto bytes = syscall(SYS_getdents64, folder.fd, entries.data(), entries.size());
        if (bytes <= 0) {
            return bytes == 0;
        }
        for (long at = 0; at < bytes;) {
            const auto *entry = reinterpret_cast<const dirent64 *>(entries.data() + at);
            at += entry->d_reclen;
            if (entry->d_name[0] != '.') {
                visit(std::atoi(entry->d_name));
            }
        }
    }
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// Open files on their way from one process to another of the same machine: any number of them, in a socket that can be
// sent along as one descriptor.
#pragma once

#include <cstdint>
#include <vector>

namespace norma::rt {

struct PackedFile {
    std::int32_t number = -1; // what it is to be there
    bool close_on_exec = false;
    bool elsewhere = false; // open on another node: there is no descriptor
    int fd = -1;
};

// The socket, or -1 with errno set. Files that are closed meanwhile are left out.
int pack(std::vector<PackedFile> files) noexcept;
// Appends what is in a parcel, whose descriptors are the caller's then, also if it fails. Closes the parcel. 0 or an
// errno value.
int unpack(int parcel, std::vector<PackedFile> &files) noexcept;

} // namespace norma::rt

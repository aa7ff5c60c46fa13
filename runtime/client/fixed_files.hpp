// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace norma::rt {

// An open file that is of no use on another node (docs/migration.md). All threads must have stopped.
struct FixedFile {
    int fd = -1; // -1: there is none
    const char *what = "";
};
FixedFile fixed_file();

} // namespace norma::rt

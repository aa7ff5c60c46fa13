// SPDX-License-Identifier: BSD-3-Clause
// Current directory, root and umask, in a task that may share them with others (CLONE_FS). Directories go from process
// to process by their names.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace norma::rt {

// The root of this process as its node server would call it. The kernel says "/" whatever it is.
const char *root_directory() noexcept;
int enter_root(const char *path) noexcept; // of this process alone; 0 or an errno value

// A change is a DirectoryChange; what was there before is told of a umask only, as a mode_t.
int prepare_directory(std::span<const std::byte> change);
int commit_directory(std::vector<std::byte> &before);
void drop_directory();

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// Strings as execve(2) and posix_spawn(3) want them.
#pragma once

#include <string>
#include <vector>

namespace norma::rt {

// Ends with a null pointer. Valid as long as `strings`; the const_cast is POSIX's: its argv is not written to.
inline std::vector<char *> c_strings(const std::vector<std::string> &strings) {
    std::vector<char *> pointers;
    pointers.reserve(strings.size() + 1);
    for (const auto &string : strings) {
        pointers.push_back(const_cast<char *>(string.c_str()));
    }
    pointers.push_back(nullptr);
    return pointers;
}

} // namespace norma::rt

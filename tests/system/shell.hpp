// SPDX-License-Identifier: BSD-3-Clause
// Commands outside of any job, as somebody types them.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

namespace systest {

struct ShellEnd {
    int status = -1; // as pclose(3) has it
    std::string out;
};

inline ShellEnd run_in_shell(const std::string &command) {
    ShellEnd end;
    std::FILE *pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) {
        return end;
    }
    std::array<char, 4096> part{};
    while (const auto size = std::fread(part.data(), 1, part.size(), pipe)) {
        end.out.append(part.data(), size);
    }
    end.status = ::pclose(pipe);
    return end;
}

/// Of a command that must end well.
inline std::string output_of(const std::string &command) {
    const auto end = run_in_shell(command);
    EXPECT_EQ(end.status, 0) << command;
    return end.out;
}

} // namespace systest

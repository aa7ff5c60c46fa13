// SPDX-License-Identifier: BSD-3-Clause
// What a process has that the kernel keeps for it, and that its clone has a copy of: directories, umask, what is to be
// done with signals. Goes from library to library as it is; a program has the same build on all nodes.
#pragma once

#include <array>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/types.h>

namespace norma::rt {

using SignalSet = std::uint64_t; // all that the kernel knows, from 1 on
SignalSet signals_in(const sigset_t &set);
sigset_t set_of(SignalSet signals);

struct Inheritance {
    struct Action {
        std::int32_t signal, flags;
        std::uint64_t handler;
        SignalSet mask;
    };
    SignalSet blocked; // by the calling thread
    mode_t umask;
    std::uint32_t actions; // other than the default one
    std::array<Action, 64> action;
    std::array<char, PATH_MAX> root, directory;
};

bool has_actions(int signal); // which the program may set
Inheritance::Action action_in(int signal, const struct sigaction &action);
struct sigaction sigaction_of(const Inheritance::Action &action);
void collect_actions(Inheritance &inheritance);

// 0 or an errno value.
int collect(Inheritance &inheritance);
int collect_directories(Inheritance &inheritance);
int apply_directories(const Inheritance &inheritance);
int apply_actions(const Inheritance &inheritance);

} // namespace norma::rt

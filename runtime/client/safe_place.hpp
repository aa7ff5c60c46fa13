// SPDX-License-Identifier: BSD-3-Clause
// Where a thread can be stopped, to go on in another process with nothing but its registers and its stack: in the
// program's own code, called by nobody but the program. A library may hold a lock for it otherwise, or be half done
// with what is its process's own.
#pragma once

#include <cstdint>
#include <span>
#include <ucontext.h>

namespace norma::rt {

void find_places(); // before the others
// For a signal handler, of the thread that it has interrupted: 0, or the place in a library that forbids it. At a
// migration point the topmost calls may be the library's own.
std::uint64_t unsafe_place(const ucontext_t &context, bool at_point);
// "FUNCTION of LIBRARY", as far as that is known.
void name_place(std::uint64_t pc, std::span<char> text);

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// The program that this process runs: what it is made of, and whether it is one whose variables and heap are coherent
// memory (docs/programs.md). Such a program is linked with libnorma_program, too.
#pragma once

#include <cstdint>
#include <string>

namespace norma::rt {

bool is_whole_program();

// What must be the same in all tasks, one thing per line: the main program's build id, or "none"; of a whole program
// the other shared objects as well, with where they are, as its variables point into them.
std::string program_identity();

struct ProgramRange {
    std::uint64_t start = 0, size = 0;
    bool holds(const void *address) const { return reinterpret_cast<std::uint64_t>(address) - start < size; }
};
// The pages with the variables of a whole program; empty of any other. Ends the process, saying why, if the program has
// not been linked as it must be.
ProgramRange coherent_data();
// The instructions of the main program, and of the object that has an address among its own.
ProgramRange program_code();
ProgramRange code_around(const void *address);
// The calling thread's variables of its own, those that the main program has.
ProgramRange thread_variables();

// The program's heap is there, in all tasks that share it.
void begin_heap(std::uint64_t address, std::uint64_t part_bytes, unsigned parts);

// A part is not to be touched any more; the node of that number may have died, also one that has no part.
void lose_heap_of(unsigned part, bool with_its_node);

// Whether all that the calling thread allocates is memory of this process alone, whatever code asks for it.
void allocate_privately(bool from_now_on);

// Those of the main program, as the C library would.
void run_constructors(int argc, char **argv, char **env);

} // namespace norma::rt

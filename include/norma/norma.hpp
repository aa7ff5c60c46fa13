// SPDX-License-Identifier: BSD-3-Clause
//
// norma for C++20: tasks, coherent memory and synchronisation as types, over <norma/mach.h> and <norma/norma.h>.
//
// Every operation comes twice, as in <filesystem>: one that throws std::system_error, and one that takes a
// std::error_code& last and does not throw. Codes are kern_return_t values in norma::category().
//
// What a program has to know about tasks: a child is a new process of the same program. Functions and static data are
// at the same addresses, static constructors have run, main() has not. Coherent memory (regions, and the stacks of
// main and of threads started through norma) is shared; globals, the malloc heap and stdio belong to one process. So
// what a task is to work on goes into a region, and no type here keeps anything on the heap.
#ifndef NORMA_NORMA_HPP
#define NORMA_NORMA_HPP

#include <norma/error.hpp>
#include <norma/memory.hpp>
#include <norma/one_sided.hpp>
#include <norma/sync.hpp>
#include <norma/task.hpp>

namespace norma {

/// True in a program started by `norma run`.
inline bool in_job() noexcept {
    return norma_in_job() != 0;
}
/// Number of nodes of the job; 0 outside one.
inline int node_count() noexcept {
    return norma_node_count();
}
/// The node the calling task runs on at this moment; -1 outside a job.
inline int this_node() noexcept {
    return norma_node();
}

} // namespace norma

#endif

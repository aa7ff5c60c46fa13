// SPDX-License-Identifier: BSD-3-Clause
// What whole programs say when their heap is full.
#pragma once

#include <new>
#include <stdexcept>

namespace apps {

/// Calls `run`; that there is no memory for it is said as what it is in a whole program.
template <class Run> auto in_heap(Run run) {
    try {
        return run();
    } catch (const std::bad_alloc &) {
        throw std::runtime_error("the heap is too small; NORMA_HEAP and NORMA_MEMORY say how large it is");
    }
}

} // namespace apps

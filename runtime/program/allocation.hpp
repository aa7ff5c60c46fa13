// SPDX-License-Identifier: BSD-3-Clause
// malloc and its relatives for whole programs (docs/programs.md): memory comes from the program's heap once there is
// one, except for the libraries that norma itself is made of and for the dynamic linker, whose memory is their
// process's own.
#pragma once

#include "runtime/heap/heap.hpp"
#include "runtime/program/lost_pages.hpp"

namespace norma::rt {

// Once per process, before its program runs. `node`: which one this is. A node that has joined later has no part of its
// own, and allocates from another one's.
// lost_from(page) says of 64 pages from that one on which have died with a node; it may be asked by any thread that
// allocates.
void begin_allocation(const heap::Layout &layout, unsigned node, LostFrom lost_from);
// Nothing of a part is touched any more, if there is such a part; with its node, that has died. From any thread.
void lose_part(unsigned part, bool with_its_node);

// What the calling thread allocates is its process's own, whatever code asks, or is shared again.
void allocate_privately(bool from_now_on);

// `caller`: the code that asks, which says whether the block is to be shared. As the C library's functions of these
// purposes; release() takes blocks of either kind.
void *allocate(std::size_t size, const void *caller);
void *allocate_aligned(std::size_t alignment, std::size_t size, const void *caller);
void *allocate_zeros(std::size_t count, std::size_t size, const void *caller);
void *resize(void *block, std::size_t size, const void *caller);
void release(void *block);
std::size_t usable(void *block);

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// vm_allocate and vm_deallocate for calls of the library's that remember something of this process's: the task cannot
// move in the middle of them.
#pragma once

#include "norma/mach.h"

namespace norma::rt {

kern_return_t allocate(vm_task_t task, vm_address_t &address, vm_size_t size, bool anywhere) noexcept;
kern_return_t deallocate(vm_task_t task, vm_address_t address, vm_size_t size) noexcept;

} // namespace norma::rt

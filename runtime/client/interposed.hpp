// SPDX-License-Identifier: BSD-3-Clause
// For functions that stand in front of those of the C library.
#pragma once

#include <dlfcn.h>

namespace norma::rt {

// What would be called if this library were not there.
template <class Function> Function *next(const char *name) noexcept {
    return reinterpret_cast<Function *>(dlsym(RTLD_NEXT, name));
}

} // namespace norma::rt

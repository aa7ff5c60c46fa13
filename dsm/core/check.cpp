// SPDX-License-Identifier: BSD-3-Clause
#include "dsm/core/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace norma::dsm {

void check_failed(const char *condition, const char *file, int line) {
    std::fprintf(stderr, "norma: internal error: %s does not hold (%s:%d)\n", condition, file, line);
    std::abort();
}

} // namespace norma::dsm

// SPDX-License-Identifier: BSD-3-Clause
// Internal invariants: checked in every build, because a broken one means memory that is silently wrong.
#pragma once

namespace norma::dsm {

[[noreturn]] void check_failed(const char *condition, const char *file, int line);

} // namespace norma::dsm

#define NORMA_CHECK(condition)                                                                                         \
    ((condition) ? static_cast<void>(0) : ::norma::dsm::check_failed(#condition, __FILE__, __LINE__))

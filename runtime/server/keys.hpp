// SPDX-License-Identifier: BSD-3-Clause
// Keys of rights: see runtime/right.hpp.
#pragma once

#include "runtime/right.hpp"

namespace norma::rt {

Key draw_key(); // 128 bits that nobody can guess

} // namespace norma::rt

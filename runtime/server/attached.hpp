// SPDX-License-Identifier: BSD-3-Clause
// The first packet to a process that attaches itself.
#pragma once

#include <cstdint>
#include <string_view>

namespace norma::rt {

// `text` is the job's settings, or why the process is turned away.
void greet(int socket, std::int32_t status, std::string_view text);

} // namespace norma::rt

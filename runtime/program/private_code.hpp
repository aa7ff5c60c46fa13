// SPDX-License-Identifier: BSD-3-Clause
// The code whose memory is its process's own: norma's libraries and the network libraries below them. The network must
// not register pages that travel, and the service thread must not wait for any.
#pragma once

namespace norma::rt {

// Looks again at what is loaded; for one thread at a time. Any thread may ask meanwhile.
void find_private_code();
bool is_private_code(const void *address);

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace norma::rt {

// `normad` and `norma node`: serves one node until the job is over, and returns the exit status.
int node_server_main(int argc, char **argv);

} // namespace norma::rt

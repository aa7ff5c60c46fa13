// SPDX-License-Identifier: BSD-3-Clause
// A process that has attached itself to a job (docs/attach.md).
#pragma once

#include <string>
#include <vector>

namespace norma::rt {

// NAME=VALUE, those of the job in a process that has attached itself; else what the environment says.
std::vector<std::string> settings_in_force();

// In the service thread: the node server is gone, or has let go of this process. Coherent memory raises SIGBUS from now
// on, and whoever waits for a page of it finds that.
void lose_job();

} // namespace norma::rt

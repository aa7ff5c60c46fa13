// SPDX-License-Identifier: BSD-3-Clause
// Can norma run here, and what is to be mended if not: a judgement of what was found, without looking at the machine.
#pragma once

#include "runtime/devices.hpp"
#include "runtime/host.hpp"

#include <string>
#include <vector>

namespace norma::rt {

struct Requirement {
    // limited: norma runs, but less well or less fully than it could.
    enum class State : std::uint8_t { ok, limited, missing } state{};
    std::string name;
    std::string found;
    std::string mend; // empty if ok
};

struct Findings {
    HostReport host;
    Config config;
    std::vector<std::string> config_mistakes;
    std::vector<std::string> transports; // as ucx_transports() gives them
    std::vector<std::string> rdma_devices;
    RdmaReport rdma;
};

std::vector<Requirement> judge(const Findings &findings);

// False if anything is missing.
bool can_run(const std::vector<Requirement> &requirements);

// "full", "user-mode only" or "none", and what that means for system calls on coherent memory.
std::string mode_name(dsm::FaultMode mode);
std::string mode_meaning(dsm::FaultMode mode);

} // namespace norma::rt

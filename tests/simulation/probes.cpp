// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/probes.hpp"

namespace norma::sim {

std::string_view name_of(Probe probe) {
    constexpr std::array<std::string_view, kProbes> kNames{
        "upgrade granted",
        "zeros travelled",
        "window travelled",
        "queued behind busy",
        "deferred forward",
        "barred data",
        "asked again",
        "supplier died",
        "abandoned write",
        "advanced by a death",
        "lost page reported",
        "answer after the end",
        "home died",
        "kept reading without home",
        "poison seen",
        "inbox reordered",
        "repeat dropped",
        "garbage dropped",
        "former life dropped",
        "late of the dead dropped",
        "handled out of order",
        "held by partition",
        "fenced after partition",
        "fault in a dying task",
        "clone while pages move",
        "clone failed",
        "teleport during fault",
        "teleport of another",
        "teleport failed",
        "thread went on elsewhere",
        "lock of the dead taken",
        "barrier broken",
        "region given back",
        "creation failed",
        "crash in a call",
        "child of a child",
        "written while copied",
        "copy kept apart",
        "suspended in a fault",
        "fetched in advance",
        "evicted",
        "reached for good",
        "reached and copied",
        "reached on loan",
        "reach failed",
    };
    return kNames[static_cast<std::size_t>(probe)];
}

} // namespace norma::sim

// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/simulate.hpp"

#include <algorithm>

namespace norma::sim {

Report simulate(std::uint64_t seed, std::FILE *trace, std::optional<Drill> drill) {
    World run(seed, trace, drill);
    return run.run();
}

void Coverage::add(const Report &report) {
    const auto &injected = report.injected;
    ++seeds;
    reads += report.reads;
    writes += report.writes;
    poisons += report.poisons;
    messages += report.messages;
    events += report.events;
    crashes += report.crashes;
    faults += injected.late + injected.lost + injected.overtaken + injected.twice + injected.garbage +
              injected.kept_back + injected.held_by_partition + injected.cut_off + injected.former_life +
              report.partitions + report.slow_nodes + report.kills + report.crashes;
    most_nodes = std::max(most_nodes, report.nodes);
    probes.add(report.probes);
}

std::string Coverage::describe() const {
    return fmt::format("{} seeds, {} memory operations ({} reads, {} writes, {} poisoned), 2 to {} nodes, {} messages, "
                       "{} faults injected ({} crashes), {} of {} probes hit",
                       seeds, reads + writes, reads, writes, poisons, most_nodes, messages, faults, crashes,
                       probes.reached(), kProbes);
}

std::vector<std::string_view> Coverage::missed() const {
    std::vector<std::string_view> result;
    for (std::size_t i = 0; i < kProbes; ++i) {
        if (probes[static_cast<Probe>(i)] == 0) {
            result.push_back(name_of(static_cast<Probe>(i)));
        }
    }
    return result;
}

} // namespace norma::sim

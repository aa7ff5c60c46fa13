// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/binding.hpp"

#include <cstdlib>
#include <hwloc.h>
#include <memory>
#include <stdexcept>
#include <unistd.h>
#include <vector>

namespace norma::rt {

namespace {

struct TopologyEnd {
    void operator()(hwloc_topology *topology) const { hwloc_topology_destroy(topology); }
};

struct BitmapEnd {
    void operator()(hwloc_bitmap_s *bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, BitmapEnd>;

} // namespace

Share bind_to_share(unsigned index, unsigned shares) {
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0) {
        throw std::runtime_error("hwloc cannot be initialised");
    }
    const std::unique_ptr<hwloc_topology, TopologyEnd> topology(raw);
    if (hwloc_topology_load(raw) != 0) {
        throw std::runtime_error("hwloc cannot read the machine's topology");
    }
    const Bitmap allowed(hwloc_bitmap_alloc());
    if (hwloc_get_cpubind(raw, allowed.get(), HWLOC_CPUBIND_PROCESS) != 0) {
        hwloc_bitmap_copy(allowed.get(), hwloc_topology_get_allowed_cpuset(raw));
    }
    std::vector<hwloc_obj_t> cores;
    for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_CORE, core)) != nullptr;) {
        if (hwloc_bitmap_intersects(core->cpuset, allowed.get()) != 0) {
            cores.push_back(core);
        }
    }
    if (cores.empty()) {
        throw std::runtime_error("hwloc finds no core that this process may use");
    }
    const auto count = static_cast<unsigned>(cores.size());
    const auto first = count >= shares ? index * count / shares : index % count;
    const auto last = count >= shares ? (index + 1) * count / shares : first + 1;
    const Bitmap share(hwloc_bitmap_alloc());
    for (auto i = first; i < last; ++i) {
        hwloc_bitmap_or(share.get(), share.get(), cores[i]->cpuset);
    }
    hwloc_bitmap_and(share.get(), share.get(), allowed.get());
    if (hwloc_set_cpubind(raw, share.get(), HWLOC_CPUBIND_PROCESS) != 0) {
        throw std::runtime_error("the process cannot be bound to its share of the cores");
    }
    char *text = nullptr;
    hwloc_bitmap_list_asprintf(&text, share.get());
    std::string processors(text);
    std::free(text);
    return {.processors = std::move(processors), .alone = count >= shares};
}

std::uint64_t share_of_memory(unsigned shares) {
    const auto pages = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES));
    return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) / shares;
}

} // namespace norma::rt

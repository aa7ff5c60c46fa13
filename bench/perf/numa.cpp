// SPDX-License-Identifier: BSD-3-Clause
// numa: a first touch served by the own node server, which keeps its processor while the thread is put onto the same
// core, onto another one, and onto another NUMA node, where the machine has such. The floor is what the kernel needs
// without norma for two processes placed alike.
#include <cerrno>
#include <memory>
#include <optional>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>
#include <hwloc.h>
#include <sched.h>
#include <unistd.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

struct TopologyEnd {
    void operator()(hwloc_topology *topology) const { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, TopologyEnd>;

Topology load_topology() {
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0) {
        throw std::runtime_error("hwloc cannot be initialised");
    }
    Topology topology(raw);
    if (hwloc_topology_load(raw) != 0) {
        throw std::runtime_error("hwloc cannot read the machine's topology");
    }
    return topology;
}

hwloc_obj_t core_of(const Topology &topology, hwloc_obj_t processor) {
    auto *const core = hwloc_get_ancestor_obj_by_type(topology.get(), HWLOC_OBJ_CORE, processor);
    return core != nullptr ? core : processor;
}

// Keeps a process, or the calling thread (0), on one processor.
class Pinned {
  public:
    Pinned(pid_t process, unsigned cpu) : process_(process) {
        if (::sched_getaffinity(process_, sizeof before_, &before_) != 0) {
            throw std::system_error(errno, std::generic_category(), fmt::format("sched_getaffinity of {}", process_));
        }
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (::sched_setaffinity(process_, sizeof one, &one) != 0) {
            throw std::system_error(errno, std::generic_category(),
                                    fmt::format("process {} cannot be put onto processor {}", process_, cpu));
        }
    }
    ~Pinned() { ::sched_setaffinity(process_, sizeof before_, &before_); }
    Pinned(const Pinned &) = delete;
    Pinned &operator=(const Pinned &) = delete;

  private:
    pid_t process_;
    cpu_set_t before_{};
};

struct Places {
    unsigned server = 0; // and the same core
    std::optional<unsigned> other_core, other_node;
};

// The first processor of the server stays its own; the others are the first that fit.
Places find_places(const Topology &topology) {
    cpu_set_t server;
    if (::sched_getaffinity(::getppid(), sizeof server, &server) != 0) {
        throw std::system_error(errno, std::generic_category(), "sched_getaffinity of the node server");
    }
    hwloc_obj_t home = nullptr;
    for (hwloc_obj_t pu = nullptr; (pu = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_PU, pu)) != nullptr;) {
        if (home == nullptr && CPU_ISSET(pu->os_index, &server)) {
            home = pu;
        }
    }
    if (home == nullptr) {
        throw std::runtime_error("hwloc does not know the node server's processors");
    }
    Places places{home->os_index, {}, {}};
    for (hwloc_obj_t pu = nullptr; (pu = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_PU, pu)) != nullptr;) {
        auto &place = hwloc_bitmap_isequal(pu->nodeset, home->nodeset) != 0 ? places.other_core : places.other_node;
        if (!place && core_of(topology, pu) != core_of(topology, home)) {
            place = pu->os_index;
        }
    }
    return places;
}

Row measure(const TestInfo &test, const char *name, unsigned cpu) {
    const Pinned thread(0, cpu);
    const double before = kernel_floor_us(test.iterations, test.warmup);
    std::vector<double> samples(test.warmup + test.iterations);
    LocalFaults(kPeer, samples.size()).measure(samples);
    samples.erase(samples.begin(), samples.begin() + test.warmup);
    const double after = kernel_floor_us(test.iterations, test.warmup);
    return latency_row(name, kPage, samples, (before + after) / 2);
}

} // namespace

Rows numa(const TestInfo &test) {
    const auto topology = load_topology();
    const auto places = find_places(topology);
    const Pinned server(::getppid(), places.server);
    fmt::print("# numa: {} NUMA node(s); the node server is on processor {}\n",
               hwloc_get_nbobjs_by_type(topology.get(), HWLOC_OBJ_NUMANODE), places.server);
    Rows rows{measure(test, "numa_same_core", places.server)};
    if (places.other_core) {
        rows.push_back(measure(test, "numa_other_core", *places.other_core));
    } else {
        fmt::print("# numa: not measured: another core of this NUMA node, for there is none\n");
    }
    if (places.other_node) {
        rows.push_back(measure(test, "numa_other_node", *places.other_node));
    } else {
        fmt::print("# numa: not measured: another NUMA node, for there is none\n");
    }
    return rows;
}

} // namespace norma::bench

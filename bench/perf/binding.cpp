// SPDX-License-Identifier: BSD-3-Clause
#include "bench/perf/binding.hpp"

#include <cerrno>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <norma/norma.h>
#include <sched.h>
#include <unistd.h>

namespace norma::bench {

std::string cpu_list(pid_t process, const char *separator) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(process, sizeof set, &set) != 0) {
        throw std::system_error(errno, std::generic_category(), fmt::format("sched_getaffinity of {}", process));
    }
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) {
            cpus.push_back(cpu);
        }
    }
    return fmt::format("{}", fmt::join(cpus, separator));
}

std::string describe_binding() {
    return fmt::format("node {}: tasks on processors {}, node server on {}", norma_node(), cpu_list(0, ","),
                       cpu_list(::getppid(), ","));
}

} // namespace norma::bench

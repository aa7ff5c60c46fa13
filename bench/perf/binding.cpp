// SPDX-License-Identifier: BSD-3-Clause
#include "bench/perf/binding.hpp"

#include <cerrno>
#include <fstream>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include "bench/perf/job.hpp"

namespace norma::bench {
namespace {

struct Answer {
    char host[64], task_cpus[512], server_cpus[512];
};

void say_where(Answer &answer) {
    std::string host;
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), host);
    host.copy(answer.host, sizeof answer.host - 1);
    cpu_list(0, ",").copy(answer.task_cpus, sizeof answer.task_cpus - 1);
    cpu_list(::getppid(), ",").copy(answer.server_cpus, sizeof answer.server_cpus - 1);
}

} // namespace

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

Place place_of(int node) {
    const Array<Answer> answer(1);
    if (node == norma_node()) {
        say_where(*answer.data());
    } else {
        RemoteTask task(node);
        task.start<&say_where>(answer.data());
        task.join();
    }
    return {answer.data()->host, answer.data()->task_cpus, answer.data()->server_cpus};
}

std::string describe(int node, const Place &place) {
    return fmt::format("node {}: tasks on processors {}, node server on {}", node, place.task_cpus, place.server_cpus);
}

} // namespace norma::bench

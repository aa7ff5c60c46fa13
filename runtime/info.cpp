// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/info.hpp"

#include "runtime/build_info.hpp"
#include "runtime/devices.hpp"
#include "runtime/values.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

namespace norma::rt {
namespace {

constexpr const char *kPmixVersion = NORMA_PMIX_VERSION; // empty: without

std::string yes_no(bool value) {
    return value ? "yes" : "no";
}

std::string number(const std::optional<std::uint64_t> &value) {
    return value ? fmt::format("{}", *value) : "not there";
}

std::string limit(std::uint64_t value) {
    return value == RLIM_INFINITY ? "unlimited" : format_bytes(value);
}

std::string list(const std::vector<std::string> &items) {
    return items.empty() ? "none" : fmt::format("{}", fmt::join(items, ", "));
}

Section build_section() {
    const BuildInfo &build = build_info();
    return {"Build",
            {{"version", std::string(build.version)},
             {"commit", std::string(build.commit)},
             {"compiler", std::string(build.compiler)},
             {"type", std::string(build.build_type)},
             {"sanitizers", build.sanitizers.empty() ? "none" : std::string(build.sanitizers)},
             {"UCX", ucx_version()},
             {"PMIx", *kPmixVersion != '\0' ? kPmixVersion : "not built in: no jobs that srun or mpirun start"}}};
}

Section fault_section(const UserfaultReport &report) {
    return {"Page faults (userfaultfd)",
            {{"mode", fmt::format("{}: {}", mode_name(report.mode), mode_meaning(report.mode))},
             {"system call, full", yes_no(report.by_call)},
             {"system call, user only", yes_no(report.by_call_user)},
             {"/dev/userfaultfd", report.by_device    ? "yes"
                                  : report.has_device ? "there, but may not be opened"
                                                      : "no"},
             {"vm.unprivileged_userfaultfd", number(report.sysctl)},
             {"features missing", list(report.missing_features)}}};
}

Section host_section(const Findings &findings) {
    const HostReport &host = findings.host;
    return {"Machine",
            {{"kernel", host.kernel},
             {"memory", fmt::format("{} MiB", host.memory >> 20)},
             {"page size", format_bytes(4096)},
             {"fixed addresses", yes_no(host.fixed_addresses)},
             {"memfd_create", yes_no(host.memfd)},
             {"pidfd_open", yes_no(host.pidfd)},
             {"address window", host.window_error == 0 ? "can be set aside" : "cannot be set aside"},
             {"vm.max_map_count", number(host.max_map_count)},
             {"vm.overcommit_memory", number(host.overcommit)},
             {"vm.nr_hugepages", number(host.huge_pages)},
             {"transparent huge pages", host.transparent_huge_pages.empty() ? "no" : host.transparent_huge_pages},
             {"free in /dev/shm", fmt::format("{} MiB", host.shm_free >> 20)},
             {"limit: locked memory", limit(host.lock_limit)},
             {"limit: open files", limit(host.file_limit)},
             {"limit: address space", limit(host.space_limit)}}};
}

Section network_section(const Findings &findings) {
    return {"Network",
            {{"UCX transports", list(findings.transports)},
             {"RDMA devices", list(findings.rdma_devices)},
             {"RDMA addresses", list(findings.rdma.addresses)},
             {"-x verbs would use", findings.rdma.usable ? findings.rdma.choice : "none"}}};
}

Section topology_section() {
    const Topology found = topology();
    return {"Processors (hwloc)",
            {{"packages", fmt::format("{}", found.packages)},
             {"NUMA nodes", fmt::format("{}", found.numa_nodes)},
             {"cores", fmt::format("{}", found.cores)},
             {"hardware threads", fmt::format("{}", found.threads)},
             {"of these allowed", fmt::format("{}", found.allowed_threads)},
             {"caches", found.caches},
             {"binding", found.binding}}};
}

} // namespace

Findings find_out(const char *const *environment) {
    Findings findings;
    findings.config_mistakes = config_mistakes(environment);
    const char *const nothing = nullptr;
    findings.config = load_config(findings.config_mistakes.empty() ? environment : &nothing);
    findings.host = probe_host(findings.config);
    findings.transports = ucx_transports();
    findings.rdma_devices = rdma_devices();
    findings.rdma = rdma_report(findings.config);
    return findings;
}

std::vector<Section> describe(const Findings &findings) {
    return {build_section(), fault_section(findings.host.userfault), host_section(findings), network_section(findings),
            topology_section()};
}

std::vector<Setting> settings(const char *const *environment) {
    std::vector<Setting> found;
    for (const Variable &variable : variables()) {
        if (variable.internal) {
            continue;
        }
        const auto given = given_value(environment, variable.name);
        found.push_back({std::string(variable.name), std::string(given.value_or(variable.fallback)),
                         std::string(variable.fallback), allowed_values(variable), std::string(variable.meaning),
                         given.has_value()});
    }
    return found;
}

} // namespace norma::rt

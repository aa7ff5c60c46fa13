// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/devices.hpp"

#include "rpc/verbs/devices.hpp"
#include "runtime/values.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <hwloc.h>
#include <infiniband/verbs.h>
#include <memory>
#include <stdexcept>
#include <ucp/api/ucp.h>
#include <ucs/config/global_opts.h>
#include <uct/api/uct.h>

namespace norma::rt {
namespace {

void add_transports(uct_md_h md, std::vector<std::string> &transports) {
    uct_tl_resource_desc_t *resources = nullptr;
    unsigned count = 0;
    if (uct_md_query_tl_resources(md, &resources, &count) != UCS_OK) {
        return;
    }
    for (unsigned i = 0; i < count; ++i) {
        transports.push_back(fmt::format("{}/{}", resources[i].tl_name, resources[i].dev_name));
    }
    uct_release_tl_resource_list(resources);
}

void add_transports(uct_component_h component, std::vector<std::string> &transports) {
    uct_component_attr_t attributes{};
    attributes.field_mask = UCT_COMPONENT_ATTR_FIELD_MD_RESOURCE_COUNT;
    if (uct_component_query(component, &attributes) != UCS_OK || attributes.md_resource_count == 0) {
        return;
    }
    std::vector<uct_md_resource_desc_t> resources(attributes.md_resource_count);
    attributes.field_mask = UCT_COMPONENT_ATTR_FIELD_MD_RESOURCES;
    attributes.md_resources = resources.data();
    if (uct_component_query(component, &attributes) != UCS_OK) {
        return;
    }
    for (const auto &resource : resources) {
        uct_md_config_t *config = nullptr;
        if (uct_md_config_read(component, nullptr, nullptr, &config) != UCS_OK) {
            continue;
        }
        uct_md_h md = nullptr;
        if (uct_md_open(component, resource.md_name, config, &md) == UCS_OK) {
            add_transports(md, transports);
            uct_md_close(md);
        }
        uct_config_release(config);
    }
}

std::string describe(ibv_device *device) {
    std::string text = ibv_get_device_name(device);
    const std::unique_ptr<ibv_context, decltype(&ibv_close_device)> context(ibv_open_device(device), &ibv_close_device);
    ibv_port_attr port{};
    if (context == nullptr) {
        return text + " (cannot be opened)";
    }
    if (ibv_query_port(context.get(), 1, &port) != 0) {
        return text;
    }
    return fmt::format("{} (port 1 {}, {})", text, port.state == IBV_PORT_ACTIVE ? "active" : "not active",
                       port.link_layer == IBV_LINK_LAYER_ETHERNET ? "Ethernet" : "InfiniBand");
}

unsigned count(hwloc_topology_t topology, hwloc_obj_type_t type) {
    return unsigned(std::max(0, hwloc_get_nbobjs_by_type(topology, type)));
}

std::string caches(hwloc_topology_t topology) {
    struct Level {
        hwloc_obj_type_t type;
        const char *name;
    };
    constexpr std::array kLevels = {Level{HWLOC_OBJ_L1CACHE, "L1"}, Level{HWLOC_OBJ_L2CACHE, "L2"},
                                    Level{HWLOC_OBJ_L3CACHE, "L3"}};
    std::vector<std::string> found;
    for (const Level &level : kLevels) {
        if (const hwloc_obj_t cache = hwloc_get_obj_by_type(topology, level.type, 0); cache != nullptr) {
            found.push_back(fmt::format("{} {}", level.name, format_bytes(cache->attr->cache.size)));
        }
    }
    return found.empty() ? "not known" : fmt::format("{}", fmt::join(found, ", "));
}

} // namespace

std::string ucx_version() {
    return ucp_get_version_string();
}

std::vector<std::string> ucx_transports() {
    // What cannot be opened is left out of the list; UCX need not complain about it too.
    ucs_global_opts_set_value("LOG_LEVEL", "fatal");
    std::vector<std::string> transports;
    uct_component_h *components = nullptr;
    unsigned number = 0;
    if (uct_query_components(&components, &number) != UCS_OK) {
        return transports;
    }
    for (unsigned i = 0; i < number; ++i) {
        add_transports(components[i], transports);
    }
    uct_release_component_list(components);
    std::ranges::sort(transports);
    transports.erase(std::unique(transports.begin(), transports.end()), transports.end());
    return transports;
}

std::vector<std::string> rdma_devices() {
    std::vector<std::string> names;
    int number = 0;
    const std::unique_ptr<ibv_device *, decltype(&ibv_free_device_list)> devices(ibv_get_device_list(&number),
                                                                                 &ibv_free_device_list);
    for (int i = 0; devices != nullptr && i < number; ++i) {
        names.push_back(describe(devices.get()[i]));
    }
    return names;
}

RdmaReport rdma_report(const Config &config) {
    RdmaReport report;
    const auto candidates = rpc::verbs::find_candidates(rpc::verbs::system_provider());
    for (const auto &candidate : candidates) {
        report.addresses.push_back(candidate.text());
    }
    try {
        report.choice = rpc::verbs::choose(candidates, {.device = config.verbs_device,
                                                        .port = config.verbs_port,
                                                        .gid_index = config.verbs_gid_index})
                            .text();
        report.usable = true;
    } catch (const std::runtime_error &error) {
        report.choice = error.what();
    }
    return report;
}

Topology topology() {
    Topology found;
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0) {
        found.binding = "hwloc cannot be used";
        return found;
    }
    const std::unique_ptr<hwloc_topology, decltype(&hwloc_topology_destroy)> owner(raw, &hwloc_topology_destroy);
    if (hwloc_topology_load(raw) != 0) {
        found.binding = "hwloc cannot read this machine";
        return found;
    }
    found.packages = count(raw, HWLOC_OBJ_PACKAGE);
    found.numa_nodes = count(raw, HWLOC_OBJ_NUMANODE);
    found.cores = count(raw, HWLOC_OBJ_CORE);
    found.threads = count(raw, HWLOC_OBJ_PU);
    found.caches = caches(raw);
    const hwloc_cpuset_t allowed = hwloc_bitmap_alloc();
    if (hwloc_get_cpubind(raw, allowed, HWLOC_CPUBIND_PROCESS) == 0) {
        found.allowed_threads = unsigned(std::max(0, hwloc_bitmap_weight(allowed)));
    }
    hwloc_bitmap_free(allowed);
    found.binding = hwloc_topology_get_support(raw)->cpubind->set_thisproc_cpubind != 0 ? "processes can be bound"
                                                                                        : "processes cannot be bound";
    return found;
}

} // namespace norma::rt

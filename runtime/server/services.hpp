// SPDX-License-Identifier: BSD-3-Clause
// What a node knows of things that were made there and are used from elsewhere: synchronisation objects, processes,
// tables that tasks share, open files among them, names of memory, what has become of tasks, and ports. It goes to
// another node when this one leaves the job (docs/draining.md).
#pragma once

#include "runtime/families.hpp"
#include "runtime/moved_files.hpp"
#include "runtime/server/open_again.hpp"
#include "runtime/server/port_service.hpp"
#include "runtime/server/task.hpp"
#include "runtime/sharing.hpp"
#include "runtime/sync.hpp"

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace norma::rt {

class Node;

struct Services {
    explicit Services(dsm::NodeId node)
        : sync(node, 0), families(node), groups(node), ports(std::make_shared<MovedPorts>(node)) {}

    SyncHome sync;
    Families families;
    Groups groups;
    std::map<std::string, dsm::ObjectId> names;
    std::map<TaskId, EndedTask> ended;
    std::set<Key> priv_keys;
    MovedFiles files;
    OpenedFiles opened;                // `files`, on this node, when they have been
    std::shared_ptr<MovedPorts> ports; // also of who asks for their rights
};

// What a node has of them, wherever it has it.
struct ServicesView {
    const SyncHome &sync;
    const Families &families;
    const Groups &groups;
    const std::map<std::string, dsm::ObjectId> &names;
    const std::map<TaskId, EndedTask> &ended;
    std::set<Key> priv_keys;
    const MovedFiles &files;
    PortsView ports;
};
ServicesView services_of(const Node &node, const MovedFiles &files);

std::vector<std::byte> encode(const ServicesView &services);
// Of the job's node `from`. No value: they are damaged.
std::optional<Services> decode_services(std::span<const std::byte> bytes, dsm::NodeId from, unsigned nodes);
// They are this node's from now on.
void take_over(Node &node, Services services);

} // namespace norma::rt

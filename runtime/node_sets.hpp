// SPDX-License-Identifier: BSD-3-Clause
// Sets of nodes, as node servers tell each other: how many, then each.
#pragma once

#include "dsm/core/core.hpp"

#include "rpc/wire.hpp"

namespace norma::rt {

inline void put_nodes(rpc::Writer &writer, const dsm::NodeSet &nodes) {
    writer.put(static_cast<std::uint16_t>(nodes.count()));
    for (dsm::NodeId node = 0; node < dsm::kMaxNodes; ++node) {
        if (nodes[node]) {
            writer.put(node);
        }
    }
}

// False: one is none of so many.
inline bool get_nodes(rpc::Reader &reader, unsigned count, dsm::NodeSet &nodes) {
    for (auto left = reader.get<std::uint16_t>(); left > 0 && reader.ok(); --left) {
        const auto node = reader.get<dsm::NodeId>();
        if (node >= count) {
            return false;
        }
        nodes.set(node);
    }
    return reader.ok();
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// The name space of a task on its way to another node (docs/migration.md): as many records as it needs. Pure.
#pragma once

#include "runtime/names.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace norma::rt {

struct MovedNames {
    std::uint32_t next = 0; // name that is to be given next
    std::vector<std::pair<std::uint32_t, NameSpace::Entry>> names;
    Slots slots; // of threads; the others go as those of a clone
};

std::vector<std::byte> encode(const MovedNames &moved);
// Each small enough for a request between node servers; at least one.
std::vector<std::vector<std::byte>> encode_moved(const NameSpace &names);
std::optional<MovedNames> decode_moved_names(std::span<const std::byte> bytes); // no value: no task can have these

} // namespace norma::rt

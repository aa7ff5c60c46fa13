// SPDX-License-Identifier: BSD-3-Clause
// The pages of a job that nodes fetch from each other most often, as all of them say together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/control_client.hpp"

namespace norma::rt {

struct HottestPage {
    struct Node {
        std::uint16_t node = 0;
        std::uint64_t reads = 0, writes = 0; // how often its threads had to wait for the page
        std::uint64_t times() const { return reads + writes; }
    };
    Stretch stretch;
    std::uint64_t offset = 0;
    std::uint64_t address = 0; // in a task that maps it; 0: there is none
    std::string name;          // of its object, if it has one
    std::vector<Node> nodes;   // that fetched it, most often first
    std::uint64_t times() const;
};

// What nodes that were seen both times fetched in between, the hottest page first.
std::vector<HottestPage> hottest_pages(const JobView &before, const JobView &now);

std::string format_object(const HottestPage &page); // "0.7", "0.7/2" of a copy, "0.7 grid"
std::string hottest_page_json(const HottestPage &page);

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/cli/hottest_pages.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "runtime/cli/json.hpp"
#include "runtime/launcher_say.hpp"

namespace norma::rt {
namespace {

using Place = std::pair<Stretch, std::uint64_t>; // and the offset

Place place_of(const HotPageReport &page) {
    return {page.stretch, page.offset};
}

// A page that left the node's list and came back counts from there.
std::uint64_t since(std::uint64_t before, std::uint64_t now) {
    return now < before ? now : now - before;
}

std::string number_of(const HottestPage &page) {
    const auto &[object, copy] = page.stretch;
    const auto number = fmt::format("{}.{}", object.home, object.serial);
    return copy == 0 ? number : fmt::format("{}/{}", number, copy);
}

} // namespace

std::uint64_t HottestPage::times() const {
    std::uint64_t times = 0;
    for (const auto &node : nodes) {
        times += node.times();
    }
    return times;
}

std::vector<HottestPage> hottest_pages(const JobView &before, const JobView &now) {
    std::map<Place, HottestPage> found;
    std::map<dsm::ObjectId, std::string> names;
    for (std::size_t index = 0; index < std::min(before.nodes.size(), now.nodes.size()); ++index) {
        const auto &a = before.nodes[index].report, &b = now.nodes[index].report;
        if (!a || !b) {
            continue;
        }
        std::map<Place, HotPageReport> earlier;
        for (const auto &page : a->hot_pages) {
            earlier[place_of(page)] = page;
        }
        for (const auto &page : b->hot_pages) {
            const auto &then = earlier[place_of(page)];
            const HottestPage::Node node{
                .node = b->node, .reads = since(then.reads, page.reads), .writes = since(then.writes, page.writes)};
            if (node.times() != 0) {
                auto &hot = found[place_of(page)];
                hot.stretch = page.stretch;
                hot.offset = page.offset;
                hot.address = hot.address != 0 ? hot.address : page.address;
                hot.nodes.push_back(node);
            }
        }
        for (const auto &named : b->names) {
            names[named.object] = named.name;
        }
    }
    std::vector<HottestPage> pages;
    for (auto &[place, page] : found) {
        page.name = names[page.stretch.object];
        std::ranges::stable_sort(page.nodes, std::greater{}, &HottestPage::Node::times);
        pages.push_back(std::move(page));
    }
    std::ranges::stable_sort(pages, std::greater{}, &HottestPage::times);
    return pages;
}

std::string format_object(const HottestPage &page) {
    return page.name.empty() ? number_of(page) : fmt::format("{} {}", number_of(page), printable(page.name));
}

std::string hottest_page_json(const HottestPage &page) {
    std::vector<std::string> nodes;
    for (const auto &node : page.nodes) {
        nodes.push_back(json::object({{"node", json::number(node.node)},
                                      {"reads", json::number(node.reads)},
                                      {"writes", json::number(node.writes)}}));
    }
    return json::object({{"object", json::text(number_of(page))},
                         {"name", json::text(page.name)},
                         {"offset", json::number(page.offset)},
                         {"address", json::number(page.address)},
                         {"nodes", json::list(nodes)}});
}

} // namespace norma::rt

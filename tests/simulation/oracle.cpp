// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/oracle.hpp"

#include <fmt/format.h>

namespace norma::sim {

void Oracle::fresh(PageNumber first, std::uint64_t count, NodeId home) {
    for (std::uint64_t i = 0; i < count; ++i) {
        pages_[first + i] = Record{.version = 0, .home = home, .writer = home, .mapped = {}};
    }
}

Oracle::Record *Oracle::find(PageNumber page) {
    const auto found = pages_.find(page);
    if (found == pages_.end()) {
        wrong_(fmt::format("page {:#x} is mapped but was never allocated", page));
        return nullptr;
    }
    return &found->second;
}

void Oracle::holds(PageNumber page, NodeId node) {
    if (auto *record = find(page)) {
        record->mapped.set(node);
    }
}

// One writer or many readers, sequentially consistent: what is seen is the last write, in the order of time.
void Oracle::judge(PageNumber page, NodeId node, const Content &seen, const Record &record) {
    if (seen.version != record.version) {
        wrong_(fmt::format("node {} sees write {} of page {:#x}, but the last is {}, by node {}", node, seen.version,
                           page, record.version, record.writer));
    } else if (seen.version != 0 && seen.page != page) {
        wrong_(fmt::format("node {} sees the bytes of page {:#x} in page {:#x}", node, seen.page, page));
    }
}

void Oracle::read(PageNumber page, NodeId node, const Content &seen) {
    ++reads_;
    if (const auto *record = find(page)) {
        judge(page, node, seen, *record);
    }
}

Content Oracle::write(PageNumber page, NodeId node, const Content &seen) {
    ++writes_;
    auto *record = find(page);
    if (record == nullptr) {
        return {};
    }
    judge(page, node, seen, *record); // a store changes a part of a page: the rest must be the present one
    record->writer = node;
    return {.page = page, .version = ++record->version};
}

void Oracle::poisoned(PageNumber page, NodeId node) {
    ++poisons_;
    const auto *record = find(page);
    if (record != nullptr && !dead_[record->home] && (record->mapped & dead_).none()) {
        wrong_(fmt::format("page {:#x} is lost to node {}, but no node that ever had it has died", page, node));
    }
}

bool Oracle::home_is_dead(PageNumber page) const {
    const auto found = pages_.find(page);
    return found != pages_.end() && dead_[found->second.home];
}

void Oracle::locked(std::uint64_t mutex, std::uint64_t actor) {
    const auto [found, free] = holders_.try_emplace(mutex, actor);
    if (!free) {
        wrong_(fmt::format("mutex {:#x} was given to thread {} while thread {} has it", mutex, actor, found->second));
    }
}

void Oracle::unlocks(std::uint64_t mutex, std::uint64_t actor) {
    const auto found = holders_.find(mutex);
    if (found != holders_.end() && found->second == actor) {
        holders_.erase(found);
    }
}

void Oracle::actor_ended(std::uint64_t actor) {
    std::erase_if(holders_, [actor](const auto &entry) { return entry.second == actor; });
}

void Oracle::passes(unsigned round, unsigned participants) {
    if (arrived_[round] < participants) {
        wrong_(fmt::format("a barrier of {} let a thread pass in round {} when {} had arrived", participants, round,
                           arrived_[round]));
    }
}

} // namespace norma::sim

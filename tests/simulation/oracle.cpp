// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/oracle.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace norma::sim {

void Oracle::fresh(View view, PageNumber first, std::uint64_t count, NodeId home) {
    for (std::uint64_t i = 0; i < count; ++i) {
        auto &record = *(views_.at(view)[first + i] = std::make_shared<Record>());
        record.place = first + i;
        record.memory = next_memory_++;
        record.home = record.writer = home;
    }
}

Oracle::Record *Oracle::find(View view, PageNumber page) {
    const auto found = views_.at(view).find(page);
    if (found == views_[view].end()) {
        wrong_(fmt::format("page {:#x} is mapped but was never allocated or inherited (view {})", page, view));
        return nullptr;
    }
    return found->second.get();
}

void Oracle::holds(View view, PageNumber page, NodeId node) {
    if (auto *record = find(view, page)) {
        record->mapped.set(node);
    }
}

View Oracle::copying(View parent, const std::vector<Inherited> &parts) {
    const auto child = static_cast<View>(views_.size());
    auto &pages = views_.emplace_back();
    const auto moment = copying_[child] = std::make_shared<Moment>(Moment{.earliest = ++now_, .latest = UINT64_MAX});
    for (const auto &part : parts) {
        for (auto page = part.first; part.how != Inheritance::none && page < part.first + part.pages; ++page) {
            const auto found = views_[parent].find(page);
            if (found == views_[parent].end()) {
                continue;
            }
            auto &record = pages[page] = found->second;
            if (part.how == Inheritance::copy) {
                record = std::make_shared<Record>();
                record->place = found->second->place;
                record->memory = next_memory_++;
                record->source = found->second;
                record->moment = moment;
                record->home = record->writer = found->second->home;
            }
        }
    }
    return child;
}

void Oracle::copied(View child) {
    const auto found = copying_.find(child);
    found->second->latest = std::min(found->second->latest, ++now_);
    copying_.erase(found);
}

void Oracle::shared(View from, PageNumber first, std::uint64_t count, View with, PageNumber at) {
    for (std::uint64_t i = 0; i < count; ++i) {
        if (const auto found = views_.at(from).find(first + i); found != views_[from].end()) {
            const auto record = found->second;
            views_.at(with)[at + i] = record;
        }
    }
}

// Whether the content can be that of the record's page at the moment (null: now), which is then narrowed down.
bool Oracle::fits(const Content &seen, const Record &record, Moment *moment) {
    const auto &writes = record.writes;
    const bool own = seen.memory == record.memory;
    const auto version = own ? seen.version : 0; // 0: as it was before the first write
    if (version > writes.size() || (moment == nullptr && version != writes.size())) {
        return false;
    }
    if (moment != nullptr) {
        if (version < writes.size()) {
            ++old_reads_;
            moment->latest = std::min(moment->latest, writes[version] - 1);
        }
        moment->earliest = std::max(moment->earliest, version == 0 ? 0 : writes[version - 1]);
    }
    const bool in_order = moment == nullptr || moment->earliest <= moment->latest;
    if (own) {
        return in_order && version > 0;
    }
    return in_order && (record.source == nullptr ? seen == Content{} : fits(seen, *record.source, record.moment.get()));
}

// One writer or many readers, sequentially consistent: what is seen is the last write, in the order of time. The first
// sight of a copy is the last write before a moment that all pages of the copy have in common.
void Oracle::judge(PageNumber page, NodeId node, const Content &seen, const Record &record) {
    if (seen.version != 0 && seen.page != record.place) {
        wrong_(fmt::format("node {} sees the bytes of page {:#x} in page {:#x}", node, seen.page, page));
    } else if (!fits(seen, record, nullptr)) {
        wrong_(fmt::format("node {} sees write {} of page {:#x} in memory {}, but the last is {}, by node {}, in "
                           "memory {}{}",
                           node, seen.version, page, seen.memory, record.writes.size(), record.writer, record.memory,
                           record.source == nullptr ? "" : ", a copy of one moment"));
    }
}

void Oracle::read(View view, PageNumber page, NodeId node, const Content &seen) {
    ++reads_;
    if (const auto *record = find(view, page)) {
        judge(page, node, seen, *record);
    }
}

Content Oracle::write(View view, PageNumber page, NodeId node, const Content &seen) {
    ++writes_;
    auto *record = find(view, page);
    if (record == nullptr) {
        return {};
    }
    judge(page, node, seen, *record); // a store changes a part of a page: the rest must be the present one
    record->writer = node;
    record->writes.push_back(++now_);
    writes_meanwhile_ += copying_.empty() ? 0 : 1;
    return {.page = record->place, .version = record->writes.size(), .memory = record->memory};
}

bool Oracle::may_be_lost(const Record &record) const {
    return dead_[record.home] || (record.mapped & dead_).any() ||
           (record.source != nullptr && may_be_lost(*record.source));
}

void Oracle::poisoned(View view, PageNumber page, NodeId node) {
    ++poisons_;
    const auto *record = find(view, page);
    if (record != nullptr && !may_be_lost(*record)) {
        wrong_(fmt::format("page {:#x} is lost to node {}, but no node that ever had it has died", page, node));
    }
}

bool Oracle::home_is_dead(View view, PageNumber page) const {
    const auto found = views_.at(view).find(page);
    return found != views_[view].end() && dead_[found->second->home];
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

std::uint64_t Oracle::holder(std::uint64_t mutex) const {
    const auto found = holders_.find(mutex);
    return found == holders_.end() ? 0 : found->second;
}

bool Oracle::has_lock(std::uint64_t actor) const {
    return std::ranges::any_of(holders_, [actor](const auto &entry) { return entry.second == actor; });
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

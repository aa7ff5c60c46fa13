// SPDX-License-Identifier: BSD-3-Clause
#include "tests/history/check.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

namespace history {

namespace {

constexpr std::int64_t kBeforeAll = std::numeric_limits<std::int64_t>::min();

bool reads(const Operation &operation) {
    return operation.kind != Kind::write;
}
bool writes(const Operation &operation) {
    return operation.kind != Kind::read;
}

// One write, all that read from it, and the update that follows it, if any.
struct Cluster {
    const Operation *writer = nullptr;
    std::vector<const Operation *> readers;
    const Operation *update = nullptr;
};

struct Chain {
    const Operation *earliest_end = nullptr;
    const Operation *latest_begin = nullptr;

    void take(const Operation &operation) {
        if (earliest_end == nullptr || operation.end < earliest_end->end) {
            earliest_end = &operation;
        }
        if (latest_begin == nullptr || operation.begin > latest_begin->begin) {
            latest_begin = &operation;
        }
    }
};

// The operations on one location.
class Location {
  public:
    explicit Location(std::span<const Operation> operations) : operations_(operations) {
        initial_ = {.kind = Kind::write,
                    .thread = 0,
                    .location = operations.front().location,
                    .read = 0,
                    .written = kInitial,
                    .begin = kBeforeAll,
                    .end = kBeforeAll};
    }

    std::optional<std::string> fault() {
        if (auto wrong = make_clusters()) {
            return wrong;
        }
        if (auto wrong = make_chains()) {
            return wrong;
        }
        return compare_chains();
    }

  private:
    static std::string say(const char *what, const Operation &one, const Operation &other) {
        return fmt::format("location {}: {}: {}; {}", one.location, what, describe(one), describe(other));
    }

    std::optional<std::string> make_clusters() {
        clusters_[kInitial].writer = &initial_;
        for (const auto &operation : operations_) {
            if (operation.end < operation.begin) {
                return fmt::format("location {}: ends before it begins: {}", operation.location, describe(operation));
            }
            if (writes(operation)) {
                auto &cluster = clusters_[operation.written];
                if (cluster.writer != nullptr) {
                    return say("a value was written twice", *cluster.writer, operation);
                }
                cluster.writer = &operation;
            }
        }
        for (const auto &operation : operations_) {
            if (!reads(operation)) {
                continue;
            }
            const auto found = clusters_.find(operation.read);
            if (found == clusters_.end()) {
                return fmt::format("location {}: read what nobody wrote: {}", operation.location, describe(operation));
            }
            auto &cluster = found->second;
            if (operation.kind == Kind::read) {
                cluster.readers.push_back(&operation);
            } else if (cluster.update != nullptr) {
                return say("two updates of one value, so one of them is lost", *cluster.update, operation);
            } else {
                cluster.update = &operation;
            }
        }
        return std::nullopt;
    }

    std::optional<std::string> make_chains() {
        std::size_t placed = 0;
        for (const auto &[value, first] : clusters_) {
            if (first.writer->kind == Kind::update) {
                continue; // not the first of its chain
            }
            Chain chain;
            for (const auto *cluster = &first; cluster != nullptr;
                 cluster = cluster->update == nullptr ? nullptr : &clusters_.at(cluster->update->written)) {
                ++placed;
                if (auto wrong = append(chain, *cluster)) {
                    return wrong;
                }
            }
            chains_.push_back(chain);
        }
        if (placed != clusters_.size()) {
            return fmt::format("location {}: updates that read from one another in a circle",
                               operations_.front().location);
        }
        return std::nullopt;
    }

    // Adds writer and readers; the update that ends the cluster is the writer of the next.
    static std::optional<std::string> append(Chain &chain, const Cluster &cluster) {
        if (auto wrong = late(chain, *cluster.writer)) {
            return wrong;
        }
        chain.take(*cluster.writer);
        for (const auto *reader : cluster.readers) {
            if (auto wrong = late(chain, *reader)) {
                return wrong;
            }
        }
        for (const auto *reader : cluster.readers) {
            chain.take(*reader);
        }
        return std::nullopt;
    }

    static std::optional<std::string> late(const Chain &chain, const Operation &next) {
        if (chain.latest_begin != nullptr && next.end < chain.latest_begin->begin) {
            return say("the second was over before the first began, which it depends on", *chain.latest_begin, next);
        }
        return std::nullopt;
    }

    // In the order of their earliest ends: for B, the A before it whose latest begin is latest, among those that have
    // an end before B's latest begin.
    std::optional<std::string> compare_chains() {
        std::ranges::sort(chains_, {}, [](const Chain &chain) { return chain.earliest_end->end; });
        std::vector<const Chain *> latest; // of the chains up to here
        for (const auto &chain : chains_) {
            const bool later = latest.empty() || chain.latest_begin->begin > latest.back()->latest_begin->begin;
            latest.push_back(later ? &chain : latest.back());
        }
        for (std::size_t b = 1; b < chains_.size(); ++b) {
            const auto &chain = chains_[b];
            const auto before = std::ranges::partition_point(
                chains_, [&](const Chain &other) { return other.earliest_end->end < chain.latest_begin->begin; });
            const auto count = std::min(b, static_cast<std::size_t>(before - chains_.begin()));
            if (count == 0 || latest[count - 1]->latest_begin->begin <= chain.earliest_end->end) {
                continue;
            }
            const auto &other = *latest[count - 1];
            return fmt::format("location {}: neither can come first: {} is over before {} begins, and {} before {}",
                               operations_.front().location, describe(*other.earliest_end),
                               describe(*chain.latest_begin), describe(*chain.earliest_end),
                               describe(*other.latest_begin));
        }
        return std::nullopt;
    }

    std::span<const Operation> operations_;
    Operation initial_;
    std::unordered_map<std::uint64_t, Cluster> clusters_; // by value
    std::vector<Chain> chains_;
};

// Of operations that never ended it is not known whether they happened. A read says nothing; a write or update has
// happened if its value was seen, and is then a write that may come at any time after its begin: what an update read
// is not known either. Left out of a right history, it leaves a right one.
std::size_t drop_unknown(std::vector<Operation> &operations) {
    std::set<std::pair<std::uint64_t, std::uint64_t>> wanted; // location and value of those that never ended
    for (const auto &operation : operations) {
        if (operation.end == kNever && writes(operation)) {
            wanted.emplace(operation.location, operation.written);
        }
    }
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
    for (const auto &operation : operations) {
        if (operation.end != kNever && reads(operation) && wanted.contains({operation.location, operation.read})) {
            seen.emplace(operation.location, operation.read);
        }
    }
    const auto dropped = std::erase_if(operations, [&](const Operation &operation) {
        return operation.end == kNever &&
               (!writes(operation) || !seen.contains({operation.location, operation.written}));
    });
    for (auto &operation : operations) {
        operation.kind = operation.end == kNever ? Kind::write : operation.kind;
    }
    return dropped;
}

} // namespace

std::string describe(const Operation &operation) {
    const auto when = operation.end == kNever ? fmt::format("from {} ns", operation.begin)
                                              : fmt::format("from {} to {} ns", operation.begin, operation.end);
    if (operation.begin == kBeforeAll) {
        return "the initial value";
    }
    switch (operation.kind) {
    case Kind::read:
        return fmt::format("thread {} read {:#x} {}", operation.thread, operation.read, when);
    case Kind::write:
        return fmt::format("thread {} wrote {:#x} {}", operation.thread, operation.written, when);
    case Kind::update:
        break;
    }
    return fmt::format("thread {} read {:#x} and wrote {:#x} {}", operation.thread, operation.read, operation.written,
                       when);
}

Report check(std::vector<Operation> operations) {
    Report report;
    report.unknown = drop_unknown(operations);
    report.operations = operations.size();
    std::ranges::stable_sort(operations, {}, &Operation::location);
    for (auto first = operations.begin(); first != operations.end();) {
        const auto last = std::find_if(first, operations.end(),
                                       [&](const Operation &other) { return other.location != first->location; });
        ++report.locations;
        if (auto fault = Location({first, last}).fault()) {
            report.faults.push_back(std::move(*fault));
        }
        first = last;
    }
    return report;
}

} // namespace history

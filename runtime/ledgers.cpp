// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/ledgers.hpp"

#include <algorithm>
#include <cassert>

namespace norma::rt {

Ledger::Ledger(LedgerId id, LedgerPtr parent, std::uint64_t granted)
    : id_(id), resource_(parent->resource()), parent_(std::move(parent)), depth_(parent_->depth() + 1), limit_(granted),
      granted_(granted) {}

void Ledger::release(std::uint64_t bytes) {
    assert(bytes <= balance_);
    balance_ -= bytes;
    if (terminated_ && balance_ < limit_) {
        parent_->take_back(unused());
        limit_ = balance_;
    }
}

bool Ledger::grant(std::uint64_t bytes) {
    if (terminated_ || (limit_ != kNoLimit && (bytes == kNoLimit || bytes > unused()))) {
        return false;
    }
    limit_ -= limit_ == kNoLimit ? 0 : bytes;
    return true;
}

bool Ledger::transfer(Ledger &to, std::uint64_t bytes) {
    const bool can_take = to.parent_.get() == this && !to.terminated_ && to.granted_ < kNoLimit - bytes;
    if (!can_take || !grant(bytes)) {
        return false;
    }
    to.limit_ += bytes;
    to.granted_ += bytes;
    return true;
}

void Ledger::terminate() {
    assert(parent_ != nullptr && !terminated_);
    terminated_ = true;
    if (limit_ != kNoLimit) {
        parent_->take_back(unused());
    }
    limit_ = std::min(limit_, balance_);
}

// Something that was granted is not needed below any more.
void Ledger::take_back(std::uint64_t bytes) {
    if (terminated_) {
        parent_->take_back(bytes);
    } else if (limit_ != kNoLimit) {
        limit_ += bytes;
    }
}

LedgerBook::LedgerBook(dsm::NodeId self, std::uint32_t incarnation)
    : next_id_(std::uint64_t{self} << 48 | std::uint64_t{incarnation & 0xffff} << 32 | kResources) {
    for (std::size_t i = 0; i < kResources; ++i) {
        roots_[i] = std::make_shared<Ledger>(i + 1, i);
    }
}

LedgerPtr LedgerBook::find(LedgerId id) const {
    if (id >= 1 && id <= kResources) {
        return roots_[id - 1];
    }
    const auto found = ledgers_.find(id);
    return found == ledgers_.end() || found->second->terminated() ? nullptr : found->second;
}

LedgerPtr LedgerBook::create(const LedgerPtr &parent, std::uint64_t granted) {
    forget_terminated();
    return make(next_id_ + 1, parent, granted) != nullptr ? ledgers_.at(++next_id_) : nullptr;
}

bool LedgerBook::are_made() const {
    constexpr unsigned kSerialBits = 32;
    return std::ranges::any_of(
        ledgers_, [this](const auto &entry) { return entry.first >> kSerialBits == next_id_ >> kSerialBits; });
}

LedgerPtr LedgerBook::make(LedgerId id, const LedgerPtr &parent, std::uint64_t granted) {
    if (parent->depth() == kDeepestLedger || !parent->grant(granted)) {
        return nullptr;
    }
    return ledgers_[id] = std::make_shared<Ledger>(id, parent, granted);
}

bool LedgerBook::draw(const LedgerMarks &marks, Ledgers &ledgers) {
    for (std::size_t i = 0; i < kResources; ++i) {
        ledgers[i] = follow(roots_[i], marks[i]);
        if (ledgers[i] == nullptr) {
            return false;
        }
    }
    return true;
}

LedgerPtr LedgerBook::follow(const LedgerPtr &root, const std::vector<LedgerMark> &path) {
    auto ledger = root;
    for (const auto &mark : path) {
        const auto known = ledgers_.find(mark.id);
        const auto next = known != ledgers_.end() ? known->second : make(mark.id, ledger, mark.granted);
        if (next == nullptr || next->parent() != ledger) {
            return nullptr;
        }
        ledger = next;
    }
    return ledger;
}

// While anything draws from one, it must be found again by its children: another one in its place would have room.
void LedgerBook::forget_terminated() {
    std::erase_if(ledgers_,
                  [](const auto &entry) { return entry.second->terminated() && entry.second.use_count() == 1; });
}

LedgerMarks marks_of(const Ledgers &ledgers) {
    LedgerMarks marks;
    for (std::size_t i = 0; i < kResources; ++i) {
        for (const auto *ledger = ledgers[i].get(); ledger->depth() > 0; ledger = ledger->parent().get()) {
            marks[i].push_back({.id = ledger->id(), .granted = ledger->granted()});
        }
        std::reverse(marks[i].begin(), marks[i].end());
    }
    return marks;
}

void put_marks(rpc::Writer &writer, const LedgerMarks &marks) {
    for (const auto &path : marks) {
        writer.put(static_cast<std::uint32_t>(path.size()));
        for (const auto &mark : path) {
            writer.put(mark.id).put(mark.granted);
        }
    }
}

bool get_marks(rpc::Reader &reader, LedgerMarks &marks) {
    bool sound = true;
    for (auto &path : marks) {
        path.resize(std::min<std::size_t>(reader.get_count(2 * sizeof(std::uint64_t)), kDeepestLedger + 1));
        for (auto &mark : path) {
            mark.id = reader.get<std::uint64_t>();
            mark.granted = reader.get<std::uint64_t>();
            sound = sound && mark.id > kResources;
        }
        sound = sound && path.size() <= kDeepestLedger;
    }
    return sound && reader.ok();
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// A state as bytes, for comparing, and as text, for people.
#include "dsm/core/sides.hpp"

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

namespace norma::dsm {

namespace {

class Bytes {
  public:
    template <class T> void put(T value) {
        static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
        auto rest = static_cast<std::uint64_t>(value);
        for (std::size_t i = 0; i < sizeof(T); ++i, rest >>= 8) {
            bytes_.push_back(static_cast<std::uint8_t>(rest));
        }
    }
    void put(const NodeSet &set) {
        put(static_cast<std::uint16_t>(set.count()));
        for_each_node(set, [this](NodeId node) { put(node); });
    }
    std::vector<std::uint8_t> take() { return std::move(bytes_); }

  private:
    std::vector<std::uint8_t> bytes_;
};

const char *name(Access access) {
    constexpr const char *kNames[] = {"none", "read", "write", "lost"};
    return kNames[static_cast<unsigned>(access)];
}

const char *name(MsgType type) {
    constexpr const char *kNames[] = {"?",     "get",    "forward", "inval",  "inval_ack", "data",    "grant",
                                      "done",  "fail",   "release", "freeze", "frozen",    "forget",  "moving",
                                      "ready", "record", "moved",   "home",   "orphan",    "homeless"};
    const auto index = static_cast<unsigned>(type);
    return index < std::size(kNames) ? kNames[index] : kNames[0];
}

std::string hex(std::uint64_t value) {
    std::string digits;
    do {
        digits.insert(digits.begin(), "0123456789abcdef"[value & 15]);
        value >>= 4;
    } while (value != 0);
    return "0x" + digits;
}

std::string list(const NodeSet &set) {
    std::string text = "{";
    for_each_node(set, [&text](NodeId node) { text += (text.size() > 1 ? "," : "") + std::to_string(node); });
    return text + "}";
}

} // namespace

// Slots are named by what is in them, never by their numbers: those depend on the order in which slots were freed.
std::vector<std::uint8_t> State::canonical() const {
    Bytes bytes;
    bytes.put(self_);
    bytes.put(down_);
    bytes.put(next_request_);
    bytes.put(next_transaction_);
    cache_.for_each([&](PageIndex index, const CachePage &page) {
        bytes.put(index);
        bytes.put(page.epoch);
        bytes.put(page.access);
        bytes.put(page.want);
        const bool is_base = page.request != kNoSlot && requests_[page.request].base == index;
        bytes.put(page.request != kNoSlot ? requests_[page.request].number : 0);
        bytes.put(is_base ? requests_[page.request].count : 0);
        bytes.put(is_base && requests_[page.request].write);
    });
    std::vector<Msg> deferred = deferred_; // the order among them makes no difference
    std::sort(deferred.begin(), deferred.end());
    for (const Msg &forward : deferred) {
        bytes.put(forward.txn);
        bytes.put(forward.base);
        bytes.put(forward.mask);
        bytes.put(forward.requester);
        bytes.put(forward.request);
        bytes.put(forward.write);
    }
    bytes.put(std::uint64_t{0}); // no transaction has number 0
    const auto put_get = [&](const Get &get) {
        bytes.put(true);
        bytes.put(get.request);
        bytes.put(get.base);
        bytes.put(get.count);
        bytes.put(get.from);
        bytes.put(get.write);
        bytes.put(get.have);
        bytes.put(get.release);
    };
    directory_.for_each([&](PageIndex index, const DirectoryPage &page) {
        bytes.put(index);
        bytes.put(page.sharers);
        bytes.put(page.owner);
        bytes.put(page.lost);
        bytes.put(page.busy != kNoSlot ? transactions_[page.busy].number : 0);
        if (page.busy != kNoSlot && transactions_[page.busy].get.base == index) {
            const Transaction &transaction = transactions_[page.busy];
            put_get(transaction.get);
            bytes.put(transaction.mask);
            bytes.put(transaction.waiting);
            bytes.put(transaction.supplier);
            bytes.put(transaction.phase);
            bytes.put(transaction.upgrade);
        }
        for (std::uint32_t slot = page.queue_first; slot != kNoSlot; slot = queue_[slot].next) {
            put_get(queue_[slot]);
        }
        bytes.put(false); // the end of the queue
        bytes.put(page.settled);
    });
    for (const auto &[stretch, txn] : floors_) {
        bytes.put(stretch);
        bytes.put(txn);
    }
    bytes.put(next_stretch_);
    for (const Stretch &stretch : line_) {
        bytes.put(stretch.number);
        bytes.put(stretch.freeze);
        bytes.put(stretch.freezes);
        bytes.put(stretch.ended);
        bytes.put(stretch.needed);
        bytes.put(stretch.given);
        bytes.put(stretch.writers);
        bytes.put(stretch.freezing);
        for (const auto &[key, get] : stretch.held) {
            put_get(get);
        }
        bytes.put(false);
    }
    bytes.put(home_);
    bytes.put(former_homes_);
    bytes.put(last_move_);
    if (move_) {
        bytes.put(move_->number);
        bytes.put(move_->to);
        bytes.put(move_->holders);
        bytes.put(move_->awaited);
        bytes.put(move_->announced);
    }
    bytes.put(move_.has_value());
    if (pause_) {
        bytes.put(pause_->number);
        bytes.put(pause_->next_home);
        bytes.put(pause_->ready);
        for (const auto &[page, window] : pause_->unsent) {
            bytes.put(page);
            bytes.put(window);
        }
        bytes.put(kEndOfPages);
        std::vector<Msg> records = pause_->records; // likewise
        if (pause_->moved) {
            records.push_back(*pause_->moved);
        }
        std::sort(records.begin(), records.end());
        for (const Msg &record : records) {
            bytes.put(record.type);
            bytes.put(record.base);
            bytes.put(record.mask);
            bytes.put(record.requester);
            bytes.put(record.write);
            bytes.put(record.lost);
        }
    }
    bytes.put(pause_.has_value());
    for (const auto &[orphan, number] : orphans_) {
        bytes.put(orphan);
        bytes.put(number);
    }
    return bytes.take();
}

std::string State::describe() const {
    std::string text = "node " + std::to_string(self_) + (is_home() ? " (home)" : "") + ", down " + list(down_) +
                       ", rejected " + std::to_string(rejected_) + ", late " + std::to_string(late_) + "\n";
    cache_.for_each([&](PageIndex index, const CachePage &page) {
        if (page.request == kNoSlot && page.want == 0 && page.epoch == 0 && page.access == Access::none) {
            return;
        }
        text += "  page " + std::to_string(index) + ": " + name(page.access) + ", epoch " + std::to_string(page.epoch);
        if (page.request != kNoSlot) {
            text += ", request " + std::to_string(requests_[page.request].number);
        }
        text += std::string((page.want & kWantRead) != 0 ? ", wants read" : "") +
                ((page.want & kWantWrite) != 0 ? ", wants write" : "") + "\n";
    });
    for (const Msg &forward : deferred_) {
        text += "  deferred: " + norma::dsm::describe(forward) + "\n";
    }
    directory_.for_each([&](PageIndex index, const DirectoryPage &page) {
        if (page.owner == home_ && page.sharers.none() && page.busy == kNoSlot && !page.lost &&
            page.settled == (index < pages_)) {
            return;
        }
        text += "  record " + std::to_string(index) + ": owner " + std::to_string(page.owner) + ", sharers " +
                list(page.sharers) + (page.lost ? ", lost" : "") + (page.settled ? "" : ", pending");
        if (page.busy != kNoSlot) {
            const Transaction &transaction = transactions_[page.busy];
            text += ", transaction " + std::to_string(transaction.number) + " for " +
                    std::to_string(transaction.get.from) + (transaction.upgrade ? ", upgrade" : ", supply") +
                    (transaction.phase == Phase::invalidating ? ", waits for " + list(transaction.waiting)
                                                              : ", waits for done");
        }
        for (std::uint32_t slot = page.queue_first; slot != kNoSlot; slot = queue_[slot].next) {
            text += ", then " + std::to_string(queue_[slot].from);
        }
        text += "\n";
    });
    if (pause_) {
        text += "  move " + std::to_string(pause_->number) + " to " + std::to_string(pause_->next_home) +
                (move_ ? ", waits for " + list(move_->awaited) : "") + (pause_->ready ? ", ready" : "") + ", unsent " +
                std::to_string(pause_->unsent.size()) + ", records " + std::to_string(pause_->records.size()) + "\n";
    }
    for (const Stretch &stretch : line_) {
        if (line_.size() == 1 && stretch.freeze == 0) {
            break;
        }
        text += "  stretch " + std::to_string(stretch.number) + ": frozen " + std::to_string(stretch.freezes) +
                " times, last at " + std::to_string(stretch.freeze) + ", waits for " + list(stretch.freezing) +
                ", writers " + list(stretch.writers) + ", given " + list(stretch.given) + ", holds " +
                std::to_string(stretch.held.size()) +
                (stretch.ended ? ", ended, needed " + std::to_string(stretch.needed) : "") + "\n";
    }
    return text;
}

std::string describe(const Msg &msg) {
    std::string text = name(msg.type);
    text += std::string(msg.write ? " write" : "") + (msg.have ? " have" : "") + (msg.lost ? " lost" : "");
    text += " base " + std::to_string(msg.base);
    text += msg.count != 0 ? " count " + std::to_string(msg.count) : " mask " + hex(msg.mask);
    text += msg.txn != 0 ? " txn " + std::to_string(msg.txn) : "";
    text += msg.request != 0 ? " request " + std::to_string(msg.request) : "";
    const bool names = msg.type == MsgType::forward || msg.type == MsgType::moving || msg.type == MsgType::record;
    text += names ? " for " + std::to_string(msg.requester) : "";
    return text;
}

} // namespace norma::dsm

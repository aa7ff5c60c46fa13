// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/abstraction.hpp"

#include <algorithm>

namespace norma::exploration {

namespace {

using dsm::Msg;
using dsm::MsgType;
using dsm::NodeId;
using dsm::Packet;
using dsm::World;

class Abstracting {
  public:
    explicit Abstracting(const Position &position) : world_(position.world) {
        for (NodeId node = 0; node < world_.size(); ++node) {
            if (world_.alive(node)) {
                views_[node] = view_of(world_.node(node), world_.pages());
            }
        }
        collect_numbers();
    }

    Abstraction result() {
        for (NodeId node = 0; node < world_.size(); ++node) {
            if (world_.alive(node)) {
                put_node(node);
            } else {
                result_.state.dead |= static_cast<std::uint8_t>(1U << node);
            }
        }
        NORMA_CHECK(world_.flying().size() <= kModelNet);
        for (std::size_t i = 0; i < world_.flying().size(); ++i) {
            const Packet &packet = world_.flying()[i];
            result_.flying[i] = message(packet.msg, packet.from, packet.to, requester_of(packet));
            result_.flying[i].current = current(packet);
            result_.state.net[i] = result_.flying[i];
        }
        result_.state.flying = static_cast<std::uint8_t>(world_.flying().size());
        return result_;
    }

  private:
    template <class T> static std::uint8_t small(T value) { return static_cast<std::uint8_t>(value); }
    static std::uint8_t shift(std::uint64_t mask, dsm::PageIndex base) { return small(mask << base); }

    // The model's numbers of transactions are few: each is replaced by its rank among those of the position.
    void collect_numbers() {
        for (NodeId node = 0; node < world_.size(); ++node) {
            for (const CacheView &page : views_[node].cache) {
                numbers_.push_back(page.epoch);
            }
            for (const RecordView &record : views_[node].records) {
                numbers_.push_back(record.busy ? record.transaction.number : 0);
            }
            for (const Msg &forward : views_[node].deferred) {
                numbers_.push_back(forward.txn);
            }
        }
        for (const Packet &packet : world_.flying()) {
            numbers_.push_back(packet.msg.txn);
        }
        numbers_.push_back(0);
        std::sort(numbers_.begin(), numbers_.end());
        numbers_.erase(std::unique(numbers_.begin(), numbers_.end()), numbers_.end());
        NORMA_CHECK(numbers_.size() < kModelTxn);
    }

    std::uint8_t rank(std::uint64_t number) const {
        return small(std::lower_bound(numbers_.begin(), numbers_.end(), number) - numbers_.begin());
    }

    void put_node(NodeId node) {
        const StateView &view = views_[node];
        result_.state.down[node] = small(view.down);
        for (dsm::PageIndex page = 0; page < view.cache.size(); ++page) {
            const CacheView &from = view.cache[page];
            const dsm::Frame &frame = world_.frame(node, page);
            const bool is_base = from.request != 0 && from.base == page;
            result_.state.cache[node][page] = {.access = small(from.access),
                                               .epoch = rank(from.epoch),
                                               .want_read = from.wants_read,
                                               .want_write = from.wants_write,
                                               .current = frame.mapping != dsm::Mapping::none &&
                                                          frame.version == world_.latest(page),
                                               .request = small(is_base ? from.count : 0),
                                               .request_write = is_base && from.write};
        }
        for (const Msg &forward : view.deferred) {
            NORMA_CHECK(deferred_ < kModelDeferred);
            result_.state.deferred[deferred_++] = message(forward, kHome, node, forward.requester);
        }
        for (dsm::PageIndex page = 0; page < view.records.size(); ++page) {
            put_record(page, view.records[page]);
        }
    }

    void put_record(dsm::PageIndex page, const RecordView &from) {
        ModelRecord &record = result_.state.records[page];
        record.owner = small(from.owner);
        record.sharers = small(from.sharers);
        record.lost = from.lost;
        if (from.busy && from.transaction.get.base == page) {
            const TransactionView &transaction = from.transaction;
            record.transaction = {.busy = 1,
                                  .number = rank(transaction.number),
                                  .mask = shift(transaction.mask, page),
                                  .waiting = small(transaction.waiting),
                                  .supplier = small(transaction.supplier),
                                  .answering = transaction.answering,
                                  .upgrade = transaction.upgrade,
                                  .get = get_of(transaction.get)};
        }
        for (const GetView &get : from.queue) {
            NORMA_CHECK(queued_ < kModelQueue);
            result_.state.queue[queued_++] = get_of(get);
        }
    }

    ModelGet get_of(const GetView &get) const {
        return {.used = 1,
                .from = small(get.from),
                .request = under_way(get.from, get.base, get.request),
                .write = get.write,
                .have = get.have,
                .release = get.release,
                .base = small(get.base),
                .count = small(get.count)};
    }

    ModelMessage message(const Msg &msg, NodeId from, NodeId to, NodeId requester) const {
        return {.kind = small(msg.type),
                .from = small(from),
                .dest = small(to),
                .write = msg.write,
                .have = msg.have,
                .lost = msg.lost,
                .request = under_way(requester, msg.base, msg.request),
                .requester = small(msg.requester),
                .count = small(msg.count),
                .txn = rank(msg.txn),
                .base = small(msg.base),
                .mask = shift(msg.mask, msg.base),
                .current = 0};
    }

    // Of what data brings: the pages that are the last write.
    std::uint8_t current(const Packet &packet) const {
        std::uint64_t result = 0;
        std::size_t next = 0;
        for (unsigned i = 0; packet.msg.type == MsgType::data && i < kMostPages; ++i) {
            if ((packet.msg.mask >> i & 1) != 0) {
                const std::uint32_t version = (packet.msg.zero >> i & 1) != 0 ? 0 : packet.payload[next++];
                result |= std::uint64_t{version == world_.latest(packet.msg.base + i)} << i;
            }
        }
        return shift(result, packet.msg.base);
    }

    static NodeId requester_of(const Packet &packet) {
        switch (packet.msg.type) {
        case MsgType::get:
            return packet.from;
        case MsgType::forward:
            return packet.msg.requester;
        default:
            return packet.to;
        }
    }

    bool under_way(NodeId requester, dsm::PageIndex base, std::uint64_t request) const {
        if (request == 0 || !world_.alive(requester)) {
            return false;
        }
        const CacheView &page = views_[requester].cache[base];
        return page.request == request && page.base == base;
    }

    const World &world_;
    std::array<StateView, kMostNodes> views_;
    std::vector<std::uint64_t> numbers_;
    std::size_t deferred_ = 0;
    std::size_t queued_ = 0;
    Abstraction result_;
};

std::string to_text(const ModelGet &get) {
    return std::to_string(get.from) +
           (get.release ? " release"
            : get.write ? " write"
                        : " read") +
           (get.have ? " have" : "") + (get.request ? " current" : " old") + " base " + std::to_string(get.base) +
           " count " + std::to_string(get.count);
}

std::string to_text(const ModelMessage &message) {
    constexpr const char *kNames[] = {"?",    "get",   "forward", "inval", "inval_ack",
                                      "data", "grant", "done",    "fail",  "release"};
    return std::to_string(message.from) + " > " + std::to_string(message.dest) + ": " + kNames[message.kind] +
           (message.write ? " write" : "") + (message.have ? " have" : "") + (message.lost ? " lost" : "") +
           (message.request ? " current" : " old") + " txn " + std::to_string(message.txn) + " base " +
           std::to_string(message.base) + " count " + std::to_string(message.count) + " mask " +
           std::to_string(message.mask) + " last write " + std::to_string(message.current) + " for " +
           std::to_string(message.requester);
}

std::string to_text(const ModelCache &page) {
    constexpr const char *kAccess[] = {"none", "read", "write", "lost"};
    return std::string(" | ") + kAccess[page.access] + " epoch " + std::to_string(page.epoch) +
           (page.want_read != 0 ? " wants r" : "") + (page.want_write != 0 ? " wants w" : "") +
           (page.current != 0 ? " last write" : "") + " request " + std::to_string(page.request) +
           (page.request_write != 0 ? " write" : "");
}

std::string to_text(const ModelRecord &record) {
    const ModelTransaction &transaction = record.transaction;
    std::string text = "record: owner " + std::to_string(record.owner) + " sharers " + std::to_string(record.sharers) +
                       (record.lost != 0 ? " lost" : "");
    if (transaction.busy != 0) {
        text += " transaction " + std::to_string(transaction.number) + " mask " + std::to_string(transaction.mask) +
                " waiting " + std::to_string(transaction.waiting) + " supplier " +
                std::to_string(transaction.supplier) + (transaction.answering != 0 ? " answering" : "") +
                (transaction.upgrade != 0 ? " upgrade" : "") + " for " + to_text(transaction.get);
    }
    return text + "\n";
}

} // namespace

Abstraction abstraction_of(const Position &position) {
    return Abstracting(position).result();
}

std::string to_text(const ModelState &state, NodeId nodes, std::uint64_t pages) {
    std::string text;
    for (NodeId node = 0; node < nodes; ++node) {
        text += "node " + std::to_string(node) + ": ";
        if ((state.dead >> node & 1) != 0) {
            text += "dead\n";
            continue;
        }
        text += "down " + std::to_string(state.down[node]);
        for (std::size_t page = 0; page < pages; ++page) {
            text += to_text(state.cache[node][page]);
        }
        text += "\n";
    }
    for (std::size_t page = 0; page < pages; ++page) {
        text += to_text(state.records[page]);
    }
    for (const ModelMessage &forward : state.deferred) {
        text += forward.kind != 0 ? "deferred " + to_text(forward) + "\n" : "";
    }
    for (const ModelGet &get : state.queue) {
        text += get.used != 0 ? "queued " + to_text(get) + "\n" : "";
    }
    for (const ModelMessage &message : state.net) {
        text += message.kind != 0 ? "on its way " + to_text(message) + "\n" : "";
    }
    return text;
}

} // namespace norma::exploration

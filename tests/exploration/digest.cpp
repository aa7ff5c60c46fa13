// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/digest.hpp"

#include <algorithm>
#include <numeric>

namespace norma::exploration {

namespace {

using dsm::Msg;
using dsm::MsgType;
using dsm::NodeId;
using dsm::Packet;
using dsm::World;

// The finalizer of splitmix64: every bit of the input reaches every bit of the result, and no two inputs collide.
std::uint64_t mix(std::uint64_t value) {
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9U;
    value = (value ^ value >> 27) * 0x94d049bb133111ebU;
    return value ^ value >> 31;
}

class Hasher {
  public:
    void put(std::uint64_t word) {
        digest_.first = mix(digest_.first ^ word);
        digest_.second = mix(digest_.second + word + 0x9e3779b97f4a7c15U);
    }
    Digest digest() const { return digest_; }

  private:
    Digest digest_{.first = 0x243f6a8885a308d3U, .second = 0x13198a2e03707344U};
};

// Small values beside each other in one word.
class Word {
  public:
    Word &add(std::uint64_t value, unsigned width) {
        NORMA_CHECK(value >> width == 0 && used_ + width <= 64);
        bits_ |= value << used_;
        used_ += width;
        return *this;
    }
    std::uint64_t bits() const { return bits_; }

  private:
    std::uint64_t bits_ = 0;
    unsigned used_ = 0;
};

// The widths of fields.
constexpr unsigned kNodeBits = 2;
constexpr unsigned kPageBits = 2;
constexpr unsigned kCountBits = 3;
constexpr unsigned kRankBits = 8;

// The numbers of transactions that concern one page, in order.
class Ranks {
  public:
    void add(std::uint64_t number) {
        if (number != 0) {
            numbers_[size_++ % kMost] = number;
        }
    }
    void close() {
        NORMA_CHECK(size_ <= kMost);
        std::sort(numbers_.begin(), numbers_.begin() + size_);
        size_ = static_cast<std::size_t>(std::unique(numbers_.begin(), numbers_.begin() + size_) - numbers_.begin());
    }
    // 0 stays 0.
    std::uint64_t of(std::uint64_t number) const {
        return number == 0
                   ? 0
                   : 1 + static_cast<std::uint64_t>(
                             std::lower_bound(numbers_.begin(), numbers_.begin() + size_, number) - numbers_.begin());
    }

  private:
    static constexpr std::size_t kMost = 128;
    std::array<std::uint64_t, kMost> numbers_;
    std::size_t size_ = 0;
};

// visit(page) for the pages that a message or transaction concerns.
template <class Visit> void for_each_page(dsm::PageIndex base, std::uint64_t mask, Visit visit) {
    for (unsigned i = 0; i < kMostPages; ++i) {
        if (i == 0 || (mask >> i & 1) != 0) {
            visit(base + i);
        }
    }
}

// The home looks at its transactions slot by slot when it hears of a death, so while it may hear of one the slots
// count, also those that will be used next.
std::uint64_t order_of_slots(const Position &position, const StateView &view) {
    Word word;
    if (position.deaths + position.suspicions == 0 && position.world.notices().empty()) {
        return 0;
    }
    for (const RecordView &record : view.records) {
        word.add(record.busy ? record.transaction.slot : 0, 2);
    }
    for (const std::uint32_t slot : view.free_slots) {
        word.add(slot, 2);
    }
    return word.bits();
}

class Reader {
  public:
    Reader(const Job &job, const Position &position) : job_(job), position_(position), world_(position.world) {
        for (NodeId node = 0; node < world_.size(); ++node) {
            if (world_.alive(node)) {
                views_[node] = view_of(world_.node(node), world_.pages());
            }
        }
        rank();
    }

    Digest read(const Renumbering &way) const {
        Hasher hasher;
        hasher.put(Word().add(position_.deaths, 8).add(position_.suspicions, 8).bits());
        for (NodeId number = 0; number < world_.size(); ++number) {
            const NodeId node = way.from[number];
            put_program(hasher, node);
            if (world_.alive(node)) {
                put_node(hasher, way, node);
            } else {
                hasher.put(~std::uint64_t{0});
            }
        }
        // What is on its way has no order: a sum of digests has none either.
        Digest loose;
        const auto add = [&loose](const Hasher &one) {
            loose.first += one.digest().first;
            loose.second += one.digest().second;
        };
        for (const Packet &packet : world_.flying()) {
            add(packet_digest(way, packet));
        }
        for (const dsm::DeathNotice &notice : world_.notices()) {
            Hasher one;
            one.put(
                Word().add(1, 1).add(way.to[notice.observer], kNodeBits).add(way.to[notice.dead], kNodeBits).bits());
            add(one);
        }
        hasher.put(loose.first);
        hasher.put(loose.second);
        return hasher.digest();
    }

  private:
    void rank() {
        for (NodeId node = 0; node < world_.size(); ++node) {
            if (world_.alive(node)) {
                rank_node(views_[node]);
            }
        }
        for (const Packet &packet : world_.flying()) {
            rank_msg(packet.msg);
        }
        std::for_each(ranks_.begin(), ranks_.begin() + static_cast<std::ptrdiff_t>(job_.pages),
                      [](Ranks &ranks) { ranks.close(); });
    }

    void rank_node(const StateView &view) {
        for (std::size_t page = 0; page < view.cache.size(); ++page) {
            ranks_[page].add(view.cache[page].epoch);
        }
        for (std::size_t page = 0; page < view.records.size(); ++page) {
            if (view.records[page].busy) {
                ranks_[page].add(view.records[page].transaction.number);
            }
        }
        for (const Msg &forward : view.deferred) {
            rank_msg(forward);
        }
    }

    void rank_msg(const Msg &msg) {
        for_each_page(msg.base, msg.mask, [&](dsm::PageIndex page) { ranks_[page].add(msg.txn); });
    }

    void put_program(Hasher &hasher, NodeId node) const {
        Word word;
        for (std::size_t thread = 0; thread < job_.threads.size(); ++thread) {
            if (job_.threads[thread].node == node) {
                word.add(position_.next[thread], 8);
            }
        }
        hasher.put(word.bits());
    }

    void put_node(Hasher &hasher, const Renumbering &way, NodeId node) const {
        const StateView &view = views_[node];
        hasher.put(Word()
                       .add(world_.suspected(node) ? 1 : 0, 1)
                       .add(renumber(way, view.down), kMostNodes)
                       .add(view.deferred.size(), 8)
                       .add(order_of_slots(position_, view), 16)
                       .bits());
        for (std::size_t page = 0; page < view.cache.size(); ++page) {
            put_page(hasher, node, page);
        }
        for (const Msg &forward : view.deferred) {
            put_msg(hasher, way, forward, forward.requester);
        }
        for (std::size_t page = 0; page < view.records.size(); ++page) {
            put_record(hasher, way, page, view.records[page]);
        }
    }

    void put_page(Hasher &hasher, NodeId node, dsm::PageIndex page) const {
        const CacheView &cache = views_[node].cache[page];
        const dsm::Frame &frame = world_.frame(node, page);
        hasher.put(Word()
                       .add(static_cast<unsigned>(cache.access), 2)
                       .add(cache.wants_read ? 1 : 0, 1)
                       .add(cache.wants_write ? 1 : 0, 1)
                       .add(ranks_[page].of(cache.epoch), kRankBits)
                       .add(cache.request != 0 ? 1 : 0, 1)
                       .add(cache.base, kPageBits)
                       .add(cache.count, kCountBits)
                       .add(cache.write ? 1 : 0, 1)
                       .add(static_cast<unsigned>(frame.mapping), 2)
                       .add(frame.mapping != dsm::Mapping::none && frame.version == world_.latest(page) ? 1 : 0, 1)
                       .add(world_.waits(node, page, false) ? 1 : 0, 1)
                       .add(world_.waits(node, page, true) ? 1 : 0, 1)
                       .bits());
    }

    void put_record(Hasher &hasher, const Renumbering &way, dsm::PageIndex page, const RecordView &record) const {
        hasher.put(Word()
                       .add(way.to[record.owner], kNodeBits)
                       .add(renumber(way, record.sharers), kMostNodes)
                       .add(record.lost ? 1 : 0, 1)
                       .add(record.busy ? 1 : 0, 1)
                       .add(record.queue.size(), 8)
                       .bits());
        if (record.busy) {
            const TransactionView &transaction = record.transaction;
            hasher.put(Word()
                           .add(ranks_[page].of(transaction.number), kRankBits)
                           .add(transaction.mask, kMostPages)
                           .add(renumber(way, transaction.waiting), kMostNodes)
                           .add(way.to[transaction.supplier], kNodeBits)
                           .add(transaction.upgrade ? 1 : 0, 1)
                           .add(transaction.answering ? 1 : 0, 1)
                           .bits());
            put_get(hasher, way, transaction.get);
        }
        for (const GetView &get : record.queue) {
            put_get(hasher, way, get);
        }
    }

    void put_get(Hasher &hasher, const Renumbering &way, const GetView &get) const {
        hasher.put(Word()
                       .add(way.to[get.from], kNodeBits)
                       .add(under_way(get.from, get.base, get.request) ? 1 : 0, 1)
                       .add(get.base, kPageBits)
                       .add(get.count, kCountBits)
                       .add(get.write ? 1 : 0, 1)
                       .add(get.have ? 1 : 0, 1)
                       .add(get.release ? 1 : 0, 1)
                       .bits());
    }

    void put_msg(Hasher &hasher, const Renumbering &way, const Msg &msg, NodeId requester) const {
        Word word;
        word.add(static_cast<unsigned>(msg.type), 4)
            .add(msg.write ? 1 : 0, 1)
            .add(msg.have ? 1 : 0, 1)
            .add(msg.lost ? 1 : 0, 1)
            .add(way.to[requester], kNodeBits)
            .add(under_way(requester, msg.base, msg.request) ? 1 : 0, 1)
            .add(msg.count, kCountBits)
            .add(msg.base, kPageBits)
            .add(msg.mask, kMostPages);
        for_each_page(msg.base, msg.mask, [&](dsm::PageIndex page) { word.add(ranks_[page].of(msg.txn), kRankBits); });
        hasher.put(word.bits());
    }

    Hasher packet_digest(const Renumbering &way, const Packet &packet) const {
        Hasher one;
        Word word;
        word.add(way.to[packet.from], kNodeBits).add(way.to[packet.to], kNodeBits);
        if (packet.msg.type == MsgType::data) {
            std::size_t next = 0;
            for (unsigned i = 0; i < kMostPages; ++i) {
                if ((packet.msg.mask >> i & 1) != 0) {
                    const bool zero = (packet.msg.zero >> i & 1) != 0;
                    const std::uint32_t version = zero ? 0 : packet.payload[next++];
                    word.add(version == world_.latest(packet.msg.base + i) ? 1 : 0, 1);
                }
            }
        }
        one.put(word.bits());
        put_msg(one, way, packet.msg, requester_of(packet));
        return one;
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

    std::uint64_t renumber(const Renumbering &way, std::uint32_t nodes) const {
        std::uint64_t result = 0;
        for (NodeId node = 0; node < world_.size(); ++node) {
            result |= static_cast<std::uint64_t>(nodes >> node & 1) << way.to[node];
        }
        return result;
    }

    const Job &job_;
    const Position &position_;
    const World &world_;
    std::array<StateView, kMostNodes> views_;
    std::array<Ranks, kMostPages> ranks_;
};

Digest unfolded(const Position &position) {
    Hasher hasher;
    hasher.put(Word().add(position.deaths, 8).add(position.suspicions, 8).bits());
    for (const std::uint8_t next : position.next) {
        hasher.put(next);
    }
    const World &world = position.world;
    for (const std::uint8_t byte : world.canonical()) {
        hasher.put(byte);
    }
    for (NodeId node = 0; node < world.size(); ++node) {
        if (world.alive(node)) {
            hasher.put(order_of_slots(position, view_of(world.node(node), world.pages())));
        }
    }
    return hasher.digest();
}

bool keeps_programs(const Job &job, const Renumbering &way) {
    const auto program = [&job](NodeId node) {
        std::vector<std::vector<Touch>> result;
        for (const Thread &thread : job.threads) {
            if (thread.node == node) {
                result.push_back(thread.touches);
            }
        }
        return result;
    };
    for (NodeId node = 0; node < job.nodes; ++node) {
        if (program(node) != program(way.to[node])) {
            return false;
        }
    }
    return way.to[kHome] == kHome;
}

} // namespace

std::vector<Renumbering> renumberings(const Job &job, bool fold_nodes) {
    std::vector<Renumbering> result;
    Renumbering way;
    std::iota(way.to.begin(), way.to.end(), NodeId{0});
    do {
        for (NodeId node = 0; node < job.nodes; ++node) {
            way.from[way.to[node]] = node;
        }
        if (keeps_programs(job, way)) {
            result.push_back(way);
        }
    } while (fold_nodes && std::next_permutation(way.to.begin(), way.to.begin() + job.nodes));
    return result;
}

Digest digest_of(const Job &job, const Position &position, const std::vector<Renumbering> &ways) {
    if (job.stretches > 1 || job.moves) {
        return unfolded(position);
    }
    const Reader reader(job, position);
    Digest least = reader.read(ways.front());
    for (std::size_t i = 1; i < ways.size(); ++i) {
        least = std::min(least, reader.read(ways[i]));
    }
    return least;
}

} // namespace norma::exploration

// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/trace.hpp"

#include <algorithm>

namespace norma::exploration {

namespace {

using dsm::NodeId;
using dsm::World;
using Row = std::vector<std::string>;

std::string set_of(std::uint32_t nodes) {
    std::string text;
    for (NodeId node = 0; node < kMostNodes; ++node) {
        if ((nodes >> node & 1) != 0) {
            text += (text.empty() ? "" : ",") + std::to_string(node);
        }
    }
    return "{" + text + "}";
}

std::string in_all_pages(const World &world, std::string (*cell)(const World &, NodeId, dsm::PageIndex), NodeId node) {
    std::string text;
    for (dsm::PageIndex page = 0; page < world.pages(); ++page) {
        text += (page == 0 ? "" : " | ") + cell(world, node, page);
    }
    return text;
}

Row header_of(const Job &job) {
    Row row{"step", "event", "node", "message"};
    for (NodeId node = 0; node < job.nodes; ++node) {
        row.push_back("node " + std::to_string(node) + (node == kHome ? " (home)" : ""));
    }
    row.emplace_back("record");
    return row;
}

Row row_of(const Job &job, std::size_t step, const Description &what, const World &world) {
    Row row{std::to_string(step), what.event, what.node, what.details};
    for (NodeId node = 0; node < job.nodes; ++node) {
        row.push_back(world.alive(node) ? in_all_pages(world, cell_of, node) : "dead");
        if (world.suspected(node) && world.alive(node)) {
            row.back() += " (suspected)";
        }
    }
    row.push_back(
        world.alive(kHome)
            ? in_all_pages(
                  world, [](const World &in, NodeId, dsm::PageIndex page) { return record_of(in, page); }, kHome)
            : "");
    return row;
}

std::string align(const std::vector<Row> &rows) {
    std::vector<std::size_t> widths(rows.front().size(), 0);
    for (const Row &row : rows) {
        for (std::size_t column = 0; column < row.size(); ++column) {
            widths[column] = std::max(widths[column], row[column].size());
        }
    }
    std::string text;
    for (const Row &row : rows) {
        std::string line;
        for (std::size_t column = 0; column < row.size(); ++column) {
            line += row[column] + std::string(widths[column] - row[column].size() + 2, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

// The cells of a table have no room for stretches.
std::string list_of(const Job &job, const std::vector<Choice> &way) {
    Position position = start_of(job);
    std::string text;
    for (const Choice &choice : way) {
        const Description what = describe(job, position, choice);
        text += what.event + " " + what.node + " " + what.details + "\n";
        take(job, position, choice);
    }
    return text + position.world.describe();
}

} // namespace

std::string legend() {
    return "node: access (- none, R read, W write, X lost), epoch; ?n request n under way; wants r, w; defers n "
           "forwards\n"
           "record: owner {sharers}; tN transaction N for a node: who has to acknowledge, or who supplies; queue\n";
}

std::string cell_of(const World &world, NodeId node, dsm::PageIndex page) {
    constexpr const char *kAccess[] = {"-", "R", "W", "X"};
    const StateView view = view_of(world.node(node), world.pages());
    const CacheView &cache = view.cache[page];
    std::string text = kAccess[static_cast<unsigned>(cache.access)] + std::to_string(cache.epoch);
    if (cache.request != 0) {
        text += " ?" + std::to_string(cache.request);
    }
    if (world.waits(node, page, false) || world.waits(node, page, true)) {
        text += std::string(" wants ") + (world.waits(node, page, false) ? "r" : "") +
                (world.waits(node, page, true) ? "w" : "");
    }
    if (view.deferred.size() != 0) {
        text += " defers " + std::to_string(view.deferred.size());
    }
    return text;
}

std::string record_of(const World &world, dsm::PageIndex page) {
    const StateView view = view_of(world.node(world.home()), world.pages());
    const RecordView &record = view.records[page];
    std::string text = record.lost ? "lost" : std::to_string(record.owner) + " " + set_of(record.sharers);
    if (record.busy) {
        const TransactionView &transaction = record.transaction;
        text += " t" + std::to_string(transaction.number) + " for " + std::to_string(transaction.get.from) +
                (transaction.get.release ? " release"
                 : transaction.upgrade   ? " upgrade"
                                         : "");
        text += transaction.answering ? ": " + std::to_string(transaction.supplier) + " supplies"
                                      : ": acks " + set_of(transaction.waiting);
    }
    for (const GetView &get : record.queue) {
        text += std::string(", then ") + std::to_string(get.from) + (get.release ? " release" : "");
    }
    return text;
}

std::string picture_of(const Position &position) {
    const World &world = position.world;
    std::string text;
    for (NodeId node = 0; node < world.size(); ++node) {
        text += "node " + std::to_string(node) + ": " +
                (world.alive(node) ? in_all_pages(world, cell_of, node) : std::string("dead")) + "\n";
    }
    for (dsm::PageIndex page = 0; page < world.pages() && world.alive(world.home()); ++page) {
        text += "record " + std::to_string(page) + ": " + record_of(world, page) + "\n";
    }
    for (const dsm::Packet &packet : world.flying()) {
        text += "on its way " + std::to_string(packet.from) + " > " + std::to_string(packet.to) + ": " +
                dsm::describe(packet.msg) + "\n";
    }
    for (const dsm::DeathNotice &notice : world.notices()) {
        text +=
            std::to_string(notice.observer) + " does not know yet that " + std::to_string(notice.dead) + " is down\n";
    }
    return text;
}

std::string trace_of(const Job &job, const std::vector<Choice> &way) {
    if (job.stretches > 1 || job.moves) {
        return list_of(job, way);
    }
    Position position = start_of(job);
    std::vector<Row> rows{header_of(job), row_of(job, 0, {"start", "", ""}, position.world)};
    for (const Choice &choice : way) {
        const Description what = describe(job, position, choice);
        take(job, position, choice);
        rows.push_back(row_of(job, rows.size() - 1, what, position.world));
    }
    return align(rows);
}

} // namespace norma::exploration

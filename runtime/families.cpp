// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/families.hpp"

#include <algorithm>
#include <csignal>

namespace norma::rt {

Pid Families::make(const Right &where, Pid pid) {
    if (last_serial_ == kLastSerial) {
        return 0;
    }
    const Pid identity = ++last_serial_ << kPidNodeBits | static_cast<Pid>(self_);
    processes_[identity] = {.where = where, .pid = pid == 0 ? identity : pid};
    return identity;
}

const Families::Process *Families::find(Pid identity) const {
    const auto found = processes_.find(identity);
    return found == processes_.end() ? nullptr : &found->second;
}

void Families::set_place(Pid identity, const Right &where) {
    if (const auto found = processes_.find(identity); found != processes_.end()) {
        found->second.where = where;
    }
}

void Families::remove(Pid identity) {
    processes_.erase(identity);
}

Families::Child *Families::find_child(Pid parent, Pid child) {
    const auto process = processes_.find(parent);
    if (process == processes_.end()) {
        return nullptr;
    }
    const auto found = process->second.children.find(child);
    return found == process->second.children.end() ? nullptr : &found->second;
}

bool Families::add_child(const Kin &child, dsm::NodeId node) {
    const auto parent = processes_.find(child.parent);
    return parent != processes_.end() &&
           parent->second.children.emplace(child.identity, Child{.kin = child, .node = node}).second;
}

void Families::child_moved(Pid parent, Pid child, dsm::NodeId node) {
    if (auto *known = find_child(parent, child)) {
        known->node = node;
    }
}

std::optional<Families::News> Families::child_ended(Pid parent, Pid child, int status) {
    auto *known = find_child(parent, child);
    if (known == nullptr || known->status) {
        return std::nullopt;
    }
    known->status = status;
    return News{.parent = parent, .signal = known->kin.exit_signal};
}

void Families::forget_child(Pid parent, Pid child) {
    if (const auto process = processes_.find(parent); process != processes_.end()) {
        process->second.children.erase(child);
    }
}

std::vector<Families::News> Families::node_down(dsm::NodeId node) {
    std::erase_if(processes_, [node](const auto &entry) { return node_of(entry.second.where.task) == node; });
    std::vector<News> news;
    for (auto &[pid, process] : processes_) {
        for (auto &[identity, child] : process.children) {
            if (child.node == node && !child.status) {
                child.status = SIGKILL;
                news.push_back({.parent = pid, .signal = child.kin.exit_signal});
            }
        }
    }
    return news;
}

std::optional<Families::Ended> Families::take_ended(Pid parent, Pid wanted, Kinds kinds, bool &any) {
    any = false;
    const auto process = processes_.find(parent);
    if (process == processes_.end()) {
        return std::nullopt;
    }
    auto &children = process->second.children;
    const auto concerned = [&](const Child &child) {
        const bool usual = child.kin.exit_signal == SIGCHLD;
        return (wanted == -1 || child.kin.pid == wanted) && (kinds == Kinds::all || usual == (kinds == Kinds::usual));
    };
    any = std::ranges::any_of(children, [&](const auto &entry) { return concerned(entry.second); });
    const auto found = std::ranges::find_if(
        children, [&](const auto &entry) { return entry.second.status && concerned(entry.second); });
    if (found == children.end()) {
        return std::nullopt;
    }
    const Ended ended{.pid = found->second.kin.pid, .status = *found->second.status};
    children.erase(found);
    return ended;
}

// ---- to another node ----

void put_kin(rpc::Writer &writer, const Kin &kin) {
    writer.put(kin.identity).put(kin.pid).put(kin.parent).put(kin.exit_signal);
}

Kin get_kin(rpc::Reader &reader) {
    Kin kin;
    kin.identity = reader.get<Pid>();
    kin.pid = reader.get<Pid>();
    kin.parent = reader.get<Pid>();
    kin.exit_signal = reader.get<int>();
    return kin;
}

void Families::write(rpc::Writer &writer) const {
    writer.put(static_cast<std::uint32_t>(processes_.size()));
    for (const auto &[identity, process] : processes_) {
        writer.put(identity).put(process.pid);
        put_right(writer, process.where);
        writer.put(static_cast<std::uint32_t>(process.children.size()));
        for (const auto &[pid, child] : process.children) {
            put_kin(writer, child.kin);
            writer.put(child.node).put(std::uint8_t{child.status.has_value()}).put(child.status.value_or(0));
        }
    }
}

bool Families::read(rpc::Reader &reader) {
    constexpr std::size_t kProcessBytes = 12 + kRightBytes, kChildBytes = kKinBytes + 7;
    for (auto left = reader.get_count(kProcessBytes); left > 0 && reader.ok(); --left) {
        auto &process = processes_[reader.get<Pid>()];
        process.pid = reader.get<Pid>();
        if (!get_right(reader, process.where) || process.where.kind != Right::Kind::task) {
            return false;
        }
        for (auto children = reader.get_count(kChildBytes); children > 0; --children) {
            const auto kin = get_kin(reader);
            auto &child = process.children[kin.identity];
            child.kin = kin;
            child.node = reader.get<dsm::NodeId>();
            const bool ended = reader.get<bool>();
            const auto status = reader.get<int>();
            child.status = ended ? std::optional(status) : std::nullopt;
            if (child.node >= dsm::kMaxNodes) {
                return false;
            }
        }
    }
    return reader.ok();
}

} // namespace norma::rt

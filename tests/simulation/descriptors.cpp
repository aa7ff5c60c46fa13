// SPDX-License-Identifier: BSD-3-Clause
#include "tests/simulation/descriptors.hpp"

#include <algorithm>

namespace norma::sim {

Descriptors::Entry *Descriptors::find(int fd) {
    const auto found = entries_.find(fd);
    return found == entries_.end() ? nullptr : &found->second;
}

const Descriptors::Entry *Descriptors::find(int fd) const {
    const auto found = entries_.find(fd);
    return found == entries_.end() ? nullptr : &found->second;
}

int Descriptors::put(Entry entry) {
    entries_.emplace(next_, std::move(entry));
    return next_++;
}

std::pair<int, int> Descriptors::add_socket_pair() {
    const int first = put({});
    const int second = put({});
    entries_.at(first).peer = second;
    entries_.at(second).peer = first;
    return {first, second};
}

int Descriptors::add(std::shared_ptr<AddressSpace> space) {
    Entry entry;
    entry.space = std::move(space);
    return put(std::move(entry));
}

int Descriptors::add(std::shared_ptr<FrameFile> file) {
    Entry entry;
    entry.file = std::move(file);
    return put(std::move(entry));
}

int Descriptors::add_signal() {
    return put({});
}

void Descriptors::close(int fd) {
    auto *entry = find(fd);
    if (entry == nullptr) {
        return;
    }
    unwatch(fd);
    const int peer = entry->peer;
    entries_.erase(fd);
    if (auto *other = find(peer)) {
        other->peer_closed = true;
        signal(peer);
    }
}

int Descriptors::move(int fd) {
    auto entry = std::move(entries_.extract(fd).mapped());
    const int peer = entry.peer;
    const int moved = put(std::move(entry));
    if (auto *other = find(peer)) {
        other->peer = moved;
    }
    return moved;
}

bool Descriptors::send(int fd, PacketWithFd packet) {
    const auto *entry = find(fd);
    auto *other = entry == nullptr ? nullptr : find(entry->peer);
    if (other == nullptr) {
        return false;
    }
    other->packets.push_back(std::move(packet));
    signal(entry->peer);
    return true;
}

std::optional<PacketWithFd> Descriptors::receive(int fd) {
    auto *entry = find(fd);
    if (entry == nullptr || entry->packets.empty()) {
        return std::nullopt;
    }
    auto packet = std::move(entry->packets.front());
    entry->packets.pop_front();
    return packet;
}

bool Descriptors::at_end(int fd) const {
    const auto *entry = find(fd);
    return entry == nullptr || (entry->peer_closed && entry->packets.empty());
}

void Descriptors::on_packet(int fd, std::function<void()> action) {
    find(fd)->on_packet = std::move(action);
}

std::shared_ptr<AddressSpace> Descriptors::space(int fd) const {
    const auto *entry = find(fd);
    return entry == nullptr ? nullptr : entry->space;
}

std::shared_ptr<FrameFile> Descriptors::file(int fd) const {
    const auto *entry = find(fd);
    return entry == nullptr ? nullptr : entry->file;
}

void Descriptors::watch(int fd, int loop) {
    // A transport's event descriptor is not one of ours, but is watched like one.
    auto [entry, added] = entries_.try_emplace(fd);
    entry->second.loop = loop;
    if (readable(fd)) {
        signal(fd);
    }
}

void Descriptors::unwatch(int fd) {
    if (auto *entry = find(fd); entry != nullptr && entry->loop >= 0) {
        ready_[entry->loop].erase(fd);
        entry->loop = -1;
    }
}

bool Descriptors::readable(int fd) const {
    const auto *entry = find(fd);
    return entry != nullptr && (!entry->packets.empty() || entry->peer_closed || entry->raised ||
                                (entry->space != nullptr && entry->space->has_fault()));
}

void Descriptors::signal(int fd) {
    auto *entry = find(fd);
    if (entry == nullptr) {
        return;
    }
    if (entry->on_packet) {
        entry->on_packet();
        return;
    }
    if (entry->peer < 0 && entry->space == nullptr) {
        entry->raised = true;
    }
    if (entry->loop >= 0) {
        ready_[entry->loop].insert(fd);
        readable_(entry->loop);
    }
}

void Descriptors::clear(int fd) {
    if (auto *entry = find(fd)) {
        entry->raised = false;
    }
}

std::vector<int> Descriptors::ready(int loop) const {
    std::vector<int> result;
    if (const auto found = ready_.find(loop); found != ready_.end()) {
        for (const int fd : found->second) {
            if (readable(fd)) {
                result.push_back(fd);
            }
        }
    }
    return result;
}

void Descriptors::close_watched(int loop) {
    std::vector<int> watched;
    for (const auto &[fd, entry] : entries_) {
        if (entry.loop == loop) {
            watched.push_back(fd);
        }
    }
    std::sort(watched.begin(), watched.end());
    for (const int fd : watched) {
        close(fd);
    }
    ready_.erase(loop);
}

} // namespace norma::sim

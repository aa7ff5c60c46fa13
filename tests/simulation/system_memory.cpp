// SPDX-License-Identifier: BSD-3-Clause
// What the pager asks the kernel for, answered by the simulation: in place of dsm/frames.cpp and dsm/userfault.cpp.
// A page's bytes say which page it is and which write made it; the rest of it stays zero.
#include "dsm/frames.hpp"
#include "tests/simulation/world.hpp"

#include <cerrno>
#include <cstring>

namespace norma::dsm {

using sim::Content;
using sim::world;

namespace {

constexpr std::uint64_t kPage = rpc::kPageBytes;

void to_bytes(const Content &content, std::byte *bytes) {
    std::memset(bytes, 0, kPage);
    std::memcpy(bytes, &content, sizeof content);
}

Content from_bytes(const std::byte *bytes) {
    Content content;
    std::memcpy(&content, bytes, sizeof content);
    return content;
}

} // namespace

Frames::Frames(std::uint64_t)
    : fd_(world().fds.add(std::make_shared<sim::FrameFile>(world().running(), world().plan.markers_survive))) {}

Frames::~Frames() {
    world().fds.close(fd_);
}

void Frames::grow(std::uint64_t) {} // such a file has no end

void Frames::read(std::uint64_t page, std::span<std::byte> into) const {
    const auto file = world().fds.file(fd_);
    for (std::size_t at = 0; at < into.size(); at += kPage, ++page) {
        const auto *content = file->find(page);
        to_bytes(content == nullptr ? Content{} : *content, into.data() + at);
    }
}

void Frames::write(std::uint64_t page, std::span<const std::byte> from) {
    const auto file = world().fds.file(fd_);
    for (std::size_t at = 0; at < from.size(); at += kPage, ++page) {
        file->make(page) = from_bytes(from.data() + at);
    }
}

Frames::Run Frames::next(std::uint64_t page, std::uint64_t count) const {
    const auto &frames = world().fds.file(fd_)->frames();
    const auto first = frames.lower_bound(page);
    if (first == frames.end() || first->first >= page + count) {
        return {.first = page + count, .count = 0};
    }
    std::uint64_t end = first->first;
    while (end < page + count && frames.contains(end)) {
        ++end;
    }
    return {.first = first->first, .count = end - first->first};
}

std::uint64_t Frames::bytes() const {
    return world().fds.file(fd_)->frames().size() * kPage;
}

bool Frames::allocate(std::uint64_t page, std::uint64_t count) {
    for (const auto end = page + count; page < end; ++page) {
        world().fds.file(fd_)->make(page);
    }
    return true;
}

void Frames::drop(std::uint64_t page, std::uint64_t count) {
    world().fds.file(fd_)->drop(page, count);
}

Userfault::~Userfault() {
    world().fds.close(fd_);
}

std::optional<PageFault> Userfault::read() {
    const auto fault = world().fds.space(fd_)->next_fault();
    if (fault) {
        world().trace(world().running(), "fault", fault->address, fault->write, fault->write_protected);
    }
    return fault;
}

int Userfault::add_range(std::uint64_t address, std::uint64_t bytes) {
    return world().fds.space(fd_)->add_range(address / kPage, bytes / kPage);
}

int Userfault::copy(std::uint64_t address, const void *source, std::uint64_t bytes, bool protect, std::uint64_t &done) {
    const auto space = world().fds.space(fd_);
    for (done = 0; done < bytes; done += kPage) {
        const auto content = from_bytes(static_cast<const std::byte *>(source) + done);
        if (const int error = space->copy((address + done) / kPage, content, protect); error != 0) {
            return error;
        }
    }
    return 0;
}

int Userfault::protect(std::uint64_t address, std::uint64_t bytes) {
    return world().fds.space(fd_)->protect(address / kPage, bytes / kPage, true);
}

int Userfault::unprotect(std::uint64_t address, std::uint64_t bytes) {
    return world().fds.space(fd_)->protect(address / kPage, bytes / kPage, false);
}

int Userfault::wake(std::uint64_t address, std::uint64_t bytes) {
    return world().fds.space(fd_)->wake(address / kPage, bytes / kPage);
}

} // namespace norma::dsm

// SPDX-License-Identifier: BSD-3-Clause
// Reading what was taken, while the job goes on: each call gives the next piece. Pages that have never been written are
// left out, and those that hold only zeros.
#include "runtime/server/checkpointing.hpp"

#include <algorithm>

namespace norma::rt {

using checkpoint::kPagesAtOnce;

void Checkpointing::read(const launch::CheckpointRead &wanted) {
    if (wanted.number == number_ && !std::exchange(reading_, true)) {
        say_pieces();
    }
}

void Checkpointing::say_pieces() {
    launch::CheckpointPiece said{.number = number_, .node = node_.self, .kind = 0, .bytes = {}};
    if (piece_ < pieces_.size()) {
        auto &piece = pieces_[piece_++];
        said.kind = static_cast<std::uint8_t>(piece.kind);
        said.bytes = std::move(piece.bytes);
        reading_ = false;
        say_(said);
        return;
    }
    next_pages();
}

// Brings the next few to this node, which is their home.
void Checkpointing::next_pages() {
    while (snapshot_ < snapshots_.size()) {
        const auto &[of, number] = snapshots_[snapshot_];
        if (content_.empty()) {
            content_ = node_.pager.content(of.stretch.object, number);
            page_ = 0;
        }
        const auto first = std::find(content_.begin() + static_cast<std::ptrdiff_t>(page_), content_.end(), true);
        if (first == content_.end()) {
            content_.clear();
            ++snapshot_;
            continue;
        }
        page_ = static_cast<dsm::PageIndex>(first - content_.begin());
        const auto count = std::min<std::uint64_t>(kPagesAtOnce, of.pages - page_);
        std::uint64_t mask = 0;
        for (std::uint64_t i = 0; i < count; ++i) {
            mask |= std::uint64_t{content_[page_ + i]} << i;
        }
        bring({.base = std::exchange(page_, page_ + count), .mask = mask, .write = false});
        return;
    }
    reading_ = false;
    say_(launch::CheckpointPiece{.number = number_, .node = node_.self, .kind = 0, .bytes = {}});
}

// Of the pages that are asked for together only the first is sure to come. In a turn of its own each time: there may be
// much that has not to be fetched from anywhere.
void Checkpointing::bring(dsm::Batch wanted) {
    const auto &[of, number] = snapshots_[snapshot_];
    auto there = wanted;
    there.base += number * of.pages;
    node_.pager.bring(of.stretch.object, {there}, [this, run = number_, wanted, there] {
        node_.loop.at(Clock::now(), [this, run, wanted, there] {
            if (run != number_ || !reading_) {
                return;
            }
            const auto &object = snapshots_[snapshot_].of.stretch.object;
            if (node_.pager.has_lost(object, there)) {
                say_failure("pages have been lost with a node that has died");
            } else if (node_.pager.missing(object, there) != 0) {
                bring(wanted);
            } else {
                say_pages(wanted.base, wanted.mask);
            }
        });
    });
}

void Checkpointing::say_failure(std::string_view why) {
    reading_ = false;
    const auto text = std::as_bytes(std::span(why));
    say_(
        launch::CheckpointPiece{.number = number_, .node = node_.self, .kind = 0, .bytes = {text.begin(), text.end()}});
}

void Checkpointing::say_pages(dsm::PageIndex base, std::uint64_t mask) {
    const auto &[of, number] = snapshots_[snapshot_];
    checkpoint::Pages pages{.stretch = static_cast<std::uint32_t>(snapshot_), .first = base, .mask = 0, .content = {}};
    std::vector<std::byte> content(kPagesAtOnce * kMapPage);
    std::size_t used = 0;
    for (std::uint64_t i = 0; i < kPagesAtOnce; ++i) {
        if ((mask >> i & 1) == 0) {
            continue;
        }
        const auto page = std::span(content).subspan(used, kMapPage);
        node_.pager.read(of.stretch.object, number * of.pages + base + i, page);
        if (std::ranges::any_of(page, [](std::byte byte) { return byte != std::byte{0}; })) {
            pages.mask |= std::uint64_t{1} << i;
            used += kMapPage;
        }
    }
    if (pages.mask == 0) {
        next_pages();
        return;
    }
    pages.content = std::span(content).first(used);
    reading_ = false;
    say_(launch::CheckpointPiece{.number = number_,
                                 .node = node_.self,
                                 .kind = static_cast<std::uint8_t>(checkpoint::Kind::pages),
                                 .bytes = checkpoint::encode(pages)});
}

} // namespace norma::rt

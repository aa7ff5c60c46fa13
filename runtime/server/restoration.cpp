// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/restoration.hpp"

#include "norma/mach.h"

#include <bit>
#include <fmt/format.h>
#include <system_error>

namespace norma::rt {

using checkpoint::Kind;

namespace {

constexpr const char *kDamaged = "the checkpoint is damaged";

} // namespace

void Restoration::take(const checkpoint::Piece &piece, const Done &done) {
    if (piece.kind != Kind::job && (!job_ || piece.node >= job_->nodes)) {
        done(kDamaged);
        return;
    }
    switch (piece.kind) {
    case Kind::job:
        return done(take_job(piece));
    case Kind::stretches:
        return done(take_stretches(piece));
    case Kind::pages:
        return done(take_pages(piece));
    case Kind::task:
        return done(take_task(piece));
    case Kind::ended:
        return done(take_ends(piece));
    case Kind::sync:
        return done(take_sync(piece));
    }
    done(kDamaged);
}

std::string Restoration::take_job(const checkpoint::Piece &piece) {
    const auto job = checkpoint::decode_job(piece.bytes);
    if (!job || job_ || !node_.tasks.empty() || !node_.objects.empty()) {
        return kDamaged;
    }
    if (job->window_base != node_.window.base || job->window_size != node_.window.size) {
        return "the job had its memory at other addresses (NORMA_WINDOW_BASE, NORMA_WINDOW_SIZE)";
    }
    job_ = job;
    listed_.resize(job->nodes);
    serials_.resize(node_.count);
    node_.heap_parts = job->heap_parts;
    node_.when_restored = [this] {
        for (const auto &stretch : std::exchange(used_, {})) {
            node_.release(stretch);
        }
    };
    return "";
}

// All nodes hear of all memory in the same order, so each knows what the others call it.
std::string Restoration::take_stretches(const checkpoint::Piece &piece) {
    const auto stretches = checkpoint::decode_stretches(piece.bytes);
    if (!stretches) {
        return kDamaged;
    }
    for (const auto &saved : *stretches) {
        const auto home = checkpoint::new_home(saved, piece.node, node_.count);
        const Stretch now{.object = {.home = home, .incarnation = node_.incarnation, .serial = ++serials_[home]},
                          .number = 0};
        const Memory memory{.stretch = now, .pages = saved.pages};
        by_place_[{piece.node, listed_[piece.node]++}] = memory;
        if (!memory_.emplace(saved.stretch, memory).second) {
            return kDamaged;
        }
        if (home != node_.self) {
            continue;
        }
        if (auto why = make_memory(saved, now); !why.empty()) {
            return why;
        }
    }
    return "";
}

std::string Restoration::make_memory(const checkpoint::SavedStretch &saved, const Stretch &wanted) {
    Stretch made;
    const auto most = node_.window.size / kMapPage;
    if (saved.pages > most || (!saved.name.empty() && node_.names.contains(saved.name))) {
        return kDamaged;
    }
    const auto status = node_.make_object(saved.pages * kMapPage, node_.ledgers.roots(), made.object);
    if (status != KERN_SUCCESS || made != wanted) {
        return fmt::format("node {} has no {} bytes for memory of the job (NORMA_MEMORY)", node_.self,
                           saved.pages * kMapPage);
    }
    if (saved.name.empty()) {
        used_.push_back(made);
    } else { // which is its user
        node_.names[saved.name] = made.object;
        node_.objects.at(made.object).named = true;
    }
    return "";
}

std::string Restoration::take_pages(const checkpoint::Piece &piece) {
    const auto pages = checkpoint::decode_pages(piece.bytes);
    const auto found = pages ? by_place_.find({piece.node, pages->stretch}) : by_place_.end();
    if (found == by_place_.end() || found->second.stretch.object.home != node_.self) {
        return kDamaged;
    }
    const auto &[stretch, size] = found->second;
    auto content = pages->content;
    for (auto mask = pages->mask; mask != 0;) {
        const auto first = static_cast<unsigned>(std::countr_zero(mask));
        const auto count = static_cast<unsigned>(std::countr_one(mask >> first));
        if (pages->first >= size || first + count > size - pages->first) {
            return kDamaged;
        }
        try {
            node_.pager.write(stretch.object, pages->first + first, content.first(count * kMapPage));
        } catch (const std::system_error &error) {
            return fmt::format("node {} has no room for memory of the job: {}", node_.self, error.what());
        }
        content = content.subspan(count * kMapPage);
        mask = first + count >= 64 ? 0 : mask >> (first + count) << (first + count);
    }
    return "";
}

// Every node keeps the task's addresses free for it; the rest is for node 0.
std::string Restoration::take_task(const checkpoint::Piece &piece) {
    auto saved = checkpoint::decode_task(piece.bytes);
    auto image = saved ? decode_image(saved->image, node_.window, node_.heap_parts) : std::nullopt;
    if (!image) {
        return kDamaged;
    }
    for (const auto &entry : image->entries) {
        node_.addresses.reserve({.start = entry.start, .size = entry.size});
    }
    if (node_.self == 0) {
        tasks_.push_back({.saved = std::move(*saved),
                          .image = std::move(*image),
                          .where = checkpoint::new_place(piece.node, node_.count)});
    }
    return "";
}

std::string Restoration::take_ends(const checkpoint::Piece &piece) {
    const auto ends = checkpoint::decode_ends(piece.bytes);
    for (std::size_t i = 0; ends && i < ends->size(); ++i) {
        ends_[(*ends)[i].id] = (*ends)[i];
    }
    return ends ? "" : kDamaged;
}

std::string Restoration::take_sync(const checkpoint::Piece &piece) {
    const auto objects = checkpoint::decode_sync(piece.bytes);
    for (std::size_t i = 0; objects && i < objects->size(); ++i) {
        sync_.emplace_back(sync_home((*objects)[i].id, node_.count), (*objects)[i]);
    }
    return objects ? "" : kDamaged;
}

} // namespace norma::rt

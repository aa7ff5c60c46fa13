// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_restore.hpp"

#include <exception>

#include "runtime/launcher_job.hpp"
#include "runtime/launcher_say.hpp"

namespace norma::rt {

using checkpoint::FileError;
using checkpoint::Kind;
using checkpoint::Piece;

checkpoint::Job look_at_checkpoint(const std::string &path) {
    checkpoint::Reader reader(path);
    std::optional<checkpoint::Job> job;
    while (const auto piece = reader.next()) {
        if (piece->kind == Kind::job) {
            if (job) {
                throw FileError(path + " is damaged: it is of two jobs");
            }
            job = checkpoint::decode_job(piece->bytes);
        }
    }
    if (!job) {
        throw FileError(path + " is damaged: it does not say of which job it is");
    }
    return *job;
}

RestoreFeed::RestoreFeed(const std::string &path, std::size_t nodes)
    : reader_(path), nodes_(nodes), job_(look_at_checkpoint(path)), homes_(job_.nodes) {}

std::set<std::size_t> RestoreFeed::receivers_of(const Piece &piece) {
    std::set<std::size_t> all;
    for (std::size_t node = 0; node < nodes_; ++node) {
        all.insert(node);
    }
    if (piece.node >= homes_.size()) {
        throw FileError("the checkpoint is damaged: it is of more nodes than the job had");
    }
    auto &homes = homes_[piece.node];
    switch (piece.kind) {
    case Kind::stretches:
        if (const auto stretches = checkpoint::decode_stretches(piece.bytes)) {
            for (const auto &stretch : *stretches) {
                homes.push_back(checkpoint::new_home(stretch, piece.node, static_cast<unsigned>(nodes_)));
            }
            return all;
        }
        break;
    case Kind::pages:
        if (const auto pages = checkpoint::decode_pages(piece.bytes); pages && pages->stretch < homes.size()) {
            return {homes[pages->stretch]};
        }
        break;
    case Kind::job:
    case Kind::task:
        return all;
    case Kind::ended:
    case Kind::sync:
        return {0};
    }
    throw FileError("the checkpoint is damaged");
}

std::optional<RestoreFeed::Item> RestoreFeed::next() {
    if (stage_ == Stage::over) {
        return std::nullopt;
    }
    if (stage_ == Stage::job) { // which all need before anything else
        stage_ = Stage::pieces;
        Piece piece{.kind = Kind::job, .node = 0, .bytes = checkpoint::encode(job_)};
        auto to = receivers_of(piece);
        return Item{
            .record = {.kind = static_cast<std::uint8_t>(Kind::job), .node = 0, .bytes = std::move(piece.bytes)},
            .to = std::move(to)};
    }
    while (auto piece = reader_.next()) {
        if (piece->kind != Kind::job) {
            auto to = receivers_of(*piece);
            return Item{.record = {.kind = static_cast<std::uint8_t>(piece->kind),
                                   .node = piece->node,
                                   .bytes = std::move(piece->bytes)},
                        .to = std::move(to)};
        }
    }
    stage_ = Stage::over;
    return Item{.record = {.kind = 0, .node = 0, .bytes = {}}, .to = {0}};
}

// ---- in place of the order to run the program ----

void LauncherJob::begin_restoration() {
    try {
        restoration_.emplace(options_.checkpoint, nodes_.size());
    } catch (const FileError &error) {
        return end_restoration(error.what());
    }
    restore_next();
}

void LauncherJob::restore_next() {
    try {
        auto item = restoration_->next();
        if (!item) {
            restoration_.reset();
            return;
        }
        restoring_ = std::move(item->to);
        for (const auto node : restoring_) {
            send(node, item->record);
        }
    } catch (const FileError &error) {
        end_restoration(error.what());
    }
}

void LauncherJob::piece_restored(std::size_t index, const launch::Restored &answer) {
    if (!answer.why.empty()) {
        end_restoration(answer.why);
    } else if (restoring_.erase(index) != 0 && restoring_.empty()) {
        restore_next();
    }
}

void LauncherJob::end_restoration(const std::string &why) {
    restoration_.reset();
    say("the job cannot go on from {}: {}", options_.checkpoint, why);
    shut_down(1);
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// What a launcher gives its node servers of a checkpoint, and whom (docs/checkpoint.md).
#pragma once

#include "runtime/checkpoint_file.hpp"
#include "runtime/launch.hpp"

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace norma::rt {

// Reads all of the file, so that one which is damaged or not complete is found out before anything begins. Throws
// checkpoint::FileError.
checkpoint::Job look_at_checkpoint(const std::string &path);

class RestoreFeed {
  public:
    RestoreFeed(const std::string &path, std::size_t nodes); // throws checkpoint::FileError

    struct Item {
        launch::Restore record;
        std::set<std::size_t> to;
    };
    // No value: there are no more. Throws likewise.
    std::optional<Item> next();

  private:
    std::set<std::size_t> receivers_of(const checkpoint::Piece &piece);

    checkpoint::Reader reader_;
    std::size_t nodes_;
    checkpoint::Job job_;
    std::vector<std::vector<dsm::NodeId>> homes_; // of the stretches of each node
    enum class Stage : std::uint8_t { job, pieces, over } stage_ = Stage::job;
};

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// A history is read as it was written, and a damaged one is not read at all.
#include "tests/history/file.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace history {
namespace {

class HistoryFile : public ::testing::Test {
  protected:
    HistoryFile() {
        file.facts = {.nodes = 3, .rounds = 2, .faults = 99, .teleports = 4, .clones = 5, .evictions = 6};
        file.operations = {
            {.kind = Kind::write, .thread = 1, .location = 2, .read = 0, .written = 3, .begin = -4, .end = kNever},
            {.kind = Kind::read, .thread = 5, .location = 6, .read = 7, .written = 0, .begin = 8, .end = 9}};
        file.seen.resize(1);
        file.seen[0].shape = shapes().size() - 1;
        file.seen[0].times = 1000;
        file.seen[0].outcome.last = {1, 2};
    }
    ~HistoryFile() override { std::filesystem::remove(path); }

    const std::string path =
        (std::filesystem::temp_directory_path() / ("norma-history-" + std::to_string(::getpid()))).string();
    File file;
};

TEST_F(HistoryFile, IsReadAsItWasWritten) {
    save(path, file);
    EXPECT_EQ(load(path), file);
}

TEST_F(HistoryFile, MissingOrCutShortOrTooLong) {
    EXPECT_THROW(load(path), FileError);
    save(path, file);
    const auto size = std::filesystem::file_size(path);
    std::ofstream(path, std::ios::app) << 'x';
    EXPECT_THROW(load(path), FileError);
    for (auto shorter = size; shorter-- > 0;) {
        std::filesystem::resize_file(path, shorter);
        EXPECT_THROW(load(path), FileError) << shorter;
    }
}

TEST_F(HistoryFile, WhatDoesNotExist) {
    file.seen[0].shape = shapes().size();
    save(path, file);
    EXPECT_THROW(load(path), FileError);
    file.seen.clear();
    file.operations[0].kind = static_cast<Kind>(4);
    save(path, file);
    EXPECT_THROW(load(path), FileError);
}

TEST_F(HistoryFile, WhereNothingCanBeWritten) {
    EXPECT_THROW(save("/nonexistent/history", file), FileError);
}

} // namespace
} // namespace history

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/file_table.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace norma::rt {
namespace {

using Kind = FileChange::Kind;

struct FileTableTest : ::testing::Test {
    FileTable table;

    int change(FileChange wanted) {
        const int error = table.decide(wanted);
        if (error == 0) {
            table.apply(wanted);
            made = wanted.number;
        }
        return error;
    }
    std::uint32_t made = 0;
};

TEST_F(FileTableTest, GivesTheFirstFreeNumber) {
    EXPECT_EQ(change({.kind = Kind::open, .node = 3, .number = 1}), 0);
    EXPECT_EQ(made, 1U);
    EXPECT_EQ(change({.kind = Kind::open, .node = 4, .number = 1}), 0);
    EXPECT_EQ(made, 2U);
    EXPECT_EQ(change({.kind = Kind::close, .number = 1}), 0);
    EXPECT_EQ(change({.kind = Kind::open, .close_on_exec = true, .node = 5, .number = 0}), 0);
    EXPECT_EQ(made, 0U);
    EXPECT_EQ(change({.kind = Kind::duplicate, .number = 0, .subject = 2}), 0);
    EXPECT_EQ(made, 1U);
    EXPECT_EQ(*table.find(1), (SharedFile{.node = 4}));
    EXPECT_EQ(*table.find(0), (SharedFile{.node = 5, .close_on_exec = true}));
}

TEST_F(FileTableTest, TakesExactlyTheOneThatIsAskedFor) {
    EXPECT_EQ(change({.kind = Kind::open, .node = 1, .number = 7}), 0);
    EXPECT_EQ(change({.kind = Kind::open, .exact = true, .node = 2, .number = 7}), 0);
    EXPECT_EQ(made, 7U);
    EXPECT_EQ(table.find(7)->node, 2);
    EXPECT_EQ(change({.kind = Kind::duplicate, .close_on_exec = true, .exact = true, .number = 9, .subject = 7}), 0);
    EXPECT_EQ(*table.find(9), (SharedFile{.node = 2, .close_on_exec = true}));
    EXPECT_FALSE(table.find(7)->close_on_exec);
}

TEST_F(FileTableTest, RefusesWhatIsNotOpen) {
    EXPECT_EQ(change({.kind = Kind::close, .number = 3}), EBADF);
    EXPECT_EQ(change({.kind = Kind::set_flags, .number = 3}), EBADF);
    EXPECT_EQ(change({.kind = Kind::duplicate, .number = 0, .subject = 3}), EBADF);
    EXPECT_EQ(change({.kind = Kind::duplicate, .number = 0, .subject = ~std::uint64_t{0}}), EBADF);
    EXPECT_EQ(table.find(~std::uint64_t{0}), nullptr);
}

TEST_F(FileTableTest, HasAnEnd) {
    EXPECT_EQ(change({.kind = Kind::open, .number = kMostFiles - 1}), 0);
    EXPECT_EQ(change({.kind = Kind::open, .number = kMostFiles - 1}), EMFILE);
    EXPECT_EQ(change({.kind = Kind::open, .number = kMostFiles}), EMFILE);
    EXPECT_FALSE(table.add(kMostFiles, {}));
    EXPECT_FALSE(table.add(kMostFiles - 1, {}));
}

TEST_F(FileTableTest, ChangesFlags) {
    EXPECT_EQ(change({.kind = Kind::open, .number = 4}), 0);
    EXPECT_EQ(change({.kind = Kind::set_flags, .close_on_exec = true, .number = 4}), 0);
    EXPECT_TRUE(table.find(4)->close_on_exec);
    EXPECT_EQ(change({.kind = Kind::set_flags, .number = 4}), 0);
    EXPECT_FALSE(table.find(4)->close_on_exec);
}

TEST_F(FileTableTest, TravelsWhole) {
    ASSERT_TRUE(table.add(0, {.node = 2}));
    ASSERT_TRUE(table.add(1, {.node = 2, .stream = 1}));
    ASSERT_TRUE(table.add(kMostFiles - 1, {.node = 0, .close_on_exec = true}));
    const auto again = decode_table(encode(table), 3);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->files(), table.files());
    EXPECT_FALSE(decode_table(encode(table), 2)); // there is no node 2
    auto bytes = encode(table);
    bytes.pop_back();
    EXPECT_FALSE(decode_table(bytes, 3));
    bytes = encode(table);
    bytes[4] = std::byte{1}; // twice the same number
    EXPECT_FALSE(decode_table(bytes, 3));
    bytes = encode(table);
    bytes[11] = std::byte{3}; // no such stream
    EXPECT_FALSE(decode_table(bytes, 3));
    EXPECT_FALSE(decode_table({}, 3));
}

TEST(FileChanges, TravelAsTheyAre) {
    const FileChange change{.kind = Kind::duplicate,
                            .close_on_exec = true,
                            .exact = true,
                            .node = 200,
                            .number = kMostFiles - 1,
                            .subject = ~std::uint64_t{0}};
    EXPECT_EQ(decode_change(encode(change)), change);
    EXPECT_EQ(decode_change(encode(FileChange{})), FileChange{});
}

TEST(FileChanges, ThatCannotBeAreRefused) {
    const auto good = encode(FileChange{});
    for (const auto &[word, value] :
         std::initializer_list<std::pair<std::size_t, std::uint64_t>>{{0, 7},
                                                                      {0, 0xff},
                                                                      {0, 1U << 10},
                                                                      {0, 1U << 15},
                                                                      {0, std::uint64_t{dsm::kMaxNodes} << 16},
                                                                      {0, ~std::uint64_t{0}},
                                                                      {1, kMostFiles},
                                                                      {1, ~std::uint64_t{0}}}) {
        auto words = good;
        words.at(word) = value;
        EXPECT_FALSE(decode_change(words)) << word << ' ' << value;
    }
}

} // namespace
} // namespace norma::rt

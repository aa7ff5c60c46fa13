// SPDX-License-Identifier: BSD-3-Clause
// The applications with threads on all nodes, as jobs: the same result on any number of nodes, and the right one.
#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string hash_in(const std::string &out) {
    const auto at = out.find("hash: ");
    return at == std::string::npos ? "none" : out.substr(at, out.find('\n', at) - at);
}

JobEnd run_on(int nodes, const std::vector<std::string> &words) {
    auto end = run_words({.nodes = nodes}, words);
    EXPECT_FALSE(end.timed_out);
    EXPECT_EQ(end.status, 0) << end.err;
    EXPECT_EQ(end.err, "");
    EXPECT_THAT(end.left_behind, IsEmpty());
    return end;
}

// One thread, verified; then the same on more nodes and with more threads.
void expect_one_result(std::vector<std::string> words) {
    auto verified = words;
    verified.insert(verified.end(), {"--threads", "1", "--verify"});
    const auto alone = run_on(1, verified).out;
    EXPECT_THAT(alone, HasSubstr("verify: ok"));
    words.insert(words.end(), {"--threads", "4"});
    for (const int nodes : {1, 2, 4}) {
        EXPECT_EQ(hash_in(run_on(nodes, words).out), hash_in(alone)) << nodes << " nodes";
    }
}

TEST(AppsWithThreads, Radix) {
    expect_one_result({RADIX, "--keys", "60000"});
    EXPECT_THAT(run_on(2, {RADIX, "--keys", "60000", "--bits", "11", "--verify"}).out, HasSubstr("verify: ok"));
}

TEST(AppsWithThreads, Barnes) {
    expect_one_result({BARNES, "--bodies", "700", "--steps", "3"});
    const auto end = run_words({}, {BARNES, "--theta", "3"});
    EXPECT_EQ(end.status, 2);
    EXPECT_THAT(end.err + end.out, HasSubstr("--theta"));
}

TEST(AppsWithThreads, RadixSortsAFile) {
    const auto folder = std::filesystem::temp_directory_path() / ("norma-radix-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    const auto input = folder / "in";
    const auto output = folder / "out";
    std::ofstream(input, std::ios::binary).write("\3\0\0\0\1\0\0\0\2\1\0\0\2\0\0\0", 16);
    run_on(2, {RADIX, "--input", input, "--output", output, "--verify"});
    std::ifstream in(output, std::ios::binary);
    const std::string sorted((std::istreambuf_iterator<char>(in)), {});
    EXPECT_EQ(sorted, std::string("\1\0\0\0\2\0\0\0\3\0\0\0\2\1\0\0", 16));

    std::ofstream(input, std::ios::binary).write("\3\0\0", 3);
    const auto end = run_words({}, {RADIX, "--input", input});
    EXPECT_EQ(end.status, 2);
    EXPECT_THAT(end.err, HasSubstr("3 bytes are not numbers of 4 bytes each"));
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace systest

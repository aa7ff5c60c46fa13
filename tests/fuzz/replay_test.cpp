// SPDX-License-Identifier: BSD-3-Clause
// Every input that is kept, through its target, in an ordinary build; and a number of damaged ones made from each. What
// goes wrong ends the process, so the input is named on the way out. FUZZ_DAMAGES=n: how many are made from each.
#include "tests/fuzz/target.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

namespace fuzz {

void PrintTo(const Target &target, std::ostream *out) {
    *out << target.name;
}

namespace {

namespace fs = std::filesystem;
using Input = std::vector<std::byte>;

std::string current; // what is being tried

void name_current(int) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, current.data(), current.size());
}

std::vector<fs::path> kept(const Target &target) {
    std::vector<fs::path> files;
    for (const auto &entry : fs::directory_iterator(fs::path(FUZZ_CORPUS) / target.name)) {
        files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

Input contents(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

void damage_once(Input &input, std::mt19937_64 &random) {
    const auto place = [&] { return static_cast<std::ptrdiff_t>(random() % (input.size() + 1)); };
    const auto at = place();
    switch (random() % 5) {
    case 0:
        input.erase(input.begin() + std::min(at, place()), input.begin() + std::max(at, place()));
        break;
    case 1:
        input.insert(input.begin() + at, static_cast<std::byte>(random()));
        break;
    case 2: { // a part of it once more
        const Input part(input.begin() + at, input.begin() + std::min<std::ptrdiff_t>(at + 8, std::ssize(input)));
        input.insert(input.begin() + place(), part.begin(), part.end());
        break;
    }
    case 3: // a large or a small number, if it is one
        for (auto i = at; i < std::min<std::ptrdiff_t>(at + 4, std::ssize(input)); ++i) {
            input[static_cast<std::size_t>(i)] = static_cast<std::byte>(random() % 2 == 0 ? 0xff : 0);
        }
        break;
    default:
        if (at < std::ssize(input)) {
            input[static_cast<std::size_t>(at)] ^= static_cast<std::byte>(1U << random() % 8);
        }
    }
}

unsigned damages() {
    const char *wanted = std::getenv("FUZZ_DAMAGES");
    return wanted == nullptr ? 2000 : static_cast<unsigned>(std::strtoul(wanted, nullptr, 10));
}

class Fuzz : public ::testing::TestWithParam<Target> {};

TEST_P(Fuzz, KeptInputs) {
    std::signal(SIGABRT, name_current);
    const auto &target = GetParam();
    const auto files = kept(target);
    EXPECT_GE(files.size(), 2U) << "the corpus of " << target.name << " is too small to start from";
    for (const auto &file : files) {
        current = fmt::format("the input was {}\n", file.string());
        const auto input = contents(file);
        ASSERT_LE(input.size(), 4096U) << file;
        target.run(input);
    }
}

TEST_P(Fuzz, DamagedInputs) {
    std::signal(SIGABRT, name_current);
    const auto &target = GetParam();
    std::mt19937_64 random(4711);
    for (const auto &file : kept(target)) {
        const auto input = contents(file);
        for (unsigned number = 0; number < damages(); ++number) {
            current = fmt::format("the input was damage {} of {}\n", number, file.string());
            auto damaged = input;
            for (auto times = 1 + random() % 6; times > 0; --times) {
                damage_once(damaged, random);
            }
            target.run(damaged);
        }
    }
}

TEST_P(Fuzz, Nothing) {
    GetParam().run({});
}

INSTANTIATE_TEST_SUITE_P(, Fuzz, ::testing::ValuesIn(targets().begin(), targets().end()),
                         [](const auto &param) { return std::string(param.param.name); });

// A folder that nobody replays would be a regression test that is never run.
TEST(FuzzCorpus, HasAFolderForEachTargetAndNoOther) {
    std::set<std::string> folders;
    for (const auto &entry : fs::directory_iterator(FUZZ_CORPUS)) {
        folders.insert(entry.path().filename().string());
    }
    std::set<std::string> names;
    for (const auto &target : targets()) {
        names.insert(target.name);
    }
    EXPECT_EQ(folders, names);
}

} // namespace
} // namespace fuzz

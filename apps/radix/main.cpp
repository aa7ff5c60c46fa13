// SPDX-License-Identifier: BSD-3-Clause
// Radix sort of 32-bit numbers by threads on all nodes of a norma job. A whole program: memory comes from the heap.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/common/application.hpp"
#include "apps/common/hash.hpp"
#include "apps/common/heap.hpp"
#include "apps/common/split.hpp"
#include "apps/common/threads.hpp"
#include "apps/radix/sort.hpp"

namespace {

constexpr std::uint64_t kMostKeys = std::uint64_t{1} << 34;
constexpr unsigned kMostThreads = 1024;

struct Options {
    std::string input;
    std::string output;
    std::uint64_t keys = 1 << 22;
    std::uint64_t seed = 1;
    std::optional<unsigned> threads;
    unsigned bits = 8;
    bool verify = false;
};

void add_options(CLI::App &app, Options &options) {
    app.add_option("--input", options.input, "file of 32-bit numbers, least significant byte first (default: made up)");
    auto *keys = app.add_option("--keys", options.keys, "how many made-up numbers")
                     ->check(CLI::Range(std::uint64_t{1}, kMostKeys))
                     ->capture_default_str();
    auto *seed = app.add_option("--seed", options.seed, "other made-up numbers")->capture_default_str();
    app.get_option("--input")->excludes(keys)->excludes(seed);
    app.add_option("--output", options.output, "file for the sorted numbers");
    app.add_option("--threads", options.threads, "threads, round robin over the nodes (default: one a node, >= 2)")
        ->check(CLI::Range(1U, kMostThreads));
    app.add_option("--bits", options.bits, "bits of a digit")
        ->check(CLI::Range(1U, radix::kMostBits))
        ->capture_default_str();
    app.add_flag("--verify", options.verify, "sort by another method too, with one thread, and compare");
}

std::vector<radix::Key> read_keys(const std::string &file) {
    std::ifstream in(file, std::ios::binary | std::ios::ate);
    if (!in) {
        throw apps::UsageError(fmt::format("--input '{}': cannot be opened", file));
    }
    const auto bytes = static_cast<std::uint64_t>(in.tellg());
    if (bytes == 0 || bytes % sizeof(radix::Key) != 0) {
        throw apps::UsageError(fmt::format("--input '{}': {} bytes are not numbers of 4 bytes each", file, bytes));
    }
    std::vector<radix::Key> keys(bytes / sizeof(radix::Key));
    in.seekg(0);
    if (!in.read(reinterpret_cast<char *>(keys.data()), static_cast<std::streamsize>(bytes))) {
        throw apps::UsageError(fmt::format("--input '{}': cannot be read", file));
    }
    return keys;
}

void write_keys(const std::string &file, std::span<const radix::Key> keys) {
    std::ofstream out(file, std::ios::binary);
    out.write(reinterpret_cast<const char *>(keys.data()), static_cast<std::streamsize>(keys.size_bytes()));
    if (!out.flush()) {
        throw std::runtime_error(fmt::format("--output '{}' cannot be written", file));
    }
}

class Application {
  public:
    explicit Application(Options options) : options_(std::move(options)) {}

    int run() {
        const int nodes_there = apps::nodes_for_threads("radix");
        if (!options_.input.empty()) {
            given_ = read_keys(options_.input);
            options_.keys = given_.size();
        }
        const unsigned threads = options_.threads.value_or(apps::default_workers(nodes_there));
        fmt::print("keys: {}, {} bits at a time\n", options_.keys, options_.bits);
        radix::Sort sort(options_.keys, threads, options_.bits);
        const auto started = std::chrono::steady_clock::now();
        const auto nodes = apps::run_threads(threads, [&](unsigned thread, const apps::Meet &meet) {
            fill(sort.slice(thread), sort.slice_begin(thread));
            sort.work(thread, meet);
        });
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        apps::Hash hash;
        for (const radix::Key key : sort.sorted()) {
            hash.add(std::uint64_t{key});
        }
        fmt::print("threads: {} on nodes {}\n", threads, fmt::join(nodes, " "));
        fmt::print("time: {:.3f} s\n", seconds);
        fmt::print("rate: {:.1f} million keys per second\n", static_cast<double>(options_.keys) / seconds / 1e6);
        if (!options_.output.empty()) {
            write_keys(options_.output, sort.sorted());
        }
        fmt::print("hash: {:016x}\n", hash.value());
        return options_.verify ? verify(sort.sorted()) : 0;
    }

  private:
    void fill(std::span<radix::Key> slice, std::size_t begin) const {
        if (!given_.empty()) {
            std::copy_n(given_.begin() + static_cast<std::ptrdiff_t>(begin), slice.size(), slice.begin());
            return;
        }
        const auto seed = options_.seed; // not looked for in the first thread's page for every key
        for (std::size_t i = 0; i < slice.size(); ++i) {
            slice[i] = radix::made_up_key(seed, begin + i);
        }
    }

    int verify(std::span<const radix::Key> sorted) const {
        std::vector<radix::Key> expected(sorted.size());
        fill(expected, 0);
        std::sort(expected.begin(), expected.end());
        const auto [got, wanted] = std::mismatch(sorted.begin(), sorted.end(), expected.begin());
        if (got == sorted.end()) {
            fmt::print("verify: ok, one thread alone gives the same\n");
            return 0;
        }
        fmt::print(stderr, "radix: verify: number {} is {}, not {}\n", got - sorted.begin(), *got, *wanted);
        return apps::kExitFailed;
    }

    Options options_;
    std::vector<radix::Key> given_;
};

} // namespace

int main(int argc, char **argv) {
    Options options;
    CLI::App app{"Radix sort by threads on all nodes. Start it with: norma run -N 2 radix"};
    add_options(app, options);
    return apps::run_application("radix", app, argc, argv,
                                 [&options] { return apps::in_heap([&] { return Application(options).run(); }); });
}

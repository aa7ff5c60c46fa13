// SPDX-License-Identifier: BSD-3-Clause
// The tests of `norma perf`, what can be set for each, and the options that say so. `norma perf` checks them before it
// starts a job; norma-perf, the program of the job, reads the same ones.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace norma::bench {

struct TestInfo {
    std::string_view name;
    std::string_view meaning;
    unsigned iterations, warmup;                 // unless the user says otherwise
    std::uint64_t size;                          // bytes, likewise
    std::uint64_t least_size = 0, most_size = 0; // both 0: the size cannot be set
    std::uint64_t size_step = 1;
    std::uint64_t most_swept = most_size; // where `-a` ends
    bool whole_program = false;           // in a job of its own, which `all` does without
};

std::span<const TestInfo> tests();

struct Settings {
    std::string test; // a name, or "all"
    std::optional<unsigned> iterations, warmup;
    std::optional<std::uint64_t> size;
    bool sweep = false;          // all sizes
    std::string json, csv, plot; // files, or empty
};

class WrongOption : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

// Where CLI11 puts what it finds; settings() reads it.
struct RawSettings {
    std::string test, size, json, csv, plot;
    std::optional<unsigned> iterations, warmup;
    bool sweep = false;
};
void add_options(CLI::App &app, RawSettings &raw);

// Checks; throws WrongOption, naming the value.
Settings settings(const RawSettings &raw, unsigned nodes);

// The tests that are to be run, in order, with what the user has set. A test that is swept is there once for each size:
// powers of two, and fewer iterations where they are large, unless the user says how many.
std::vector<TestInfo> chosen_tests(const Settings &settings);

} // namespace norma::bench

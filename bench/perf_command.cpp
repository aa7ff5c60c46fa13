// SPDX-License-Identifier: BSD-3-Clause
// `norma perf`: checks its options, then runs norma-perf as a job, or norma-kernel-floor without one.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "bench/perf/options.hpp"
#include "bench/perf/plot.hpp"
#include "rpc/transport.hpp"
#include "runtime/cli/commands.hpp"

namespace norma::rt {
namespace {

constexpr int kWrongInput = 2;

struct CommandLine {
    unsigned nodes = 2;
    std::string transport, wait;
    bool kernel_floor = false;
    bench::RawSettings test;
};

std::string beside_this_program(const char *name) {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

void append_option(std::vector<std::string> &words, const char *option, const std::string &value) {
    if (!value.empty()) {
        words.insert(words.end(), {option, value});
    }
}

void append_counts(std::vector<std::string> &words, const bench::RawSettings &test) {
    append_option(words, "-n", test.iterations ? std::to_string(*test.iterations) : "");
    append_option(words, "-w", test.warmup ? std::to_string(*test.warmup) : "");
}

std::vector<char *> c_strings(std::vector<std::string> &words) {
    std::vector<char *> raw;
    for (auto &word : words) {
        raw.push_back(word.data());
    }
    raw.push_back(nullptr);
    return raw;
}

int run_kernel_floor(const CommandLine &line) {
    std::vector<std::string> words{beside_this_program("norma-kernel-floor")};
    append_option(words, "--wait", line.wait);
    append_counts(words, line.test);
    const auto raw = c_strings(words);
    ::execv(raw[0], raw.data());
    fmt::print(stderr, "norma perf: cannot run {}: {}\n", words[0], std::strerror(errno));
    return 1;
}

int run_job_of_tests(const CommandLine &line, const char *program) {
    std::vector<std::string> words{"run", "-N", std::to_string(line.nodes)};
    append_option(words, "-x", line.transport);
    append_option(words, "--wait", line.wait);
    words.insert(words.end(), {"--", beside_this_program(program), line.test.test});
    append_counts(words, line.test);
    append_option(words, "-s", line.test.size);
    append_option(words, "--json", line.test.json);
    append_option(words, "--csv", line.test.csv);
    append_option(words, "--plot", line.test.plot);
    if (line.test.sweep) {
        words.emplace_back("-a");
    }
    auto raw = c_strings(words);
    return run_command(static_cast<int>(words.size()), raw.data());
}

std::string list_of_tests() {
    std::string list = "Tests (with the sizes they have by themselves):\n";
    for (const auto &test : bench::tests()) {
        list += fmt::format("  {:<15}{}\n", test.name, test.meaning);
    }
    return list;
}

} // namespace

int perf_command(int argc, char **argv) {
    CLI::App app{"Measures norma between nodes on this machine; each result beside its floor.", "norma perf"};
    CommandLine line;
    app.add_option("-N,--nodes", line.nodes, "number of nodes")->check(CLI::Range(1U, rpc::kMaxNodes));
    app.add_option("-x,--transport", line.transport, "as for norma run");
    app.add_option("--wait", line.wait, "as for norma run: adaptive, spin, block");
    auto *kernel_floor =
        app.add_flag("--kernel-floor", line.kernel_floor, "measure the kernel's part of a local fault, without norma");
    bench::add_options(app, line.test);
    app.get_option("test")->required(false)->excludes(kernel_floor);
    app.footer(list_of_tests());
    try {
        app.parse(argc, argv);
        if (line.kernel_floor) {
            return run_kernel_floor(line);
        }
        if (line.test.test.empty()) {
            throw bench::WrongOption("no test is given; `norma perf --help` lists them");
        }
        const auto checked = bench::settings(line.test, line.nodes);
        if (!checked.plot.empty()) {
            bench::check_plotter(checked.plot);
        }
        const bool whole = std::ranges::all_of(bench::chosen_tests(checked), &bench::TestInfo::whole_program);
        return run_job_of_tests(line, whole ? "norma-perf-whole" : "norma-perf");
    } catch (const CLI::CallForHelp &help) {
        return app.exit(help);
    } catch (const CLI::ParseError &error) {
        fmt::print(stderr, "norma perf: {}\n", error.what());
    } catch (const bench::WrongOption &error) {
        fmt::print(stderr, "norma perf: {}\n", error.what());
    }
    return kWrongInput;
}

} // namespace norma::rt

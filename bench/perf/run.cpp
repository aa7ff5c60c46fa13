// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <norma/norma.h>
#include <unistd.h>

#include "bench/perf/binding.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/options.hpp"
#include "bench/perf/plot.hpp"
#include "bench/perf/report.hpp"
#include "bench/perf/run.hpp"
#include "runtime/config.hpp"

namespace norma::bench {
namespace {

constexpr int kWrongInput = 2;

Rows run(const TestInfo &test, std::span<const Entry> entries) {
    for (const auto &entry : entries) {
        if (entry.name == test.name) {
            return entry.run(test);
        }
    }
    throw std::logic_error(fmt::format("{} is no test of this program", test.name));
}

Setting describe_run(unsigned nodes) {
    constexpr const char *kWaits[] = {"adaptive", "spin", "block"};
    const auto config = rt::load_config(environ);
    auto setting = current_setting(config.transport, kWaits[static_cast<std::size_t>(config.wait)], nodes);
    for (int node = 0; node < static_cast<int>(nodes); ++node) {
        setting.binding.push_back(describe(node, place_of(node)));
    }
    return setting;
}

// A file for results, opened before anything is measured; none if the name is empty.
class Output {
  public:
    Output(const char *option, std::string name) : name_(std::move(name)) {
        if (name_.empty()) {
            return;
        }
        file_.open(name_);
        if (!file_) {
            throw WrongOption(fmt::format("{} {}: cannot be written", option, name_));
        }
    }
    void write(const std::string &text) {
        if (!name_.empty() && !(file_ << text << std::flush)) {
            throw std::runtime_error(fmt::format("cannot write {}", name_));
        }
    }

  private:
    std::string name_;
    std::ofstream file_;
};

Rows of_test(const Rows &rows, const std::string &name) {
    Rows chosen;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(chosen),
                 [&](const Row &row) { return row.test == name; });
    return chosen;
}

// One test that fails does not keep the others from running.
int run_tests(const Settings &settings, unsigned nodes, std::span<const Entry> entries) {
    Output json("--json", settings.json), csv("--csv", settings.csv);
    const Output picture("--plot", settings.plot); // gnuplot writes it
    const auto setting = describe_run(nodes);
    print_header(setting);
    int status = 0;
    Rows all;
    for (const auto &test : chosen_tests(settings)) {
        try {
            for (const auto &row : run(test, entries)) {
                print_row(row);
                all.push_back(row);
            }
        } catch (const std::exception &error) {
            fmt::print(stderr, "norma perf: {}: {}\n", test.name, error.what());
            status = 1;
        }
    }
    json.write(to_json(setting, all));
    csv.write(to_csv(setting, all));
    if (!settings.plot.empty()) {
        draw(setting, of_test(all, settings.test), settings.plot);
    }
    return status;
}

} // namespace

int run_program(int argc, char **argv, const char *name, std::span<const Entry> entries) {
    CLI::App app{"Tests of `norma perf`, which is how to run them.", name};
    RawSettings raw;
    add_options(app, raw);
    try {
        app.parse(argc, argv);
        if (norma_in_job() == 0) {
            throw WrongOption("this is the program of a job: use `norma perf`");
        }
        const auto nodes = static_cast<unsigned>(norma_node_count());
        return run_tests(settings(raw, nodes), nodes, entries);
    } catch (const CLI::CallForHelp &help) {
        return app.exit(help);
    } catch (const CLI::ParseError &error) {
        fmt::print(stderr, "norma perf: {}\n", error.what());
        return kWrongInput;
    } catch (const WrongOption &error) {
        fmt::print(stderr, "norma perf: {}\n", error.what());
        return kWrongInput;
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma perf: {}\n", error.what());
        return 1;
    }
}

} // namespace norma::bench

// SPDX-License-Identifier: BSD-3-Clause
// norma-perf: the program that `norma perf` runs as a job.
#include <array>
#include <cstdio>
#include <fstream>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <norma/norma.h>
#include <unistd.h>

#include "bench/perf/binding.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/options.hpp"
#include "bench/perf/report.hpp"
#include "bench/perf/tests.hpp"
#include "runtime/config.hpp"

namespace {

using namespace norma::bench;

constexpr int kWrongInput = 2;

struct Entry {
    std::string_view name;
    Rows (*run)(const TestInfo &test);
};
constexpr std::array kEntries = {
    Entry{"am_lat", am_lat},
    Entry{"am_bw", am_bw},
    Entry{"fault_local", fault_local},
    Entry{"fault_read", fault_read},
    Entry{"fault_write", fault_write},
    Entry{"fault_upgrade", fault_upgrade},
    Entry{"page_pingpong", page_pingpong},
    Entry{"stream_read", stream_read},
    Entry{"stream_write", stream_write},
    Entry{"barrier", barrier},
    Entry{"lock", norma::bench::lock},
    Entry{"clone", norma::bench::clone},
    Entry{"teleport", teleport},
    Entry{"get_lat", get_lat},
    Entry{"put_lat", put_lat},
    Entry{"get_bw", get_bw},
    Entry{"put_bw", put_bw},
    Entry{"atomic_lat", atomic_lat},
};

Rows run(const TestInfo &test) {
    for (const auto &entry : kEntries) {
        if (entry.name == test.name) {
            return entry.run(test);
        }
    }
    throw std::logic_error(fmt::format("{} cannot be run", test.name));
}

struct Place {
    char binding[512];
};

void describe_place(Place &place) {
    const auto text = describe_binding();
    text.copy(place.binding, sizeof place.binding - 1);
}

std::vector<std::string> bindings(int nodes) {
    std::vector<std::string> lines{describe_binding()};
    for (int node = 1; node < nodes; ++node) {
        const Array<Place> place(1);
        RemoteTask task(node);
        task.start<&describe_place>(place.data());
        task.join();
        lines.emplace_back(place.data()->binding);
    }
    return lines;
}

Setting describe_run(unsigned nodes) {
    constexpr const char *kWaits[] = {"adaptive", "spin", "block"};
    const auto config = norma::rt::load_config(environ);
    auto setting = current_setting(config.transport, kWaits[static_cast<std::size_t>(config.wait)], nodes);
    setting.binding = bindings(static_cast<int>(nodes));
    return setting;
}

void write_json(std::ofstream &file, const std::string &name, const std::string &json) {
    file << json << std::flush;
    if (!file) {
        throw std::runtime_error(fmt::format("cannot write {}", name));
    }
}

// One test that fails does not keep the others from running.
int run_tests(const Settings &settings, unsigned nodes) {
    std::ofstream json;
    if (!settings.json.empty()) {
        json.open(settings.json);
        if (!json) {
            throw WrongOption(fmt::format("--json {}: cannot be written", settings.json));
        }
    }
    const auto setting = describe_run(nodes);
    print_header(setting);
    int status = 0;
    Rows all;
    for (const auto &test : chosen_tests(settings)) {
        try {
            for (const auto &row : run(test)) {
                print_row(row);
                all.push_back(row);
            }
        } catch (const std::exception &error) {
            fmt::print(stderr, "norma perf: {}: {}\n", test.name, error.what());
            status = 1;
        }
    }
    if (json.is_open()) {
        write_json(json, settings.json, to_json(setting, all));
    }
    return status;
}

} // namespace

int main(int argc, char **argv) {
    CLI::App app{"The tests of `norma perf`, which is how to run them.", "norma-perf"};
    RawSettings raw;
    add_options(app, raw);
    try {
        app.parse(argc, argv);
        if (norma_in_job() == 0) {
            throw WrongOption("this is the program of a job: use `norma perf`");
        }
        const auto nodes = static_cast<unsigned>(norma_node_count());
        return run_tests(settings(raw, nodes), nodes);
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

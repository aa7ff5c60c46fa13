// SPDX-License-Identifier: BSD-3-Clause
// What main() of an application does: reads the command line, runs, and says what went wrong.
#pragma once

#include "apps/common/usage.hpp"

#include <cstdio>
#include <exception>
#include <functional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace apps {

/// The exit status. `run` is called once the options of `line` have been read; what it throws is reported under `name`,
/// after whatever it has written.
inline int run_application(const char *name, CLI::App &line, int argc, char **argv, const std::function<int()> &run) {
    try {
        line.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return line.exit(error) == 0 ? 0 : kExitUsage;
    }
    const auto failed = [name](int status, const std::exception &error) {
        std::fflush(stdout);
        fmt::print(stderr, "{}: {}\n", name, error.what());
        return status;
    };
    try {
        return run();
    } catch (const UsageError &error) {
        return failed(kExitUsage, error);
    } catch (const std::exception &error) {
        return failed(kExitFailed, error);
    }
}

} // namespace apps

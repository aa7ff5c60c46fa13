// SPDX-License-Identifier: BSD-3-Clause
// The command line of `norma run`.
#include "runtime/launcher.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "rpc/transport.hpp"
#include "runtime/config.hpp"

namespace norma::rt {
namespace {

namespace fs = std::filesystem;

constexpr int kWrongInput = 2;

struct CommandLine {
    unsigned nodes = 1;
    std::string transport, wait;
    std::vector<std::string> program; // its name and its arguments
};

// The words that a variable of the configuration may have.
std::vector<std::string> choices(std::string_view name) {
    for (const auto &variable : variables()) {
        if (variable.name == name) {
            return CLI::detail::split(std::string(variable.choices), '|');
        }
    }
    throw std::logic_error(fmt::format("no variable {}", name));
}

// Everything behind the program's name is the program's; so parsing stops there.
std::vector<std::string> program_words(std::vector<std::string> rest) {
    if (!rest.empty() && rest.front() == "--") {
        rest.erase(rest.begin());
    } else if (!rest.empty() && rest.front().starts_with('-')) {
        throw std::invalid_argument(fmt::format("unknown option '{}'", rest.front()));
    }
    if (rest.empty()) {
        throw std::invalid_argument("no program is given");
    }
    return rest;
}

bool executable_file(const fs::path &path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

std::string find_program(const std::string &name) {
    if (name.find('/') != std::string::npos) {
        std::error_code error;
        if (!fs::exists(name, error)) {
            throw std::invalid_argument(fmt::format("program '{}' does not exist", name));
        }
        if (!executable_file(name)) {
            throw std::invalid_argument(fmt::format("program '{}' is not an executable file", name));
        }
        return fs::absolute(name);
    }
    const char *path = std::getenv("PATH");
    std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
    while (!name.empty()) {
        const auto colon = rest.find(':');
        const auto directory = rest.substr(0, colon);
        const auto candidate = fs::path(directory.empty() ? "." : directory) / name;
        if (executable_file(candidate)) {
            return fs::absolute(candidate);
        }
        if (colon == std::string_view::npos) {
            break;
        }
        rest.remove_prefix(colon + 1);
    }
    throw std::invalid_argument(fmt::format("program '{}' is not in PATH", name));
}

std::string find_node_server() {
    const auto path = fs::read_symlink("/proc/self/exe").parent_path() / "normad";
    if (!executable_file(path)) {
        throw std::runtime_error(
            fmt::format("the node server '{}' does not exist or is not executable", path.string()));
    }
    return path;
}

std::vector<std::string> environment(const CommandLine &line) {
    std::vector<std::string> variables;
    for (char **variable = environ; *variable != nullptr; ++variable) {
        variables.emplace_back(*variable);
    }
    const auto set = [&](const std::string &name, const std::string &value) {
        if (!value.empty()) {
            std::erase_if(variables, [&](const auto &variable) { return variable.starts_with(name + "="); });
            variables.push_back(name + "=" + value);
        }
    };
    set("NORMA_TRANSPORT", line.transport);
    set("NORMA_WAIT", line.wait);
    return variables;
}

void check_configuration(const std::vector<std::string> &variables) {
    std::vector<const char *> raw;
    for (const auto &variable : variables) {
        raw.push_back(variable.c_str());
    }
    raw.push_back(nullptr);
    if (const auto mistakes = config_mistakes(raw.data()); !mistakes.empty()) {
        throw std::invalid_argument(fmt::format("{}", fmt::join(mistakes, "\nnorma run: ")));
    }
}

JobOptions job_options(const CommandLine &line) {
    JobOptions options;
    options.nodes = line.nodes;
    options.program = find_program(line.program.front());
    options.argv = line.program;
    options.env = environment(line);
    check_configuration(options.env);
    options.cwd = fs::current_path();
    options.node_server = {find_node_server()};
    return options;
}

} // namespace

int run_command(int argc, char **argv) {
    CLI::App app{"Runs a program as the first task of a job of several nodes on this machine.", "norma run"};
    CommandLine line;
    app.add_option("-N,--nodes", line.nodes, "number of nodes")->check(CLI::Range(1U, rpc::kMaxNodes));
    app.add_option("-x,--transport", line.transport, "how nodes talk: ucx (its own choice), tcp, shm, verbs")
        ->check(CLI::IsMember(choices("NORMA_TRANSPORT")));
    app.add_option("--wait", line.wait, "how node servers wait: adaptive, spin, block")
        ->check(CLI::IsMember(choices("NORMA_WAIT")));
    app.prefix_command();
    app.footer("Then the program and its arguments, behind `--` if need be.");
    try {
        app.parse(argc, argv);
        line.program = program_words(app.remaining());
        return run_job(job_options(line));
    } catch (const CLI::CallForHelp &help) {
        return app.exit(help);
    } catch (const CLI::ParseError &error) {
        fmt::print(stderr, "norma run: {}\n", error.what());
        return kWrongInput;
    } catch (const std::invalid_argument &error) {
        fmt::print(stderr, "norma run: {}\n", error.what());
        return kWrongInput;
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma run: {}\n", error.what());
        return 1;
    }
}

} // namespace norma::rt

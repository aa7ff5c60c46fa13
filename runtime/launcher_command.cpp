// SPDX-License-Identifier: BSD-3-Clause
// The command line of `norma run`.
#include "runtime/launcher.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "rpc/transport.hpp"
#include "runtime/job_settings.hpp"
#include "runtime/launcher_input.hpp"

namespace norma::rt {
namespace {

namespace fs = std::filesystem;

constexpr int kWrongInput = 2;

struct CommandLine {
    unsigned nodes = 1, local = 1, join_timeout = 60;
    std::string transport, wait, listen, key_file;
    bool verbose = false;
    std::vector<std::string> program; // its name and its arguments
};

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

Environment environment(const CommandLine &line) {
    auto variables = own_environment();
    unset_in(variables, "NORMA_JOB_KEY"); // no node server and no task needs it
    if (!line.transport.empty()) {
        set_in(variables, "NORMA_TRANSPORT", line.transport);
    }
    if (!line.wait.empty()) {
        set_in(variables, "NORMA_WAIT", line.wait);
    }
    if (!line.listen.empty()) {
        set_for_several_hosts(variables, line.local);
    }
    return variables;
}

std::optional<Joining> joining(const CommandLine &line, const Environment &env) {
    if (line.listen.empty()) {
        return std::nullopt;
    }
    if (line.local > line.nodes) {
        throw std::invalid_argument(fmt::format("--local {} is more than -N {}", line.local, line.nodes));
    }
    if (value_in(env, "NORMA_TRANSPORT") == "shm") {
        throw std::invalid_argument("-x shm is for one machine, and --listen for several");
    }
    Joining joining;
    joining.listen = parse_endpoint(line.listen);
    joining.local = line.local;
    joining.limit = std::chrono::seconds(line.join_timeout);
    const auto key = given_key(line.key_file);
    joining.key = key.value_or(fmt::format("{:016x}", random_number()));
    joining.announce_key = !key;
    // Without these nobody could join.
    joining.announce = line.verbose || !key || joining.listen.port.empty();
    return joining;
}

JobOptions job_options(const CommandLine &line) {
    JobOptions options;
    options.nodes = line.nodes;
    options.program = find_program(line.program.front());
    options.argv = line.program;
    options.env = environment(line);
    if (const auto mistakes = mistakes_in(options.env); !mistakes.empty()) {
        throw std::invalid_argument(fmt::format("{}", fmt::join(mistakes, "\nnorma run: ")));
    }
    options.cwd = fs::current_path();
    options.node_server = {find_node_server()};
    options.joining = joining(line, options.env);
    return options;
}

} // namespace

int run_command(int argc, char **argv) {
    CLI::App app{"Runs a program as the first task of a job of several nodes, on this machine or on several.",
                 "norma run"};
    CommandLine line;
    app.add_option("-N,--nodes", line.nodes, "number of nodes")->check(CLI::Range(1U, rpc::kMaxNodes));
    app.add_option("-x,--transport", line.transport, "how nodes talk: ucx (its own choice), tcp, shm, verbs")
        ->check(CLI::IsMember(choices("NORMA_TRANSPORT")));
    app.add_option("--wait", line.wait, "how node servers wait: adaptive, spin, block")
        ->check(CLI::IsMember(choices("NORMA_WAIT")));
    auto *listen = app.add_option("--listen", line.listen,
                                  "ADDRESS[:PORT] where the nodes of other hosts join (norma node --join)");
    app.add_option("--local", line.local, "with --listen: how many nodes are started here; default: 1")
        ->check(CLI::Range(1U, rpc::kMaxNodes))
        ->needs(listen);
    app.add_option("--key-file", line.key_file, "with --listen: its first line is the job's key (else NORMA_JOB_KEY)")
        ->needs(listen);
    app.add_option("--join-timeout", line.join_timeout, "with --listen: seconds to wait for the others; default: 60")
        ->check(CLI::Range(1U, 86'400U))
        ->needs(listen);
    app.add_flag("-v,--verbose", line.verbose, "with --listen: say where to join, and who has");
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

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
#include "runtime/bootstrap.hpp"
#include "runtime/job_settings.hpp"
#include "runtime/launcher_input.hpp"
#include "runtime/launcher_ranks.hpp"

namespace norma::rt {
namespace {

namespace fs = std::filesystem;

constexpr int kWrongInput = 2;
constexpr unsigned kUsualPlaces = 16; // of which each has its share of the addresses, taken or not

struct CommandLine {
    std::optional<unsigned> nodes, local, join_timeout, max_nodes;
    std::string transport, wait, listen, key_file;
    std::vector<std::string> on_signal;
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
    for (const auto *name : {"NORMA_JOB_KEY", "NORMA_ON_SIGNAL"}) {
        unset_in(variables, name); // no node server and no task needs it
    }
    if (!line.transport.empty()) {
        set_in(variables, "NORMA_TRANSPORT", line.transport);
    }
    if (!line.wait.empty()) {
        set_in(variables, "NORMA_WAIT", line.wait);
    }
    if (const auto mistakes = mistakes_in(variables); !mistakes.empty()) {
        throw std::invalid_argument(fmt::format("{}", fmt::join(mistakes, "\nnorma run: ")));
    }
    return variables;
}

std::chrono::seconds limit_for_joiners(const CommandLine &line) {
    return std::chrono::seconds(line.join_timeout.value_or(60));
}

std::optional<Joining> joining(const CommandLine &line, const Environment &env) {
    if (line.listen.empty()) {
        return std::nullopt;
    }
    const auto nodes = line.nodes.value_or(1), local = line.local.value_or(1);
    if (local > nodes) {
        throw std::invalid_argument(fmt::format("--local {} is more than -N {}", local, nodes));
    }
    if (value_in(env, "NORMA_TRANSPORT") == "shm") {
        throw std::invalid_argument("-x shm is for one machine, and --listen for several");
    }
    Joining joining;
    joining.listen = parse_endpoint(line.listen);
    joining.local = local;
    joining.limit = limit_for_joiners(line);
    joining.late = line.max_nodes.has_value();
    const auto key = given_key(line.key_file);
    joining.key = key.value_or(fmt::format("{:016x}", random_number()));
    joining.announce_key = !key;
    // Without these nobody could join.
    joining.announce = line.verbose || !key || joining.listen.port.empty();
    return joining;
}

JobOptions job_options(const CommandLine &line, Environment env) {
    JobOptions options;
    options.nodes = line.nodes.value_or(1);
    options.places = line.max_nodes.value_or(kUsualPlaces);
    options.program = find_program(line.program.front());
    options.argv = line.program;
    options.env = std::move(env);
    options.cwd = fs::current_path();
    options.node_server = {find_node_server()};
    options.on_signal = signal_orders(line.on_signal);
    check_files(options.on_signal);
    return options;
}

void check_places(const CommandLine &line, unsigned nodes) {
    if (line.max_nodes && *line.max_nodes < nodes) {
        throw std::invalid_argument(
            fmt::format("--max-nodes {} is less than the {} nodes that the job begins with", *line.max_nodes, nodes));
    }
}

void check_without_ranks(const CommandLine &line) {
    if (line.listen.empty() && (!line.key_file.empty() || line.join_timeout)) {
        throw std::invalid_argument(
            fmt::format("{} requires --listen", line.join_timeout ? "--join-timeout" : "--key-file"));
    }
}

void check_for_ranks(const CommandLine &line, unsigned count) {
    if (line.nodes.value_or(count) != count) {
        throw std::invalid_argument(
            fmt::format("-N {}, but the launcher has started {} ranks, and each is a node", *line.nodes, count));
    }
    if (line.local) {
        throw std::invalid_argument("--local does not go with ranks that a launcher has started: each is one node");
    }
    if (count > rpc::kMaxNodes) {
        throw std::invalid_argument(fmt::format("{} ranks; a job has at most {} nodes", count, rpc::kMaxNodes));
    }
}

// As one of the ranks that the launcher of a cluster has started. What is wrong, all of them have to hear.
int run_as_one_of(std::unique_ptr<Ranks> ranks, const CommandLine &line, const Environment &env) {
    RankOrders orders{.env = env, .limit = limit_for_joiners(line), .verbose = line.verbose};
    try {
        check_for_ranks(line, ranks->count());
        check_places(line, ranks->count());
        orders.key = given_key(line.key_file);
        orders.on_signal = signal_orders(line.on_signal);
        if (ranks->self() == 0) {
            orders.job = job_options(line, env);
            orders.listener = line.listen.empty() ? listen_anywhere() : listen_at(parse_endpoint(line.listen));
        }
    } catch (const std::exception &error) {
        orders.trouble = error.what();
    }
    return run_as_rank(std::move(ranks), std::move(orders));
}

int run_alone(const CommandLine &line, Environment env) {
    check_places(line, line.nodes.value_or(1));
    if (!line.listen.empty()) {
        set_for_several_hosts(env, line.local.value_or(1));
    }
    auto options = job_options(line, std::move(env));
    options.joining = joining(line, options.env);
    return run_job(options);
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
    app.add_option("--key-file", line.key_file, "with --listen: its first line is the job's key (else NORMA_JOB_KEY)");
    app.add_option("--join-timeout", line.join_timeout, "with --listen: seconds to wait for the others; default: 60")
        ->check(CLI::Range(1U, 86'400U));
    app.add_option("--max-nodes", line.max_nodes,
                   "nodes there can be with those that join while the program runs (norma join; with this option and\n"
                   "--listen norma node --join, too); default: 16, or -N if that is more")
        ->check(CLI::Range(1U, rpc::kMaxNodes));
    app.add_option("--on-signal", line.on_signal, std::string(kOnSignalMeaning))->allow_extra_args(false);
    app.add_flag("-v,--verbose", line.verbose, "with --listen: say where to join, and who has");
    app.prefix_command();
    app.footer(
        "Then the program and its arguments, behind `--` if need be.\n"
        "\n"
        "Started by a cluster's launcher with PMIx, each `norma run` is a node of one job, as many as there are\n"
        "ranks, and the first one runs the program:\n"
        "  srun -N 4 --mpi=pmix norma run ./app\n"
        "  mpirun --map-by ppr:1:node norma run ./app\n"
        "--listen then says where rank 0 is to be reached, if not at all its addresses; with --key-file the key is\n"
        "not given to the launcher. NORMA_BOOTSTRAP=single makes each a job of its own.");
    try {
        app.parse(argc, argv);
        line.program = program_words(app.remaining());
        auto env = environment(line);
        auto ranks = find_ranks(env);
        if (ranks == nullptr) {
            check_without_ranks(line);
        } else if (ranks->count() > 1) {
            return run_as_one_of(std::move(ranks), line, env);
        }
        ranks.reset(); // with its threads
        return run_alone(line, std::move(env));
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

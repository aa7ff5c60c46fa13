// SPDX-License-Identifier: BSD-3-Clause
// `norma`: hands over to a sub-command. Its arguments are not looked at here: what follows the program in `norma run`
// belongs to the program.
#include "runtime/build_info.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/values.hpp"

#include <array>
#include <exception>
#include <fmt/format.h>
#include <string_view>
#include <unistd.h>

namespace {

using namespace norma::rt;

constexpr std::string_view kHelp = R"(norma: one memory and moving tasks for programs that run on several nodes

Usage: norma COMMAND [OPTIONS]

Commands:
  run        start a job:          norma run -N 2 ./app args...
             on a cluster:         srun -N 2 --mpi=pmix norma run ./app args...
  info       what was built, what this machine can do, every variable and its value;
             norma info --check    can norma run here, and what to mend if not
  perf       measure:              norma perf all -N 2     (norma perf --help lists the tests)
  node       join a job of another host:  norma node --join ADDRESS:PORT
  ps         the tasks of your jobs on this machine
  top        what the nodes and tasks of a job are doing, again and again
  stat       one task of a job:    norma stat TASK
  join       add a node of this machine to a job while it runs
  drain      take a node out of a job while it runs:  norma drain NODE
  migrate    move a task of a job while it runs:  norma migrate TASK NODE
  checkpoint write a job to a file while it runs:  norma checkpoint FILE
  restart    let it go on from there, on as many nodes as you like:  norma restart -N 3 FILE
  version    version and commit
  help       this text, or the help of a command:  norma help run

Each command explains its options with --help. Settings come from environment variables whose names start with
NORMA_; `norma info` lists them.
)";

int version_command(int argc, char **) {
    if (argc > 1) {
        fmt::print(stderr, "norma version: takes no arguments\n");
        return 2;
    }
    fmt::print("norma {} (commit {})\n", build_info().version, build_info().commit);
    return 0;
}

int help_command(int argc, char **argv);

struct Command {
    std::string_view name;
    int (*run)(int argc, char **argv);
};
constexpr std::array kCommands = {
    Command{"run", run_command},         Command{"info", info_command},
    Command{"perf", perf_command},       Command{"node", node_command},
    Command{"ps", ps_command},           Command{"stat", stat_command},
    Command{"top", top_command},         Command{"migrate", migrate_command},
    Command{"join", join_command},       Command{"checkpoint", checkpoint_command},
    Command{"restart", restart_command}, Command{"drain", drain_command},
    Command{"version", version_command}, Command{"help", help_command},
};

const Command *find(std::string_view name) {
    for (const Command &command : kCommands) {
        if (command.name == name) {
            return &command;
        }
    }
    return nullptr;
}

int unknown_command(std::string_view name) {
    const Command *nearest = nullptr;
    unsigned distance = 3;
    for (const Command &command : kCommands) {
        if (const unsigned here = edit_distance(name, command.name); here < distance) {
            nearest = &command;
            distance = here;
        }
    }
    if (nearest != nullptr) {
        fmt::print(stderr, "norma: there is no command '{}'; did you mean '{}'?\n", name, nearest->name);
    } else {
        fmt::print(stderr, "norma: there is no command '{}'; `norma help` lists those there are\n", name);
    }
    return 2;
}

int help_command(int argc, char **argv) {
    if (argc < 2) {
        fmt::print("{}", kHelp);
        return 0;
    }
    const Command *command = find(argv[1]);
    if (command == nullptr) {
        return unknown_command(argv[1]);
    }
    if (command->run == help_command || command->run == version_command) {
        fmt::print("{}", kHelp);
        return 0;
    }
    std::string option = "--help";
    std::array<char *, 3> arguments = {argv[1], option.data(), nullptr};
    return command->run(2, arguments.data());
}

int dispatch(int argc, char **argv) {
    if (argc < 2) {
        fmt::print(stderr, "{}", kHelp);
        return 2;
    }
    const std::string_view name = argv[1];
    if (name == "-h" || name == "--help") {
        fmt::print("{}", kHelp);
        return 0;
    }
    if (name == "-V" || name == "--version") {
        return version_command(1, argv);
    }
    const Command *command = find(name);
    return command == nullptr ? unknown_command(name) : command->run(argc - 1, argv + 1);
}

} // namespace

int main(int argc, char **argv) {
    try {
        return dispatch(argc, argv);
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma: {}\n", error.what());
        return 1;
    }
}

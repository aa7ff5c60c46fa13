// SPDX-License-Identifier: BSD-3-Clause
#include <filesystem>
#include <fmt/format.h>

#include "rpc/transport.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/cli/job_words.hpp"
#include "runtime/launcher.hpp"
#include "runtime/launcher_input.hpp"
#include "runtime/launcher_restore.hpp"

namespace norma::rt {
namespace {

// Of the node servers; the tasks have the one they had. The memory has to be at the addresses where it was.
Environment environment(const checkpoint::Job &job, const std::string &transport, const std::string &wait) {
    auto variables = own_environment();
    unset_in(variables, "NORMA_JOB_KEY");
    unset_in(variables, "NORMA_ON_SIGNAL");
    set_in(variables, "NORMA_WINDOW_BASE", fmt::format("{:#x}", job.window_base));
    set_in(variables, "NORMA_WINDOW_SIZE", fmt::format("{}", job.window_size));
    if (!transport.empty()) {
        set_in(variables, "NORMA_TRANSPORT", transport);
    }
    if (!wait.empty()) {
        set_in(variables, "NORMA_WAIT", wait);
    }
    if (const auto mistakes = mistakes_in(variables); !mistakes.empty()) {
        throw std::invalid_argument(fmt::format("{}", fmt::join(mistakes, "\nnorma restart: ")));
    }
    return variables;
}

int restart(const std::string &file, std::optional<unsigned> nodes, const std::string &transport,
            const std::string &wait, const std::vector<std::string> &on_signal) {
    const auto job = look_at_checkpoint(file);
    JobOptions options;
    options.nodes = nodes.value_or(job.nodes);
    options.program = find_program(job.program);
    options.argv = {job.program};
    options.env = environment(job, transport, wait);
    options.cwd = std::filesystem::current_path();
    options.node_server = {find_node_server()};
    options.on_signal = signal_orders(on_signal);
    check_files(options.on_signal);
    options.checkpoint = file;
    return run_job(options);
}

} // namespace

int restart_command(int argc, char **argv) {
    CLI::App app{"Lets a job go on from a checkpoint (norma checkpoint), on nodes of this machine.", "norma restart"};
    std::string file, transport, wait;
    std::vector<std::string> on_signal;
    std::optional<unsigned> nodes;
    app.add_option("FILE", file, "the checkpoint")->required();
    app.add_option("-N,--nodes", nodes, "number of nodes; default: as many as it had")
        ->check(CLI::Range(1U, rpc::kMaxNodes));
    app.add_option("-x,--transport", transport, "how nodes talk: ucx (its own choice), tcp, shm, verbs")
        ->check(CLI::IsMember(choices("NORMA_TRANSPORT")));
    app.add_option("--wait", wait, "how node servers wait: adaptive, spin, block")
        ->check(CLI::IsMember(choices("NORMA_WAIT")));
    app.add_option("--on-signal", on_signal, std::string(kOnSignalMeaning))->allow_extra_args(false);
    return run_command_line("restart", app, argc, argv,
                            [&] { return restart(file, nodes, transport, wait, on_signal); });
}

} // namespace norma::rt

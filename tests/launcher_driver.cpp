// SPDX-License-Identifier: BSD-3-Clause
// The launcher as a program: `driver run OPTIONS…` is `norma run OPTIONS…`, `driver NODE_SERVER N PROGRAM ARGS…` runs
// a job with another node server. With LAUNCHER_SLOW_WAIT set, a look at a child that has not ended takes 20 ms, in
// which the child may end.
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/launcher.hpp"

// In the place of the C library's.
extern "C" int waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
    const auto result = ::syscall(SYS_waitid, type, id, info, options, nullptr);
    if (info->si_pid == 0 && std::getenv("LAUNCHER_SLOW_WAIT") != nullptr) {
        ::usleep(20'000);
    }
    return static_cast<int>(result);
}

int main(int argc, char **argv) {
    if (argc > 1 && std::string_view(argv[1]) == "run") {
        return norma::rt::run_command(argc - 1, argv + 1);
    }
    norma::rt::JobOptions options;
    options.node_server = {argv[1]};
    options.nodes = static_cast<unsigned>(std::atoi(argv[2]));
    options.program = argv[3];
    options.argv.assign(argv + 3, argv + argc);
    for (char **variable = environ; *variable != nullptr; ++variable) {
        options.env.emplace_back(*variable);
    }
    options.cwd = std::filesystem::current_path();
    return norma::rt::run_job(options);
}

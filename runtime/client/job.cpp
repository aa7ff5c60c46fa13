// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/job.hpp"

#include "norma/norma.h"
#include "runtime/client/descriptors.hpp"
#include "runtime/client/program.hpp"
#include "runtime/client/window.hpp"
#include "runtime/protocol.hpp"
#include "runtime/sockets.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace norma::rt {

Job job;

namespace {

[[noreturn]] void give_up(const char *what, int error) {
    std::fprintf(stderr, "norma: %s: %s\n", what, std::strerror(error));
    std::_Exit(126);
}

void need_window() {
    if (const int error = reserve_window(); error != 0) {
        std::fprintf(stderr,
                     "norma: the window of %zu bytes at %p cannot be reserved: %s; NORMA_WINDOW_BASE and "
                     "NORMA_WINDOW_SIZE choose another one\n",
                     static_cast<std::size_t>(job.window_size), reinterpret_cast<void *>(job.window_base),
                     std::strerror(error));
        std::_Exit(126);
    }
}

} // namespace

int open_userfault(bool user_faults_only) {
    job.userfault = dsm::Userfault::open(user_faults_only, job.fault_mode);
    return job.userfault < 0 ? errno : 0;
}

int say_hello(int userfault_error) {
    const auto identity = program_identity();
    TaskMsgHead hello{};
    hello.type = static_cast<std::uint32_t>(TaskMsg::hello);
    hello.args[0] = kTaskProtocol;
    hello.args[1] = static_cast<std::uint64_t>(job.fault_mode);
    hello.args[2] = static_cast<std::uint64_t>(userfault_error);
    return send_packet(job.control, std::as_bytes(std::span(&hello, 1)), std::as_bytes(std::span(identity)),
                       job.userfault);
}

bool join_job() {
    if (std::getenv("NORMA_TASK_FD") == nullptr) {
        return false;
    }
    Config config;
    try {
        config = load_config(environ);
    } catch (const ConfigError &error) {
        std::fprintf(stderr, "norma: %s\n", error.what());
        std::_Exit(126);
    }
    job.control = config.task_fd;
    job.window_base = config.window_base;
    job.window_size = config.window_size;
    unsetenv("NORMA_TASK_FD"); // programs that this one starts are not this task
    if (fcntl(job.control, F_SETFD, FD_CLOEXEC) != 0) {
        give_up("NORMA_TASK_FD is no descriptor", errno);
    }
    need_window();
    if (const auto data = coherent_data(); data.size != 0) {
        job.data_start = data.start;
        job.data_size = data.size;
        TaskMsgHead program{};
        program.type = static_cast<std::uint32_t>(TaskMsg::program);
        program.args[0] = data.start;
        program.args[1] = data.size;
        send_packet(job.control, std::as_bytes(std::span(&program, 1)), {}); // if it fails, so does the next one
    }
    if (const int error = say_hello(open_userfault(config.uffd == UffdMode::user)); error != 0) {
        if (error == EPIPE || error == ECONNRESET) {
            std::_Exit(126); // the node server is gone; the launcher says which
        }
        give_up("the node server cannot be reached", error);
    }
    remember_files();
    job.active = true;
    return true;
}

} // namespace norma::rt

extern "C" {

int norma_node_count(void) noexcept {
    return norma::rt::job.nodes;
}
int norma_node(void) noexcept {
    return norma::rt::job.node;
}
int norma_in_job(void) noexcept {
    return norma::rt::job.active ? 1 : 0;
}
}

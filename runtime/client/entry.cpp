// SPDX-License-Identifier: BSD-3-Clause
// Gets in before main(): the C library's start code calls __libc_start_main with main's address, and finds this one
// first, because the program is linked with libnorma before libc. When the static constructors have run, the first task
// of a job runs main() on a coherent stack; every other task serves, and main() is never called in it. Of a whole
// program not even the constructors run in other tasks, as their variables are those of the first one.
#include "norma/norma.h"
#include "runtime/client/interposed.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/program.hpp"
#include "runtime/client/samples.hpp"
#include "runtime/client/service.hpp"
#include "runtime/client/stops.hpp"
#include "runtime/client/threads.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <unistd.h>

namespace norma::rt {

namespace {

using Main = int (*)(int, char **, char **);

Main program_main;
int main_argc;
char **main_argv;

// The program's arguments are copied onto the coherent stack: it may look at them after a teleport.
void run_main() {
    std::size_t bytes = 0;
    for (int i = 0; i < main_argc; ++i) {
        bytes += std::strlen(main_argv[i]) + 1;
    }
    auto **argv = static_cast<char **>(__builtin_alloca(sizeof(char *) * (static_cast<std::size_t>(main_argc) + 1)));
    auto *text = static_cast<char *>(__builtin_alloca(bytes + 1));
    for (int i = 0; i < main_argc; ++i) {
        const auto size = std::strlen(main_argv[i]) + 1;
        std::memcpy(text, main_argv[i], size);
        argv[i] = text;
        text += size;
    }
    argv[main_argc] = nullptr;
    std::exit(program_main(main_argc, argv, environ));
}

// Returns in the first task only; false outside a job.
bool join(MainStack &stack) {
    if (!join_job()) {
        return false;
    }
    install_stop_handler();
    install_sample_handler();
    stack = serve_until_main();
    return true;
}

MainStack main_stack; // of a whole program; its size is 0 outside a job

void construct_whole_program(int argc, char **argv, char **env) {
    if (!join(main_stack)) {
        main_stack = {};
    }
    run_constructors(argc, argv, env);
}

int start(int argc, char **argv, char **env) {
    if (is_whole_program() ? main_stack.bytes == 0 : !join(main_stack)) {
        return program_main(argc, argv, env);
    }
    main_argc = argc;
    main_argv = argv;
    run_on_stack(main_stack.address, main_stack.bytes, run_main);
    pthread_exit(nullptr); // main's thread was terminated; the others go on
}

} // namespace

} // namespace norma::rt

using StartMain = int(int (*)(int, char **, char **), int, char **, void (*)(), void (*)(), void (*)(), void *);

extern "C" NORMA_EXPORT int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(),
                                              void (*fini)(), void (*rtld_fini)(), void *stack_end) {
    auto *const real = norma::rt::next<StartMain>("__libc_start_main");
    if (real == nullptr) {
        std::fputs("norma: the C library has no __libc_start_main\n", stderr);
        std::abort();
    }
    norma::rt::program_main = main;
    // The C library calls `init`, if there is one, in place of the program's constructors.
    const auto construct =
        norma::rt::is_whole_program() ? reinterpret_cast<void (*)()>(norma::rt::construct_whole_program) : init;
    return real(norma::rt::start, argc, argv, construct, fini, rtld_fini, stack_end);
}

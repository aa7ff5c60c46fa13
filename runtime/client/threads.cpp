// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/threads.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/moved_thread.hpp"
#include "runtime/client/stops.hpp"
#include "runtime/client/teleport.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr std::size_t kPrivateStack = 256 * 1024;
constexpr std::uint64_t kGuard = 4096; // the lowest page of a stack
constexpr std::uint64_t kSome = 64;    // of the stack of a clone only its top is known

// What a pthread of ours needs to get back from the coherent stack. Thread-local, so it always belongs to the process
// the thread runs in; every access is in a function that is not inlined, because after a teleport its address changes.
struct Home {
    ucontext_t context;
    bool set = false;
    bool left = false; // the thread is to end
    std::uint64_t canary = 0;
    std::uint64_t stack_limit = 0;
};
thread_local Home home;

struct Start {
    std::uint64_t entry = 0, argument = 0, stack = 0, bytes = 0;
    std::uint64_t context = 0, canary = 0; // of a thread that goes on
    bool clone = false;                    // the process ends with it
    bool moves = false;                    // it goes on from `saved`
    std::uint64_t saved = 0;
    pid_t tid = 0;
    sem_t known, go;
};
thread_local Start current; // read once, at the bottom of the coherent stack

// The stack protector's reference value, which the frames on a moved stack were made with.
[[gnu::optimize("no-stack-protector")]] void set_canary(std::uint64_t value) {
    asm volatile("mov %0, %%fs:0x28" ::"r"(value));
}

[[gnu::noinline, gnu::optimize("no-stack-protector")]] void go_home() {
    home.left = true;
    set_canary(home.canary);
    setcontext(&home.context);
}

void bottom_of_stack() {
    stop_point();
    while (current.entry == 0) { // until its registers are set, which takes it away from here
        pause();
    }
    const auto entry = reinterpret_cast<void (*)(void *)>(current.entry);
    entry(reinterpret_cast<void *>(current.argument));
    go_home();
}

// What the C library has buffered is this process's own, and would be lost.
void bottom_of_clone_stack() {
    stop_point();
    const int status = reinterpret_cast<int (*)(void *)>(current.entry)(reinterpret_cast<void *>(current.argument));
    std::fflush(nullptr);
    _exit(status);
}

void (*body_of_main)();
void bottom_of_main_stack() {
    stop_point();
    body_of_main();
    go_home();
}

[[gnu::noinline]] void switch_to(std::uint64_t stack, std::uint64_t bytes, void (*bottom)()) {
    home.canary = stack_canary();
    home.left = false;
    home.set = true;
    home.stack_limit = bytes > kSome ? stack + kGuard : 0;
    getcontext(&home.context);
    if (home.left) {
        return;
    }
    ucontext_t onto;
    getcontext(&onto);
    onto.uc_stack.ss_sp = reinterpret_cast<void *>(stack);
    onto.uc_stack.ss_size = bytes;
    onto.uc_link = nullptr;
    makecontext(&onto, bottom, 0);
    setcontext(&onto);
}

[[gnu::noinline, gnu::optimize("no-stack-protector")]] void continue_from(std::uint64_t context, std::uint64_t canary) {
    home.canary = stack_canary();
    home.left = false;
    home.set = true;
    getcontext(&home.context);
    if (home.left) {
        return;
    }
    set_canary(canary);
    continue_here(context);
}

[[gnu::noinline, gnu::optimize("no-stack-protector")]] void continue_moved(std::uint64_t saved) {
    home.canary = stack_canary();
    home.left = false;
    home.set = true;
    home.stack_limit = stack_limit_of(saved);
    getcontext(&home.context);
    if (!home.left) {
        restore_thread(saved);
    }
}

void *run(void *raw) {
    const std::unique_ptr<Start> start(static_cast<Start *>(raw));
    no_stops();
    use_signal_stack();
    prepare_calls();
    start->tid = gettid();
    current.entry = start->entry;
    current.argument = start->argument;
    sem_post(&start->known);
    while (sem_wait(&start->go) != 0) {
    }
    if (start->moves) {
        continue_moved(start->saved);
    } else if (start->context != 0) {
        continue_from(start->context, start->canary);
    } else {
        switch_to(start->stack, start->bytes, start->clone ? bottom_of_clone_stack : bottom_of_stack);
    }
    sem_destroy(&start->known);
    sem_destroy(&start->go);
    tell(TaskMsg::thread_ended, {static_cast<std::uint64_t>(gettid())});
    return nullptr;
}

sigset_t no_signals() {
    sigset_t none;
    sigemptyset(&none);
    return none;
}

// The service thread has all signals blocked; the new one begins with those it is given.
int launch(std::unique_ptr<Start> start, const sigset_t &blocked, NewThread &made) {
    sem_init(&start->known, 0, 0);
    sem_init(&start->go, 0, 0);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kPrivateStack);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread{};
    auto *raw = start.release(); // the thread's from here on, if it comes to be
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    const int error = pthread_create(&thread, &attributes, run, raw);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        delete raw;
        return error;
    }
    while (sem_wait(&raw->known) != 0) {
    }
    made.tid = raw->tid;
    made.go = [raw] { sem_post(&raw->go); };
    return 0;
}

} // namespace

std::uint64_t stack_canary() {
    std::uint64_t value = 0;
    asm volatile("mov %%fs:0x28, %0" : "=r"(value));
    return value;
}

int start_thread(std::uint64_t entry, std::uint64_t argument, std::uint64_t stack, std::uint64_t bytes,
                 NewThread &made) {
    auto start = std::make_unique<Start>();
    start->entry = entry;
    start->argument = argument;
    start->stack = stack;
    start->bytes = bytes;
    return launch(std::move(start), no_signals(), made);
}

int start_clone(std::uint64_t entry, std::uint64_t argument, std::uint64_t top_of_stack, const sigset_t &blocked,
                NewThread &made) {
    auto start = std::make_unique<Start>();
    start->entry = entry;
    start->argument = argument;
    start->stack = top_of_stack - kSome;
    start->bytes = kSome;
    start->clone = true;
    return launch(std::move(start), blocked, made);
}

int resume_thread(std::uint64_t context, std::uint64_t canary, NewThread &made) {
    auto start = std::make_unique<Start>();
    start->context = context;
    start->canary = canary;
    return launch(std::move(start), no_signals(), made);
}

int wait_for_state(WaitingThread &made) {
    auto start = std::make_unique<Start>();
    start->moves = true;
    auto *const raw = start.get();
    NewThread thread;
    sigset_t all; // until it has its state, with its own mask
    sigfillset(&all);
    const int error = launch(std::move(start), all, thread);
    made = {.tid = thread.tid, .go = [raw, go = thread.go](std::uint64_t saved) {
                raw->saved = saved;
                go();
            }};
    return error;
}

void run_on_stack(std::uint64_t stack, std::uint64_t bytes, void (*body)()) {
    body_of_main = body;
    no_stops();
    use_signal_stack();
    prepare_calls();
    switch_to(stack, bytes, bottom_of_main_stack);
}

[[gnu::noinline]] bool on_coherent_stack() {
    const char here = 0;
    return home.set && job.in_window(&here);
}

[[gnu::noinline]] bool is_of_norma() {
    return home.set;
}

[[gnu::noinline]] std::uint64_t stack_limit() {
    return home.stack_limit;
}

[[gnu::noinline]] void end_this_thread() {
    if (home.set) {
        go_home();
    }
    for (;;) {
        syscall(SYS_exit, 0); // a thread that norma did not make
    }
}

} // namespace norma::rt

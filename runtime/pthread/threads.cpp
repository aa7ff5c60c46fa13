// SPDX-License-Identifier: BSD-3-Clause
// <norma/pthread.h>: threads, from their making to their end.
#include "runtime/pthread/thread.hpp"

#include <norma/norma.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <new>
#include <stdio_ext.h>
#include <sys/mman.h>
#include <unistd.h>

namespace norma::threads {

namespace {

thread_local Thread *current;
thread_local norma_pthread_handler *handlers;

bool in_job() {
    return norma_in_job() != 0;
}

// Lines of many nodes come out when they are written, and none is lost when the job ends. The buffer is private
// memory, which the C library can write from wherever pages are.
void prepare_output() {
    constexpr std::size_t kBuffer = 4096;
    if (__flbf(stdout) != 0) {
        return;
    }
    void *buffer = mmap(nullptr, kBuffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::fflush(stdout);
    if (buffer != MAP_FAILED) {
        std::setvbuf(stdout, static_cast<char *>(buffer), _IOLBF, kBuffer);
    }
}

// The last that a thread does with its record, which then may be gone.
void publish_end(Thread &thread) {
    Word *state = &thread.state;
    if ((at(*state).fetch_or(Thread::kEnded) & Thread::kDetached) != 0) {
        free_thread(&thread);
    } else {
        wake_at(state, INT_MAX);
    }
}

void run() {
    norma_pthread_exit(current->start(current->argument));
}

void enter_in_job(void *thread) {
    current = static_cast<Thread *>(thread);
    prepare_output();
    if (!run_on_shared_stack(current->stack_size, run)) {
        std::fputs("norma: no memory for the stack of a thread\n", stderr);
        std::abort();
    }
}

void *enter_outside(void *thread) {
    current = static_cast<Thread *>(thread);
    run();
    return nullptr;
}

constexpr std::size_t kUsualStack = std::size_t{2} << 20;

struct Wishes {
    bool detached = false;
    std::size_t stack_size = kUsualStack;
};

int read_attributes(const pthread_attr_t *attributes, Wishes &wishes) {
    if (attributes == nullptr) {
        return 0;
    }
    int detached = 0;
    int policy = 0;
    void *stack = nullptr;
    std::size_t size = 0;
    std::size_t usual_size = 0;
    pthread_attr_t usual;
    pthread_attr_init(&usual);
    pthread_attr_getstacksize(&usual, &usual_size);
    pthread_attr_destroy(&usual);
    pthread_attr_getdetachstate(attributes, &detached);
    pthread_attr_getschedpolicy(attributes, &policy);
    pthread_attr_getstack(attributes, &stack, &size);
    pthread_attr_getstacksize(attributes, &size);
    // The C library keeps the stack's end; where none was set, that is 0.
    if (policy != SCHED_OTHER || reinterpret_cast<std::uintptr_t>(stack) + size != 0) {
        return ENOTSUP;
    }
    wishes.detached = detached == PTHREAD_CREATE_DETACHED;
    wishes.stack_size = size == usual_size ? kUsualStack : size;
    return 0;
}

int start_outside(int node, Thread *thread, const pthread_attr_t *attributes) {
    if (node > 0 || node < NORMA_NODE_LEAST_LOADED) {
        return EINVAL;
    }
    pthread_t made{};
    const int error = NORMA_C_LIBRARY(pthread_create)(&made, attributes, enter_outside, thread);
    if (error == 0 && (thread->state & Thread::kDetached) == 0) {
        NORMA_C_LIBRARY(pthread_detach)(made); // the record tells those who join
    }
    return error;
}

// Sleeps until the thread has ended or its node has died, or until the deadline.
int await_end(Thread &thread, Deadline deadline) {
    constexpr time_t kLook = 1; // seconds
    for (;;) {
        if (in_job() && is_down(thread.node)) {
            return EOWNERDEAD;
        }
        const Word state = at(thread.state).load();
        if ((state & Thread::kEnded) != 0) {
            return 0;
        }
        timespec look{};
        clock_gettime(deadline.clock, &look);
        look.tv_sec += kLook;
        const bool last = deadline.time != nullptr &&
                          (deadline.time->tv_sec < look.tv_sec ||
                           (deadline.time->tv_sec == look.tv_sec && deadline.time->tv_nsec <= look.tv_nsec));
        const int error =
            wait_at(thread.state, state, last ? deadline : Deadline{.time = &look, .clock = deadline.clock});
        if (error == ENOTRECOVERABLE) {
            return EOWNERDEAD; // the record has died with the node of its maker
        }
        if (error == ETIMEDOUT && last) {
            return ETIMEDOUT;
        }
    }
}

int join(pthread_t name, void **value, Deadline deadline) {
    Thread &thread = thread_of(name);
    if (&thread == &self()) {
        return EDEADLK;
    }
    if (!deadline.is_valid()) {
        return EINVAL;
    }
    if ((at(thread.state).fetch_or(Thread::kClaimed) & (Thread::kClaimed | Thread::kDetached)) != 0) {
        return EINVAL;
    }
    const int error = await_end(thread, deadline);
    if (error == ETIMEDOUT) {
        at(thread.state).fetch_and(~Thread::kClaimed);
        return error;
    }
    if (error == 0) {
        if (value != nullptr) {
            *value = thread.result;
        }
        free_thread(&thread);
    }
    return error;
}

} // namespace

void *in_c_library(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == nullptr) {
        std::fprintf(stderr, "norma: the C library has no %s\n", name);
        std::abort();
    }
    return found;
}

Thread *make_thread(int node) {
    void *place = std::aligned_alloc(alignof(Thread), sizeof(Thread));
    auto *thread = place == nullptr ? nullptr : new (place) Thread;
    if (thread != nullptr) {
        thread->node = node;
    }
    return thread;
}

void free_thread(Thread *thread) {
    std::free(thread);
}

Thread &self() {
    if (current == nullptr) {
        current = make_thread(norma_node());
        if (current == nullptr) {
            std::fputs("norma: no memory for the description of a thread\n", stderr);
            std::abort();
        }
    }
    return *current;
}

void run_handlers() {
    while (handlers != nullptr) {
        norma_pthread_cleanup_pop(1);
    }
}

} // namespace norma::threads

using norma::threads::at;
using norma::threads::Deadline;
using norma::threads::Thread;
using norma::threads::thread_of;

extern "C" {

int norma_pthread_create_on(int node, pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                            void *argument) {
    norma::threads::Wishes wishes;
    if (const int error = norma::threads::read_attributes(attributes, wishes); error != 0) {
        return error;
    }
    Thread *made = norma::threads::make_thread(0);
    if (made == nullptr) {
        return EAGAIN;
    }
    made->start = start;
    made->argument = argument;
    made->stack_size = wishes.stack_size;
    made->state = wishes.detached ? Thread::kDetached : 0;
    const pthread_t name = norma::threads::name_of(made); // one that is detached may be gone when this returns
    int error = 0;
    if (norma::threads::in_job()) {
        norma::threads::prepare_output();
        error = norma::threads::start_somewhere(node, made, norma::threads::enter_in_job);
    } else {
        error = norma::threads::start_outside(node, made, attributes);
    }
    if (error != 0) {
        norma::threads::free_thread(made);
        return error;
    }
    *thread = name;
    return 0;
}

int norma_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    return norma_pthread_create_on(NORMA_NODE_NEXT, thread, attributes, start, argument);
}

int norma_pthread_node(pthread_t thread) {
    return thread_of(thread).node;
}

int norma_pthread_join(pthread_t thread, void **value) {
    return norma::threads::join(thread, value, {});
}

int norma_pthread_tryjoin_np(pthread_t thread, void **value) {
    const timespec past{};
    const int error = norma::threads::join(thread, value, {.time = &past});
    return error == ETIMEDOUT ? EBUSY : error;
}

int norma_pthread_timedjoin_np(pthread_t thread, void **value, const timespec *deadline) {
    return norma::threads::join(thread, value, {.time = deadline});
}

int norma_pthread_detach(pthread_t name) {
    Thread &thread = thread_of(name);
    const auto before = at(thread.state).fetch_or(Thread::kDetached);
    if ((before & (Thread::kDetached | Thread::kClaimed)) != 0) {
        return EINVAL;
    }
    if ((before & Thread::kEnded) != 0) {
        norma::threads::free_thread(&thread);
    }
    return 0;
}

void norma_pthread_exit(void *value) {
    Thread &thread = norma::threads::self();
    norma::threads::run_handlers();
    norma::threads::run_destructors();
    std::fflush(stdout);
    thread.result = value;
    norma::threads::publish_end(thread);
    if (!norma::threads::in_job()) {
        NORMA_C_LIBRARY(pthread_exit)(nullptr);
    } else if (gettid() == getpid()) {
        norma::threads::wait_for_all();
        std::exit(0);
    }
    norma::threads::leave_shared_stack();
    thread_terminate(mach_thread_self()); // one that norma did not make
    std::abort();                         // nobody comes here
}

pthread_t norma_pthread_self() {
    return norma::threads::name_of(&norma::threads::self());
}

int norma_pthread_equal(pthread_t one, pthread_t other) {
    return one == other ? 1 : 0;
}

int norma_pthread_once(pthread_once_t *once, void (*routine)()) {
    constexpr norma::threads::Word kNew = 0, kRunning = 1, kAwaited = 2, kDone = 3;
    static_assert(PTHREAD_ONCE_INIT == kNew && sizeof *once == sizeof kNew);
    auto &word = reinterpret_cast<norma::threads::Word &>(*once);
    auto state = at(word).load();
    if (state == kNew && at(word).compare_exchange_strong(state, kRunning)) {
        routine();
        if (at(word).exchange(kDone) == kAwaited) {
            norma::threads::wake_at(&word, INT_MAX);
        }
        return 0;
    }
    while (state != kDone) {
        if (state == kAwaited || at(word).compare_exchange_strong(state, kAwaited)) {
            if (const int error = norma::threads::wait_at(word, kAwaited); error != 0) {
                return error;
            }
            state = at(word).load();
        }
    }
    return 0;
}

void norma_pthread_cleanup_push(norma_pthread_handler *handler) {
    handler->below = norma::threads::handlers;
    norma::threads::handlers = handler;
}

void norma_pthread_cleanup_pop(int execute) {
    const norma_pthread_handler *top = norma::threads::handlers;
    norma::threads::handlers = top->below;
    if (execute != 0) {
        top->routine(top->argument);
    }
}
}

// SPDX-License-Identifier: BSD-3-Clause
// A job that checks itself all the time until a file appears, with whatever a checkpoint has to bring back: threads on
// several nodes that hold locks, wait for each other in every way, and have state of their own; a timer; copies of
// memory; a named object; tasks that are over. Or one that cannot be written down, for the reason that its first
// argument names.
//
// Usage: checkpoint_app FILE, or checkpoint_app REASON FILE
#include <atomic>
#include <cfenv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <norma/mach_port.h>
#include <norma/norma.hpp>
#include <stdexcept>
#include <string>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace std::chrono_literals;

[[noreturn]] void fail(const char *what, int line) {
    std::fprintf(stderr, "checkpoint_app: line %d: %s\n", line, what);
    norma_exit(1);
    std::abort();
}
#define CHECK(what) ((what) ? void() : fail(#what, __LINE__))

constexpr int kTasks = 3, kThreads = 2, kAll = kTasks * kThreads;
constexpr unsigned kCalm = 4; // rounds between two with a pause, which leave the machine to others

struct Shared {
    norma::mutex lock, held;
    norma::barrier meet;
    norma::semaphore token;
    norma::condition_variable turned;
    std::atomic<bool> over{false};
    bool last = false;
    long counter = 0, round = 0;
    std::map<long, std::string> words;
};
Shared *shared;
volatile std::sig_atomic_t alarms = 0;
long changed_by_copy = 1;
thread_local long own_rounds = 0;

int fibonacci(int n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

void thrown_and_caught(long number) {
    try {
        throw std::runtime_error(std::to_string(number));
    } catch (const std::exception &error) {
        CHECK(std::to_string(number) == error.what());
    }
}

void count() {
    std::unique_lock guard(shared->lock);
    const auto before = shared->counter;
    CHECK(fibonacci(12) == 144);
    shared->counter = before + 1;
    shared->words[shared->counter % 97] = std::string(static_cast<std::size_t>(40 + shared->counter % 50), 'x');
}

// All wait for the one that has counted the round.
void turn(bool serial, long round) {
    std::unique_lock guard(shared->lock);
    if (serial) {
        CHECK(shared->counter == (round + 1) * kAll);
        shared->last = shared->over;
        shared->round = round + 1;
        shared->turned.notify_all();
    } else {
        shared->turned.wait(guard, [round] { return shared->round > round; });
    }
}

void work() {
    std::fesetround(FE_UPWARD);
    own_rounds = 0;
    for (long round = 0; !shared->last; ++round) {
        count();
        thrown_and_caught(round);
        const bool serial = shared->meet.wait();
        turn(serial, round);
        shared->token.acquire();
        CHECK(!shared->held.try_lock()); // the first task has it all the time
        shared->token.release();
        CHECK(std::fegetround() == FE_UPWARD);
        CHECK(++own_rounds == round + 1);
        if (round % kCalm == 0) {
            std::this_thread::sleep_for(2ms);
        }
        shared->meet.wait();
    }
}

void worker_entry(void * /*nothing*/) {
    work();
}

norma::task start_worker(int node) {
    auto task = norma::clone_to(node);
    task.run([] {
        const auto other = norma::task::self().start(worker_entry, nullptr);
        work();
        other.wait();
        return 0;
    });
    return task;
}

// Has what it changes for itself.
norma::task start_copy(int node) {
    static norma::barrier made;
    made = norma::barrier::create(2);
    auto task = norma::task::self().create_on(node);
    task.run([] {
        changed_by_copy = 2;
        made.wait();
        while (access("/nonexistent", F_OK) != 0) {
            CHECK(changed_by_copy == 2);
            std::this_thread::sleep_for(5ms);
        }
        return 0;
    });
    made.wait();
    return task;
}

void on_alarm(int /*signal*/) {
    alarms = alarms + 1;
}

void start_alarms() {
    std::signal(SIGALRM, on_alarm);
    const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 20'000},
                          .it_value = {.tv_sec = 0, .tv_usec = 20'000}};
    CHECK(setitimer(ITIMER_REAL, &often, nullptr) == 0);
}

void wait_for_file(const char *file) {
    while (access(file, F_OK) != 0) {
        std::this_thread::sleep_for(5ms);
    }
}

long *named_object() {
    vm_size_t size = 4096;
    memory_object_t object = MACH_PORT_NULL;
    vm_address_t at = 0;
    CHECK(norma_object_open("checkpoint-app", &size, &object) == KERN_SUCCESS);
    CHECK(vm_map(mach_task_self(), &at, size, 0, TRUE, object, 0, FALSE, VM_PROT_DEFAULT, VM_PROT_ALL,
                 VM_INHERIT_SHARE) == KERN_SUCCESS);
    return reinterpret_cast<long *>(at);
}

int check_all(const char *file) {
    const int last_node = norma::node_count() - 1;
    shared = new Shared;
    shared->lock = norma::mutex::create();
    shared->held = norma::mutex::create();
    shared->meet = norma::barrier::create(kAll);
    shared->token = norma::semaphore::create(1);
    shared->turned = norma::condition_variable::create();
    shared->held.lock();
    auto ended = norma::clone_to(last_node);
    ended.run([] { return 7; });
    CHECK(ended.wait().code() == 7);
    auto *const named = named_object();
    *named = 1234;
    auto copy = start_copy(last_node);
    CHECK(changed_by_copy == 1);
    std::vector<norma::task> tasks;
    for (int i = 0; i < kTasks; ++i) {
        tasks.push_back(start_worker(i % norma::node_count()));
    }
    start_alarms();
    std::printf("ready\n");
    std::fflush(stdout);
    wait_for_file(file);

    const auto alarms_then = alarms;
    while (alarms == alarms_then) {
        std::this_thread::sleep_for(5ms);
    }
    shared->over = true;
    bool well = true;
    for (auto &task : tasks) {
        const auto end = task.wait();
        if (!end.success()) {
            std::fprintf(stderr, "checkpoint_app: a worker has ended with %d, signal %d\n", end.code(), end.signal());
            well = false;
        }
    }
    CHECK(well);
    CHECK(ended.wait().code() == 7);
    CHECK(*named_object() == 1234 && named_object() != named);
    *named = 4321;
    CHECK(*named_object() == 4321);
    CHECK(changed_by_copy == 1);
    CHECK(shared->counter == shared->round * kAll);
    shared->held.unlock();
    CHECK(norma::mutex::create().id() != 0);
    auto late = norma::clone_to(norma::node_count() - 1);
    late.run([] { return static_cast<int>(std::string(100, 'y').size() - 91); });
    CHECK(late.wait().code() == 9);
    std::printf("fine\n");
    return 0;
}

// ---- what cannot be written down ----

int child_of_clone(void * /*nothing*/) {
    for (;;) {
        std::this_thread::sleep_for(5ms);
    }
}

void set_up(const std::string &reason) {
    if (reason == "file") {
        CHECK(open("/dev/null", O_RDONLY) >= 0);
    } else if (reason == "port") {
        mach_port_t port = MACH_PORT_NULL;
        CHECK(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port) == KERN_SUCCESS);
    } else if (reason == "timer") {
        timer_t timer{};
        sigevent nothing{};
        nothing.sigev_notify = SIGEV_NONE;
        CHECK(timer_create(CLOCK_MONOTONIC, &nothing, &timer) == 0);
    } else if (reason == "suspended") {
        static auto child = norma::clone_to(0);
        CHECK(task_suspend(child.port()) == KERN_SUCCESS);
    } else if (reason == "wired") {
        static norma::region memory(4096);
        CHECK(vm_wire(mach_host_self(), mach_task_self(), reinterpret_cast<vm_address_t>(memory.data()), 4096,
                      VM_PROT_DEFAULT) == KERN_SUCCESS);
    } else if (reason == "thread") {
        std::thread([] { child_of_clone(nullptr); }).detach();
    } else {
        fail("there is no such reason", __LINE__);
    }
}

int refuse(const std::string &reason, const char *file) {
    set_up(reason);
    std::printf("ready\n");
    std::fflush(stdout);
    wait_for_file(file);
    std::printf("fine\n");
    std::fflush(stdout);
    norma_exit(0);
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    return argc == 2 ? check_all(argv[1]) : argc == 3 ? refuse(argv[1], argv[2]) : 2;
}

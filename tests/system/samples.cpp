// SPDX-License-Identifier: BSD-3-Clause
// task_sample: where threads are, told to a port.
#include "tests/system/ports.hpp"

#include <cerrno>
#include <csignal>
#include <ctime>
#include <map>
#include <poll.h>
#include <unistd.h>

using namespace systest;

// The linker knows where a section begins and ends if its name is one of C's.
extern "C" const char __start_busy_one[], __stop_busy_one[], __start_busy_two[], __stop_busy_two[]; // NOLINT

namespace {

using Flag = std::atomic<int>;

[[gnu::section("busy_one"), gnu::noinline]] void busy_one(void *raw) {
    while (static_cast<Flag *>(raw)->load() == 0) {
    }
}

[[gnu::section("busy_two"), gnu::noinline]] void busy_two(void *raw) {
    while (static_cast<Flag *>(raw)->load() == 0) {
    }
}

bool in_busy_one(std::uint64_t pc) {
    return pc >= address_of(__start_busy_one) && pc < address_of(__stop_busy_one);
}

bool in_busy_two(std::uint64_t pc) {
    return pc >= address_of(__start_busy_two) && pc < address_of(__stop_busy_two);
}

thread_t start(task_t task, void (*entry)(void *), Flag *end) {
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, entry, end, 0, &thread));
    return thread;
}

void finish(Flag *end, std::initializer_list<thread_t> threads) {
    *end = 1;
    for (const auto thread : threads) {
        CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 20'000));
    }
}

mach_msg_return_t take(mach_port_t port, norma_samples_t &samples, mach_msg_timeout_t timeout = 20'000) {
    const auto status =
        mach_msg(&samples.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof samples, port, timeout, MACH_PORT_NULL);
    if (status != MACH_MSG_SUCCESS) {
        return status;
    }
    CHECK_EQ(NORMA_SAMPLES_ID, samples.header.msgh_id);
    CHECK((samples.header.msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0);
    CHECK_EQ(1U, samples.body.msgh_descriptor_count);
    CHECK_EQ(unsigned{MACH_MSG_TYPE_PORT_SEND}, unsigned{samples.thread.disposition});
    CHECK(samples.count > 0 && samples.count <= NORMA_SAMPLES_MAX);
    CHECK_EQ(offsetof(norma_samples_t, pc) + samples.count * sizeof samples.pc[0],
             std::size_t{samples.header.msgh_size});
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(mach_task_self(), samples.thread.name));
    return status;
}

struct Seen {
    unsigned all = 0, inside = 0; // the function that the thread is for
};

// Receives until each thread, which runs the function that the test is for, has been seen often enough.
using Functions = std::map<thread_t, bool (*)(std::uint64_t)>;
void expect_threads(mach_port_t port, const Functions &functions) {
    constexpr unsigned kEnough = 20;
    std::map<thread_t, Seen> seen;
    const auto enough = [&] {
        return std::all_of(functions.begin(), functions.end(),
                           [&](const auto &entry) { return seen[entry.first].all >= kEnough; });
    };
    while (!enough()) {
        norma_samples_t samples{};
        CHECK_KERN(MACH_MSG_SUCCESS, take(port, samples));
        const auto function = functions.find(samples.thread.name);
        for (unsigned i = 0; function != functions.end() && i < samples.count; ++i) {
            auto &thread = seen[samples.thread.name];
            ++thread.all;
            thread.inside += function->second(samples.pc[i]) ? 1 : 0;
        }
    }
    for (const auto &[thread, function] : functions) {
        CHECK(seen[thread].inside * 10 >= seen[thread].all * 9);
    }
}

// What was sent before it was stopped is there still; nothing comes after it.
void expect_end(mach_port_t port) {
    norma_samples_t samples{};
    while (take(port, samples, 0) == MACH_MSG_SUCCESS) {
    }
    CHECK_KERN(MACH_RCV_TIMED_OUT, take(port, samples, 700));
}

struct Sleep {
    Flag end, started;
    int pipe[2];
    std::atomic<int> interrupted, read;
};

void sleep_in_calls(void *raw) {
    auto &sleep = *static_cast<Sleep *>(raw);
    sleep.started = 1;
    for (int i = 0; i < 8; ++i) {
        const timespec time{.tv_sec = 0, .tv_nsec = 100'000'000};
        pollfd nothing{.fd = -1, .events = 0, .revents = 0};
        sleep.interrupted += ::nanosleep(&time, nullptr) != 0 ? 1 : 0;
        sleep.interrupted += ::poll(&nothing, 1, 100) != 0 ? 1 : 0;
    }
    char byte = 0;
    sleep.read = static_cast<int>(::read(sleep.pipe[0], &byte, 1));
}

mach_port_t told_to() {
    return make_port_to_send();
}

void sample(task_t task, mach_port_t port) {
    CHECK_KERN(KERN_SUCCESS, task_sample(task, port));
}

} // namespace

// Two threads, each in a function of its own, of this task and of one on another node.
SYSTEM_CASE(samples_of_threads) {
    auto *end = shared<Flag>();
    const auto port = told_to();
    const auto there = norma::clone_to(last_node());
    for (const auto task : {self(), there.port()}) {
        *end = 0;
        const auto one = start(task, busy_one, end);
        sample(task, port); // threads that are there, and one that comes
        const auto two = start(task, busy_two, end);
        expect_threads(port, {{one, in_busy_one}, {two, in_busy_two}});
        sample(task, MACH_PORT_NULL);
        expect_end(port);
        sample(task, port); // once more
        expect_threads(port, {{one, in_busy_one}, {two, in_busy_two}});
        const auto other = told_to();
        sample(task, other);
        expect_threads(other, {{one, in_busy_one}, {two, in_busy_two}});
        expect_end(port);
        sample(task, MACH_PORT_NULL);
        finish(end, {one, two});
    }
    return 0;
}

// Those that sleep are not interrupted, and not seen.
SYSTEM_CASE(samples_disturb_nobody) {
    auto *sleep = shared<Sleep>();
    const auto port = told_to();
    CHECK(::pipe(sleep->pipe) == 0);
    sample(self(), port);
    const auto sleeper = start(self(), sleep_in_calls, &sleep->end);
    const auto one = start(self(), busy_one, &sleep->end);
    CHECK_SOON(sleep->started != 0);
    expect_threads(port, {{one, in_busy_one}});
    const auto deadline = ::time(nullptr) + 3;
    while (::time(nullptr) < deadline) {
        norma_samples_t samples{};
        CHECK_KERN(MACH_MSG_SUCCESS, take(port, samples));
    }
    CHECK_EQ(1, static_cast<int>(::write(sleep->pipe[1], "x", 1)));
    finish(&sleep->end, {sleeper, one});
    CHECK_EQ(0, sleep->interrupted.load());
    CHECK_EQ(1, sleep->read.load());
    return 0;
}

// Nobody receives: samples are kept as long as there is room, and counted after that.
SYSTEM_CASE(samples_are_counted) {
    auto *end = shared<Flag>();
    const auto port = told_to();
    const auto child = norma::clone_to(last_node());
    const auto one = start(child.port(), busy_one, end), two = start(child.port(), busy_two, end);
    sample(child.port(), port);
    const auto used = [&] {
        task_basic_info_data_t info{};
        auto count = TASK_BASIC_INFO_COUNT;
        CHECK_KERN(KERN_SUCCESS,
                   task_info(child.port(), TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count));
        return info.user_time.seconds;
    };
    const auto begun = used();
    // Some 400 samples: more than five messages in the queue, two that wait, and what is kept besides.
    while (used() < begun + 4) {
        ::usleep(50'000);
    }
    unsigned told = 0;
    unsigned lost = 0;
    while (lost == 0) {
        norma_samples_t samples{};
        CHECK_KERN(MACH_MSG_SUCCESS, take(port, samples));
        told += samples.count;
        lost += samples.lost;
    }
    CHECK(told >= NORMA_SAMPLES_MAX);
    expect_threads(port, {{one, in_busy_one}, {two, in_busy_two}}); // it goes on
    finish(end, {one, two});
    return 0;
}

// Children are sampled as their parent is, whichever call makes them and wherever they move.
SYSTEM_CASE(samples_of_children) {
    const auto port = told_to();
    sample(self(), port);
    for (auto *const call : {norma_task_clone, norma_task_create}) {
        for (int node = 0; node < norma::node_count(); ++node) {
            auto *end = shared<Flag>();
            CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), address_of(end) & ~vm_address_t{4095}, 4096, VM_INHERIT_SHARE));
            task_t child = TASK_NULL;
            CHECK_KERN(KERN_SUCCESS, call(self(), TRUE, node, &child));
            const auto one = start(child, busy_one, end);
            expect_threads(port, {{one, in_busy_one}});
            finish(end, {one});
            task_t moved = TASK_NULL;
            CHECK_KERN(KERN_SUCCESS, norma_task_teleport(child, TRUE, (node + 1) % norma::node_count(), &moved));
            *end = 0;
            const auto two = start(moved, busy_two, end);
            expect_threads(port, {{two, in_busy_two}});
            finish(end, {two});
            CHECK_KERN(KERN_SUCCESS, task_terminate(moved));
        }
    }
    // It is a child's own: this one is sampled no more, its parent is.
    auto *end = shared<Flag>();
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(self(), TRUE, last_node(), &child));
    sample(child, MACH_PORT_NULL);
    const auto one = start(child, busy_one, end), two = start(self(), busy_two, end);
    expect_threads(port, {{two, in_busy_two}});
    sample(self(), MACH_PORT_NULL);
    expect_end(port);
    finish(end, {one, two});
    CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    return 0;
}

SYSTEM_CASE(samples_rules) {
    const auto port = told_to();
    CHECK_KERN(KERN_INVALID_TASK, task_sample(port, port));
    CHECK_KERN(KERN_INVALID_TASK, task_sample(0x4000, port));
    CHECK_KERN(KERN_INVALID_CAPABILITY, task_sample(self(), 0x4000));
    CHECK_KERN(KERN_INVALID_CAPABILITY, task_sample(self(), make_port())); // a right to receive only
    CHECK_KERN(KERN_INVALID_CAPABILITY, task_sample(self(), self()));      // no messages to a task
    sample(self(), MACH_PORT_NULL);                                        // it is not
    // The port dies, with samples waiting for it. A task that is sampled has a sender for it.
    auto *end = shared<Flag>();
    const auto one = start(self(), busy_one, end);
    const auto notified = make_port();
    for (const bool dies : {false, true}) {
        const auto told = told_to();
        sample(self(), told);
        expect_threads(told, {{one, in_busy_one}});
        CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self(), told));
        ask(told, MACH_NOTIFY_NO_SENDERS, notified);
        expect_silence(notified);
        if (dies) {
            CHECK_KERN(KERN_SUCCESS, mach_port_destroy(self(), told));
        } else {
            sample(self(), MACH_PORT_NULL);
            expect_no_senders(notified, 1);
        }
    }
    sample(self(), port);
    expect_threads(port, {{one, in_busy_one}});
    finish(end, {one});
    return 0;
}

// A node dies on which there is a port, and a task that is sampled.
SYSTEM_CASE(samples_node_dies) {
    auto *end = shared<Flag>();
    auto *ready = shared<Flag>();
    mach_port_t names = MACH_PORT_NULL, there = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, task_get_bootstrap_port(self(), &names));
    auto listener = norma::clone_to(1);
    listener.run([ready] {
        mach_port_t server = MACH_PORT_NULL;
        CHECK_KERN(KERN_SUCCESS, task_get_bootstrap_port(self(), &server));
        CHECK_KERN(KERN_SUCCESS, bootstrap_register(server, "samples", told_to()));
        *ready = 1;
        for (;;) {
            ::pause();
        }
    });
    CHECK_SOON(ready->load() == 1);
    CHECK_KERN(KERN_SUCCESS, bootstrap_look_up(names, "samples", &there));
    const auto here = told_to();
    const auto survivor = norma::clone_to(2);
    const auto lost = start(listener.port(), busy_one, end), one = start(survivor.port(), busy_one, end);
    sample(listener.port(), here);
    sample(survivor.port(), there); // where nobody receives
    expect_threads(here, {{lost, in_busy_one}});
    kill_node(1);
    CHECK_KERN(KERN_NODE_DOWN, task_sample(listener.port(), here));
    CHECK_SOON(type_of(there) == MACH_PORT_TYPE_DEAD_NAME);
    CHECK_KERN(KERN_INVALID_CAPABILITY, task_sample(survivor.port(), there));
    expect_end(here);
    sample(survivor.port(), here);
    expect_threads(here, {{one, in_busy_one}});
    finish(end, {one});
    listener.release();
    return 0;
}

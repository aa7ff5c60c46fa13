// SPDX-License-Identifier: BSD-3-Clause
// Tasks and nodes that die. The driver reads what is written here and looks at what is left.
#include "runtime/probe.hpp"
#include "runtime/protocol.hpp"
#include "runtime/sockets.hpp"
#include "tests/system/app.hpp"

#include <chrono>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using systest::address_of;
using systest::kill_node;
using systest::last_node;
using systest::shared;
using systest::shared_bytes;
using systest::spawn;

constexpr std::size_t kPage = 4096;

struct Ticks {
    std::atomic<pid_t> pid;
    std::atomic<long> count;
};

// Counts for ever in a page of its own.
norma::task ticking(Ticks *ticks, int node) {
    return spawn(node, [ticks] {
        ticks->pid = ::getpid();
        for (;;) {
            ticks->count.fetch_add(1);
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    });
}

void check_ticking(Ticks *ticks) {
    const long now = ticks->count;
    CHECK_SOON(ticks->count > now + 5);
}

sigjmp_buf after_fault;
volatile std::sig_atomic_t fault_signal;

void on_fault(int signal) {
    fault_signal = signal;
    siglongjmp(after_fault, 1);
}

// The signal that reading the address raises; 0: none.
int signal_of_reading(const void *address) {
    struct sigaction action {};
    action.sa_handler = on_fault;
    sigaction(SIGBUS, &action, nullptr);
    sigaction(SIGSEGV, &action, nullptr);
    fault_signal = 0;
    if (sigsetjmp(after_fault, 1) == 0) {
        (void)*static_cast<const volatile char *>(address);
    }
    std::signal(SIGBUS, SIG_DFL);
    std::signal(SIGSEGV, SIG_DFL);
    return fault_signal;
}

// A thread of this process that wants to end it waits for ever.
void hold_up_exits() {
    sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                           BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog filter{std::size(steps), steps};
    CHECK_EQ(0, ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    constexpr auto kFlags =
        SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER;
    CHECK(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kFlags, &filter) >= 0); // and nobody listens
}

// Has the next pages of the stack here, while their home still lives.
[[gnu::noinline]] void use_stack() {
    volatile std::byte room[16 * kPage];
    for (std::size_t i = 0; i < sizeof room; i += kPage / 2) {
        room[i] = std::byte{1};
    }
}

// How many pages have come to this task's node.
std::uint64_t pages_in() {
    char text[1024];
    CHECK_EQ(KERN_SUCCESS, norma_probe_stats(text, sizeof text));
    const auto *found = std::strstr(text, " pages_in=");
    CHECK(found != nullptr);
    return std::strtoull(found + std::strlen(" pages_in="), nullptr, 10);
}

} // namespace

// What a node has given back is not lost with it.
SYSTEM_CASE(death_after_eviction) {
    constexpr std::size_t kPages = 100;
    auto *bytes = shared_bytes(kPages * kPage);
    auto child = spawn(1, [bytes] {
        for (std::size_t i = 0; i < kPages; ++i) {
            bytes[i * kPage] = static_cast<std::byte>(i + 1);
        }
    });
    JOIN(child);
    const auto before = pages_in();
    auto owner = norma::clone_to(1);
    CHECK_KERN(KERN_SUCCESS, vm_behavior_set(owner.port(), address_of(bytes), kPages * kPage, VM_BEHAVIOR_DONTNEED));
    CHECK_SOON(pages_in() >= before + kPages);
    kill_node(1);
    for (std::size_t i = 0; i < kPages; ++i) {
        CHECK_EQ(static_cast<int>(i + 1), std::to_integer<int>(bytes[i * kPage]));
    }
    return 0;
}

// A call that copies a page which is gone says so; the caller lives, and what is whole can be copied.
SYSTEM_CASE(death_of_what_is_copied) {
    auto *const bytes = shared_bytes(3 * kPage);
    bytes[0] = bytes[2 * kPage] = std::byte{5};
    auto child = spawn(1, [bytes] { bytes[kPage] = std::byte{6}; });
    JOIN(child);
    kill_node(1);
    const auto self = mach_task_self();
    const auto lost = address_of(bytes) + kPage;
    vm_offset_t data = 7;
    mach_msg_type_number_t count = 8;
    CHECK_KERN(KERN_MEMORY_FAILURE, vm_read(self, lost - 1, 2, &data, &count));
    CHECK_KERN(KERN_MEMORY_FAILURE, vm_read(self, lost - kPage, 3 * kPage, &data, &count));
    CHECK(data == 7 && count == 8);
    CHECK_KERN(KERN_MEMORY_FAILURE, vm_write(self, lost, lost - kPage, 1));
    CHECK_KERN(KERN_MEMORY_FAILURE, vm_copy(self, lost, 1, lost - kPage + 1));
    CHECK_KERN(KERN_SUCCESS, vm_copy(self, lost - kPage, 1, lost + kPage + 1));
    CHECK_EQ(5, std::to_integer<int>(bytes[2 * kPage + 1]));
    CHECK_KERN(KERN_SUCCESS, vm_read(self, lost + kPage, 2, &data, &count));
    CHECK_EQ(5, int{reinterpret_cast<const char *>(data)[1]});
    CHECK_EQ(SIGBUS, signal_of_reading(bytes + kPage));
    return 0;
}

// What vm_write has put into another task's memory stays there when the writer's node ends.
SYSTEM_CASE(death_of_writer) {
    struct Report {
        vm_address_t memory;
        std::atomic<int> go, seen;
    };
    auto *const report = shared<Report>();
    auto writer = spawn(1, [report] {
        auto target = norma::clone_to(0);
        CHECK_KERN(KERN_SUCCESS, vm_allocate(target.port(), &report->memory, 2 * kPage, TRUE));
        const char bytes[] = {3, 4};
        CHECK_KERN(KERN_SUCCESS, vm_write(target.port(), report->memory + kPage - 1, address_of(bytes), sizeof bytes));
        const auto look = [](void *place) {
            auto *order = static_cast<Report *>(place);
            CHECK_SOON(order->go == 1);
            const auto *memory = reinterpret_cast<const volatile char *>(order->memory);
            order->seen = memory[kPage - 1] * 10 + memory[kPage];
        };
        thread_t thread = THREAD_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(target.release(), look, report, 0, &thread));
    });
    JOIN(writer);
    kill_node(1);
    report->go = 1;
    CHECK_SOON(report->seen == 34);
    return 0;
}

// A task that outlives its node server for a moment must not take pages that nobody brings any more for zeros. That
// moment is made half a second here: neither the kernel, nor the launcher, nor the library ends the task.
SYSTEM_CASE(death_of_server_under_its_task) {
    auto *const letter = shared<char>();
    auto child = spawn(1, [letter] { *letter = 'x'; });
    JOIN(child);
    ::prctl(PR_SET_PDEATHSIG, 0);     // the first task's main thread is the one that the kernel would ask
    CHECK_EQ(::getpid(), ::setsid()); // the launcher kills the node's group of processes
    hold_up_exits();
    const itimerval half_a_second{{}, {0, 500'000}};
    CHECK_EQ(0, ::setitimer(ITIMER_REAL, &half_a_second, nullptr));
    std::atomic<bool> stopped = false;
    std::thread killer([server = ::getppid(), &stopped] {
        ::kill(server, SIGSTOP);
        stopped = true;
        ::usleep(50'000); // the fault waits meanwhile, as a rule
        ::kill(server, SIGKILL);
        ::pause();
    });
    while (!stopped) {
    }
    const char got = *static_cast<volatile char *>(letter);
    fmt::print(stderr, "read {}\n", int{got});
    ::pause();
    return 0;
}

SYSTEM_CASE(death_of_task) {
    std::vector<norma::task> tasks;
    std::vector<Ticks *> ticks;
    for (int node = 0; node < norma::node_count(); ++node) {
        ticks.push_back(shared<Ticks>());
        tasks.push_back(ticking(ticks.back(), node));
    }
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        CHECK_SOON(ticks[i]->count > 0);
        const long before = ticks[i]->count;
        CHECK_EQ(0, ::kill(ticks[i]->pid, SIGKILL));
        CHECK_EQ(SIGKILL, END_OF(tasks[i].release()));
        CHECK(ticks[i]->count >= before); // its memory is still there
        for (std::size_t other = i + 1; other < tasks.size(); ++other) {
            check_ticking(ticks[other]);
        }
    }
    return 0;
}

// A child dies, or its node, before it has come to the barrier where this task waits for it.
SYSTEM_CASE(death_before_barrier) {
    CHECK(!args.empty());
    auto *const process = shared<std::atomic<pid_t>>();
    const auto meet = norma::barrier::create(2);
    auto child = norma::clone_to(1);
    meet.expect(child);
    child.start([process] {
        *process = ::getpid();
        ::pause();
    });
    CHECK_SOON(*process != 0);
    std::thread killer([process, node = std::string_view(args[0]) == "node"] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100)); // so that the wait has begun, as a rule
        if (node) {
            kill_node(1);
        } else {
            CHECK_EQ(0, ::kill(*process, SIGKILL));
        }
    });
    CHECK_KERN(KERN_TERMINATED, norma_barrier_wait(meet.id(), nullptr));
    killer.join();
    child.release();
    return 0;
}

// A child that does not keep to the rules: it sends its node server a file where a thread's channel should be. It is
// ended, and the node goes on.
SYSTEM_CASE(death_by_bad_channel) {
    auto child = norma::clone_to(1);
    child.start([] {
        // libnorma has taken the variable away, but the kernel keeps what the process began with.
        std::ifstream file("/proc/self/environ", std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        const std::string name = "NORMA_TASK_FD=";
        const auto found = text.find(name);
        CHECK(found != std::string::npos);
        const int control = std::atoi(text.c_str() + found + name.size());
        norma::rt::TaskMsgHead head{};
        head.type = static_cast<std::uint32_t>(norma::rt::TaskMsg::channel);
        const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        norma::rt::send_packet(control, std::as_bytes(std::span(&head, 1)), {}, fd);
        ::pause();
    });
    CHECK_EQ(SIGKILL, END_OF(child.release()));
    auto next = spawn(1, [] {});
    JOIN(next);
    return 0;
}

// The job goes on without the node: calls to it fail, what it had alone is lost, everything else works.
SYSTEM_CASE(death_of_node) {
    auto *kept = shared<Ticks>();
    struct Report {
        std::atomic<int> written, read, signal[3], go;
        vm_address_t made;
    };
    auto *const report = shared<Report>();
    auto survivor = ticking(kept, last_node());
    auto lost_task = norma::clone_to(1);
    auto idle = norma::clone_to(1);
    auto *on_it = shared<long>(); // made after the clones: nobody else has it
    *on_it = 77;

    // Memory of that node: one page has been read here, one never left, one was written here.
    vm_address_t made = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(lost_task.port(), &made, 3 * kPage, TRUE));
    task_t reader = TASK_NULL;
    report->made = made;
    thread_t thread = THREAD_NULL;
    const auto write = [](void *place) {
        auto *order = static_cast<Report *>(place);
        for (std::size_t i = 0; i < 3; ++i) {
            *reinterpret_cast<volatile char *>(order->made + i * kPage) = 1;
        }
        order->written = 1;
        ::pause();
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(lost_task.port(), write, report, 0, &thread));
    CHECK_SOON(report->written == 1);
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(lost_task.port(), TRUE, 0, &reader));
    const auto read = [](void *place) {
        auto *order = static_cast<Report *>(place);
        const auto page = [order](std::size_t i) { return reinterpret_cast<volatile char *>(order->made + i * kPage); };
        CHECK_EQ(1, int{*page(0)});
        *page(2) = 2;
        order->read = 1;
        CHECK_SOON(order->go == 1);
        for (std::size_t i = 0; i < 3; ++i) {
            order->signal[i] = signal_of_reading(reinterpret_cast<void *>(order->made + i * kPage));
        }
        norma_exit(6);
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(reader, read, report, 0, &thread));
    CHECK_SOON(report->read == 1);

    // A thread that waits inside a call to the node when it dies.
    auto *waiter_result = shared<std::atomic<int>>();
    *waiter_result = -1;
    thread_t waiter = THREAD_NULL;
    struct Wait {
        task_t task;
        std::atomic<int> *result;
    };
    auto *const wait_order = shared<Wait>();
    *wait_order = {idle.port(), waiter_result};
    const auto wait_for_it = [](void *place) {
        const auto *order = static_cast<Wait *>(place);
        int status = 0;
        *order->result = norma_task_wait(order->task, -1, &status);
    };
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(mach_task_self(), wait_for_it, wait_order, 0, &waiter));

    kill_node(1);
    CHECK_SOON(*waiter_result == KERN_NODE_DOWN);
    task_t none = TASK_NULL;
    int status = 0;
    vm_address_t address = 0;
    CHECK_KERN(KERN_NODE_DOWN, norma_task_clone(mach_task_self(), TRUE, 1, &none));
    CHECK_KERN(KERN_NODE_DOWN, norma_task_teleport(mach_task_self(), TRUE, 1, &none));
    CHECK_KERN(KERN_NODE_DOWN, norma_task_wait(lost_task.port(), 1000, &status));
    CHECK_KERN(KERN_NODE_DOWN, task_suspend(lost_task.port()));
    CHECK_KERN(KERN_NODE_DOWN, vm_allocate(lost_task.port(), &address, kPage, TRUE));
    CHECK_KERN(KERN_NODE_DOWN, task_terminate(lost_task.release()));
    idle.release();
    CHECK_EQ(77L, *on_it);

    report->go = 1;
    CHECK_EQ(6 << 8, END_OF(reader));
    CHECK_EQ(SIGBUS, report->signal[1].load()); // the one page that only that node had
    CHECK_EQ(0, report->signal[2].load());      // written here: the data is here
    if (norma::node_count() > 2) {
        check_ticking(kept);
        auto *fresh = shared<std::atomic<int>>();
        auto late = spawn(last_node(), [fresh] { *fresh = norma::this_node(); });
        JOIN(late);
        CHECK_EQ(last_node(), fresh->load());
    }
    survivor.release();
    fmt::print("went on\n");
    return 0;
}

// The first task has moved to the node that dies: the job cannot go on.
SYSTEM_CASE(death_of_first) {
    task_t self = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, 1, &self));
    fmt::print("here\n");
    std::fflush(stdout);
    ::kill(::getppid(), SIGKILL);
    ::pause();
    return 0;
}

// The first task has left its node, which then dies. The job goes on with what has come along, until the task needs a
// page that had stayed behind.
SYSTEM_CASE(death_of_left_node) {
    auto *const word = shared<std::atomic<long>>();
    auto *const behind = systest::shared_bytes(kPage);
    behind[0] = std::byte{1};
    auto killer = norma::clone_to(0);
    killer.start([=] {
        CHECK_SOON(word->load() == 1);
        ::kill(::getppid(), SIGKILL);
        ::pause();
    });
    killer.release();
    task_t self = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, 1, &self));
    use_stack();
    *word = 1;
    while (norma_task_clone(mach_task_self(), FALSE, 0, &self) != KERN_NODE_DOWN) {
        ::usleep(1000);
    }
    fmt::print("goes on\n");
    std::fflush(stdout);
    return static_cast<int>(*const_cast<volatile std::byte *>(behind));
}

// Tasks and threads on every node, busy and waiting, until somebody ends the job from outside.
SYSTEM_CASE(run_for_ever) {
    std::vector<norma::task> tasks;
    auto *ticks = shared<Ticks>();
    for (int node = 0; node < norma::node_count(); ++node) {
        tasks.push_back(ticking(ticks, node));
        tasks.back().start([] { ::pause(); });
    }
    CHECK_SOON(ticks->count > 100);
    fmt::print("ready\n");
    std::fflush(stdout);
    for (;;) {
        ::pause();
    }
}

// end HOW: the ways a first task may end, with a child still running elsewhere.
SYSTEM_CASE(end) {
    auto *ticks = shared<Ticks>();
    const auto child = ticking(ticks, last_node()).release();
    CHECK_SOON(ticks->count > 0);
    (void)child;
    const std::string_view how = args.empty() ? "" : args[0];
    if (how == "segv") {
        *reinterpret_cast<volatile int *>(systest::number(args, 1, 16)) = 1;
    } else if (how == "abort") {
        std::abort();
    } else if (how == "norma_exit") {
        norma_exit(static_cast<int>(systest::number(args, 1, 0)));
    } else if (how == "thread_exit") {
        thread_t thread = THREAD_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(
                                     mach_task_self(), [](void *) { norma_exit(19); }, nullptr, 0, &thread));
        ::pause();
    } else if (how == "terminate") {
        CHECK_KERN(KERN_SUCCESS, task_terminate(mach_task_self()));
    }
    return static_cast<int>(systest::number(args, 1, 0));
}

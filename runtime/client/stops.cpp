// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/stops.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/migration.hpp"
#include "runtime/client/numbers_in.hpp"
#include "runtime/client/shared_actions.hpp"
#include "runtime/client/threads.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <ctime>
#include <linux/futex.h>
#include <memory>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace norma::rt {

namespace {

// One slot per thread that is, or is to be, stopped or ended by itself. Written by the service thread, except that a
// thread says in `noticed` that it has seen the signal. The handler may use atomics and futexes only.
struct Slot {
    std::atomic<pid_t> tid{0};
    std::atomic<bool> stop{false}, end{false};
};
std::array<Slot, 256> slots;
std::atomic<bool> all_stopped{false};
std::atomic<std::uint32_t> changes{0}; // futex: bumped whenever a thread may go on
std::atomic<std::uint32_t> noticed{0}; // futex: bumped by each thread that enters or re-enters its wait
constexpr std::size_t kSignalStack = 64 * 1024;

int stop_signal() {
    return SIGRTMAX - 2;
}

sigset_t stop_signal_set() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, stop_signal());
    return set;
}

long futex(std::atomic<std::uint32_t> &word, int op, std::uint32_t value, const timespec *timeout = nullptr) {
    return syscall(SYS_futex, &word, op | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, 0);
}

Slot *slot_of(pid_t tid) {
    for (auto &slot : slots) {
        if (slot.tid.load(std::memory_order_acquire) == tid) {
            return &slot;
        }
    }
    return nullptr;
}

// Marked by its thread while it waits, so that whoever stops it knows, and finds its registers.
struct Waiting {
    std::atomic<pid_t> tid{0};
    ucontext_t *context = nullptr; // there while tid is a thread's
    bool elsewhere = false;        // it is to go on somewhere else than where it was
};
std::array<Waiting, 4096> waiting;
constexpr pid_t kTaken = -1; // by a thread that is about to write its tid

Waiting *waiting_of(pid_t tid) {
    const auto found =
        std::find_if(waiting.begin(), waiting.end(), [tid](const Waiting &entry) { return entry.tid == tid; });
    return found == waiting.end() ? nullptr : &*found;
}

bool is_waiting(pid_t tid) {
    return waiting_of(tid) != nullptr;
}

Waiting *mark_waiting(pid_t tid, ucontext_t *context) {
    for (auto &entry : waiting) {
        pid_t none = 0;
        if (entry.tid.compare_exchange_strong(none, kTaken)) {
            entry.context = context;
            entry.elsewhere = false;
            entry.tid = tid;
            return &entry;
        }
    }
    return nullptr; // it is stopped, but whoever stops it waits until there is room
}

bool may_go(pid_t tid) {
    const auto *slot = slot_of(tid);
    return (slot != nullptr && slot->end) || (!all_stopped && (slot == nullptr || !slot->stop));
}

void wait_until_allowed(ucontext_t *context) {
    const auto tid = static_cast<pid_t>(syscall(SYS_gettid));
    Waiting *mine = nullptr;
    bool elsewhere = false;
    for (;;) {
        const auto seen = changes.load();
        if (may_go(tid)) {
            if (mine == nullptr) {
                break;
            }
            elsewhere = elsewhere || mine->elsewhere;
            // Whoever stops it again from here on does not take it for waiting, or is seen by the next look.
            std::exchange(mine, nullptr)->tid = 0;
            continue;
        }
        if (mine == nullptr) {
            mine = mark_waiting(tid, context);
        }
        noticed.fetch_add(1);
        futex(noticed, FUTEX_WAKE, INT_MAX);
        futex(changes, FUTEX_WAIT, seen);
    }
    auto *slot = slot_of(tid);
    if (slot != nullptr && slot->end) {
        slot->tid = 0;
        noticed.fetch_add(1);
        futex(noticed, FUTEX_WAKE, INT_MAX);
        end_this_thread();
    }
    if (elsewhere) {
        forget_calls();
    }
}

thread_local ucontext_t *fault_context;

void on_stop_signal(int, siginfo_t *, void *context) {
    const int saved = errno;
    stop_for_migration(static_cast<ucontext_t *>(context));
    wait_until_allowed(fault_context != nullptr ? fault_context : static_cast<ucontext_t *>(context));
    errno = saved;
}

void wake_all() {
    changes.fetch_add(1);
    futex(changes, FUTEX_WAKE, INT_MAX);
}

// Signals a thread until `seen` holds; false if the thread has ended.
template <class Seen> bool signal_until(pid_t tid, Seen seen) {
    if (tgkill(getpid(), tid, stop_signal()) != 0) {
        return false;
    }
    for (;;) {
        const auto before = noticed.load();
        if (seen()) {
            return true;
        }
        if (tgkill(getpid(), tid, 0) != 0) {
            return false;
        }
        const timespec step{.tv_sec = 0, .tv_nsec = 10'000'000};
        futex(noticed, FUTEX_WAIT, before, &step);
    }
}

Slot *take_slot(pid_t tid) {
    if (auto *slot = slot_of(tid)) {
        return slot;
    }
    auto *slot = slot_of(0);
    if (slot != nullptr) {
        slot->stop = slot->end = false;
        slot->tid = tid;
    }
    return slot;
}

} // namespace

void install_handler(int signal, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_RESTART | SA_ONSTACK | SA_SIGINFO;
    sigfillset(&action.sa_mask);
    kernel_action(signal, &action, nullptr);
}

void install_stop_handler() {
    install_handler(stop_signal(), on_stop_signal);
}

void use_signal_stack() {
    static thread_local std::unique_ptr<char[]> memory;
    if (memory == nullptr) {
        memory = std::make_unique<char[]>(kSignalStack);
        stack_t stack{};
        stack.ss_sp = memory.get();
        stack.ss_size = kSignalStack;
        sigaltstack(&stack, nullptr);
    }
}

void send_stop_signal(pid_t tid) {
    tgkill(getpid(), tid, stop_signal());
}

void give_notice() {
    noticed.fetch_add(1);
    futex(noticed, FUTEX_WAKE, INT_MAX);
}

namespace {

constexpr timespec kStep{.tv_sec = 0, .tv_nsec = 10'000'000};

} // namespace

void wait_for_notice(const std::function<bool()> &noticed_already) {
    const auto before = noticed.load();
    if (!noticed_already()) {
        futex(noticed, FUTEX_WAIT, before, &kStep);
    }
}

void let_changes_show() {
    wake_all();
}

void wait_for_change(const std::function<bool()> &changed_already) {
    const auto before = changes.load();
    if (!changed_already()) {
        futex(changes, FUTEX_WAIT, before);
    }
}

void set_fault_context(ucontext_t *context) {
    fault_context = context;
}

void no_stops() {
    const auto set = stop_signal_set();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void stop_point() {
    const auto set = stop_signal_set();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    const auto tid = gettid();
    if (!may_go(tid)) {
        tgkill(getpid(), tid, stop_signal()); // so that its registers are where they always are
    }
}

std::vector<std::uint64_t> thread_ids() {
    std::vector<std::uint64_t> ids;
    for_each_number_in("/proc/self/task", [&ids](pid_t tid) {
        if (!job.is_library_thread(tid)) {
            ids.push_back(static_cast<std::uint64_t>(tid));
        }
    });
    return ids;
}

int stop_all() {
    all_stopped = true;
    // A thread may make another one before it stops: look until a look finds nobody running.
    for (bool found = true; found;) {
        found = false;
        for (const auto id : thread_ids()) {
            const auto tid = static_cast<pid_t>(id);
            if (!is_waiting(tid)) {
                // A thread of the library's may have been listed before it said that it is one; it takes no signal.
                found = signal_until(tid, [tid] { return is_waiting(tid) || job.is_library_thread(tid); }) || found;
            }
        }
    }
    return 0;
}

int go_all() {
    all_stopped = false;
    wake_all();
    return 0;
}

int stop_thread(pid_t tid) {
    auto *slot = take_slot(tid);
    if (slot == nullptr) {
        return EAGAIN;
    }
    slot->stop = true;
    if (!is_waiting(tid) && !signal_until(tid, [tid] { return is_waiting(tid); })) {
        slot->tid = 0;
        return ESRCH;
    }
    return 0;
}

int go_thread(pid_t tid) {
    auto *slot = slot_of(tid);
    if (slot == nullptr || tid == 0) {
        return ESRCH;
    }
    slot->stop = false;
    slot->tid = 0;
    wake_all();
    return 0;
}

namespace {

bool same_place(const ucontext_t &one, const ucontext_t &other) {
    return one.uc_mcontext.gregs[REG_RIP] == other.uc_mcontext.gregs[REG_RIP] &&
           one.uc_mcontext.gregs[REG_RSP] == other.uc_mcontext.gregs[REG_RSP];
}

} // namespace

int set_registers(pid_t tid, const std::function<void(ucontext_t &)> &act) {
    return with_registers(tid, [tid, &act](ucontext_t &context) {
        const auto before = context;
        act(context);
        auto *stopped = waiting_of(tid);
        stopped->elsewhere = stopped->elsewhere || !same_place(before, context);
    });
}

int with_registers(pid_t tid, const std::function<void(ucontext_t &)> &act) {
    const auto *slot = slot_of(tid);
    const bool held = slot != nullptr && slot->stop;
    if (const int error = held ? 0 : stop_thread(tid); error != 0) {
        return error;
    }
    const auto *stopped = waiting_of(tid);
    if (stopped != nullptr) {
        act(*stopped->context);
    }
    if (!held) {
        go_thread(tid);
    }
    return stopped == nullptr ? ESRCH : 0;
}

int end_thread(pid_t tid) {
    auto *slot = take_slot(tid);
    if (slot == nullptr) {
        return EAGAIN;
    }
    slot->end = true;
    wake_all(); // it may be stopped already
    if (!signal_until(tid, [slot, tid] { return slot->tid != tid; })) {
        slot->tid = 0;
        return ESRCH;
    }
    return 0;
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/stops.hpp"

#include "runtime/client/job.hpp"
#include "runtime/client/threads.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <linux/futex.h>
#include <memory>
#include <sys/syscall.h>
#include <unistd.h>

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

// Marked by its thread while it waits, so that whoever stops it knows.
struct Waiting {
    std::atomic<pid_t> tid{0};
};
std::array<Waiting, 4096> waiting;

bool is_waiting(pid_t tid) {
    return std::any_of(waiting.begin(), waiting.end(), [tid](const Waiting &entry) { return entry.tid == tid; });
}

void wait_until_allowed() {
    const auto tid = static_cast<pid_t>(syscall(SYS_gettid));
    Waiting *mine = nullptr;
    for (;;) {
        const auto seen = changes.load();
        const auto *slot = slot_of(tid);
        if (slot != nullptr && slot->end) {
            break;
        }
        if (!all_stopped && (slot == nullptr || !slot->stop)) {
            break;
        }
        for (auto &entry : waiting) {
            pid_t none = 0;
            if (mine == nullptr && entry.tid.compare_exchange_strong(none, tid)) {
                mine = &entry;
            }
        }
        noticed.fetch_add(1);
        futex(noticed, FUTEX_WAKE, INT_MAX);
        futex(changes, FUTEX_WAIT, seen);
    }
    if (mine != nullptr) {
        mine->tid = 0;
    }
    auto *slot = slot_of(tid);
    if (slot != nullptr && slot->end) {
        slot->tid = 0;
        noticed.fetch_add(1);
        futex(noticed, FUTEX_WAKE, INT_MAX);
        end_this_thread();
    }
}

void on_stop_signal(int) {
    const int saved = errno;
    wait_until_allowed();
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

void install_stop_handler() {
    struct sigaction action {};
    action.sa_handler = on_stop_signal;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    sigaction(stop_signal(), &action, nullptr);
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

void stop_point() {
    wait_until_allowed();
}

std::vector<std::uint64_t> thread_ids() {
    std::vector<std::uint64_t> ids;
    auto *folder = opendir("/proc/self/task");
    if (folder == nullptr) {
        return ids;
    }
    while (const auto *entry = readdir(folder)) {
        const auto tid = static_cast<pid_t>(std::atoi(entry->d_name));
        if (tid > 0 && !job.is_library_thread(tid)) {
            ids.push_back(static_cast<std::uint64_t>(tid));
        }
    }
    closedir(folder);
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
    if (!signal_until(tid, [tid] { return is_waiting(tid); })) {
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

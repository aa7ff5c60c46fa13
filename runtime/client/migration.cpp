// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/migration.hpp"

#include "norma/norma.h"
#include "runtime/client/descriptors.hpp"
#include "runtime/client/fixed_files.hpp"
#include "runtime/client/inheritance.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/moved_thread.hpp"
#include "runtime/client/safe_place.hpp"
#include "runtime/client/shared_files.hpp"
#include "runtime/client/stops.hpp"
#include "runtime/families.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/time.h>
#include <unistd.h>

namespace norma::rt {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// A thread that is to move. The service thread makes and ends the list; a thread writes its own entry, `state` last.
struct Mover {
    enum State : std::uint32_t { runs, stopped, goes };
    std::atomic<pid_t> tid{0};
    std::atomic<std::uint32_t> state{runs};
    std::atomic<std::uint32_t> looks{0}; // how often it has looked whether it can
    std::atomic<std::uint64_t> pc{0};    // why it could not: it was there
    std::atomic<bool> foreign{false};    // norma has not made it
    std::uint64_t saved = 0;             // if stopped
};
constexpr std::size_t kMost = kMaxCommandBlob / sizeof(std::uint64_t);
std::array<Mover, kMost> movers;
std::atomic<std::size_t> mover_count{0}; // 0: the task does not gather its threads
std::atomic<std::int32_t> outcome{KERN_SUCCESS};
constexpr std::uint64_t kUnknown = 1; // a place, but none that is worth a name
constexpr auto kPatience = 20ms;      // for threads to take notice, each time

thread_local bool at_point;
// Not inlined: where it is depends on the process the thread is in.
[[gnu::noinline]] void set_at_point(bool value) {
    at_point = value;
}

Mover *mover_of(pid_t tid) {
    const auto count = mover_count.load();
    auto *const end = movers.data() + count;
    auto *const found = std::find_if(movers.data(), end, [tid](const Mover &mover) { return mover.tid == tid; });
    return found == end ? nullptr : found;
}

// What a process begins with that goes on with the threads of another one.
struct ProcessState {
    Inheritance inheritance;
    std::array<itimerval, 3> timers;
    SignalSet pending; // for no thread in particular
};
constexpr std::array kTimers{ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
static_assert(sizeof(ProcessState) <= kMaxCommandBlob);

bool has_posix_timers() {
    std::array<char, 16> text{};
    const int fd = ::open("/proc/self/timers", O_RDONLY | O_CLOEXEC);
    const auto size = fd < 0 ? 0 : ::read(fd, text.data(), text.size());
    if (fd >= 0) {
        ::close(fd);
    }
    return size > 0;
}

Gathered refusal(const char *why) {
    Gathered gathered{.error = ENOTSUP, .registers = 0, .blob = {}};
    const auto text = std::as_bytes(std::span(why, std::strlen(why)));
    gathered.blob.assign(text.begin(), text.end());
    return gathered;
}

template <class Value> void append(std::vector<std::byte> &bytes, const Value &value) {
    const auto more = std::as_bytes(std::span(&value, 1));
    bytes.insert(bytes.end(), more.begin(), more.end());
}

// New threads are found each time; those that have ended are no movers any more.
bool list_movers() {
    const auto ids = thread_ids();
    if (ids.size() > kMost) {
        return false;
    }
    auto count = mover_count.load();
    for (std::size_t i = 0; i < count; ++i) {
        if (std::ranges::find(ids, static_cast<std::uint64_t>(movers.at(i).tid.load())) == ids.end()) {
            movers.at(i).tid = 0;
        }
    }
    for (const auto id : ids) {
        const auto tid = static_cast<pid_t>(id);
        if (mover_of(tid) != nullptr) {
            continue;
        }
        auto *place = mover_of(0);
        if (place == nullptr) {
            if (count == kMost) {
                return false;
            }
            place = &movers.at(count++);
        }
        place->state = Mover::runs;
        place->pc = 0;
        place->foreign = false;
        place->tid = tid;
        mover_count = count;
    }
    return true;
}

bool is_stopped(const Mover &mover) {
    return mover.tid == 0 || mover.state == Mover::stopped;
}

bool is_foreign(const Mover &mover) {
    return mover.tid != 0 && mover.foreign;
}

// Asks each that is not stopped once; returns when all have looked, or have had time enough.
void ask_movers() {
    const std::span all(movers.data(), mover_count.load());
    std::array<std::uint32_t, kMost> looks{};
    for (std::size_t i = 0; i < all.size(); ++i) {
        looks.at(i) = all[i].looks;
        if (!is_stopped(all[i])) {
            send_stop_signal(all[i].tid);
        }
    }
    const auto until = Clock::now() + kPatience;
    const auto open = [&] {
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (!is_stopped(all[i]) && all[i].looks == looks.at(i)) {
                return true;
            }
        }
        return false;
    };
    while (open() && Clock::now() < until) {
        wait_for_notice([&] { return !open(); });
    }
}

Gathered still_running() {
    Gathered gathered{.error = EAGAIN, .registers = 0, .blob = {}};
    for (const auto &mover : std::span(movers.data(), mover_count.load())) {
        if (!is_stopped(mover) && gathered.blob.size() + sizeof(StillRunning) <= kMaxCommandBlob) {
            StillRunning thread{.tid = static_cast<std::uint64_t>(mover.tid.load()), .pc = mover.pc, .where = {}};
            if (mover.pc != 0 || mover.looks == 0) {
                name_place(thread.pc, thread.where);
            } else {
                std::strcpy(static_cast<char *>(thread.where), "without room on its stack");
            }
            append(gathered.blob, thread);
        }
    }
    return gathered;
}

Gathered all_stopped(bool files_move) {
    if (const auto opened = opened_files(); !files_move && !opened.empty()) {
        std::array<char, 80> text{};
        std::snprintf(text.data(), text.size(), "it has an open file besides the standard streams: descriptor %d",
                      opened.front());
        return refusal(text.data());
    }
    if (const auto fixed = fixed_file(); fixed.fd >= 0) {
        std::array<char, 128> text{};
        std::snprintf(text.data(), text.size(), "it has %s: descriptor %d", fixed.what, fixed.fd);
        return refusal(text.data());
    }
    if (has_posix_timers()) {
        return refusal("it has timers made by timer_create, or is being sampled");
    }
    Gathered gathered{.error = 0, .registers = processor_registers(), .blob = {}};
    Stopped head{};
    append(gathered.blob, head);
    for (const auto &mover : std::span(movers.data(), mover_count.load())) {
        if (mover.tid != 0) {
            append(gathered.blob,
                   StoppedThread{.tid = static_cast<std::uint64_t>(mover.tid.load()), .state = mover.saved});
            ++head.threads;
        }
    }
    const auto state = std::make_unique<ProcessState>();
    if (collect(state->inheritance) != 0) {
        return refusal("its directories or its umask cannot be told");
    }
    for (std::size_t i = 0; i < kTimers.size(); ++i) {
        auto &timer = state->timers.at(i);
        getitimer(static_cast<__itimer_which_t>(kTimers.at(i)), &timer);
        if (!timerisset(&timer.it_value)) { // its signal is pending, and would have set it again
            timer.it_value = timer.it_interval;
        }
    }
    sigset_t pending;
    sigpending(&pending);
    state->pending = signals_in(pending);
    append(gathered.blob, *state);
    if (!opened_files().empty() && offer_files() != 0) {
        return refusal("its open files cannot be told");
    }
    head.shares_files = shared_numbers.any ? 1 : 0;
    std::memcpy(gathered.blob.data(), &head, sizeof head);
    return gathered;
}

// The room that make_threads has made.
std::vector<WaitingThread> room;
std::unique_ptr<ProcessState> process_state;

} // namespace

bool WaitingCall::again(std::int32_t status) noexcept {
    const bool withdrawn = status == kWithdrawn;
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun_).count();
    if (const auto left = static_cast<std::int64_t>(timeout_); withdrawn && left > 0) {
        timeout_ = static_cast<std::uint64_t>(std::max<std::int64_t>(0, left - passed));
    }
    if (withdrawn) {
        migration_point();
    }
    may_stop();
    begun_ = Clock::now();
    return withdrawn;
}

Answer call_waiting(Op op, std::uint32_t port, std::array<std::uint64_t, kOpArgs> args, std::size_t timeout) noexcept {
    WaitingCall waiting(args.at(timeout));
    for (;;) {
        args.at(timeout) = waiting.timeout();
        const auto answer = call(op, port, args);
        if (!waiting.again(answer.status)) {
            return answer;
        }
    }
}

namespace {

// What the C library has buffered is this process's own. Who has locked a stream flushes it when he stops himself.
void flush_standard_streams() {
    for (auto *const stream : {stdout, stderr}) {
        if (ftrylockfile(stream) == 0) {
            fflush_unlocked(stream);
            funlockfile(stream);
        }
    }
}

} // namespace

void migration_point() noexcept {
    set_at_point(true);
    send_stop_signal(gettid());
    set_at_point(false);
}

void may_stop() noexcept {
    if (mover_count != 0) {
        migration_point();
    }
}

void stop_for_migration(ucontext_t *context) {
    const auto tid = static_cast<pid_t>(gettid());
    auto *const mover = mover_of(tid);
    if (mover == nullptr || mover->state != Mover::runs) {
        return;
    }
    if (!is_of_norma()) {
        mover->foreign = true;
    }
    const auto culprit = mover->foreign ? kUnknown : unsafe_place(*context, at_point);
    if (culprit == 0) {
        flush_standard_streams();
        mover->saved = save_thread(*context);
    }
    mover->pc = culprit;
    mover->looks.fetch_add(1);
    if (culprit == 0 && mover->saved != 0) {
        mover->state = Mover::stopped;
    }
    give_notice();
    // The entry may be another thread's before this one has noticed that it is to go on.
    const auto goes_on = [&] { return mover->state != Mover::stopped || mover->tid != tid; };
    while (!goes_on()) {
        wait_for_change(goes_on);
    }
}

Gathered gather_threads(bool first, bool files_move) {
    if (first) {
        find_places();
        outcome = kWithdrawn;
    }
    if (!list_movers()) {
        return refusal("it has too many threads");
    }
    ask_movers();
    // One that was made meanwhile would be missed.
    const auto known = mover_count.load();
    const bool listed = list_movers() && mover_count == known;
    const std::span all(movers.data(), mover_count.load());
    if (std::ranges::any_of(all, is_foreign)) { // it will be nowhere else
        return refusal("it has a thread that norma has not made (std::thread, pthread_create)");
    }
    return listed && std::ranges::all_of(all, is_stopped) ? all_stopped(files_move) : still_running();
}

void let_threads_go(std::int32_t status, bool shares_files) {
    if (!shares_files) {
        forget_sharing();
    }
    outcome = status;
    for (auto &mover : movers) {
        mover.state = Mover::goes;
    }
    mover_count = 0;
    let_changes_show();
}

int make_threads(std::size_t count, std::uint64_t registers, std::span<const std::byte> process) {
    if (registers != processor_registers()) {
        return EXDEV;
    }
    if (process.size() != sizeof(ProcessState) || !room.empty()) {
        return EINVAL;
    }
    process_state = std::make_unique<ProcessState>();
    std::memcpy(process_state.get(), process.data(), process.size());
    int error = apply_directories(process_state->inheritance);
    error = error == 0 ? apply_actions(process_state->inheritance) : error;
    if (error != 0) {
        return error;
    }
    room.resize(count);
    for (auto &place : room) {
        error = wait_for_state(place);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

std::vector<NewThread> carry_on(std::span<const std::byte> states) {
    std::vector<NewThread> threads;
    if (states.size() != room.size() * sizeof(std::uint64_t)) {
        return threads;
    }
    for (std::size_t i = 0; i < room.size(); ++i) {
        std::uint64_t state = 0;
        std::memcpy(&state, states.data() + i * sizeof state, sizeof state);
        threads.push_back({.tid = room[i].tid, .go = [go = room[i].go, state] { go(state); }});
    }
    for (std::size_t i = 0; i < kTimers.size(); ++i) {
        setitimer(static_cast<__itimer_which_t>(kTimers.at(i)), &process_state->timers.at(i), nullptr);
    }
    const auto pending = set_of(process_state->pending);
    for (int signal = 1; signal <= kSignals; ++signal) {
        if (sigismember(&pending, signal) == 1) {
            kill(getpid(), signal);
        }
    }
    return threads;
}

namespace {

// In the new process it is as it was at its start.
[[gnu::noinline]] std::int32_t outcome_here() {
    return outcome;
}

} // namespace

} // namespace norma::rt

extern "C" kern_return_t norma_task_migrate(task_t task, int node, int flags) noexcept {
    using namespace norma::rt;
    const auto status =
        call(Op::task_migrate, task, {static_cast<std::uint64_t>(node), static_cast<std::uint64_t>(flags)}).status;
    if (status != kWithdrawn) {
        return status;
    }
    do { // the caller's own task
        migration_point();
    } while (outcome_here() == kWithdrawn);
    return outcome_here();
}

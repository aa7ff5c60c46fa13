// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/samples.hpp"

#include "runtime/client/stops.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <ucontext.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid // older C libraries have no name for it
#endif

namespace norma::rt {

namespace {

// Filled by threads in the handler, emptied by the service thread.
struct Slot {
    std::atomic<pid_t> tid{0}; // 0: free
    std::uint64_t pc = 0;
};
std::array<Slot, kSamplesPerAnswer> slots;
constexpr pid_t kTaken = -1; // by a thread that is about to write its tid
std::atomic<std::uint32_t> next{0};
std::atomic<std::uint64_t> lost{0};

struct Watched {
    pid_t tid;
    timer_t timer;
};
std::vector<Watched> watched;

int sample_signal() {
    return SIGRTMAX - 3;
}

void on_sample_signal(int, siginfo_t *info, void *context) {
    if (info->si_code != SI_TIMER) {
        return;
    }
    auto &slot = slots[next.fetch_add(1) % slots.size()];
    pid_t none = 0;
    if (!slot.tid.compare_exchange_strong(none, kTaken)) {
        lost.fetch_add(1);
        return;
    }
    slot.pc = static_cast<std::uint64_t>(static_cast<const ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
    slot.tid.store(info->si_value.sival_int, std::memory_order_release);
}

// As the C library's pthread_getcpuclockid makes them, which wants a pthread_t.
clockid_t clock_of(pid_t tid) {
    constexpr unsigned kOfThread = 4;
    constexpr unsigned kProcessorTime = 2;
    return static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | kOfThread | kProcessorTime);
}

int watch(pid_t tid, std::uint64_t interval_us) {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = sample_signal();
    event.sigev_value.sival_int = tid;
    event.sigev_notify_thread_id = tid;
    timer_t timer{};
    if (timer_create(clock_of(tid), &event, &timer) != 0) {
        return errno == EAGAIN ? EAGAIN : 0; // else it has ended
    }
    const timespec interval{.tv_sec = static_cast<time_t>(interval_us / 1'000'000),
                            .tv_nsec = static_cast<long>(interval_us % 1'000'000 * 1000)};
    const itimerspec times{.it_interval = interval, .it_value = interval};
    timer_settime(timer, 0, &times, nullptr);
    watched.push_back({.tid = tid, .timer = timer});
    return 0;
}

int watch_all(std::uint64_t interval_us) {
    const auto threads = interval_us == 0 ? std::vector<std::uint64_t>{} : thread_ids();
    std::erase_if(watched, [&threads](const Watched &thread) {
        const bool ended = std::ranges::find(threads, static_cast<std::uint64_t>(thread.tid)) == threads.end();
        if (ended) {
            timer_delete(thread.timer);
        }
        return ended;
    });
    int error = 0;
    for (const auto id : threads) {
        const auto tid = static_cast<pid_t>(id);
        const bool known = std::ranges::any_of(watched, [tid](const Watched &thread) { return thread.tid == tid; });
        if (!known) {
            error = std::max(error, watch(tid, interval_us));
        }
    }
    return error;
}

} // namespace

void install_sample_handler() {
    install_handler(sample_signal(), on_sample_signal);
}

Samples take_samples(std::uint64_t interval_us) {
    Samples taken;
    taken.error = watch_all(interval_us);
    taken.lost = lost.exchange(0);
    for (auto &slot : slots) {
        if (const auto tid = slot.tid.load(std::memory_order_acquire); tid > 0) {
            taken.samples.push_back({.tid = static_cast<std::uint64_t>(tid), .pc = slot.pc});
            slot.tid.store(0, std::memory_order_release);
        }
    }
    return taken;
}

} // namespace norma::rt

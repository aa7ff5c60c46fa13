// SPDX-License-Identifier: BSD-3-Clause
// What the kernel alone needs for a first touch that another process serves: a process that holds the toucher's
// userfaultfd answers missing faults on a memfd with UFFDIO_COPY. No norma in it, but arranged as norma arranges it.
// With --place: what it needs for many pages that nobody waits for.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/perf/report.hpp"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kPage = 4096;

struct Options {
    unsigned iterations = 2000, warmup = 200;
    std::string wait = "adaptive";
    unsigned spin_us = 50;
    std::vector<int> server_cpus;
    bool samples = false;
    unsigned pages = 0; // to place
};

[[noreturn]] void fail(const char *what) {
    throw std::system_error(errno, std::generic_category(), what);
}

int make_userfaultfd() {
    for (const int flags : {0, UFFD_USER_MODE_ONLY}) {
        const auto fd = ::syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC | flags);
        if (fd >= 0) {
            uffdio_api api{};
            api.api = UFFD_API;
            if (::ioctl(static_cast<int>(fd), UFFDIO_API, &api) != 0) {
                fail("UFFDIO_API");
            }
            return static_cast<int>(fd);
        }
    }
    fail("userfaultfd");
}

std::byte *make_memory(std::size_t bytes, int userfaultfd) {
    const int memory = ::memfd_create("kernel_floor", MFD_CLOEXEC);
    if (memory < 0 || ::ftruncate(memory, static_cast<off_t>(bytes)) != 0) {
        fail("memfd");
    }
    void *mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (mapped == MAP_FAILED) {
        fail("mmap");
    }
    ::close(memory);
    ::madvise(mapped, bytes, MADV_DONTFORK);
    ::madvise(mapped, bytes, MADV_NOHUGEPAGE);
    uffdio_register range{};
    range.range = {reinterpret_cast<std::uintptr_t>(mapped), bytes};
    range.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
    if (::ioctl(userfaultfd, UFFDIO_REGISTER, &range) != 0) {
        fail("UFFDIO_REGISTER");
    }
    return static_cast<std::byte *>(mapped);
}

void bind_to(const std::vector<int> &cpus) {
    if (cpus.empty()) {
        return;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : cpus) {
        CPU_SET(static_cast<std::size_t>(cpu), &set);
    }
    if (::sched_setaffinity(0, sizeof set, &set) != 0) {
        fail("sched_setaffinity");
    }
}

bool serve_one(int userfaultfd, const std::byte *page) {
    uffd_msg message{};
    if (::read(userfaultfd, &message, sizeof message) != static_cast<ssize_t>(sizeof message)) {
        return false;
    }
    uffdio_copy copy{};
    copy.dst = message.arg.pagefault.address & ~(kPage - 1);
    copy.src = reinterpret_cast<std::uintptr_t>(page);
    copy.len = kPage;
    if (::ioctl(userfaultfd, UFFDIO_COPY, &copy) != 0) {
        fail("UFFDIO_COPY");
    }
    return true;
}

[[noreturn]] void serve(int userfaultfd, const Options &options) {
    alignas(kPage) static std::byte page[kPage] = {};
    page[0] = std::byte{1}; // its own page in memory, as a frame is
    const int events = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(events, EPOLL_CTL_ADD, userfaultfd, &event);
    const auto spin =
        options.wait == "block" ? std::chrono::microseconds(0) : std::chrono::microseconds(options.spin_us);
    for (;;) {
        auto idle_since = Clock::now();
        while (options.wait == "spin" || Clock::now() - idle_since < spin) {
            if (serve_one(userfaultfd, page)) {
                idle_since = Clock::now();
            }
        }
        ::epoll_wait(events, &event, 1, -1);
        while (serve_one(userfaultfd, page)) {
        }
    }
}

pid_t start_server(int userfaultfd, const Options &options) {
    const pid_t parent = ::getpid();
    const pid_t server = ::fork();
    if (server < 0) {
        fail("fork");
    }
    if (server == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        try {
            if (::getppid() == parent) {
                bind_to(options.server_cpus);
                serve(userfaultfd, options);
            }
        } catch (const std::exception &error) {
            fmt::print(stderr, "norma-kernel-floor: server: {}\n", error.what());
        }
        // The toucher would wait for ever for a page that does not come.
        ::kill(parent, SIGKILL);
        ::_exit(1);
    }
    return server;
}

std::vector<double> touch_pages(std::byte *memory, const Options &options) {
    // In no order that anything could foresee.
    std::vector<std::size_t> order(options.iterations + options.warmup);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
    std::vector<double> samples;
    samples.reserve(order.size());
    for (const auto page : order) {
        volatile auto *word = reinterpret_cast<std::uint64_t *>(memory + page * kPage);
        const auto start = Clock::now();
        *word = page;
        samples.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
    samples.erase(samples.begin(), samples.begin() + options.warmup);
    return samples;
}

// As many pages at a time as a message brings.
double place(std::byte *memory, std::size_t bytes, int userfaultfd) {
    constexpr std::size_t kBatch = 64 * kPage;
    const std::vector<std::byte> content(kBatch, std::byte{1});
    const auto start = Clock::now();
    for (std::size_t at = 0; at < bytes; at += kBatch) {
        uffdio_copy copy{};
        copy.dst = reinterpret_cast<std::uintptr_t>(memory + at);
        copy.src = reinterpret_cast<std::uintptr_t>(content.data());
        copy.len = std::min(kBatch, bytes - at);
        if (::ioctl(userfaultfd, UFFDIO_COPY, &copy) != 0) {
            fail("UFFDIO_COPY");
        }
    }
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

std::vector<double> place_pages(const Options &options) {
    bind_to(options.server_cpus);
    const std::size_t bytes = options.pages * kPage;
    std::vector<double> samples;
    for (unsigned i = 0; i < options.iterations; ++i) {
        const int userfaultfd = make_userfaultfd();
        auto *memory = make_memory(bytes, userfaultfd);
        samples.push_back(place(memory, bytes, userfaultfd));
        ::munmap(memory, bytes);
        ::close(userfaultfd);
    }
    return samples;
}

std::vector<double> touch(const Options &options) {
    const int userfaultfd = make_userfaultfd();
    auto *memory = make_memory((options.iterations + options.warmup) * kPage, userfaultfd);
    const pid_t server = start_server(userfaultfd, options);
    auto samples = touch_pages(memory, options);
    ::kill(server, SIGKILL);
    ::waitpid(server, nullptr, 0);
    return samples;
}

void report(const std::vector<double> &samples, const Options &options) {
    if (options.samples) {
        for (const double sample : samples) {
            fmt::print("{:.3f}\n", sample);
        }
        return;
    }
    norma::bench::print_header(norma::bench::current_setting("none", options.wait, 1));
    norma::bench::print_row(
        norma::bench::latency_row("kernel_floor", options.pages != 0 ? options.pages * kPage : kPage, samples));
}

} // namespace

int main(int argc, char **argv) {
    CLI::App app{"Measures a first touch that another process serves, without norma.", "norma-kernel-floor"};
    Options options;
    app.add_option("-n,--iterations", options.iterations, "measured touches")->check(CLI::Range(1U, 1'000'000U));
    app.add_option("-w,--warmup", options.warmup, "touches before these")->check(CLI::Range(0U, 1'000'000U));
    app.add_option("--wait", options.wait, "how the server waits")->check(CLI::IsMember({"adaptive", "spin", "block"}));
    app.add_option("--spin", options.spin_us, "microseconds the server spins when adaptive")
        ->check(CLI::Range(0U, 1'000'000U));
    app.add_option("--server-cpus", options.server_cpus, "processors of the server, with commas")
        ->delimiter(',')
        ->check(CLI::Range(0, CPU_SETSIZE - 1));
    app.add_option("--place", options.pages, "measure this instead: so many pages that nobody waits for")
        ->check(CLI::Range(1U, 1U << 22));
    app.add_flag("--samples", options.samples, "print every sample and nothing else");
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp &help) {
        return app.exit(help);
    } catch (const CLI::ParseError &error) {
        fmt::print(stderr, "norma-kernel-floor: {}\n", error.what());
        return 2;
    }
    try {
        report(options.pages != 0 ? place_pages(options) : touch(options), options);
        return 0;
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma-kernel-floor: {}\n", error.what());
        return 1;
    }
}

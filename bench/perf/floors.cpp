// SPDX-License-Identifier: BSD-3-Clause
#include "bench/perf/floors.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <random>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/perf/binding.hpp"
#include "bench/perf/stats.hpp"
#include "rpc/transport.hpp"
#include "runtime/c_strings.hpp"
#include "runtime/config.hpp"
#include "runtime/probe.hpp"

namespace norma::bench {
namespace {

struct PageToTouch {
    volatile std::uint64_t *word;
};

void touch(PageToTouch &page) {
    *page.word = 1;
}

// The path of a program that lies beside this one.
std::string program(const char *name) {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

std::vector<std::string> kernel_floor_command(unsigned iterations, unsigned warmup) {
    const auto config = rt::load_config(environ);
    constexpr const char *kWaits[] = {"adaptive", "spin", "block"};
    const auto spin = std::chrono::duration_cast<std::chrono::microseconds>(config.spin).count();
    return {program("norma-kernel-floor"),
            "--samples",
            "-n",
            std::to_string(iterations),
            "-w",
            std::to_string(warmup),
            "--wait",
            kWaits[static_cast<std::size_t>(config.wait)],
            "--spin",
            std::to_string(spin),
            "--server-cpus",
            cpu_list(::getppid(), ",")};
}

// As the node servers wait: where they share cores they never spin, whatever they are told.
bool servers_spin(const rt::Config &config) {
    const auto nodes = config.host_nodes != 0 ? config.host_nodes : static_cast<unsigned>(norma_node_count());
    return config.wait != rt::WaitMode::block && nodes <= static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
}

// Its standard output. posix_spawn, because after a fork this thread's stack would not be there.
std::string output_of(const std::vector<std::string> &command) {
    const auto argv = rt::c_strings(command);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    pid_t child = -1;
    const int failure = ::posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    std::string output;
    char bytes[4096];
    for (ssize_t size; failure == 0 && (size = ::read(ends[0], bytes, sizeof bytes)) > 0;) {
        output.append(bytes, static_cast<std::size_t>(size));
    }
    ::close(ends[0]);
    int status = 0;
    if (failure != 0 || ::waitpid(child, &status, 0) != child || status != 0) {
        throw std::runtime_error(fmt::format("cannot run {}", command.front()));
    }
    return output;
}

// Of the samples that a command prints, one in a line.
double median_of(const std::vector<std::string> &command, unsigned expected) {
    const auto output = output_of(command);
    std::vector<double> samples;
    for (const char *position = output.c_str(); *position != '\0';) {
        char *end = nullptr;
        samples.push_back(std::strtod(position, &end));
        position = *end == '\n' ? end + 1 : end;
    }
    if (samples.size() != expected) {
        throw std::runtime_error(fmt::format("{} gave {} samples, not {}", command.front(), samples.size(), expected));
    }
    return median(std::move(samples));
}

} // namespace

void measure_am(int peer, unsigned request_bytes, unsigned reply_bytes, unsigned warmup, std::span<double> samples_us) {
    // One call brings its samples back in one message, which has its bound.
    constexpr std::size_t kMostPerCall = 1000;
    while (!samples_us.empty()) {
        const auto part = samples_us.first(std::min(samples_us.size(), kMostPerCall));
        check(norma_probe_am(peer, request_bytes, reply_bytes, static_cast<unsigned>(part.size()), warmup, part.data()),
              "norma_probe_am");
        samples_us = samples_us.subspan(part.size());
        warmup = 1; // only for what went on between the calls
    }
}

double am_lat_us(int peer, unsigned iterations) {
    constexpr unsigned kEnough = 10'000;
    std::vector<double> samples(std::min(iterations, kEnough));
    measure_am(peer, kRequestBytes, kReplyBytes, static_cast<unsigned>(samples.size() / 10), samples);
    return median(std::move(samples));
}

double am_stream_us(int peer, std::uint64_t bytes) {
    constexpr auto kMessage = static_cast<unsigned>(rpc::kMaxPayloadBytes);
    const auto messages = static_cast<unsigned>((bytes + kMessage - 1) / kMessage);
    double seconds = 0;
    check(norma_probe_bw(peer, kMessage, messages, &seconds), "norma_probe_bw");
    return seconds * 1e6 * static_cast<double>(bytes) / (static_cast<double>(messages) * kMessage);
}

LocalFaults::LocalFaults(int helper_node, std::size_t count)
    : memory_((2 * count + 1) * kPage), pages_(scattered(count)) {
    const Array<PageToTouch> page(1);
    *page.data() = {&memory_.word(2 * count)};
    RemoteTask helper(helper_node);
    helper.start<&touch>(page.data());
    helper.join();
}

void LocalFaults::measure(std::span<double> samples_us) {
    for (auto &sample : samples_us) {
        const auto page = pages_.at(next_++);
        const auto start = Clock::now();
        memory_.word(page) = page;
        sample = microseconds_since(start);
    }
}

double kernel_floor_us(unsigned iterations, unsigned warmup) {
    return median_of(kernel_floor_command(iterations, warmup), iterations);
}

std::optional<double> transport_floor_us(const char *what, const TestInfo &test) {
    const auto here = place_of(norma_node()), there = place_of(norma_node() == 0 ? 1 : 0);
    if (here.host != there.host) {
        return std::nullopt;
    }
    const auto config = rt::load_config(environ);
    std::vector<std::string> command{program("norma-rpc-pingpong"),
                                     "-x",
                                     config.transport,
                                     "-w",
                                     servers_spin(config) ? "spin" : "block",
                                     "-t",
                                     what,
                                     "-s",
                                     std::to_string(test.size),
                                     "-n",
                                     std::to_string(test.iterations),
                                     "-c",
                                     here.server_cpus,
                                     "-c",
                                     there.server_cpus};
    if (test.warmup > 0) {
        command.insert(command.end(), {"-u", std::to_string(test.warmup)});
    }
    return median_of(command, test.iterations);
}

double placing_us(std::uint64_t bytes) {
    constexpr unsigned kTimes = 3;
    return median_of({program("norma-kernel-floor"), "--samples", "--place", std::to_string(bytes / kPage), "-n",
                      std::to_string(kTimes), "--server-cpus", cpu_list(::getppid(), ",")},
                     kTimes);
}

double process_floor_us(unsigned iterations) {
    std::vector<double> samples;
    for (unsigned i = 0; i < iterations; ++i) {
        const auto start = Clock::now();
        output_of({"/proc/self/exe", "--help"});
        samples.push_back(microseconds_since(start));
    }
    return median(std::move(samples));
}

double rma_floor_us(const RmaFloor &wanted) {
    return median_of({program("norma-rma-floor"), wanted.operation, "-x", rt::load_config(environ).transport, "-n",
                      std::to_string(wanted.iterations), "-w", std::to_string(wanted.warmup), "-s",
                      std::to_string(wanted.size), "--accesses", std::to_string(wanted.accesses), "--window",
                      std::to_string(wanted.window), "--owner-cpus", wanted.owner_cpus},
                     wanted.iterations);
}

std::vector<std::size_t> scattered(std::size_t count) {
    std::vector<std::size_t> order(count);
    for (std::size_t index = 0; index < count; ++index) {
        order[index] = 2 * index;
    }
    std::shuffle(order.begin(), order.end(), std::mt19937_64(count));
    return order;
}

} // namespace norma::bench

// SPDX-License-Identifier: BSD-3-Clause
// snapshot, cow_write: what it costs to give a child a copy of memory, and what the first write to such memory costs.
#include <algorithm>
#include <cerrno>
#include <future>
#include <system_error>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

[[noreturn]] void fail(const char *call) {
    throw std::system_error(errno, std::generic_category(), call);
}

// A task on the other node with copies of all that this task has.
class Child {
  public:
    Child() { check(norma_task_create(mach_task_self(), TRUE, kPeer, &task_), "norma_task_create"); }
    ~Child() { task_terminate(task_); }
    Child(const Child &) = delete;
    Child &operator=(const Child &) = delete;

  private:
    task_t task_ = TASK_NULL;
};

// Of a process with as much plain memory, all of it written to.
double fork_from_here_us(std::size_t bytes) {
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fail("mmap");
    }
    madvise(memory, bytes, MADV_NOHUGEPAGE); // coherent memory has none either
    write_to_all(static_cast<std::uint64_t *>(memory), bytes);
    const auto start = Clock::now();
    const pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    const double time = microseconds_since(start);
    if (child < 0) {
        fail("fork");
    }
    waitpid(child, nullptr, 0);
    munmap(memory, bytes);
    return time;
}

// From a thread whose stack is plain memory too: the child of any other would have no stack.
double fork_us(std::size_t bytes) {
    return std::async(std::launch::async, fork_from_here_us, bytes).get();
}

} // namespace

// Fresh memory in each round: a page that was copied before would be protected already. The floor is fork() of a plain
// process of this size, and a process that is started, as the child's has to be.
Rows snapshot(const TestInfo &test) {
    std::vector<double> calls, forks;
    for (unsigned round = 0; round < test.warmup + test.iterations; ++round) {
        const double forked = fork_us(test.size);
        const Memory memory(test.size);
        write_to_all(&memory.word(0), test.size);
        const auto start = Clock::now();
        const Child child;
        const double call = microseconds_since(start);
        if (round >= test.warmup) {
            calls.push_back(call);
            forks.push_back(forked);
        }
    }
    return {latency_row("snapshot", test.size, calls, median(forks) + process_floor_us(test.iterations))};
}

// The memory is where it is written, and the child never touches its copy. The floor is a page's first touch.
Rows cow_write(const TestInfo &test) {
    constexpr std::size_t kTurns = 10;
    const auto order = scattered(test.warmup + test.iterations);
    const Memory memory(2 * order.size() * kPage);
    write_to_all(&memory.word(0), memory.size());
    const Child child;
    LocalFaults local_faults(kPeer, test.iterations);
    std::vector<double> writes, local(test.iterations);
    std::size_t next = 0;
    const auto write_next = [&] {
        volatile auto &word = memory.word(order[next++]);
        const auto start = Clock::now();
        word = 1;
        return microseconds_since(start);
    };
    while (next < test.warmup) {
        write_next();
    }
    const std::size_t turn = (test.iterations + kTurns - 1) / kTurns;
    for (std::size_t from = 0; from < test.iterations; from += turn) {
        const auto count = std::min<std::size_t>(turn, test.iterations - from);
        local_faults.measure(std::span(local).subspan(from, count));
        for (std::size_t i = 0; i < count; ++i) {
            writes.push_back(write_next());
        }
    }
    return {latency_row("cow_write", kPage, writes, median(local))};
}

} // namespace norma::bench

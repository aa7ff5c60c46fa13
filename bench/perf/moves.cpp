// SPDX-License-Identifier: BSD-3-Clause
// clone, teleport: the time of the call, and the time until a thread runs in the new task, which ends when the caller
// has heard from it.
#include <stdexcept>

#include <fmt/format.h>

#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

struct Errand {
    std::size_t bytes;              // of memory to touch, once
    volatile std::uint64_t *memory; // touched memory
    vm_address_t own;               // memory that the task itself has allocated
    norma_sync_t heard;
};

void allocate_and_touch(Errand &errand) {
    check(vm_allocate(mach_task_self(), &errand.own, errand.bytes, TRUE), "vm_allocate");
    errand.memory = reinterpret_cast<std::uint64_t *>(errand.own);
    write_to_all(errand.memory, errand.bytes);
}

void say_hello(Errand &errand) {
    Semaphore::post(errand.heard);
    const std::size_t last = (errand.bytes - 1) / kPage * kPage;
    if (errand.memory[last / sizeof *errand.memory] != mark_of(last)) {
        throw std::runtime_error("the new task's memory is not its parent's");
    }
}

struct Times {
    std::vector<double> call, run;
};

void hear_from(RemoteTask &task, Errand *errand, const Semaphore &heard) {
    task.start<&say_hello>(errand);
    heard.wait();
}

// The floor of both is a process of this program, started and ended.
Rows rows(const TestInfo &test, const Times &times) {
    const double floor = process_floor_us(test.iterations);
    return {latency_row(std::string(test.name), test.size, times.call, floor),
            latency_row(fmt::format("{}_run", test.name), test.size, times.run, floor)};
}

} // namespace

Rows clone(const TestInfo &test) {
    const Memory memory(test.size);
    write_to_all(&memory.word(0), test.size);
    const Semaphore heard;
    const Array<Errand> errand(1);
    *errand.data() = {test.size, &memory.word(0), 0, heard.id()};
    Times times;
    for (unsigned round = 0; round < test.warmup + test.iterations; ++round) {
        const auto start = Clock::now();
        RemoteTask child(kPeer);
        const double call = microseconds_since(start);
        hear_from(child, errand.data(), heard);
        const double run = microseconds_since(start);
        child.join();
        if (round >= test.warmup) {
            times.call.push_back(call);
            times.run.push_back(run);
        }
    }
    return rows(test, times);
}

// One task, with memory that is its own alone, goes to and fro between the two nodes.
Rows teleport(const TestInfo &test) {
    const Semaphore heard;
    const Array<Errand> errand(1);
    *errand.data() = {test.size, nullptr, 0, heard.id()};
    RemoteTask traveller(0);
    traveller.start<&allocate_and_touch>(errand.data());
    traveller.join();
    Times times;
    int node = 0;
    for (unsigned round = 0; round < test.warmup + test.iterations; ++round) {
        node = node == 0 ? kPeer : 0;
        const auto start = Clock::now();
        traveller.teleport(node);
        const double call = microseconds_since(start);
        hear_from(traveller, errand.data(), heard);
        const double run = microseconds_since(start);
        traveller.join();
        if (round >= test.warmup) {
            times.call.push_back(call);
            times.run.push_back(run);
        }
    }
    return rows(test, times);
}

} // namespace norma::bench

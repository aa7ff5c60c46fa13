// SPDX-License-Identifier: BSD-3-Clause
// Registers of threads, read and set from outside, on this node and on another.
#include "tests/system/app.hpp"

#include <array>
#include <cstring>
#include <thread>

#include <unistd.h>

namespace {

using systest::shared;

int other_node() {
    return norma::node_count() - 1;
}

template <class State> thread_state_t raw(State &state) {
    return reinterpret_cast<thread_state_t>(&state);
}

template <class State> kern_return_t get(thread_t thread, thread_state_flavor_t flavor, State &state) {
    auto count = NORMA_FLAVOR_COUNT(State);
    const auto status = thread_get_state(thread, flavor, raw(state), &count);
    if (status == KERN_SUCCESS) {
        CHECK_EQ(NORMA_FLAVOR_COUNT(State), count);
    }
    return status;
}

template <class State> kern_return_t set(thread_t thread, thread_state_flavor_t flavor, State &state) {
    return thread_set_state(thread, flavor, raw(state), NORMA_FLAVOR_COUNT(State));
}

// What a thread keeps in its registers, so that only who reads or sets them can know or change it.
struct Spin {
    std::atomic<long> ready, out_general;
    double out_sse, out_x87;
};

constexpr std::uint64_t kMark = 0x1122334455667788;

// Holds kMark in r12, 1.5 in xmm9 and 2.25 on the x87 stack until r13 is set to 1, which nobody in the program does.
void spin(void *given) {
    auto *it = static_cast<Spin *>(given);
    const double sse = 1.5;
    const double x87 = 2.25;
    it->ready = 1;
    long general = 0;
    double out_sse = 0;
    double out_x87 = 0;
    asm volatile("movabs %[mark], %%r12\n"
                 "xor %%r13, %%r13\n"
                 "movsd %[sse], %%xmm9\n"
                 "fldl %[x87]\n"
                 "1: pause\n"
                 "test %%r13, %%r13\n"
                 "jz 1b\n"
                 "mov %%r12, %[general]\n"
                 "movsd %%xmm9, %[out_sse]\n"
                 "fstpl %[out_x87]\n"
                 : [general] "=m"(general), [out_sse] "=m"(out_sse), [out_x87] "=m"(out_x87)
                 : [mark] "i"(kMark), [sse] "m"(sse), [x87] "m"(x87)
                 : "r12", "r13", "xmm9", "st", "cc");
    it->out_sse = out_sse;
    it->out_x87 = out_x87;
    it->out_general = general;
}

// The 80 bits of 9.75, as the x87 has them.
constexpr std::array<std::uint8_t, 10> kX87{0, 0, 0, 0, 0, 0, 0, 0x9c, 0x02, 0x40};

void wait_for_registers(thread_t thread) {
    CHECK_SOON([&] {
        x86_thread_state64_t seen{};
        return get(thread, x86_THREAD_STATE64, seen) == KERN_SUCCESS && seen.r12 == kMark && seen.r13 == 0;
    }());
}

// `suspended`: the thread is suspended all the time; else it is stopped for each look only.
void check_registers(task_t task, Spin *it, bool suspended) {
    it->ready = it->out_general = 0;
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, spin, it, 0, &thread));
    CHECK_SOON(it->ready == 1);
    wait_for_registers(thread);
    if (suspended) {
        CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    }
    x86_float_state64_t floats{};
    CHECK_EQ(KERN_SUCCESS, get(thread, x86_FLOAT_STATE64, floats));
    double sse = 0;
    std::memcpy(&sse, floats.fpu_xmm[9].xmm_reg, sizeof sse);
    CHECK_EQ(1.5, sse);
    CHECK_EQ(0x1f80U, floats.fpu_mxcsr);
    sse = 6.5;
    std::memcpy(floats.fpu_xmm[9].xmm_reg, &sse, sizeof sse);
    std::memcpy(floats.fpu_stmm[0].mmst_reg, kX87.data(), kX87.size());
    CHECK_EQ(KERN_SUCCESS, set(thread, x86_FLOAT_STATE64, floats));

    x86_thread_state64_t general{};
    CHECK_EQ(KERN_SUCCESS, get(thread, x86_THREAD_STATE64, general));
    CHECK_EQ(kMark, general.r12);
    CHECK_EQ(std::uint64_t{0x33}, general.cs);
    general.r12 = 4711;
    general.r13 = 1;
    CHECK_EQ(KERN_SUCCESS, set(thread, x86_THREAD_STATE64, general));
    if (suspended) {
        x86_thread_state64_t again{};
        CHECK_EQ(KERN_SUCCESS, get(thread, x86_THREAD_STATE64, again));
        CHECK_EQ(0, std::memcmp(&general, &again, sizeof again));
        CHECK_EQ(0L, it->out_general.load());
        CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    }
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    CHECK_EQ(4711L, it->out_general.load());
    CHECK_EQ(6.5, it->out_sse);
    CHECK_EQ(9.75, it->out_x87);
    CHECK_EQ(KERN_TERMINATED, get(thread, x86_THREAD_STATE64, general));
    CHECK_EQ(KERN_TERMINATED, set(thread, x86_THREAD_STATE64, general));
}

struct Detour {
    std::atomic<long> arrived, argument, gate_passed;
    norma::semaphore gate;
    std::atomic<int> node;
    alignas(16) std::byte stack[16384];
};

// Started by registers alone: the argument is in rdi, and there is nobody to return to.
void by_registers(Detour *it) {
    it->argument = 77;
    it->node = norma_node(); // a call works here, on a channel of its own
    int node = -1;
    norma_port_location_hint(mach_task_self(), mach_task_self(), &node);
    it->arrived = 1 + node;
    thread_terminate(mach_thread_self());
}

x86_thread_state64_t start_of(Detour *it, x86_thread_state64_t state = {}) {
    state.rip = reinterpret_cast<std::uint64_t>(&by_registers);
    state.rdi = reinterpret_cast<std::uint64_t>(it);
    state.rsp = reinterpret_cast<std::uint64_t>(it->stack + sizeof it->stack - 8); // as behind a call
    return state;
}

void check_detour(const Detour *it, int node) {
    CHECK_SOON(it->arrived == 1 + node);
    CHECK_EQ(77L, it->argument.load());
    CHECK_EQ(node, it->node.load());
}

// Mach's way to start a thread.
void check_start(task_t task, int node, Detour *it) {
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, thread_create(task, &thread));
    x86_thread_state64_t state{};
    x86_float_state64_t floats{};
    CHECK_EQ(KERN_SUCCESS, get(thread, x86_THREAD_STATE64, state));
    CHECK_EQ(std::uint64_t{0}, state.rip);
    CHECK_EQ(KERN_INVALID_ARGUMENT, get(thread, x86_FLOAT_STATE64, floats));
    CHECK_EQ(KERN_INVALID_ARGUMENT, set(thread, x86_FLOAT_STATE64, floats));
    state = start_of(it);
    CHECK_EQ(KERN_SUCCESS, set(thread, x86_THREAD_STATE64, state));
    x86_thread_state64_t again{};
    CHECK_EQ(KERN_SUCCESS, get(thread, x86_THREAD_STATE64, again));
    CHECK_EQ(0, std::memcmp(&state, &again, sizeof state));
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    check_detour(it, node);
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));

    it->arrived = it->argument = 0;
    CHECK_KERN(KERN_SUCCESS,
               thread_create_running(task, x86_THREAD_STATE64, raw(state), x86_THREAD_STATE64_COUNT, &thread));
    check_detour(it, node);
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));

    // In a suspended task it starts, and waits with its registers.
    it->arrived = it->argument = 0;
    CHECK_KERN(KERN_SUCCESS, task_suspend(task));
    CHECK_KERN(KERN_SUCCESS,
               thread_create_running(task, x86_THREAD_STATE64, raw(state), x86_THREAD_STATE64_COUNT, &thread));
    CHECK_EQ(KERN_SUCCESS, get(thread, x86_THREAD_STATE64, again));
    CHECK_EQ(state.rip, again.rip);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK_EQ(0L, it->argument.load());
    CHECK_KERN(KERN_SUCCESS, task_resume(task));
    check_detour(it, node);
}

void wait_at_gate(void *raw) {
    auto *it = static_cast<Detour *>(raw);
    it->arrived = -1;
    it->gate.acquire();
    it->gate_passed = 1;
}

// A thread that is taken out of a call: what answers that call is no answer to its next one.
void check_taken_out(task_t task, int node, Detour *it) {
    it->arrived = it->argument = it->gate_passed = 0;
    it->gate = norma::semaphore::create(0);
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, wait_at_gate, it, 0, &thread));
    CHECK_SOON(it->arrived == -1);
    std::this_thread::sleep_for(std::chrono::milliseconds(10)); // it is inside the call, most likely
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    it->gate.release(); // the answer is there before the thread goes on
    x86_thread_state64_t state{};
    CHECK_EQ(KERN_SUCCESS, get(thread, x86_THREAD_STATE64, state));
    state = start_of(it, state);
    CHECK_EQ(KERN_SUCCESS, set(thread, x86_THREAD_STATE64, state));
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    check_detour(it, node);
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    CHECK_EQ(0L, it->gate_passed.load());
}

void check_wrong(task_t task, Detour *it) {
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, wait_at_gate, it, 0, &thread));
    x86_thread_state64_t state{};
    x86_float_state64_t floats{};
    norma_thread_entry_data_t entry{wait_at_gate, it, 0};
    CHECK_EQ(KERN_INVALID_ARGUMENT, get(mach_thread_self(), x86_THREAD_STATE64, state));
    CHECK_EQ(KERN_INVALID_ARGUMENT, set(mach_thread_self(), x86_THREAD_STATE64, state));
    CHECK_EQ(KERN_SUCCESS, get(thread, x86_THREAD_STATE64, state));
    CHECK_EQ(KERN_SUCCESS, get(thread, x86_FLOAT_STATE64, floats));
    CHECK_EQ(KERN_NOT_SUPPORTED, get(thread, NORMA_THREAD_ENTRY, entry));
    CHECK_EQ(KERN_NOT_SUPPORTED, set(thread, NORMA_THREAD_ENTRY, entry));
    for (const int flavor : {0, 3, 6, 17, -1, 0x4e02}) {
        CHECK_EQ(KERN_INVALID_ARGUMENT, get(thread, flavor, state));
        CHECK_EQ(KERN_INVALID_ARGUMENT, set(thread, flavor, state));
    }
    CHECK_EQ(KERN_INVALID_ARGUMENT, set(thread, x86_THREAD_STATE64, floats)); // the count of the other
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_set_state(thread, x86_THREAD_STATE64, raw(state), 41));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_set_state(thread, x86_THREAD_STATE64, raw(state), ~0U));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_set_state(thread, x86_THREAD_STATE64, nullptr, x86_THREAD_STATE64_COUNT));
    mach_msg_type_number_t count = x86_THREAD_STATE64_COUNT - 1;
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_get_state(thread, x86_THREAD_STATE64, raw(state), &count));
    CHECK_EQ(x86_THREAD_STATE64_COUNT - 1, count);
    count = 1000; // more room than is needed
    CHECK_KERN(KERN_SUCCESS, thread_get_state(thread, x86_THREAD_STATE64, raw(state), &count));
    CHECK_EQ(x86_THREAD_STATE64_COUNT, count);
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_get_state(thread, x86_THREAD_STATE64, raw(state), nullptr));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_get_state(thread, x86_THREAD_STATE64, nullptr, &count));
    auto nowhere = state;
    for (const std::uint64_t rip : {std::uint64_t{0}, std::uint64_t{1} << 47, ~std::uint64_t{0}}) {
        nowhere.rip = rip;
        CHECK_EQ(KERN_INVALID_ARGUMENT, set(thread, x86_THREAD_STATE64, nowhere));
    }
    floats.fpu_mxcsr = 0x10000;
    CHECK_EQ(KERN_INVALID_ARGUMENT, set(thread, x86_FLOAT_STATE64, floats));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_get_state(task, x86_THREAD_STATE64, raw(state), &count)); // no thread
    // Nothing of all that has hurt it.
    it->gate_passed = 0;
    it->gate.release();
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    CHECK_EQ(1L, it->gate_passed.load());
}

} // namespace

SYSTEM_CASE(thread_states) {
    auto *spinning = shared<Spin>();
    auto *detour = shared<Detour>();
    const auto child = norma::clone_to(other_node());
    for (const auto task : {mach_task_self(), child.port()}) {
        const int node = task == child.port() ? other_node() : 0;
        check_registers(task, spinning, true);
        check_registers(task, spinning, false);
        check_taken_out(task, node, detour);
        check_wrong(task, detour);
    }
    detour->arrived = detour->argument = 0;
    check_start(child.port(), other_node(), detour);
    return 0;
}

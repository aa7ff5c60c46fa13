// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/registers.hpp"

#include "runtime/client/job.hpp"
#include "runtime/thread_state.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace norma::rt {

namespace {

// Where the C library keeps each of the registers that x86_thread_state64_t begins with, in its order.
constexpr std::array kPlaces{REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RDI, REG_RSI, REG_RBP, REG_RSP, REG_R8,
                             REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP, REG_EFL};
constexpr std::size_t kRegisters = kPlaces.size();
static_assert(offsetof(x86_thread_state64_t, cs) == kRegisters * sizeof(std::uint64_t));

// The part of the FXSAVE area that is registers. The kernel keeps things of its own in what follows.
constexpr std::size_t kFloatStart = offsetof(x86_float_state64_t, fpu_fcw);
constexpr std::size_t kFloatBytes = offsetof(x86_float_state64_t, fpu_rsrv4) - kFloatStart;
static_assert(kFloatBytes == 416 && sizeof(x86_float_state64_t) == 524);

// Calls that wait for something outside this process, and that may fail with EINTR at any time. A thread that is about
// to make one, and not inside it, cannot be told from one that is; it is as if it had been interrupted at once. Calls
// that the kernel does not make again after a signal have failed already when the thread was stopped.
constexpr std::array kWaitingCalls{SYS_read,   SYS_write,   SYS_readv,    SYS_writev, SYS_recvfrom, SYS_recvmsg,
                                   SYS_sendto, SYS_sendmsg, SYS_recvmmsg, SYS_accept, SYS_accept4,  SYS_connect,
                                   SYS_futex,  SYS_wait4,   SYS_waitid,   SYS_open,   SYS_openat,   SYS_flock,
                                   SYS_fcntl,  SYS_ioctl,   SYS_splice};

// Read by way of the kernel: rip may be anything that was set from outside.
bool is_system_call(const void *address) {
    std::array<std::uint8_t, 2> code{};
    const iovec to{code.data(), code.size()};
    const iovec from{const_cast<void *>(address), code.size()};
    return !job.is_coherent(address) && process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 2 && code[0] == 0x0f &&
           code[1] == 0x05;
}

} // namespace

void read_registers(const ucontext_t &context, std::uint64_t flavor, std::span<std::byte> state) {
    const auto &machine = context.uc_mcontext;
    if (flavor == x86_FLOAT_STATE64) {
        std::ranges::fill(state, std::byte{0});
        std::memcpy(state.data() + kFloatStart, machine.fpregs, kFloatBytes);
        return;
    }
    std::array<std::uint64_t, kRegisters + 3> values{};
    for (std::size_t i = 0; i < kRegisters; ++i) {
        values.at(i) = static_cast<std::uint64_t>(machine.gregs[kPlaces.at(i)]);
    }
    const auto segments = static_cast<std::uint64_t>(machine.gregs[REG_CSGSFS]); // cs, gs, fs, 16 bits each
    values[kRegisters] = segments & 0xffff;
    values[kRegisters + 1] = segments >> 32 & 0xffff;
    values[kRegisters + 2] = segments >> 16 & 0xffff;
    static_assert(sizeof values == sizeof(x86_thread_state64_t));
    std::memcpy(state.data(), values.data(), sizeof values);
}

void write_registers(ucontext_t &context, std::uint64_t flavor, std::span<const std::byte> state) {
    auto &machine = context.uc_mcontext;
    if (flavor == x86_FLOAT_STATE64) {
        // mxcsr_mask is a property of the processor, so it stays.
        const auto mask = machine.fpregs->mxcr_mask;
        std::memcpy(machine.fpregs, state.data() + kFloatStart, kFloatBytes);
        machine.fpregs->mxcr_mask = mask;
        return;
    }
    for (std::size_t i = 0; i < kRegisters; ++i) {
        std::memcpy(&machine.gregs[kPlaces.at(i)], state.data() + i * sizeof(std::uint64_t), sizeof(std::uint64_t));
    }
}

void abort_system_call(ucontext_t &context) {
    auto &registers = context.uc_mcontext.gregs;
    const bool waits = std::find(kWaitingCalls.begin(), kWaitingCalls.end(), registers[REG_RAX]) != kWaitingCalls.end();
    if (waits && is_system_call(reinterpret_cast<const void *>(registers[REG_RIP]))) {
        registers[REG_RIP] += 2;
        registers[REG_RAX] = -EINTR;
    }
}

} // namespace norma::rt

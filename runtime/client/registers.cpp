// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/registers.hpp"

#include "runtime/thread_state.hpp"

#include <array>

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

} // namespace

std::vector<std::byte> read_registers(const ucontext_t &context, std::uint64_t flavor) {
    std::vector<std::byte> state(state_bytes(flavor));
    const auto &machine = context.uc_mcontext;
    if (flavor == x86_FLOAT_STATE64) {
        std::memcpy(state.data() + kFloatStart, machine.fpregs, kFloatBytes);
        return state;
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
    return state;
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

} // namespace norma::rt

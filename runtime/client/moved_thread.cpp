// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/moved_thread.hpp"

#include "runtime/client/inheritance.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/program.hpp"
#include "runtime/client/threads.hpp"
#include "runtime/families.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cpuid.h>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace norma::rt {

namespace {

// The part of ucontext_t that the kernel makes.
constexpr std::size_t kFrameBytes = offsetof(ucontext_t, uc_sigmask) + sizeof(std::uint64_t);
constexpr std::size_t kMostRegisters = 32 * 1024;
constexpr std::uint64_t kAligned = 64;
constexpr std::uint64_t kRedZone = 128;
constexpr std::uint64_t kGlobals = 16; // __cxa_eh_globals: the exceptions that are caught, and how many are not yet

struct Saved {
    std::uint64_t register_bytes = 0, variable_bytes = 0;
    std::uint64_t canary = 0, stack_limit = 0;
    SignalSet pending = 0;
    std::int32_t error = 0;
    std::array<std::byte, kGlobals> exceptions{};
    std::array<std::byte, kFrameBytes> frame{};
};

// Of a frame with the processor's extended registers the kernel says how long it is.
std::size_t bytes_of(const _libc_fpstate *registers) {
    constexpr std::size_t kPlain = 512, kSoftware = 464;
    constexpr std::uint32_t kMagic = 0x46505853;
    std::array<std::uint32_t, 2> software{}; // magic, size
    std::memcpy(software.data(), reinterpret_cast<const std::byte *>(registers) + kSoftware, sizeof software);
    return software[0] == kMagic ? software[1] : kPlain;
}

// The signals that wait for this thread, and not for any of the process. Few ever have one.
SignalSet pending_signals() {
    sigset_t any;
    sigpending(&any);
    std::array<char, 4096> text{};
    const int fd = signals_in(any) == 0 ? -1 : ::open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    [[maybe_unused]] const auto size = ::read(fd, text.data(), text.size() - 1);
    ::close(fd);
    constexpr const char *kName = "SigPnd:";
    const auto *found = std::strstr(text.data(), kName);
    return found == nullptr ? 0 : std::strtoull(found + std::strlen(kName), nullptr, 16);
}

void send_to_this_thread(SignalSet signals) {
    const auto set = set_of(signals);
    for (int signal = 1; signal <= kSignals; ++signal) {
        if (is_signal(static_cast<std::uint64_t>(signal)) && sigismember(&set, signal) == 1) {
            tgkill(getpid(), gettid(), signal);
        }
    }
}

// Where handlers run: that is of norma's own memory, or of the program's if it has wished so.
stack_t signal_stack(const std::byte *frame) {
    stack_t stack{};
    std::memcpy(&stack, frame + offsetof(ucontext_t, uc_stack), sizeof stack);
    if (!job.in_window(stack.ss_sp)) {
        sigaltstack(nullptr, &stack);
    }
    return stack;
}

std::uint64_t down(std::uint64_t address, std::uint64_t bytes) {
    return (address - bytes) / kAligned * kAligned;
}

} // namespace

std::uint64_t save_thread(const ucontext_t &context) {
    const int error = errno;
    const auto variables = thread_variables();
    const auto register_bytes = bytes_of(context.uc_mcontext.fpregs);
    const auto registers_at =
        down(static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RSP]) - kRedZone, register_bytes);
    const auto variables_at = down(registers_at, variables.size);
    const auto saved_at = down(variables_at, sizeof(Saved));
    if (register_bytes > kMostRegisters || saved_at < stack_limit()) {
        return 0;
    }
    std::memcpy(reinterpret_cast<void *>(registers_at), context.uc_mcontext.fpregs, register_bytes);
    std::memcpy(reinterpret_cast<void *>(variables_at), reinterpret_cast<const void *>(variables.start),
                variables.size);
    auto *const saved = new (reinterpret_cast<void *>(saved_at)) Saved{.register_bytes = register_bytes,
                                                                       .variable_bytes = variables.size,
                                                                       .canary = stack_canary(),
                                                                       .stack_limit = stack_limit(),
                                                                       .pending = pending_signals(),
                                                                       .error = error};
    std::memcpy(saved->exceptions.data(), abi::__cxa_get_globals(), kGlobals);
    std::memcpy(saved->frame.data(), &context, kFrameBytes);
    return saved_at;
}

std::uint64_t stack_limit_of(std::uint64_t saved) {
    return reinterpret_cast<const Saved *>(saved)->stack_limit;
}

// The kernel reads what it is to restore, so it must be in private memory: it may not be able to fetch any other.
[[gnu::optimize("no-stack-protector")]] void restore_thread(std::uint64_t at) {
    alignas(kAligned) std::array<std::byte, kMostRegisters> registers;
    alignas(kAligned) std::array<std::byte, kFrameBytes> frame;
    const auto &saved = *reinterpret_cast<const Saved *>(at);
    const auto variables = thread_variables();
    const auto variables_at = at + (sizeof(Saved) + kAligned - 1) / kAligned * kAligned;
    const auto registers_at = variables_at + (saved.variable_bytes + kAligned - 1) / kAligned * kAligned;
    std::memcpy(reinterpret_cast<void *>(variables.start), reinterpret_cast<const void *>(variables_at),
                variables.size);
    std::memcpy(registers.data(), reinterpret_cast<const void *>(registers_at), saved.register_bytes);
    std::memcpy(frame.data(), saved.frame.data(), kFrameBytes);
    std::memcpy(abi::__cxa_get_globals(), saved.exceptions.data(), kGlobals);
    const auto handlers = signal_stack(frame.data());
    send_to_this_thread(saved.pending); // all are blocked until it has its own mask
    auto *const registers_now = registers.data();
    std::memcpy(frame.data() + offsetof(ucontext_t, uc_mcontext.fpregs), &registers_now, sizeof registers_now);
    std::memcpy(frame.data() + offsetof(ucontext_t, uc_stack), &handlers, sizeof handlers);
    errno = saved.error;
    asm volatile("mov %0, %%fs:0x28\n\t"
                 "mov %1, %%rsp\n\t"
                 "mov %2, %%eax\n\t"
                 "syscall\n\t"
                 "hlt" ::"r"(saved.canary),
                 "r"(frame.data()), "i"(SYS_rt_sigreturn)
                 : "memory", "rax");
    __builtin_unreachable();
}

std::uint64_t processor_registers() {
    std::uint32_t unused = 0, features = 0, low = 0, high = 0;
    __get_cpuid(1, &unused, &unused, &features, &unused);
    if ((features & bit_OSXSAVE) == 0) {
        return 0;
    }
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return std::uint64_t{high} << 32 | low;
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/exceptions.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/registers.hpp"
#include "runtime/client/shared_actions.hpp"
#include "runtime/client/stops.hpp"
#include "runtime/thread_state.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <sys/syscall.h>
#include <unistd.h>

namespace norma::rt {

namespace {

// A signal that a fault raises, and what the program wants done with it.
struct Caught {
    int signal;
    std::uint64_t type;
    struct sigaction action {};
};
std::array caught{Caught{SIGSEGV, EXC_BAD_ACCESS}, Caught{SIGBUS, EXC_BAD_ACCESS}, Caught{SIGFPE, EXC_ARITHMETIC},
                  Caught{SIGILL, EXC_BAD_INSTRUCTION}, Caught{SIGTRAP, EXC_BREAKPOINT}};

Caught &caught_of(int signal) {
    std::size_t i = 0;
    while (caught.at(i).signal != signal) {
        ++i;
    }
    return caught.at(i);
}

std::uint64_t code_of(const siginfo_t &info) {
    switch (info.si_signo) {
    case SIGSEGV:
        return info.si_code == SEGV_ACCERR ? KERN_PROTECTION_FAILURE : KERN_INVALID_ADDRESS;
    case SIGFPE:
        return info.si_code == FPE_INTDIV ? EXC_I386_DIV : info.si_code == FPE_INTOVF ? EXC_I386_INTO : EXC_I386_EXTERR;
    case SIGILL:
        return EXC_I386_INVOP;
    case SIGTRAP:
        return info.si_code == TRAP_TRACE || info.si_code == TRAP_HWBKPT ? EXC_I386_SGL : EXC_I386_BPT;
    default:
        return KERN_MEMORY_ERROR;
    }
}

// Whether the thread is to go on. Everything here is on the signal stack, and nothing is allocated: the thread may have
// been anywhere, also inside the library or the C library's allocator.
bool handled(const siginfo_t &info, ucontext_t &context) {
    constexpr auto kGeneral = state_bytes(x86_THREAD_STATE64), kFloats = state_bytes(x86_FLOAT_STATE64);
    std::array<std::byte, kGeneral + kFloats> states;
    read_registers(context, x86_THREAD_STATE64, std::span(states).first(kGeneral));
    read_registers(context, x86_FLOAT_STATE64, std::span(states).last(kFloats));
    const auto place = info.si_signo == SIGTRAP ? static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RIP])
                                                : reinterpret_cast<std::uint64_t>(info.si_addr);
    set_fault_context(&context);
    const auto answer =
        call_apart(Op::exception_raise,
                   {caught_of(info.si_signo).type, code_of(info), place, info.si_signo == SIGBUS ? 1U : 0U}, states);
    set_fault_context(nullptr);
    if (answer.status == KERN_SUCCESS && answer.vals[0] != 0) {
        write_registers(context, answer.vals[0], answer.blob);
    }
    return answer.status == KERN_SUCCESS || answer.status == KERN_ABORTED;
}

// As it would be without exception ports.
void let_program_see(siginfo_t *info, void *context) {
    const auto &action = caught_of(info->si_signo).action;
    if ((action.sa_flags & SA_SIGINFO) != 0) {
        action.sa_sigaction(info->si_signo, info, context);
    } else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
        action.sa_handler(info->si_signo);
    } else if (action.sa_handler == SIG_DFL || info->si_code > 0) { // a fault cannot be ignored
        const struct sigaction none {};
        kernel_action(info->si_signo, &none, nullptr);
        syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), info->si_signo, info); // when this one is over
    }
}

void on_fault(int, siginfo_t *info, void *context) {
    const int saved = errno;
    const bool is_fault = info->si_code > 0 && !job.is_library_thread(static_cast<pid_t>(syscall(SYS_gettid)));
    if (!is_fault || !handled(*info, *static_cast<ucontext_t *>(context))) {
        let_program_see(info, context);
    }
    errno = saved;
}

bool is_ours(const struct sigaction &action) {
    return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == on_fault;
}

} // namespace

void catch_exceptions() {
    for (auto &[signal, type, action] : caught) {
        struct sigaction now {};
        kernel_action(signal, nullptr, &now);
        if (is_ours(now)) {
            continue;
        }
        action = now; // before anything can need it
        now = {};
        now.sa_sigaction = on_fault;
        now.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
        kernel_action(signal, &now, nullptr);
    }
}

int program_action(int signal, const struct sigaction *action, struct sigaction *before) noexcept {
    struct sigaction now {};
    if (kernel_action(signal, nullptr, &now) != 0 || !is_ours(now)) {
        return kernel_action(signal, action, before);
    }
    auto &wanted = caught_of(signal).action;
    const auto old = wanted;
    if (action != nullptr) {
        wanted = *action;
    }
    if (before != nullptr) {
        *before = old;
    }
    return 0;
}

} // namespace norma::rt

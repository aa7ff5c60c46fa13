// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/safe_place.hpp"

#include "runtime/client/job.hpp"
#include "runtime/client/program.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <unwind.h>

namespace norma::rt {

namespace {

ProgramRange program, library; // the instructions of the main program and of libnorma

// They hold nothing while they wait, and return when a signal has been handled.
constexpr std::array kSleepers{"clock_nanosleep", "nanosleep", "usleep", "sleep"};
std::array<std::uint64_t, kSleepers.size()> sleepers;

// From the innermost call outwards: what the library may be in, then the program, then what has started the thread.
struct Walk {
    std::uint64_t interrupted;
    bool at_point;
    enum Part { handler, innermost, called, outermost } part = handler;
    std::uint64_t culprit = 0;

    bool allowed_innermost(std::uint64_t pc) const {
        auto *const function = _Unwind_FindEnclosingFunction(reinterpret_cast<void *>(pc));
        return at_point || std::ranges::find(sleepers, reinterpret_cast<std::uint64_t>(function)) != sleepers.end();
    }
    bool visit(std::uint64_t pc) { // whether to go on
        const auto *const at = reinterpret_cast<const void *>(pc);
        if (part == handler && pc == interrupted) {
            part = innermost;
        }
        if (part == innermost) {
            part = program.holds(at) ? called : innermost;
            culprit = part == called || allowed_innermost(pc) ? 0 : pc;
        } else if (part == called && !program.holds(at)) {
            part = outermost;
            culprit = library.holds(at) ? 0 : pc;
        } else if (part == outermost && program.holds(at)) {
            culprit = pc;
        }
        return culprit == 0;
    }
};

_Unwind_Reason_Code visit(_Unwind_Context *frame, void *walk) {
    return static_cast<Walk *>(walk)->visit(_Unwind_GetIP(frame)) ? _URC_NO_REASON : _URC_END_OF_STACK;
}

} // namespace

void find_places() {
    program = program_code();
    library = code_around(reinterpret_cast<const void *>(&find_places));
    // What the unwinder makes for itself at first must not be made in a handler.
    _Unwind_Backtrace([](_Unwind_Context *, void *) { return _URC_END_OF_STACK; }, nullptr);
    std::ranges::transform(kSleepers, sleepers.begin(),
                           [](const char *name) { return reinterpret_cast<std::uint64_t>(dlsym(RTLD_DEFAULT, name)); });
}

std::uint64_t unsafe_place(const ucontext_t &context, bool at_point) {
    const auto pc = static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
    if (!job.in_window(reinterpret_cast<const void *>(context.uc_mcontext.gregs[REG_RSP]))) {
        return pc;
    }
    Walk walk{.interrupted = pc, .at_point = at_point};
    _Unwind_Backtrace(visit, &walk);
    return walk.part == Walk::outermost ? walk.culprit : (walk.culprit != 0 ? walk.culprit : pc);
}

void name_place(std::uint64_t pc, std::span<char> text) {
    Dl_info info{};
    if (pc == 0 || dladdr(reinterpret_cast<const void *>(pc), &info) == 0) {
        std::snprintf(text.data(), text.size(), "%s", pc == 0 ? "where no signal reaches it" : "in unknown code");
        return;
    }
    const auto *slash = std::strrchr(info.dli_fname, '/');
    std::snprintf(text.data(), text.size(), "in %.48s of %.48s",
                  info.dli_sname == nullptr ? "some function" : info.dli_sname,
                  slash == nullptr ? info.dli_fname : slash + 1);
}

} // namespace norma::rt

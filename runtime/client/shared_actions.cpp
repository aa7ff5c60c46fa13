// SPDX-License-Identifier: BSD-3-Clause
// The C library's calls that change what is to be done with a signal. In a task that shares that, they change it for
// all who share it. Signal handlers may make these calls.
#include "runtime/client/shared_actions.hpp"

#include "norma/norma.h"
#include "runtime/client/errors.hpp"
#include "runtime/client/exceptions.hpp"
#include "runtime/client/interposed.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/private_room.hpp"
#include "runtime/client/tables.hpp"

#include <cstring>
#include <optional>
#include <pthread.h>

namespace norma::rt {

namespace {

using Action = Inheritance::Action;

std::optional<Action> prepared; // the service thread's

struct Room {
    Action change, before;
};

int set_for_all(int signal, const struct sigaction &wanted, struct sigaction *before) {
    PrivateRoom<Room> room;
    if (!room) {
        return fail_with(ENOMEM);
    }
    room->change = action_in(signal, wanted);
    const int error = change_for_all(Table::actions, std::as_bytes(std::span(&room->change, 1)),
                                     std::as_writable_bytes(std::span(&room->before, 1)));
    if (error != 0) {
        return fail_with(error);
    }
    if (before != nullptr) {
        *before = sigaction_of(room->before);
    }
    return 0;
}

int set_action(int signal, const struct sigaction *wanted, struct sigaction *before) {
    if (!job.active || !has_actions(signal)) {
        return kernel_action(signal, wanted, before);
    }
    if (wanted == nullptr) {
        return is_shared(Table::actions) ? program_action(signal, nullptr, before)
                                         : kernel_action(signal, nullptr, before);
    }
    const auto copy = *wanted; // the caller's memory is touched only where signals may come
    struct sigaction old {};
    if (const ChangeAlone may_change(Table::actions); may_change) {
        if (kernel_action(signal, &copy, &old) != 0) {
            return -1;
        }
    } else {
        return set_for_all(signal, copy, before);
    }
    if (before != nullptr) {
        *before = old;
    }
    return 0;
}

std::atomic<SignalSet> interrupting{0}; // siginterrupt()

constexpr SignalSet bit_of(int signal) {
    return SignalSet{1} << (signal - 1);
}

sighandler_t set_handler(int signal, sighandler_t handler, int flags, bool blocked) {
    struct sigaction action {};
    struct sigaction before {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    if (handler == SIG_ERR || (blocked && sigaddset(&action.sa_mask, signal) != 0)) {
        errno = EINVAL;
        return SIG_ERR;
    }
    return set_action(signal, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

// As the BSDs have it.
sighandler_t set_signal(int signal, sighandler_t handler) {
    const bool restarts = !has_actions(signal) || (interrupting & bit_of(signal)) == 0;
    return set_handler(signal, handler, restarts ? SA_RESTART : 0, true);
}

sighandler_t set_signal_once(int signal, sighandler_t handler) {
    return set_handler(signal, handler, static_cast<int>(SA_RESETHAND) | SA_NODEFER, false);
}

} // namespace

int kernel_action(int signal, const struct sigaction *action, struct sigaction *before) noexcept {
    static const auto real = next<int(int, const struct sigaction *, struct sigaction *)>("sigaction");
    return real(signal, action, before);
}

int prepare_action(std::span<const std::byte> change) {
    Action wanted{};
    if (change.size() != sizeof wanted) {
        return EINVAL;
    }
    std::memcpy(&wanted, change.data(), sizeof wanted);
    if (!has_actions(wanted.signal)) {
        return EINVAL;
    }
    prepared = wanted;
    return 0;
}

int commit_action(std::vector<std::byte> &before) {
    const auto wanted = std::exchange(prepared, std::nullopt);
    if (!wanted) {
        return EINVAL;
    }
    const auto action = sigaction_of(*wanted);
    struct sigaction old {};
    if (program_action(wanted->signal, &action, &old) != 0) {
        return errno;
    }
    const auto told = action_in(wanted->signal, old);
    const auto bytes = std::as_bytes(std::span(&told, 1));
    before.assign(bytes.begin(), bytes.end());
    return 0;
}

void drop_action() {
    prepared.reset();
}

} // namespace norma::rt

using namespace norma::rt;

extern "C" {

NORMA_EXPORT int sigaction(int signal, const struct sigaction *action, struct sigaction *before) noexcept {
    return set_action(signal, action, before);
}

NORMA_EXPORT sighandler_t signal(int signal, sighandler_t handler) noexcept {
    return set_signal(signal, handler);
}
NORMA_EXPORT sighandler_t bsd_signal(int signal, sighandler_t handler) noexcept {
    return set_signal(signal, handler);
}
NORMA_EXPORT sighandler_t ssignal(int signal, sighandler_t handler) noexcept {
    return set_signal(signal, handler);
}

// What signal() is to a program that asks for X/Open and nothing else.
NORMA_EXPORT sighandler_t __sysv_signal(int signal, sighandler_t handler) noexcept {
    return set_signal_once(signal, handler);
}
NORMA_EXPORT sighandler_t sysv_signal(int signal, sighandler_t handler) noexcept {
    return set_signal_once(signal, handler);
}

NORMA_EXPORT int sigignore(int signal) noexcept {
    return set_handler(signal, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}

NORMA_EXPORT int siginterrupt(int signal, int interrupts) noexcept {
    struct sigaction action {};
    if (set_action(signal, nullptr, &action) != 0) {
        return -1;
    }
    if (interrupts != 0) {
        interrupting |= bit_of(signal);
        action.sa_flags &= ~SA_RESTART;
    } else {
        interrupting &= ~bit_of(signal);
        action.sa_flags |= SA_RESTART;
    }
    return set_action(signal, &action, nullptr);
}

NORMA_EXPORT sighandler_t sigset(int signal, sighandler_t handler) noexcept {
    sigset_t only;
    sigset_t blocked;
    sigemptyset(&only);
    if (sigaddset(&only, signal) != 0) {
        return SIG_ERR;
    }
    struct sigaction action {};
    if (handler == SIG_HOLD && set_action(signal, nullptr, &action) != 0) {
        return SIG_ERR;
    }
    const auto before = handler == SIG_HOLD ? action.sa_handler : set_handler(signal, handler, 0, false);
    if (before == SIG_ERR || pthread_sigmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &only, &blocked) != 0) {
        return SIG_ERR;
    }
    return sigismember(&blocked, signal) == 1 ? SIG_HOLD : before;
}
}

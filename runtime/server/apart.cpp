// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/apart.hpp"

#include <csignal>
#include <cstdint>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace norma::rt {

bool do_apart(Loop &loop, std::function<void()> work, std::function<void()> then) {
    const int over = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (over < 0) {
        return false;
    }
    loop.watch(over, [&loop, over, then = std::move(then)](std::uint32_t) {
        std::uint64_t said = 0;
        if (::read(over, &said, sizeof said) == sizeof said) {
            loop.unwatch(over);
            ::close(over);
            then();
        }
    });
    try {
        std::thread([over, work = std::move(work)] {
            sigset_t all; // SIGPIPE among them: what the work does is told by its results
            sigfillset(&all);
            pthread_sigmask(SIG_SETMASK, &all, nullptr);
            work();
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto told = ::write(over, &one, sizeof one);
        }).detach();
    } catch (const std::system_error &) {
        loop.unwatch(over);
        ::close(over);
        return false;
    }
    return true;
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// A launcher that has been asked to do something else than to end when a signal comes (docs/clusters.md). A checkpoint
// is written by a process of its own, `norma checkpoint`, since the launcher may not wait for a disk.
#include "runtime/launcher_job.hpp"

#include <array>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/launcher_say.hpp"

namespace norma::rt {
namespace {

using Act = SignalOrder::Act;

// Standard output is the program's. Returns what posix_spawn() does.
int start_writer(const std::string &file, const sigset_t &signal_mask, pid_t &child) {
    std::array<std::string, 5> words{"norma", "checkpoint", "--job", std::to_string(::getpid()), "--"};
    std::string path = file;
    std::array<char *, 7> argv{words[0].data(), words[1].data(), words[2].data(), words[3].data(),
                               words[4].data(), path.data(),     nullptr};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    ::posix_spawnattr_setsigmask(&attributes, &signal_mask);
    const int error = ::posix_spawn(&child, "/proc/self/exe", &files, &attributes, argv.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&files);
    return error;
}

} // namespace

bool LauncherJob::asked_for(int signal) {
    const auto *order = order_for(signal, options_.on_signal);
    if (order == nullptr) {
        return false;
    }
    const auto name = signal_name(signal);
    if (phase_ == Phase::ending) {
        return true;
    }
    if (order->act == Act::drain) {
        say("{}: the launcher of the job cannot leave it: its node stays", name);
        return true;
    }
    if (phase_ != Phase::running && order->act == Act::checkpoint_and_end) {
        return false; // there is nothing yet that could be written down
    }
    if ((writing_ && writing_->order.signal == signal) || (to_write_ && to_write_->order.signal == signal)) {
        say("{}: the job is being written to {} already", name, order->file);
        return true;
    }
    to_write_ = {.order = *order, .begun = Clock::now()};
    return true;
}

// What could keep a checkpoint from being made and passes is waited for.
void LauncherJob::serve_orders() {
    if (writing_) {
        look_after_writer();
    }
    if (!to_write_ || writing_ || phase_ != Phase::running || !nothing_under_way()) {
        return;
    }
    writing_ = std::exchange(to_write_, std::nullopt);
    const auto name = signal_name(writing_->order.signal);
    if (const int error = start_writer(writing_->order.file, signals_.before(), writing_->writer); error != 0) {
        say("{}: nothing has been written down: {}", name, std::strerror(error));
        writing_.reset();
    }
}

void LauncherJob::look_after_writer() {
    int status = 0;
    if (::waitpid(writing_->writer, &status, WNOHANG) != writing_->writer) {
        return;
    }
    const auto [order, begun, writer] = *std::exchange(writing_, std::nullopt);
    const auto name = signal_name(order.signal);
    const std::chrono::duration<double> took = Clock::now() - begun;
    if (status != 0) {
        say("{}: the job has not been written down ({:.1f} s), and goes on", name, took.count());
    } else if (order.act == Act::checkpoint) {
        say("{}: the job has been written to {} in {:.1f} s, and goes on", name, order.file, took.count());
    } else {
        say("{}: the job has been written to {} in {:.1f} s, and ends", name, order.file, took.count());
        shut_down(kWrittenDown);
    }
}

// Without the launcher it writes no more, and takes what it has written away.
void LauncherJob::await_writer() {
    if (writing_) {
        control_.reset();
        ::waitpid(writing_->writer, nullptr, 0);
    }
}

// ---- a joiner wants its node to leave ----

void LauncherJob::serve_leavers() {
    while (!leavers_.empty() && phase_ == Phase::running && nothing_under_way()) {
        const auto node = static_cast<std::uint16_t>(*leavers_.begin());
        leavers_.erase(leavers_.begin());
        if (auto why = begin_departure(kByItself, {.number = kByItself, .node = node}); !why.empty()) {
            send(node, launch::Drained{.number = kByItself, .moved = 0, .why = std::move(why)});
        }
    }
}

bool LauncherJob::nothing_under_way() const {
    return !restoration_ && !arrival_ && !departure_ && !(control_ && control_->writing_down());
}

} // namespace norma::rt

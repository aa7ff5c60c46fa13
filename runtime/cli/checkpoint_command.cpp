// SPDX-License-Identifier: BSD-3-Clause
#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <unistd.h>

#include "runtime/checkpoint_file.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/cli/job_words.hpp"
#include "runtime/cli/json.hpp"

namespace norma::rt {
namespace {

using Clock = std::chrono::steady_clock;

// Shown while it is written, which may take a while.
class Progress {
  public:
    ~Progress() { clear(); }
    void show(std::uint64_t bytes) {
        if (shown_ && Clock::now() >= next_) {
            next_ = Clock::now() + std::chrono::milliseconds(100);
            fmt::print(stderr, "\r{} written \x1b[K", size_words(bytes));
        }
    }
    void clear() const {
        if (shown_) {
            fmt::print(stderr, "\r\x1b[K");
        }
    }

  private:
    bool shown_ = ::isatty(STDERR_FILENO) == 1;
    Clock::time_point next_ = Clock::now();
};

volatile std::sig_atomic_t interrupted = 0;

// Who is asked to end leaves no part of a file; a limit on the size of files is an error like a full disk.
void set_up_signals() {
    struct sigaction action {};
    action.sa_handler = [](int signal) { interrupted = signal; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction before {};
        if (::sigaction(signal, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
            ::sigaction(signal, &action, nullptr);
        }
    }
    ::signal(SIGXFSZ, SIG_IGN);
}

void copy_pieces(ControlClient &client, std::uint16_t nodes, checkpoint::Writer &file) {
    Progress progress;
    for (std::uint16_t node = 0; node < nodes; ++node) {
        for (;;) {
            auto piece = client.read_checkpoint(node);
            if (interrupted != 0) {
                throw std::runtime_error("interrupted; nothing has been written, and the job goes on");
            }
            if (piece.kind == 0 && piece.bytes.empty()) {
                break;
            }
            if (!checkpoint::is_kind(piece.kind)) {
                const std::string why(reinterpret_cast<const char *>(piece.bytes.data()), piece.bytes.size());
                throw std::runtime_error(fmt::format("node {} cannot be written down: {}", node, why));
            }
            file.add(
                {.kind = static_cast<checkpoint::Kind>(piece.kind), .node = node, .bytes = std::move(piece.bytes)});
            progress.show(file.bytes());
        }
    }
    file.finish();
}

int write_down(std::optional<pid_t> job, const std::string &path, bool as_json) {
    set_up_signals();
    const auto begun = Clock::now();
    const auto chosen = choose_job(job);
    checkpoint::Writer file(path); // before anything has to stop
    ControlClient client(chosen);
    const auto taken = client.checkpoint();
    if (!taken.why.empty()) {
        fmt::print(stderr, "norma checkpoint: job {} goes on, but has not been written down: {}\n", chosen.launcher,
                   taken.why);
        return 1;
    }
    copy_pieces(client, taken.nodes, file);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun).count();
    if (as_json) {
        fmt::print("{}\n", json::object({{"job", json::number(chosen.launcher)},
                                         {"file", json::text(path)},
                                         {"nodes", json::number(taken.nodes)},
                                         {"pause_us", json::number(taken.pause_us)},
                                         {"ms", json::number(ms)},
                                         {"bytes", json::number(file.bytes())}}));
    } else {
        fmt::print("job {} of {} nodes is in {}: {}, {} ms, of which it paused for {:.1f} ms\n", chosen.launcher,
                   taken.nodes, path, size_words(file.bytes()), ms, static_cast<double>(taken.pause_us) / 1e3);
    }
    return 0;
}

} // namespace

int checkpoint_command(int argc, char **argv) {
    CLI::App app{"Writes a job of this machine to a file while it runs; `norma restart` lets it go on from there.",
                 "norma checkpoint"};
    std::string file;
    std::optional<pid_t> job;
    bool as_json = false;
    app.add_option("FILE", file, "where to; one that is there is replaced once the new one is complete")->required();
    app.add_option("--job", job, "the process id of its `norma run`, if there are several")->check(CLI::PositiveNumber);
    app.add_flag("--json", as_json, "print what was written, and how long the job paused, as an object");
    return run_command_line("checkpoint", app, argc, argv, [&] { return write_down(job, file, as_json); });
}

} // namespace norma::rt

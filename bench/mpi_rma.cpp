// SPDX-License-Identifier: BSD-3-Clause
// What MPI needs for remote memory access between two ranks: MPI_Get, MPI_Put and MPI_Fetch_and_op, each followed by a
// flush, in one epoch of MPI_Win_lock_all; and for a barrier. The owner of the memory waits in a barrier meanwhile,
// which is where MPI libraries carry out what others ask for.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kOwner = 1;

struct Options {
    std::string operation;
    unsigned iterations = 1000, warmup = 100;
    std::size_t size = 8;
    unsigned accesses = 1, window = 1; // of one sample; between two flushes
};

// Errors end the job by themselves: MPI's default.
class Window {
  public:
    explicit Window(std::size_t bytes) : memory_(bytes) {
        MPI_Win_create(memory_.data(), static_cast<MPI_Aint>(bytes), 1, MPI_INFO_NULL, MPI_COMM_WORLD, &window_);
        MPI_Win_lock_all(0, window_);
    }
    ~Window() {
        MPI_Win_unlock_all(window_);
        MPI_Win_free(&window_);
    }
    Window(const Window &) = delete;
    Window &operator=(const Window &) = delete;
    MPI_Win get() const { return window_; }

  private:
    std::vector<std::byte> memory_;
    MPI_Win window_ = MPI_WIN_NULL;
};

void access(const Options &options, const Window &window, std::vector<std::byte> &buffer) {
    const int bytes = static_cast<int>(options.size);
    if (options.operation == "get") {
        MPI_Get(buffer.data(), bytes, MPI_BYTE, kOwner, 0, bytes, MPI_BYTE, window.get());
    } else if (options.operation == "put") {
        MPI_Put(buffer.data(), bytes, MPI_BYTE, kOwner, 0, bytes, MPI_BYTE, window.get());
    } else {
        static const std::uint64_t one = 1; // must stay until the flush
        MPI_Fetch_and_op(&one, buffer.data(), MPI_UINT64_T, kOwner, 0, MPI_SUM, window.get());
    }
}

template <class Body> void measure(const Options &options, bool print, Body body) {
    std::vector<double> samples;
    for (unsigned i = 0; i < options.warmup + options.iterations; ++i) {
        const auto start = Clock::now();
        body();
        const std::chrono::duration<double, std::micro> took = Clock::now() - start;
        if (i >= options.warmup) {
            samples.push_back(took.count() / options.accesses);
        }
    }
    for (std::size_t i = 0; print && i < samples.size(); ++i) {
        fmt::print("{:.3f}\n", samples[i]);
    }
}

void measure_accesses(const Options &options, int rank) {
    const Window window(std::max(options.size, sizeof(std::uint64_t)));
    std::vector<std::byte> buffer(std::max(options.size, sizeof(std::uint64_t)));
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != kOwner) {
        measure(options, true, [&] {
            for (unsigned done = 0; done < options.accesses; ++done) {
                access(options, window, buffer);
                if ((done + 1) % options.window == 0 || done + 1 == options.accesses) {
                    MPI_Win_flush(kOwner, window.get());
                }
            }
        });
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

int run(const Options &options) {
    int ranks = 0, rank = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (ranks != 2) {
        fmt::print(stderr, "norma-mpi-rma: {} ranks: two are needed (mpirun -n 2)\n", ranks);
        return 1;
    }
    if (options.operation == "barrier") {
        measure(options, rank == kOwner, [] { MPI_Barrier(MPI_COMM_WORLD); });
    } else {
        measure_accesses(options, rank);
    }
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    CLI::App app{"Measures remote memory access with MPI; prints the microseconds of every sample.", "norma-mpi-rma"};
    Options options;
    app.add_option("operation", options.operation, "what to measure")
        ->required()
        ->check(CLI::IsMember({"get", "put", "add", "barrier"}));
    app.add_option("-n,--iterations", options.iterations, "measured samples")->check(CLI::Range(1U, 1'000'000U));
    app.add_option("-w,--warmup", options.warmup, "samples before these")->check(CLI::Range(0U, 1'000'000U));
    app.add_option("-s,--size", options.size, "bytes of one access")->check(CLI::Range(1U, 64U << 20));
    app.add_option("--accesses", options.accesses, "accesses of one sample")->check(CLI::Range(1U, 1'000'000U));
    app.add_option("--window", options.window, "accesses between two flushes")->check(CLI::Range(1U, 1024U));
    CLI11_PARSE(app, argc, argv);
    MPI_Init(&argc, &argv);
    const int status = run(options);
    MPI_Finalize();
    return status;
}

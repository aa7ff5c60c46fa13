// SPDX-License-Identifier: BSD-3-Clause
// Runs in worker tasks.
#include "apps/heat/worker.hpp"

#include <algorithm>
#include <chrono>

namespace heat {

namespace {

enum class Outcome { finished, paused, failed };

class Worker {
  public:
    explicit Worker(WorkerState &state)
        : state_(state), job_(*state.job), block_(job_.blocks[state.index]), step_(state.step) {}

    Outcome run() {
        if (step_ == 0 && !state_.inside_stop) {
            copy_fixed_rows();
        }
        const std::uint64_t *next_stop = std::lower_bound(job_.stops.data(), end_of_stops(), step_);
        for (;; ++step_) {
            if (next_stop != end_of_stops() && *next_stop == step_) {
                if (const Outcome outcome = stop(); outcome != Outcome::finished) {
                    return outcome;
                }
                ++next_stop;
            }
            if (step_ == job_.steps) {
                return Outcome::finished;
            }
            compute();
            if (!wait(job_.step_barrier)) {
                return Outcome::failed;
            }
        }
    }

  private:
    const std::uint64_t *end_of_stops() const { return job_.stops.data() + job_.stops.size(); }

    // A barrier breaks when a task that uses it dies; the main task says so, the worker just ends.
    static bool wait(const norma::barrier &barrier) {
        std::error_code error;
        barrier.wait(error);
        return !error;
    }

    // Both planes need the rows that are never computed. Done by the owner, so that the pages are made on its node.
    void copy_fixed_rows() {
        for (const std::size_t row : {std::size_t{0}, job_.height - 1}) {
            if (row >= block_.first_row && row < block_.first_row + block_.rows) {
                const std::size_t at = block_.offset + (row - block_.first_row) * job_.stride;
                std::copy_n(job_.plane[0] + at, job_.width, job_.plane[1] + at);
            }
        }
    }

    Outcome stop() {
        if (!state_.inside_stop) {
            if (!wait(job_.gate)) {
                return Outcome::failed;
            }
            if (Teleport *move = find_move(); move != nullptr && job_.teleport_self) {
                teleport_self(*move);
            } else if (move != nullptr) {
                state_.step = step_;
                state_.inside_stop = true;
                return Outcome::paused;
            }
        }
        state_.inside_stop = false;
        return wait(job_.gate) ? Outcome::finished : Outcome::failed;
    }

    Teleport *find_move() const {
        const auto found = std::find_if(job_.teleports.begin(), job_.teleports.end(), [&](const Teleport &move) {
            return move.step == step_ && move.worker == state_.index;
        });
        return found == job_.teleports.end() ? nullptr : &*found;
    }

    // The clocks read before and after are of two nodes; only the real-time clock can be compared between them.
    static void teleport_self(Teleport &move) {
        using clock = std::chrono::system_clock;
        const auto before = clock::now();
        task_t child = TASK_NULL;
        move.result = norma_task_teleport(mach_task_self(), TRUE, move.to, &child);
        move.milliseconds = std::chrono::duration<double, std::milli>(clock::now() - before).count();
    }

    const double *last_row_of(const Block &block, const double *plane) const {
        return plane + block.offset + (block.rows - 1) * job_.stride;
    }

    void compute() const {
        const double *from = job_.plane[step_ % 2];
        double *to = job_.plane[(step_ + 1) % 2];
        for (std::size_t i = 0; i < block_.rows; ++i) {
            const std::size_t row = block_.first_row + i;
            if (row == 0 || row + 1 == job_.height) {
                continue;
            }
            const std::size_t at = block_.offset + i * job_.stride;
            const double *here = from + at;
            const double *above = i > 0 ? here - job_.stride : last_row_of(job_.blocks[state_.index - 1], from);
            const double *below =
                i + 1 < block_.rows ? here + job_.stride : from + job_.blocks[state_.index + 1].offset;
            step_row(above, here, below, to + at, job_.width);
        }
    }

    WorkerState &state_;
    const Job &job_;
    const Block &block_;
    std::uint64_t step_;
};

} // namespace

void worker_entry(void *state) {
    const Outcome outcome = Worker(*static_cast<WorkerState *>(state)).run();
    if (outcome != Outcome::paused) {
        norma_exit(outcome == Outcome::finished ? 0 : 1);
    }
}

} // namespace heat

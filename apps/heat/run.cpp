// SPDX-License-Identifier: BSD-3-Clause
#include "apps/heat/run.hpp"

#include <algorithm>
#include <chrono>
#include <set>

#include <fmt/format.h>

#include "apps/common/split.hpp"
#include "apps/common/workers.hpp"

namespace heat {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Step 0 and the end are stops always: the clock starts at the one, the result is collected at the other.
std::vector<std::uint64_t> stops_of(const Plan &plan) {
    std::set<std::uint64_t> stops(plan.frame_steps.begin(), plan.frame_steps.end());
    stops.insert({0, plan.steps});
    for (const Move &move : plan.moves) {
        stops.insert(move.step);
    }
    for (std::uint64_t step = 0; plan.progress_every != 0 && step < plan.steps; step += plan.progress_every) {
        stops.insert(step);
    }
    return {stops.begin(), stops.end()};
}

/// Coherent memory that holds a copy of `values`.
template <class T> norma::region share(const std::vector<T> &values) {
    norma::region memory = norma::region::of<T>(std::max<std::size_t>(values.size(), 1));
    std::copy(values.begin(), values.end(), memory.as_span<T>().begin());
    return memory;
}

template <class T> std::span<T> items(const norma::region &memory, std::size_t count) {
    return memory.as_span<T>().first(count);
}

class Run {
  public:
    Run(const Plan &plan, const Callbacks &callbacks)
        : plan_(plan), callbacks_(callbacks), stops_(stops_of(plan)), stop_memory_(share(stops_)),
          block_memory_(share(plan.layout.blocks)), teleport_memory_(share(teleports_of(plan))),
          job_memory_(norma::region::of<Job>(1)),
          state_memory_(norma::region::of<WorkerState>(plan.layout.blocks.size())),
          planes_{norma::region::of<double>(plan.layout.plane_doubles),
                  norma::region::of<double>(plan.layout.plane_doubles)},
          job_(job_memory_.as_span<Job>()[0]) {}

    ~Run() {
        std::error_code ignored; // a barrier that is not there any more is as good as destroyed
        job_.step_barrier.destroy(ignored);
        job_.gate.destroy(ignored);
    }
    Run(const Run &) = delete;
    Run &operator=(const Run &) = delete;

    Result run(const std::vector<double> &initial) {
        describe_job();
        scatter(initial);
        start_workers();
        auto started = Clock::now();
        for (const std::uint64_t step : stops_) {
            pass_gate();
            if (step == 0) {
                started = Clock::now();
            }
            if (step == plan_.steps) {
                result_.compute_seconds = seconds_since(started);
            }
            at_stop(step);
        }
        wait_for_workers();
        return std::move(result_);
    }

  private:
    static std::vector<Teleport> teleports_of(const Plan &plan) {
        std::vector<Teleport> teleports;
        for (const Move &move : plan.moves) {
            teleports.push_back({.step = move.step, .worker = move.worker, .from = move.from, .to = move.to});
        }
        return teleports;
    }

    unsigned workers() const { return static_cast<unsigned>(plan_.layout.blocks.size()); }

    void describe_job() {
        job_.width = plan_.layout.width;
        job_.height = plan_.layout.height;
        job_.stride = plan_.layout.stride;
        job_.steps = plan_.steps;
        job_.plane[0] = planes_[0].as_span<double>().data();
        job_.plane[1] = planes_[1].as_span<double>().data();
        job_.blocks = items<const Block>(block_memory_, workers());
        job_.step_barrier = norma::barrier::create(workers());
        job_.gate = norma::barrier::create(workers() + 1);
        job_.stops = items<const std::uint64_t>(stop_memory_, stops_.size());
        job_.teleports = items<Teleport>(teleport_memory_, plan_.moves.size());
        job_.teleport_self = plan_.teleport_self;
    }

    template <class F> void for_each_row(F visit) const {
        for (const Block &block : plan_.layout.blocks) {
            for (std::size_t i = 0; i < block.rows; ++i) {
                visit(block.first_row + i, block.offset + i * plan_.layout.stride);
            }
        }
    }

    void scatter(const std::vector<double> &plate) {
        for_each_row([&](std::size_t row, std::size_t offset) {
            std::copy_n(plate.data() + row * job_.width, job_.width, job_.plane[0] + offset);
        });
    }

    std::vector<double> gather(std::uint64_t step) const {
        std::vector<double> plate(job_.width * job_.height);
        for_each_row([&](std::size_t row, std::size_t offset) {
            std::copy_n(job_.plane[step % 2] + offset, job_.width, plate.data() + row * job_.width);
        });
        return plate;
    }

    void start_workers() {
        const auto started = Clock::now();
        const std::span<WorkerState> states = items<WorkerState>(state_memory_, workers());
        for (unsigned index = 0; index < workers(); ++index) {
            states[index] = {.job = &job_, .index = index};
            const int node = apps::node_for(index, plan_.nodes);
            tasks_.push_back(norma::clone_to(node));
            job_.step_barrier.expect(tasks_.back());
            job_.gate.expect(tasks_.back());
            threads_.push_back(tasks_.back().start(worker_entry, &states[index]));
            result_.nodes.push_back(node);
        }
        result_.clone_seconds = seconds_since(started);
    }

    void pass_gate() {
        std::error_code error;
        job_.gate.wait(error);
        if (error == norma::errc::terminated) {
            throw RunError(apps::describe_dead(tasks_));
        }
        if (error) {
            throw std::system_error(error, "waiting for the workers");
        }
    }

    // The workers wait between the two passes of the gate; pictures are written when they are off again.
    void at_stop(std::uint64_t step) {
        const bool last = step == plan_.steps;
        const bool frame = std::binary_search(plan_.frame_steps.begin(), plan_.frame_steps.end(), step);
        std::vector<double> plate;
        if (last || frame) {
            plate = gather(step);
        }
        if (!plan_.teleport_self) {
            for_moves_at(step, [&](Teleport &move) { teleport_worker(move); });
        }
        pass_gate();
        for_moves_at(step, [&](const Teleport &move) { report(move); });
        if (frame) {
            callbacks_.frame(step, plate);
        }
        if (last) {
            result_.plate = std::move(plate);
        }
        callbacks_.progress(step);
    }

    template <class F> void for_moves_at(std::uint64_t step, F visit) {
        for (Teleport &move : job_.teleports) {
            if (move.step == step) {
                visit(move);
            }
        }
    }

    // The worker has saved its state and ended its thread; in the new task another thread takes over from there.
    void teleport_worker(Teleport &move) {
        threads_[move.worker].wait();
        const auto started = Clock::now();
        std::error_code error;
        tasks_[move.worker].teleport_to(move.to, error);
        move.result = error.value();
        if (error) {
            report(move);
        }
        threads_[move.worker] =
            tasks_[move.worker].start(worker_entry, &items<WorkerState>(state_memory_, workers())[move.worker]);
        move.milliseconds = seconds_since(started) * 1e3;
    }

    void report(const Teleport &move) {
        if (move.result != KERN_SUCCESS) {
            throw RunError(fmt::format("teleport of worker {} from node {} to node {} at step {}: {}", move.worker,
                                       move.from, move.to, move.step, norma_strerror(move.result)));
        }
        result_.nodes[move.worker] = move.to;
        callbacks_.teleported(move);
    }

    void wait_for_workers() {
        for (std::size_t index = 0; index < tasks_.size(); ++index) {
            const norma::exit_status status = tasks_[index].wait();
            if (!status.success()) {
                throw RunError(
                    fmt::format("worker {} ended with exit code {}, signal {}", index, status.code(), status.signal()));
            }
        }
    }

    const Plan &plan_;
    const Callbacks &callbacks_;
    std::vector<std::uint64_t> stops_;
    norma::region stop_memory_;
    norma::region block_memory_;
    norma::region teleport_memory_;
    norma::region job_memory_;
    norma::region state_memory_;
    norma::region planes_[2];
    Job &job_;
    std::vector<norma::thread> threads_;
    std::vector<norma::task> tasks_; // last: the workers end before the memory goes
    Result result_;
};

} // namespace

Result run(const Plan &plan, const std::vector<double> &initial, const Callbacks &callbacks) {
    return Run(plan, callbacks).run(initial);
}

} // namespace heat

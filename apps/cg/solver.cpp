// SPDX-License-Identifier: BSD-3-Clause
#include "apps/cg/solver.hpp"

#include <chrono>
#include <cmath>

namespace cg {

namespace {

/// One worker. All workers compute the same scalars, so they take every decision alike without telling each other.
class Worker {
  public:
    Worker(const Problem &problem, std::size_t index, Team &team)
        : problem_(problem), part_(problem.parts[index]), index_(index), team_(team) {}

    void run() {
        team_.meet(); // nobody's time includes the start of the others
        const auto started = std::chrono::steady_clock::now();
        iterate();
        outcome_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        if (index_ == 0) {
            *problem_.outcome = outcome_;
        }
    }

  private:
    static constexpr int kMostRestarts = 10;

    void iterate() {
        begin_with_zero();
        int restarts = 0;
        for (;;) {
            if (std::sqrt(rr_) <= goal_) {
                // The recursion says so; what counts is b - Ax, from which rounding may have led it away.
                compute_residual();
                if (std::sqrt(rr_) <= goal_) {
                    return finish(Status::converged);
                }
                if (++restarts > kMostRestarts) {
                    return finish(Status::stalled);
                }
                begin_direction();
            }
            if (outcome_.iterations == problem_.max_iterations) {
                return finish(Status::iterations_used_up);
            }
            if (!step()) {
                return finish(Status::breakdown);
            }
        }
    }

    void finish(Status status) { outcome_.status = status; }

    /// x = 0, so r = b.
    void begin_with_zero() {
        const Sums norms = reduce([&](std::size_t at) {
            const double b = problem_.b[at];
            problem_.r[at] = b;
            return Sums{b * b, b * (b * problem_.inverse_diagonal[at])};
        });
        rr_ = norms.first;
        rz_ = norms.second;
        goal_ = problem_.tolerance * std::sqrt(rr_);
        begin_direction();
    }

    /// p = z; all of p is there when this returns.
    void begin_direction() {
        for_each_place([&](std::size_t at) { problem_.p[at] = problem_.r[at] * problem_.inverse_diagonal[at]; });
        team_.meet();
    }

    /// r = b - Ax
    void compute_residual() {
        team_.meet(); // all of x is there
        for_each_row(
            [&](std::size_t row, std::size_t at) { problem_.r[at] = problem_.b[at] - multiply_row(row, problem_.x); });
        set_norms(reduce([&](std::size_t at) { return norms_at(at); }));
    }

    /// One iteration; false if the matrix turns out not to be positive definite.
    bool step() {
        for_each_row([&](std::size_t row, std::size_t at) { problem_.q[at] = multiply_row(row, problem_.p); });
        const double curvature = reduce([&](std::size_t at) { return Sums{problem_.p[at] * problem_.q[at], 0}; }).first;
        if (!(curvature > 0) || !std::isfinite(curvature)) {
            outcome_.curvature = curvature;
            return false;
        }
        const double alpha = rz_ / curvature;
        const double old_rz = rz_;
        set_norms(reduce([&](std::size_t at) {
            problem_.x[at] += alpha * problem_.p[at];
            problem_.r[at] -= alpha * problem_.q[at];
            return norms_at(at);
        }));
        const double beta = rz_ / old_rz;
        for_each_place([&](std::size_t at) {
            problem_.p[at] = problem_.r[at] * problem_.inverse_diagonal[at] + beta * problem_.p[at];
        });
        ++outcome_.iterations;
        team_.meet(); // all of p is there
        return true;
    }

    Sums norms_at(std::size_t at) const {
        const double r = problem_.r[at];
        return {r * r, r * (r * problem_.inverse_diagonal[at])};
    }
    void set_norms(const Sums &norms) {
        rr_ = norms.first;
        rz_ = norms.second;
    }

    double multiply_row(std::size_t row, const double *vector) const {
        double sum = 0;
        for (std::uint64_t k = problem_.row_start[row]; k < problem_.row_start[row + 1]; ++k) {
            sum += problem_.values[k] * vector[problem_.columns[k]];
        }
        return sum;
    }

    template <class F> void for_each_row(F visit) const {
        for (std::size_t row = part_.rows.begin; row < part_.rows.end; ++row) {
            visit(row, part_.place + row - part_.rows.begin);
        }
    }
    template <class F> void for_each_place(F visit) const {
        for (std::size_t at = part_.place; at < part_.place + part_.rows.size(); ++at) {
            visit(at);
        }
    }

    /// Adds up term(place) over all rows of all workers. The arrays for the blocks' sums alternate: whoever writes one
    /// has passed the meeting after which nobody reads what was in it.
    template <class F> Sums reduce(F term) {
        Sums *const sums = problem_.sums[turn_];
        turn_ = 1 - turn_;
        const std::size_t end = part_.place + part_.rows.size();
        std::size_t at = part_.place;
        for (std::size_t block = 0; block < part_.blocks.size(); ++block) {
            Sums total;
            for (std::size_t i = 0; i < problem_.block_rows && at < end; ++i, ++at) {
                const Sums one = term(at);
                total.first += one.first;
                total.second += one.second;
            }
            sums[part_.sum_place + block] = total;
        }
        team_.meet();
        return add_blocks(sums);
    }

    Sums add_blocks(const Sums *sums) const {
        Sums total;
        for (const Part &part : problem_.parts) {
            for (std::size_t block = 0; block < part.blocks.size(); ++block) {
                total.first += sums[part.sum_place + block].first;
                total.second += sums[part.sum_place + block].second;
            }
        }
        return total;
    }

    const Problem &problem_;
    const Part &part_;
    std::size_t index_;
    Team &team_;
    int turn_ = 0;
    double rr_ = 0; // r'r
    double rz_ = 0; // r'z, z being the preconditioned r
    double goal_ = 0;
    Outcome outcome_;
};

} // namespace

void solve(const Problem &problem, std::size_t worker, Team &team) {
    Worker(problem, worker, team).run();
}

} // namespace cg

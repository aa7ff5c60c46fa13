// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/explorer.hpp"

#include "tests/exploration/digest_table.hpp"
#include "tests/exploration/progress.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

namespace norma::exploration {

namespace {

struct Reached {
    Position position;
    std::uint32_t number = 0;
};

// How a state was reached first.
struct Step {
    std::uint32_t number = 0;
    std::uint32_t before = 0;
    Choice choice;
};

// What one thread finds while it works on a level; nobody else looks until the level is done.
struct Worker {
    std::vector<Reached> found;
    std::vector<Step> steps;
    std::vector<Arrival> arrivals;
    std::uint64_t transitions = 0;
    std::uint64_t quiet = 0;
    std::vector<Choice> choices;
    Position
        next; // to be filled again and again: most steps lead to a state that is known, and its memory can be reused
};

class Explorer {
  public:
    Explorer(const Job &job, const Options &options)
        : job_(job), options_(options), ways_(renumberings(job, options.fold_nodes)),
          workers_(options.threads,
                   Worker{.found = {}, .steps = {}, .arrivals = {}, .choices = {}, .next = start_of(job)}) {}

    Result explore() {
        const auto begun = std::chrono::steady_clock::now();
        Position start = start_of(job_);
        seen_.insert(digest_of(job_, start, ways_));
        history_.push_back({});
        level_.push_back({.position = std::move(start), .number = 0});
        while (!level_.empty() && !stop_) {
            work();
            gather();
            result_.depth += level_.empty() ? 0 : 1;
        }
        conclude();
        result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        return result_;
    }

  private:
    // All positions of the level, by all threads.
    void work() {
        next_ = 0;
        std::vector<std::thread> threads;
        for (std::size_t i = 1; i < workers_.size(); ++i) {
            threads.emplace_back([this, i] { work(workers_[i]); });
        }
        work(workers_.front());
        for (std::thread &thread : threads) {
            thread.join();
        }
    }

    void work(Worker &worker) {
        constexpr std::size_t kShare = 32;
        for (std::size_t first = next_.fetch_add(kShare); first < level_.size() && !stop_;
             first = next_.fetch_add(kShare)) {
            for (std::size_t i = first; i < std::min(first + kShare, level_.size()); ++i) {
                expand(worker, Reached(std::move(level_[i]))); // and forget it, here and not later in one thread
            }
        }
    }

    void expand(Worker &worker, const Reached &from) {
        list_choices(job_, from.position, worker.choices);
        for (const Choice &choice : worker.choices) {
            Position &next = worker.next;
            next = from.position;
            take(job_, next, choice);
            ++worker.transitions;
            if (next.world.quiet()) {
                next.world.check_quiet();
            }
            if (!good(from, choice, next)) {
                return;
            }
            const auto [number, is_new] = seen_.insert(digest_of(job_, next, ways_));
            if (options_.progress && is_arrival(choice.kind)) {
                worker.arrivals.push_back({.before = from.number, .after = number});
            }
            if (!is_new) {
                continue;
            }
            worker.quiet += next.world.quiet() ? 1 : 0;
            worker.steps.push_back({.number = number, .before = from.number, .choice = choice});
            worker.found.push_back({.position = next, .number = number});
        }
    }

    bool good(const Reached &from, const Choice &choice, const Position &next) {
        std::string what = next.world.error();
        if (what.empty() && options_.observer) {
            what = options_.observer(from.position, choice, next);
        }
        if (what.empty()) {
            return true;
        }
        const std::lock_guard lock(violation_mutex_);
        if (!stop_.exchange(true)) {
            result_.violation = {.what = std::move(what), .way = way_to(from.number)};
            result_.violation->way.push_back(choice);
        }
        return false;
    }

    std::vector<Choice> way_to(std::uint32_t number) const {
        std::vector<Choice> way;
        for (; number != 0; number = history_[number].before) {
            way.push_back(history_[number].choice);
        }
        std::reverse(way.begin(), way.end());
        return way;
    }

    // Makes the next level of what the threads have found.
    void gather() {
        level_.clear();
        history_.resize(seen_.size());
        for (Worker &worker : workers_) {
            std::move(worker.found.begin(), worker.found.end(), std::back_inserter(level_));
            worker.found.clear();
            for (const Step &step : worker.steps) {
                history_[step.number] = step;
            }
            worker.steps.clear();
        }
        stop_ = stop_ || history_.size() > options_.most_states;
    }

    void conclude() {
        result_.states = seen_.size();
        std::vector<Arrival> arrivals;
        for (Worker &worker : workers_) {
            result_.transitions += worker.transitions;
            result_.quiet += worker.quiet;
            arrivals.insert(arrivals.end(), worker.arrivals.begin(), worker.arrivals.end());
            worker.arrivals = {};
        }
        result_.complete = !stop_;
        if (!result_.complete || !options_.progress) {
            return;
        }
        const Progress progress = judge_progress(result_.states, arrivals);
        result_.arrivals = progress.longest;
        if (progress.endless) {
            result_.complete = false;
            result_.violation = {.what = "messages without end: this state comes back by arrivals alone",
                                 .way = way_to(*progress.endless)};
        }
    }

    const Job &job_;
    const Options &options_;
    const std::vector<Renumbering> ways_;
    std::vector<Worker> workers_;
    DigestTable seen_;
    std::vector<Step> history_; // by number of state; changes between levels only
    std::deque<Reached> level_;
    std::atomic<std::size_t> next_ = 0; // of the level, to be worked on
    std::atomic<bool> stop_ = false;
    std::mutex violation_mutex_;
    Result result_;
};

} // namespace

Result explore(const Job &job, const Options &options) {
    return Explorer(job, options).explore();
}

} // namespace norma::exploration

// SPDX-License-Identifier: BSD-3-Clause
//
// Loops whose iterations are spread over threads on all nodes, for whole programs (docs/programs.md) that link
// norma::pthread. What the body uses is shared, as everything in such a program: variables, heap, the caller's stack.
// Outside a job the threads are those of one machine.
//
// A call inside the body of another one runs in its own thread alone: the nodes are busy already.
#ifndef NORMA_PARALLEL_HPP
#define NORMA_PARALLEL_HPP

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <norma/norma.h>
#ifdef NORMA_PTHREAD_NO_NAMES
#include <norma/pthread.h>
#else
#define NORMA_PTHREAD_NO_NAMES // whoever includes this has not asked for them
#include <norma/pthread.h>
#undef NORMA_PTHREAD_NO_NAMES
#endif

namespace norma {

enum class schedule {
    fixed,   ///< who does what follows from the numbers alone
    dynamic, ///< whoever is free takes the next chunk; the counter's page travels with each
};

struct parallel_options {
    norma::schedule schedule = norma::schedule::fixed;
    /// Iterations that one thread does in a row. 0: with `fixed` all of its share, which keeps neighbours on one node;
    /// with `dynamic` an eighth of it.
    std::size_t chunk = 0;
    unsigned threads_per_node = 1;
};

namespace detail {

inline thread_local bool in_parallel = false;

/// The threads of one call, the caller among them. Lies on the caller's stack, where all nodes see it; what is written
/// while they work is in pages of its own.
template <class Work> class team {
  public:
    team(unsigned members, Work &work) : members_(members), work_(work) {}

    /// Calls work(member) for every member, each in its thread. The first exception stops the others at their next
    /// look at stopped(), and is thrown here; otherwise std::system_error if a node has died.
    void run() {
        std::vector<member> others(members_ - 1);
        for (unsigned number = 1; number < members_; ++number) {
            member &other = others[number - 1];
            other.own_team = this;
            other.number = number;
            other.started = norma_pthread_create_on(node_of(number), &other.thread, nullptr, enter, &other) == 0;
        }
        take_part(0);
        int error = 0;
        for (member &other : others) {
            if (!other.started) {
                take_part(other.number);
            } else if (const int result = norma_pthread_join(other.thread, nullptr); result != 0) {
                error = result;
            }
        }
        if (failure_) {
            std::rethrow_exception(failure_);
        }
        if (error != 0) {
            throw std::system_error(error, std::generic_category(), "norma: a loop on all nodes");
        }
    }

  private:
    struct member {
        team *own_team = nullptr;
        unsigned number = 0;
        bool started = false;
        pthread_t thread{};
    };

    static int node_of(unsigned number) {
        const auto nodes = static_cast<unsigned>(std::max(1, norma_node_count()));
        return static_cast<int>((static_cast<unsigned>(std::max(0, norma_node())) + number) % nodes);
    }

    static void *enter(void *raw) {
        const auto *self = static_cast<const member *>(raw);
        self->own_team->take_part(self->number);
        return nullptr;
    }

    void take_part(unsigned number) {
        const bool before = std::exchange(in_parallel, true);
        try {
            work_(number, static_cast<const std::atomic<bool> &>(stopped_));
        } catch (...) {
            if (!stopped_.exchange(true)) {
                failure_ = std::current_exception();
            }
        }
        in_parallel = before;
    }

    unsigned members_;
    Work &work_;
    alignas(4096) std::atomic<bool> stopped_{false};
    std::exception_ptr failure_;
};

inline unsigned members_for(std::uint64_t count, const parallel_options &options) {
    if (in_parallel) {
        return 1;
    }
    const auto nodes = static_cast<std::uint64_t>(std::max(1, norma_node_count()));
    const std::uint64_t wanted = nodes * std::max(1U, options.threads_per_node);
    return static_cast<unsigned>(std::clamp<std::uint64_t>(count, 1, wanted));
}

/// Who does which of `count` iterations.
class shares {
  public:
    shares(std::uint64_t count, unsigned members, const parallel_options &options)
        : count_(count), members_(members), dynamic_(options.schedule == schedule::dynamic), chunk_(options.chunk) {
        if (chunk_ == 0) {
            chunk_ = std::max<std::uint64_t>(1, (count + members - 1) / members / (dynamic_ ? 8 : 1));
        }
    }

    /// Calls visit(begin, end) for each chunk of a member, until it says false.
    template <class Visit> void for_each(unsigned member, Visit visit) {
        const std::uint64_t chunks = count_ / chunk_ + (count_ % chunk_ != 0 ? 1 : 0);
        for (std::uint64_t number = dynamic_ ? next_.fetch_add(1) : member; number < chunks;
             number = dynamic_ ? next_.fetch_add(1) : number + members_) {
            const std::uint64_t begin = number * chunk_;
            if (!visit(begin, begin + std::min(chunk_, count_ - begin))) {
                return;
            }
        }
    }

  private:
    std::uint64_t count_;
    unsigned members_;
    bool dynamic_;
    std::uint64_t chunk_;
    alignas(4096) std::atomic<std::uint64_t> next_{0};
};

template <std::integral Index> std::uint64_t distance(Index first, Index last) {
    return first < last ? static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first) : 0;
}
template <std::integral Index> Index advanced(Index first, std::uint64_t by) {
    return static_cast<Index>(static_cast<std::uint64_t>(first) + by);
}

} // namespace detail

/// Calls body(index) for every index of [first, last), once each, on all nodes at a time. Returns when all are done.
/// The first exception that a call throws is thrown here; of the other iterations some have then not been done.
/// std::system_error with EOWNERDEAD: a node has died, and with it some iterations.
template <std::integral Index, std::invocable<Index> Body>
void parallel_for(Index first, Index last, Body &&body, const parallel_options &options = {}) {
    const std::uint64_t count = detail::distance(first, last);
    const unsigned members = detail::members_for(count, options);
    detail::shares shares(count, members, options);
    auto work = [&](unsigned member, const std::atomic<bool> &stopped) {
        shares.for_each(member, [&](std::uint64_t begin, std::uint64_t end) {
            for (std::uint64_t at = begin; at < end && !stopped.load(std::memory_order_relaxed); ++at) {
                body(detail::advanced(first, at));
            }
            return !stopped.load(std::memory_order_relaxed);
        });
    };
    detail::team team(members, work);
    team.run();
}

/// combine(...) of body(index) for every index of [first, last); `identity`, with which each thread begins, changes
/// nothing that it is combined with. Exceptions as in parallel_for. Each thread combines its own in ascending order,
/// the caller those of the threads. So with `fixed` a result that depends on the order (a sum of doubles) is the same
/// for the same number of threads.
template <std::integral Index, class Value, std::invocable<Index> Body, class Combine>
Value parallel_reduce(Index first, Index last, Value identity, Body &&body, Combine &&combine,
                      const parallel_options &options = {}) {
    const std::uint64_t count = detail::distance(first, last);
    const unsigned members = detail::members_for(count, options);
    detail::shares shares(count, members, options);
    std::vector<std::optional<Value>> results(members);
    auto work = [&](unsigned member, const std::atomic<bool> &stopped) {
        Value result = identity;
        shares.for_each(member, [&](std::uint64_t begin, std::uint64_t end) {
            for (std::uint64_t at = begin; at < end && !stopped.load(std::memory_order_relaxed); ++at) {
                result = combine(std::move(result), body(detail::advanced(first, at)));
            }
            return !stopped.load(std::memory_order_relaxed);
        });
        results[member] = std::move(result);
    };
    detail::team team(members, work);
    team.run();
    Value total = std::move(identity);
    for (auto &result : results) {
        total = combine(std::move(total), std::move(*result));
    }
    return total;
}

} // namespace norma

#endif

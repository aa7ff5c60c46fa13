// SPDX-License-Identifier: BSD-3-Clause
// Synchronisation across tasks and nodes; part of <norma/norma.hpp>.
#ifndef NORMA_SYNC_HPP
#define NORMA_SYNC_HPP

#include <cassert>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <type_traits>

#include <norma/error.hpp>
#include <norma/task.hpp>

namespace norma {

/// What barrier, mutex, condition_variable and semaphore have in common: an id that is valid in every task. Copies
/// name the same object; destroy() ends it for all of them.
class sync_handle {
  public:
    norma_sync_t id() const noexcept { return id_; }
    explicit operator bool() const noexcept { return id_ != 0; }

    void destroy(std::error_code &error) noexcept { error = make_error_code(norma_sync_destroy(id_)); }
    void destroy() {
        std::error_code error;
        destroy(error);
        detail::check(error, "norma: destroy");
    }

  protected:
    sync_handle() noexcept = default;
    explicit sync_handle(norma_sync_t id) noexcept : id_(id) {}
    norma_sync_t id_ = 0;
};

/// A meeting point of a fixed number of threads, of any tasks. Broken (terminated) when a task that used it dies.
class barrier : public sync_handle {
  public:
    barrier() noexcept = default;
    explicit barrier(norma_sync_t id) noexcept : sync_handle(id) {}
    static barrier create(unsigned participants, std::error_code &error) noexcept {
        norma_sync_t id = 0;
        error = make_error_code(norma_barrier_create(participants, &id));
        return barrier(id);
    }
    static barrier create(unsigned participants) {
        std::error_code error;
        const barrier result = create(participants, error);
        detail::check(error, "norma::barrier::create");
        return result;
    }

    /// The death of this task breaks the barrier also if it comes before the task has arrived here
    /// (norma_barrier_expect).
    void expect(const task &participant, std::error_code &error) const noexcept {
        error = make_error_code(norma_barrier_expect(id_, participant.port()));
    }
    void expect(const task &participant) const {
        std::error_code error;
        expect(participant, error);
        detail::check(error, "norma::barrier::expect");
    }

    /// Waits until all have arrived; true for exactly one of them.
    bool wait(std::error_code &error) const noexcept {
        boolean_t serial = FALSE;
        error = make_error_code(norma_barrier_wait(id_, &serial));
        return serial != FALSE;
    }
    bool wait() const {
        std::error_code error;
        const bool serial = wait(error);
        detail::check(error, "norma::barrier::wait");
        return serial;
    }
};

/// A lock for threads of any tasks, first come first served. Meets Lockable: use std::lock_guard, std::unique_lock.
class mutex : public sync_handle {
  public:
    mutex() noexcept = default;
    explicit mutex(norma_sync_t id) noexcept : sync_handle(id) {}
    static mutex create(std::error_code &error) noexcept {
        norma_sync_t id = 0;
        error = make_error_code(norma_mutex_create(&id));
        return mutex(id);
    }
    static mutex create() {
        std::error_code error;
        const mutex result = create(error);
        detail::check(error, "norma::mutex::create");
        return result;
    }

    /// errc::terminated: the lock is held, but its last holder died holding it.
    void lock(std::error_code &error) noexcept { error = make_error_code(norma_mutex_lock(id_)); }
    /// Throws if the last holder died; the lock is not held then.
    void lock() {
        std::error_code error;
        lock(error);
        if (error == errc::terminated) {
            unlock();
        }
        detail::check(error, "norma::mutex::lock");
    }

    /// False if somebody holds it; then `error` is clear.
    bool try_lock(std::error_code &error) noexcept {
        error = make_error_code(norma_mutex_trylock(id_));
        if (error == errc::resource_shortage) {
            error.clear();
            return false;
        }
        return !error || error == errc::terminated;
    }
    bool try_lock() {
        std::error_code error;
        const bool locked = try_lock(error);
        if (error == errc::terminated) {
            unlock();
        }
        detail::check(error, "norma::mutex::try_lock");
        return locked;
    }

    void unlock(std::error_code &error) noexcept { error = make_error_code(norma_mutex_unlock(id_)); }
    /// Does not throw, because locks are given back while exceptions fly. That the home node is gone shows at the
    /// next lock().
    void unlock() noexcept {
        std::error_code error;
        unlock(error);
        assert(error != errc::invalid_argument && "unlock of a mutex that is not held");
    }
};

class condition_variable : public sync_handle {
  public:
    condition_variable() noexcept = default;
    explicit condition_variable(norma_sync_t id) noexcept : sync_handle(id) {}
    static condition_variable create(std::error_code &error) noexcept {
        norma_sync_t id = 0;
        error = make_error_code(norma_cond_create(&id));
        return condition_variable(id);
    }
    static condition_variable create() {
        std::error_code error;
        const condition_variable result = create(error);
        detail::check(error, "norma::condition_variable::create");
        return result;
    }

    void wait(std::unique_lock<mutex> &lock, std::error_code &error) const noexcept {
        assert(lock.owns_lock());
        error = make_error_code(norma_cond_wait(id_, lock.mutex()->id(), -1));
    }
    void wait(std::unique_lock<mutex> &lock) const {
        std::error_code error;
        wait(lock, error);
        detail::check(error, "norma::condition_variable::wait");
    }
    template <class Predicate> void wait(std::unique_lock<mutex> &lock, Predicate until) const {
        while (!until()) {
            wait(lock);
        }
    }
    template <class Rep, class Period>
    std::cv_status wait_for(std::unique_lock<mutex> &lock, std::chrono::duration<Rep, Period> duration) const {
        assert(lock.owns_lock());
        const std::error_code error =
            make_error_code(norma_cond_wait(id_, lock.mutex()->id(), detail::to_milliseconds(duration)));
        if (error == errc::timed_out) {
            return std::cv_status::timeout;
        }
        detail::check(error, "norma::condition_variable::wait_for");
        return std::cv_status::no_timeout;
    }

    void notify_one(std::error_code &error) const noexcept { error = make_error_code(norma_cond_signal(id_)); }
    void notify_one() const {
        std::error_code error;
        notify_one(error);
        detail::check(error, "norma::condition_variable::notify_one");
    }
    void notify_all(std::error_code &error) const noexcept { error = make_error_code(norma_cond_broadcast(id_)); }
    void notify_all() const {
        std::error_code error;
        notify_all(error);
        detail::check(error, "norma::condition_variable::notify_all");
    }
};

class semaphore : public sync_handle {
  public:
    semaphore() noexcept = default;
    explicit semaphore(norma_sync_t id) noexcept : sync_handle(id) {}
    static semaphore create(unsigned value, std::error_code &error) noexcept {
        norma_sync_t id = 0;
        error = make_error_code(norma_semaphore_create(value, &id));
        return semaphore(id);
    }
    static semaphore create(unsigned value) {
        std::error_code error;
        const semaphore result = create(value, error);
        detail::check(error, "norma::semaphore::create");
        return result;
    }

    void acquire(std::error_code &error) const noexcept { error = make_error_code(norma_semaphore_wait(id_, -1)); }
    void acquire() const {
        std::error_code error;
        acquire(error);
        detail::check(error, "norma::semaphore::acquire");
    }
    /// False if the time is over; then `error` is clear.
    template <class Rep, class Period>
    bool try_acquire_for(std::chrono::duration<Rep, Period> duration, std::error_code &error) const noexcept {
        error = make_error_code(norma_semaphore_wait(id_, detail::to_milliseconds(duration)));
        if (error == errc::timed_out) {
            error.clear();
            return false;
        }
        return !error;
    }
    template <class Rep, class Period> bool try_acquire_for(std::chrono::duration<Rep, Period> duration) const {
        std::error_code error;
        const bool acquired = try_acquire_for(duration, error);
        detail::check(error, "norma::semaphore::try_acquire_for");
        return acquired;
    }
    bool try_acquire() const { return try_acquire_for(std::chrono::milliseconds(0)); }

    void release(std::error_code &error) const noexcept { error = make_error_code(norma_semaphore_post(id_)); }
    void release() const {
        std::error_code error;
        release(error);
        detail::check(error, "norma::semaphore::release");
    }
};

static_assert(std::is_trivially_copyable_v<barrier> && std::is_trivially_copyable_v<mutex>);
static_assert(std::is_trivially_copyable_v<condition_variable> && std::is_trivially_copyable_v<semaphore>);

} // namespace norma

#endif

// SPDX-License-Identifier: BSD-3-Clause
// Tasks and their threads; part of <norma/norma.hpp>.
#ifndef NORMA_TASK_HPP
#define NORMA_TASK_HPP

#include <cstddef>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include <norma/error.hpp>
#include <norma/memory.hpp>

namespace norma {

/// How a task ended.
class exit_status {
  public:
    explicit exit_status(int raw) noexcept : raw_(raw) {}
    bool exited() const noexcept { return signal() == 0; }
    int code() const noexcept { return (raw_ >> 8) & 0xff; }
    int signal() const noexcept { return raw_ & 0x7f; }
    bool success() const noexcept { return exited() && code() == 0; }

  private:
    int raw_;
};

/// The name of a thread, of this task or another. Trivially copyable; owns nothing.
class thread {
  public:
    thread() noexcept = default;
    explicit thread(thread_t port) noexcept : port_(port) {}
    thread_t port() const noexcept { return port_; }

    /// Waits until the thread has ended.
    void wait(std::error_code &error) const noexcept { error = make_error_code(norma_thread_wait(port_, -1)); }
    void wait() const {
        std::error_code error;
        wait(error);
        detail::check(error, "norma::thread::wait");
    }

  private:
    thread_t port_ = THREAD_NULL;
};

/// A task, owned: it is terminated when the object goes, unless it was waited for or released. Move-only.
class task {
  public:
    task() noexcept = default;
    /// Takes over a task made through the C interface.
    explicit task(task_t port) noexcept : port_(port), owned_(port != TASK_NULL) {}
    /// The calling task. Never terminated by the destructor.
    static task self() noexcept {
        task result;
        result.port_ = mach_task_self();
        return result;
    }

    task(task &&other) noexcept
        : port_(std::exchange(other.port_, TASK_NULL)), owned_(std::exchange(other.owned_, false)),
          mailbox_(std::move(other.mailbox_)), mailbox_used_(std::exchange(other.mailbox_used_, 0)) {}
    task &operator=(task &&other) noexcept {
        task taken(std::move(other));
        std::swap(port_, taken.port_);
        std::swap(owned_, taken.owned_);
        std::swap(mailbox_, taken.mailbox_);
        std::swap(mailbox_used_, taken.mailbox_used_);
        return *this;
    }
    task(const task &) = delete;
    task &operator=(const task &) = delete;
    ~task() {
        if (owned_) {
            task_terminate(port_);
        }
    }

    task_t port() const noexcept { return port_; }
    explicit operator bool() const noexcept { return port_ != TASK_NULL; }
    /// Gives the task up without ending it.
    task_t release() noexcept {
        owned_ = false;
        return std::exchange(port_, TASK_NULL);
    }

    /// A new task on `node` that has of this one's memory what region::inherit says: the same memory, a copy (if
    /// nothing was said), or nothing. It has no thread yet: see start and run.
    task create_on(int node, std::error_code &error) const noexcept { return make(&norma_task_create, node, error); }
    task create_on(int node) const {
        std::error_code error;
        task child = create_on(node, error);
        detail::check_node(error, "norma::task::create_on", node);
        return child;
    }

    /// A new task on `node` that shares all memory of this one. It has no thread yet: see start and run.
    task clone_to(int node, std::error_code &error) const noexcept { return make(&norma_task_clone, node, error); }
    task clone_to(int node) const {
        std::error_code error;
        task child = clone_to(node, error);
        detail::check_node(error, "norma::task::clone_to", node);
        return child;
    }

    /// Moves this task to `node`. Of another task: its threads end, its memory is there, and a thread started in it
    /// carries on. Of the calling task (task::self().teleport_to(node)): the caller simply goes on, on `node`; its
    /// heap and globals are new.
    void teleport_to(int node, std::error_code &error) noexcept {
        error = make_error_code(norma_task_teleport(port_, TRUE, node, &port_));
    }
    void teleport_to(int node) {
        std::error_code error;
        teleport_to(node, error);
        detail::check_node(error, "norma::task::teleport_to", node);
    }

    /// Starts a thread in the task. The task outlives the thread.
    thread start(void (*entry)(void *), void *argument, std::error_code &error) const noexcept {
        thread_t port = THREAD_NULL;
        error = make_error_code(norma_thread_start(port_, entry, argument, 0, &port));
        return thread(port);
    }
    thread start(void (*entry)(void *), void *argument) const {
        std::error_code error;
        const thread result = start(entry, argument, error);
        detail::check(error, "norma::task::start");
        return result;
    }

    /// Starts a thread that calls a copy of `callable`, which must be trivially copyable (a lambda that captures
    /// values and pointers to coherent memory) and is handed over in coherent memory. Needs a task that was made
    /// from the calling one, else not_supported; all callables of one task take up to 4096 bytes together.
    template <class F>
    requires std::is_invocable_v<F &> thread start(F callable, std::error_code &error) {
        F *const place = store(std::move(callable), error);
        return error ? thread() : start(&call<F>, place, error);
    }
    template <class F>
    requires std::is_invocable_v<F &> thread start(F callable) {
        std::error_code error;
        const thread result = start(std::move(callable), error);
        detail::check(error, "norma::task::start");
        return result;
    }

    /// As start, and the task ends when the callable returns: with the int it returns as exit code, else with 0.
    template <class F>
    requires std::is_invocable_v<F &>
    void run(F callable, std::error_code &error) {
        F *const place = store(std::move(callable), error);
        if (!error) {
            start(&call_and_exit<F>, place, error);
        }
    }
    template <class F>
    requires std::is_invocable_v<F &>
    void run(F callable) {
        std::error_code error;
        run(std::move(callable), error);
        detail::check(error, "norma::task::run");
    }

    /// Waits until the task has ended.
    exit_status wait(std::error_code &error) noexcept {
        int status = 0;
        error = make_error_code(norma_task_wait(port_, -1, &status));
        owned_ = owned_ && error;
        return exit_status(status);
    }
    exit_status wait() {
        std::error_code error;
        const exit_status status = wait(error);
        detail::check(error, "norma::task::wait");
        return status;
    }

    /// Ends the task. The memory it shares with others stays.
    void terminate(std::error_code &error) noexcept {
        error = make_error_code(task_terminate(port_));
        owned_ = owned_ && error;
    }
    void terminate() {
        std::error_code error;
        terminate(error);
        detail::check(error, "norma::task::terminate");
    }

    /// Counted; returns when every thread of the task has stopped.
    void suspend(std::error_code &error) const noexcept { error = make_error_code(task_suspend(port_)); }
    void suspend() const {
        std::error_code error;
        suspend(error);
        detail::check(error, "norma::task::suspend");
    }
    void resume(std::error_code &error) const noexcept { error = make_error_code(task_resume(port_)); }
    void resume() const {
        std::error_code error;
        resume(error);
        detail::check(error, "norma::task::resume");
    }

    /// The node the task runs on at this moment.
    int node(std::error_code &error) const noexcept {
        int where = -1;
        error = make_error_code(norma_port_location_hint(mach_task_self(), port_, &where));
        return where;
    }
    int node() const {
        std::error_code error;
        const int where = node(error);
        detail::check(error, "norma::task::node");
        return where;
    }

  private:
    static constexpr std::size_t kMailboxBytes = 4096;

    using maker = kern_return_t (*)(task_t, boolean_t, int, task_t *);
    task make(maker make_child, int node, std::error_code &error) const noexcept {
        task child;
        // Callables travel through a page that both tasks have, so it must be there, and shared, before the child is.
        if (port_ == mach_task_self()) {
            child.mailbox_ = region(kMailboxBytes, error);
            if (!error) {
                child.mailbox_.inherit(inheritance::share, error);
            }
            if (error) {
                return {};
            }
        }
        error = make_error_code(make_child(port_, TRUE, node, &child.port_));
        child.owned_ = !error;
        return error ? task() : std::move(child);
    }

    // Both run in the other task; an exception that escapes ends that task, as with std::thread.
    template <class F> static void call(void *place) noexcept {
        F callable = *static_cast<F *>(place);
        callable();
    }
    template <class F> static void call_and_exit(void *place) noexcept {
        F callable = *static_cast<F *>(place);
        if constexpr (std::is_same_v<std::invoke_result_t<F &>, int>) {
            norma_exit(callable());
        } else {
            callable();
            norma_exit(0);
        }
    }

    // The other task reads a slot at a time nobody knows, so slots are never used again.
    template <class F> F *store(F callable, std::error_code &error) noexcept {
        static_assert(std::is_trivially_copyable_v<F>, "a callable for another task must be trivially copyable");
        static_assert(sizeof(F) <= kMailboxBytes && alignof(F) <= kMailboxBytes, "put large captures into a region");
        const std::size_t offset = (mailbox_used_ + alignof(F) - 1) / alignof(F) * alignof(F);
        if (mailbox_.empty() || offset + sizeof(F) > mailbox_.size()) {
            error = mailbox_.empty() ? errc::not_supported : errc::resource_shortage;
            return nullptr;
        }
        error.clear();
        mailbox_used_ = offset + sizeof(F);
        return ::new (static_cast<std::byte *>(mailbox_.data()) + offset) F(callable);
    }

    task_t port_ = TASK_NULL;
    bool owned_ = false;
    region mailbox_;
    std::size_t mailbox_used_ = 0;
};

/// A new task on `node` that has of the calling one's memory what region::inherit says.
inline task create_on(int node) {
    return task::self().create_on(node);
}
inline task create_on(int node, std::error_code &error) noexcept {
    return task::self().create_on(node, error);
}

/// A new task on `node` that shares all memory of the calling one.
inline task clone_to(int node) {
    return task::self().clone_to(node);
}
inline task clone_to(int node, std::error_code &error) noexcept {
    return task::self().clone_to(node, error);
}

static_assert(std::is_trivially_copyable_v<thread>);

} // namespace norma

#endif

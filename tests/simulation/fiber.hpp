// SPDX-License-Identifier: BSD-3-Clause
// The program of a simulated thread: coroutines that call each other and stop wherever a real thread would wait.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

namespace norma::sim {

class Fiber {
  public:
    struct promise_type;
    using Handle = std::coroutine_handle<promise_type>;
    struct Back { // at the end: to whoever called, if anybody did
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(Handle ended) const noexcept { return ended.promise().caller; }
        void await_resume() const noexcept {}
    };
    struct promise_type {
        std::coroutine_handle<> caller = std::noop_coroutine();
        Fiber get_return_object() { return Fiber(Handle::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        Back final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };

    Fiber() = default;
    Fiber(Fiber &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Fiber &operator=(Fiber &&other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Fiber() {
        if (handle_) {
            handle_.destroy();
        }
    }
    std::coroutine_handle<> handle() const { return handle_; }
    bool done() const { return handle_.done(); }

    // A call: `co_await another(...)`.
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) const noexcept {
        handle_.promise().caller = caller;
        return handle_;
    }
    void await_resume() const noexcept {}

  private:
    explicit Fiber(Handle handle) : handle_(handle) {}
    Handle handle_;
};

} // namespace norma::sim

// SPDX-License-Identifier: BSD-3-Clause
// What the tests need of norma: memory, tasks on other nodes with one thread in them, and errors as exceptions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <norma/norma.h>

namespace norma::bench {

using Clock = std::chrono::steady_clock;
inline constexpr std::size_t kPage = 4096;

inline double microseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// What write_to_all() leaves in the first word of the page that begins `at` bytes into the memory: never zero.
constexpr std::uint64_t mark_of(std::size_t at) {
    return 0x6e6f726d61 + at;
}

// Writes to every page.
inline void write_to_all(volatile std::uint64_t *words, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += kPage) {
        words[at / sizeof *words] = mark_of(at);
    }
}

// Throws std::runtime_error with the name of the call and the text for the code unless it is KERN_SUCCESS.
void check(kern_return_t code, const char *call);

// Coherent memory of this task, untouched until used.
class Memory {
  public:
    explicit Memory(std::size_t bytes);
    ~Memory();
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    std::byte *data() const { return reinterpret_cast<std::byte *>(address_); }
    std::size_t size() const { return size_; }
    // The first word of a page.
    volatile std::uint64_t &word(std::size_t page) const {
        return *reinterpret_cast<std::uint64_t *>(address_ + page * kPage);
    }

  private:
    vm_address_t address_ = 0;
    std::size_t size_ = 0;
};

// An array in coherent memory, all zeros at first.
template <class T> class Array {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    explicit Array(std::size_t count) : memory_(count * sizeof(T)), count_(count) {}
    std::span<T> span() const { return {reinterpret_cast<T *>(memory_.data()), count_}; }
    T *data() const { return span().data(); }

  private:
    Memory memory_;
    std::size_t count_;
};

class Semaphore {
  public:
    Semaphore();
    ~Semaphore();
    Semaphore(const Semaphore &) = delete;
    Semaphore &operator=(const Semaphore &) = delete;
    norma_sync_t id() const { return id_; }
    void post() const { post(id_); }
    void wait() const { wait(id_); }
    static void post(norma_sync_t id);
    static void wait(norma_sync_t id); // throws if it takes unreasonably long

  private:
    norma_sync_t id_ = 0;
};

class Barrier {
  public:
    explicit Barrier(unsigned participants);
    ~Barrier();
    Barrier(const Barrier &) = delete;
    Barrier &operator=(const Barrier &) = delete;
    norma_sync_t id() const { return id_; }

  private:
    norma_sync_t id_ = 0;
};

// A task on some node that shares all memory this task had when it was made, and is gone with the object.
class RemoteTask {
  public:
    explicit RemoteTask(int node);
    ~RemoteTask();
    RemoteTask(const RemoteTask &) = delete;
    RemoteTask &operator=(const RemoteTask &) = delete;

    // Starts `function(arguments)` in a thread of the task; `arguments` are in coherent memory. An exception in it
    // ends the task.
    template <auto function, class Arguments> void start(Arguments *arguments) {
        start_thread(&body<function, Arguments>, arguments);
    }
    void join(); // throws what the thread threw
    void teleport(int node);
    task_t port() const { return task_; }

  private:
    struct Start {
        void *arguments;
        char error[256];
    };

    template <auto function, class Arguments> static void body(void *start) noexcept {
        auto &self = *static_cast<Start *>(start);
        try {
            function(*static_cast<Arguments *>(self.arguments));
        } catch (const std::exception &error) {
            give_up(self, error.what());
        }
    }
    [[noreturn]] static void give_up(Start &start, const char *why);
    void start_thread(void (*entry)(void *), void *arguments);

    Array<Start> start_{1}; // made before the task, so that the task has it
    task_t task_ = TASK_NULL;
    thread_act_t thread_ = THREAD_NULL;
};

} // namespace norma::bench

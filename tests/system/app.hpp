// SPDX-License-Identifier: BSD-3-Clause
// What the cases of system_app share. A case is a function that checks itself: it returns the exit status of the first
// task, and ends its task with a message and status 1 at the first thing that is wrong. Children end the same way, so
// whoever made them must look at how they ended.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include <fmt/format.h>
#include <norma/norma.hpp>

namespace systest {

inline constexpr vm_address_t kWindow = 0x200000000000; // NORMA_WINDOW_BASE and NORMA_WINDOW_SIZE, by default
inline constexpr vm_size_t kWindowSize = vm_size_t{16} << 40;

using Args = std::span<char *const>; // on the coherent stack, so it survives a teleport

using Body = int (*)(Args);

struct Case {
    Case(const char *name, Body body);
    const char *name;
    Body body;
    const Case *next;
};

/// The argument at `index` as a number; `fallback` if there are fewer.
long number(Args args, std::size_t index, long fallback);

[[noreturn]] void fail(const char *file, int line, const std::string &what);
void check_status(const char *file, int line, const char *call, kern_return_t expected, kern_return_t got);

template <class A, class B>
void check_equal(const char *file, int line, const char *expression, const A &expected, const B &got) {
    if (!(expected == got)) {
        fail(file, line, fmt::format("{} is {}, not {}", expression, got, expected));
    }
}

/// Waits until `done` holds; fails after 20 s.
void wait_until(const char *file, int line, const char *what, const std::function<bool()> &done);

/// A zero-filled T in coherent memory, there for as long as the task.
template <class T> T *shared() {
    return &norma::region(sizeof(T)).release().as_span<T>()[0];
}
std::byte *shared_bytes(std::size_t bytes);

vm_address_t address_of(const void *pointer);
inline std::atomic<long> &word(vm_address_t address) {
    return *reinterpret_cast<std::atomic<long> *>(address);
}

inline task_t self() {
    return mach_task_self();
}
inline int last_node() {
    return norma::node_count() - 1;
}
/// A task that shares nothing with this one.
norma::task stranger(int node);

/// A child of this task that runs `callable` and then ends.
template <class F> norma::task spawn(int node, F callable) {
    auto child = norma::clone_to(node);
    child.run(callable);
    return child;
}

/// Waits for a child, which must end with `status`.
void join(const char *file, int line, norma::task &child, int status = 0);
/// How the task with this port ended, as wait(2) has it.
int end_of(const char *file, int line, task_t task);

/// Kills the server of `node`, and waits until the caller's node knows.
void kill_node(int node);

vm_region_basic_info_data_t region_at(const char *file, int line, task_t task, vm_address_t address);
/// The task must have no region at all.
void check_no_memory(const char *file, int line, task_t task);

} // namespace systest

#define SYSTEM_CASE(id)                                                                                                \
    static int run_##id(systest::Args args);                                                                           \
    static const systest::Case case_##id(#id, run_##id);                                                               \
    static int run_##id([[maybe_unused]] systest::Args args)

#define CHECK(condition) ((condition) ? (void)0 : systest::fail(__FILE__, __LINE__, #condition " does not hold"))
#define CHECK_EQ(expected, expression) systest::check_equal(__FILE__, __LINE__, #expression, (expected), (expression))
#define CHECK_KERN(expected, call) systest::check_status(__FILE__, __LINE__, #call, (expected), (call))
#define CHECK_SOON(condition) systest::wait_until(__FILE__, __LINE__, #condition, [&] { return (condition); })
#define JOIN(...) systest::join(__FILE__, __LINE__, __VA_ARGS__)
#define END_OF(task) systest::end_of(__FILE__, __LINE__, (task))
#define REGION_AT(task, address) systest::region_at(__FILE__, __LINE__, (task), (address))
#define CHECK_NO_MEMORY(task) systest::check_no_memory(__FILE__, __LINE__, (task))

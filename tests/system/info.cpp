// SPDX-License-Identifier: BSD-3-Clause
// task_info, thread_info and task_set_child_node, on this node and on another.
#include "tests/system/app.hpp"

#include <chrono>
#include <utility>

namespace {

using systest::shared;

int other_node() {
    return norma::node_count() - 1;
}

task_basic_info_data_t info_of(task_t task) {
    task_basic_info_data_t info{};
    auto count = TASK_BASIC_INFO_COUNT;
    CHECK_KERN(KERN_SUCCESS, task_info(task, TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count));
    CHECK_EQ(10U, count);
    CHECK_EQ(POLICY_TIMESHARE, info.policy);
    return info;
}

thread_basic_info_data_t info_of_thread(thread_t thread) {
    thread_basic_info_data_t info{};
    auto count = THREAD_BASIC_INFO_COUNT;
    CHECK_KERN(KERN_SUCCESS, thread_info(thread, THREAD_BASIC_INFO, reinterpret_cast<thread_info_t>(&info), &count));
    CHECK_EQ(10U, count);
    return info;
}

long microseconds(const time_value_t &time) {
    return time.seconds * 1'000'000L + time.microseconds;
}

void work(void *raw) {
    auto *end = static_cast<std::atomic<int> *>(raw);
    while (*end == 0) {
    }
}

struct Gate {
    norma::semaphore open;
    std::atomic<int> end;
};

void wait_at(void *raw) {
    static_cast<Gate *>(raw)->open.acquire();
}

void check_task(task_t task, Gate *gate) {
    constexpr vm_size_t kBytes = 64 << 20;
    gate->end = 0;
    const auto before = info_of(task);
    CHECK_EQ(0, before.suspend_count);
    CHECK(before.resident_size > 4096 && before.resident_size < std::uint64_t{1} << 30);
    CHECK(before.virtual_size > before.resident_size && before.virtual_size < std::uint64_t{1} << 34); // no window

    vm_address_t memory = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(task, &memory, kBytes, TRUE));
    CHECK(info_of(task).virtual_size >= before.virtual_size + kBytes);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(task, memory, kBytes));
    CHECK(info_of(task).virtual_size < before.virtual_size + kBytes);

    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, work, &gate->end, 0, &thread));
    CHECK_SOON(microseconds(info_of(task).user_time) > microseconds(before.user_time) + 50'000);
    CHECK_SOON(microseconds(info_of_thread(thread).user_time) >= 50'000);
    gate->end = 1;
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    // What threads have used that are gone is not forgotten.
    CHECK(microseconds(info_of(task).user_time) > microseconds(before.user_time) + 50'000);
}

void check_thread(task_t task, Gate *gate) {
    gate->end = 0;
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, thread_create(task, &thread));
    CHECK_EQ(TH_STATE_STOPPED, info_of_thread(thread).run_state);
    CHECK_EQ(1, info_of_thread(thread).suspend_count);
    CHECK_KERN(KERN_SUCCESS, thread_terminate(thread));

    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, work, &gate->end, 0, &thread));
    CHECK_SOON(info_of_thread(thread).run_state == TH_STATE_RUNNING);
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    CHECK_EQ(TH_STATE_STOPPED, info_of_thread(thread).run_state);
    CHECK_EQ(2, info_of_thread(thread).suspend_count);
    gate->end = 1;
    CHECK_KERN(KERN_SUCCESS, thread_terminate(thread));

    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, wait_at, gate, 0, &thread));
    CHECK_SOON(info_of_thread(thread).run_state == TH_STATE_WAITING);
    gate->open.release();
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 10'000));
    thread_basic_info_data_t info{};
    auto count = THREAD_BASIC_INFO_COUNT;
    auto *const raw = reinterpret_cast<thread_info_t>(&info);
    CHECK_KERN(KERN_TERMINATED, thread_info(thread, THREAD_BASIC_INFO, raw, &count));
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_info(mach_thread_self(), 4, raw, &count));
    count = 9;
    CHECK_KERN(KERN_INVALID_ARGUMENT, thread_info(mach_thread_self(), THREAD_BASIC_INFO, raw, &count));
    CHECK_EQ(9U, count);
}

} // namespace

SYSTEM_CASE(tasks_info) {
    auto *gate = shared<Gate>();
    const auto child = norma::clone_to(other_node());
    check_task(mach_task_self(), gate);
    check_task(child.port(), gate);
    child.suspend();
    child.suspend();
    CHECK_EQ(2, info_of(child.port()).suspend_count); // and it answers though it is suspended
    child.resume();
    CHECK_EQ(1, info_of(child.port()).suspend_count);
    child.resume();

    task_basic_info_data_t info{};
    auto count = TASK_BASIC_INFO_COUNT;
    auto *const raw = reinterpret_cast<task_info_t>(&info);
    CHECK_KERN(KERN_INVALID_ARGUMENT, task_info(child.port(), 4711, raw, &count));
    CHECK_KERN(KERN_INVALID_ARGUMENT, task_info(child.port(), TASK_BASIC_INFO, nullptr, &count));
    CHECK_KERN(KERN_INVALID_ARGUMENT, task_info(child.port(), TASK_BASIC_INFO, raw, nullptr));
    CHECK_KERN(KERN_INVALID_TASK, task_info(mach_thread_self(), TASK_BASIC_INFO, raw, &count));
    const auto dead = norma::clone_to(other_node()).port(); // ended as its owner goes
    CHECK_KERN(KERN_INVALID_TASK, task_info(dead, TASK_BASIC_INFO, raw, &count));
    return 0;
}

SYSTEM_CASE(threads_info) {
    auto *gate = shared<Gate>();
    gate->open = norma::semaphore::create(0);
    const auto child = norma::clone_to(other_node());
    check_thread(mach_task_self(), gate);
    check_thread(child.port(), gate);
    CHECK_EQ(0, info_of_thread(mach_thread_self()).suspend_count);
    return 0;
}

namespace {

int node_of(task_t task) {
    int node = -1;
    CHECK_KERN(KERN_SUCCESS, norma_port_location_hint(mach_task_self(), task, &node));
    return node;
}

// The node of a new child of the task, and of that one's child.
std::pair<int, int> nodes_of_descendants(task_t task) {
    task_t child = TASK_NULL;
    task_t grandchild = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, task_create(task, nullptr, 0, FALSE, &child));
    CHECK_KERN(KERN_SUCCESS, task_create(child, nullptr, 0, FALSE, &grandchild));
    const std::pair nodes{node_of(child), node_of(grandchild)};
    CHECK_KERN(KERN_SUCCESS, task_terminate(grandchild));
    CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    return nodes;
}

} // namespace

SYSTEM_CASE(task_child_node) {
    const auto child = norma::clone_to(other_node());
    for (const auto task : {mach_task_self(), child.port()}) {
        for (int node = -1; node < norma::node_count(); ++node) {
            CHECK_KERN(KERN_SUCCESS, task_set_child_node(task, node));
        }
        for (const int node : {-2, norma::node_count(), 65536, INT32_MIN, INT32_MAX}) {
            CHECK_KERN(KERN_INVALID_ARGUMENT, task_set_child_node(task, node));
        }
    }
    CHECK_KERN(KERN_INVALID_TASK, task_set_child_node(mach_thread_self(), 0));

    // Children go there, and theirs stay where they are: it is not inherited.
    CHECK(nodes_of_descendants(mach_task_self()) == std::pair(other_node(), other_node()));
    CHECK_KERN(KERN_SUCCESS, task_set_child_node(child.port(), 0));
    CHECK(nodes_of_descendants(child.port()) == std::pair(0, 0));
    for (const auto task : {mach_task_self(), child.port()}) {
        CHECK_KERN(KERN_SUCCESS, task_set_child_node(task, -1));
        CHECK(nodes_of_descendants(task) == std::pair(node_of(task), node_of(task)));
    }
    return 0;
}

SYSTEM_CASE(node_of_host) {
    const auto check = [] {
        int node = -1;
        CHECK_KERN(KERN_SUCCESS, norma_node_self(mach_host_self(), &node));
        CHECK_EQ(norma_node(), node);
        CHECK_KERN(KERN_INVALID_HOST, norma_node_self(mach_task_self(), &node));
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_node_self(mach_host_self(), nullptr));
        CHECK_EQ(norma_node(), node);
    };
    check();
    auto child = systest::spawn(other_node(), check);
    JOIN(child);
    return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
// The program of the system tests: `norma run -N n system_app CASE [ARGUMENTS]`.
#include "tests/system/app.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <unistd.h>

namespace systest {

namespace {

const Case *&cases() {
    static const Case *first = nullptr;
    return first;
}

} // namespace

Case::Case(const char *case_name, Body case_body) : name(case_name), body(case_body), next(cases()) {
    cases() = this;
}

long number(Args args, std::size_t index, long fallback) {
    return index < args.size() ? std::strtol(args[index], nullptr, 0) : fallback;
}

void fail(const char *file, int line, const std::string &what) {
    const auto text = fmt::format("{}:{}: node {}: {}\n", std::strrchr(file, '/') + 1, line, norma_node(), what);
    std::fflush(nullptr);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    ::_exit(1);
}

void check_status(const char *file, int line, const char *call, kern_return_t expected, kern_return_t got) {
    if (got != expected) {
        fail(file, line, fmt::format("{} returns {} ({}), not {}", call, got, norma_strerror(got), expected));
    }
}

void wait_until(const char *file, int line, const char *what, const std::function<bool()> &done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) {
            fail(file, line, fmt::format("{} does not come true", what));
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::byte *shared_bytes(std::size_t bytes) {
    return static_cast<std::byte *>(norma::region(bytes).release().data());
}

vm_address_t address_of(const void *pointer) {
    return reinterpret_cast<vm_address_t>(pointer);
}

int end_of(const char *file, int line, task_t task) {
    int status = -1;
    check_status(file, line, "norma_task_wait", KERN_SUCCESS, norma_task_wait(task, 20'000, &status));
    return status;
}

void join(const char *file, int line, norma::task &child, int status) {
    const auto port = child.release();
    check_equal(file, line, "the status of the child", status << 8, end_of(file, line, port));
}

// It is the parent of every task there.
void kill_node(int node) {
    auto killer = norma::clone_to(node);
    const auto begin = std::chrono::steady_clock::now();
    std::error_code error; // the answer may come too late
    killer.run(
        [] {
            ::kill(::getppid(), SIGKILL);
            ::pause();
        },
        error);
    CHECK(!error || error == norma::errc::node_down);
    int status = 0;
    CHECK_KERN(KERN_NODE_DOWN, norma_task_wait(killer.release(), 5000, &status));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
}

vm_region_basic_info_data_t region_at(const char *file, int line, task_t task, vm_address_t address) {
    vm_region_basic_info_data_t info{};
    auto count = VM_REGION_BASIC_INFO_COUNT;
    vm_address_t start = address;
    vm_size_t size = 0;
    mach_port_t name = 0;
    check_status(
        file, line, "vm_region", KERN_SUCCESS,
        vm_region(task, &start, &size, VM_REGION_BASIC_INFO, reinterpret_cast<vm_region_info_t>(&info), &count, &name));
    check_equal(file, line, "the start of the region", address, start);
    return info;
}

norma::task stranger(int node) {
    task_t task = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(self(), FALSE, node, &task));
    return norma::task(task);
}

void check_no_memory(const char *file, int line, task_t task) {
    vm_region_basic_info_data_t info{};
    auto count = VM_REGION_BASIC_INFO_COUNT;
    vm_address_t address = 0;
    vm_size_t size = 0;
    mach_port_t name = 0;
    check_status(file, line, "vm_region", KERN_NO_SPACE,
                 vm_region(task, &address, &size, VM_REGION_BASIC_INFO, reinterpret_cast<vm_region_info_t>(&info),
                           &count, &name));
    check_equal(file, line, "the address", vm_address_t{0}, address);
}

} // namespace systest

int main(int argc, char **argv) {
    const std::span<char *const> words(argv, static_cast<std::size_t>(argc));
    if (!norma::in_job() || argc < 2) {
        std::fputs("system_app: start me with `norma run -N 2 system_app CASE`\n", stderr);
        return 2;
    }
    for (const auto *entry = systest::cases(); entry != nullptr; entry = entry->next) {
        if (std::strcmp(entry->name, argv[1]) == 0) {
            return entry->body(words.subspan(2));
        }
    }
    std::fprintf(stderr, "system_app: there is no case %s\n", argv[1]);
    return 2;
}

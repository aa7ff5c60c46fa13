// SPDX-License-Identifier: BSD-3-Clause
// Nodes and tasks that die while another task maps their memory, copies it, or moves: a call is done or has not
// happened, nothing stays frozen, nothing leaks, and whoever is left goes on.
#include "tests/system/create.hpp"

#include <chrono>
#include <csignal>
#include <string_view>
#include <thread>

#include <unistd.h>

namespace {

using systest::address_of;
using systest::bytes_of_node;
using systest::kill_node;
using systest::shared_bytes;
using systest::truly_shared;

constexpr std::size_t kPage = systest::kPageBytes;
constexpr std::size_t kPages = 2048; // a few dozen that are not given back are more than NORMA_MEMORY=256M
constexpr int kSource = 1, kTarget = 2, kThird = 3;
using Word = std::atomic<long>;

// A page for each that writes, as a page that a dead node wrote last is lost.
struct State {
    struct alignas(kPage) Asker {
        Word calls; // that were answered
        Word done;  // of these with success
        Word pid;
    } asker;
    struct alignas(kPage) Owner {
        Word pid;
        Word writes;
    } owner;
    struct alignas(kPage) Killer {
        Word gone; // somebody has been killed: calls may fail
    } killer;
};

enum class Call : std::uint8_t { remap, remap_copy, teleport };

Call call_named(std::string_view name) {
    CHECK(name == "remap" || name == "remap_copy" || name == "teleport");
    return name == "remap" ? Call::remap : name == "remap_copy" ? Call::remap_copy : Call::teleport;
}

Word &word(vm_address_t memory, std::size_t page) {
    return *reinterpret_cast<Word *>(memory + page * kPage);
}

// On a node whose server has been killed one hears of that before one ends oneself.
void check_until_killed(kern_return_t status) {
    if (status == KERN_NODE_DOWN) {
        ::pause();
    }
    CHECK_KERN(KERN_SUCCESS, status);
}

// Who fails because somebody has died may hear of that before whoever killed it says so.
void check_answer(State &state, kern_return_t status) {
    if (status == KERN_SUCCESS) {
        ++state.asker.done;
    } else {
        CHECK_SOON(state.killer.gone != 0);
        CHECK(status != KERN_OPERATION_TIMED_OUT);
    }
    ++state.asker.calls;
}

// Page 0 is always written before page 1, with the same, so a copy in which they differ by more is of no one moment.
void check_pages(long first, long second, bool copy) {
    CHECK(first >= second);
    CHECK(!copy || first <= second + 1);
}

void map_again_and_again(State &state, task_t owner, vm_address_t memory, bool copy, bool reads) {
    for (;;) {
        vm_address_t address = 0;
        vm_prot_t protection = 0, maximum = 0;
        const auto status = vm_remap(mach_task_self(), &address, kPages * kPage, 0, TRUE, owner, memory,
                                     copy ? TRUE : FALSE, &protection, &maximum, VM_INHERIT_NONE);
        if (status == KERN_SUCCESS) {
            const long second = reads ? word(address, 1).load() : 0, first = reads ? word(address, 0).load() : 0;
            check_until_killed(vm_deallocate(mach_task_self(), address, kPages * kPage));
            check_pages(first, second, copy);
        }
        check_answer(state, status);
    }
}

// Who runs twice would not find what it left.
void move_again_and_again(State &state) {
    for (long mine = 0;; ++mine) {
        const int where = norma::this_node() == kSource ? kTarget : kSource;
        task_t self = TASK_NULL;
        const auto status = norma_task_teleport(mach_task_self(), TRUE, where, &self);
        CHECK(status != KERN_SUCCESS || norma::this_node() == where);
        state.asker.pid = ::getpid();
        CHECK_EQ(mine, state.asker.calls.load());
        check_answer(state, status);
    }
}

// A task with the same memory, which it writes if it is used, made by whoever asks it for some.
task_t make_owner(State &state, vm_address_t memory, bool used) {
    auto owner = norma::clone_to(kTarget);
    owner.start([&state, memory, used] {
        state.owner.pid = ::getpid();
        for (long value = used ? word(memory, 1) + 1 : 0;; ++value) {
            if (used) {
                word(memory, 0) = value;
                word(memory, 1) = value;
            }
            ++state.owner.writes;
            std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
    });
    return owner.release();
}

norma::task make_asker(State &state, Call call, vm_address_t memory, bool used) {
    auto asker = norma::clone_to(kSource);
    asker.start([&state, call, memory, used] {
        state.asker.pid = ::getpid();
        const auto owner = make_owner(state, memory, used);
        if (call == Call::teleport) {
            move_again_and_again(state);
        } else {
            map_again_and_again(state, owner, memory, call == Call::remap_copy, used);
        }
    });
    return asker;
}

// The process of a task that moves may be killed when the task has left it: then once more.
bool has_ended(State &state) {
    const long calls = state.asker.calls;
    std::this_thread::sleep_for(std::chrono::milliseconds(100)); // it may have to wait for a processor
    if (state.asker.calls == calls) {
        return true;
    }
    (void)::kill(static_cast<pid_t>(state.asker.pid), SIGKILL);
    return false;
}

} // namespace

// call_and_node_death CALL WHO [MS]: after so many milliseconds of calls WHO dies: the node of the caller (1), that of
// the task whose memory it is, or to which it moves (2), or that of the memory (3).
SYSTEM_CASE(call_and_node_death) {
    const auto call = call_named(args[0]);
    const auto who = static_cast<int>(systest::number(args, 1, 0));
    auto &state = *truly_shared<State>();
    const auto memory = address_of(bytes_of_node(kThird, kPages * kPage));
    auto asker = make_asker(state, call, memory, who == kSource); // else it would touch pages that are lost
    CHECK_SOON(state.asker.done > 2 && state.owner.writes > 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(systest::number(args, 2, 1)));
    kill_node(who);
    state.killer.gone = 1;
    if (who == kThird || (who == kTarget && call != Call::teleport)) {
        const long calls = state.asker.calls;
        CHECK_SOON(state.asker.calls > calls + 5); // done or refused
    }
    if (who != kTarget) {
        const long writes = state.owner.writes;
        CHECK_SOON(state.owner.writes > writes + 5); // not frozen
    }
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), memory, kPages * kPage)); // part of it may be lost
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), address_of(&state), sizeof state));
    for (int node = 0; node < norma::node_count(); ++node) {
        if (node != who) {
            auto child = systest::spawn(node, [node] { CHECK_EQ(node, norma::this_node()); });
            JOIN(child);
        }
    }
    asker.release();
    fmt::print("went on\n");
    return 0;
}

// call_and_task_death CALL WHO ROUNDS: the caller is killed in the middle of its calls, or the owner of the memory.
SYSTEM_CASE(call_and_task_death) {
    const auto call = call_named(args[0]);
    const bool caller = std::string_view(args[1]) == "caller";
    auto &state = *truly_shared<State>();
    const auto memory = address_of(bytes_of_node(0, kPages * kPage));
    for (long round = 0; round < systest::number(args, 2, 10); ++round) {
        state.killer.gone = state.owner.writes = state.asker.calls = state.asker.done = 0;
        auto asker = make_asker(state, call, memory, true);
        CHECK_SOON(state.asker.done > 1 && state.owner.writes > 1);
        std::this_thread::sleep_for(std::chrono::microseconds(137 * round % 1900));
        const auto owner = static_cast<pid_t>(state.owner.pid),
                   victim = caller ? static_cast<pid_t>(state.asker.pid) : owner;
        state.killer.gone = 1;
        (void)::kill(victim, SIGKILL);
        const long calls = state.asker.calls, writes = state.owner.writes;
        if (caller) {
            CHECK_SOON(state.owner.writes > writes + 3); // not frozen
            CHECK_EQ(0, ::kill(owner, SIGKILL));
        } else {
            CHECK_SOON(state.asker.calls > calls + 3); // refused
        }
        (void)task_terminate(asker.release()); // it may be gone, or have moved
        CHECK_SOON(has_ended(state));
        word(memory, 2) = round;
    }
    fmt::print("went on\n");
    return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
// norma_task_teleport: by a driver, by the task itself, again and again, and when it fails.
#include "tests/system/app.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <thread>
#include <unistd.h>

namespace {

using systest::shared;
using systest::spawn;

int node_after(int steps) {
    return (norma::this_node() + steps) % norma::node_count();
}

bool process_is_gone(pid_t pid) {
    return ::kill(pid, 0) != 0 && errno == ESRCH;
}

// The position of a task that moves, as it says itself.
struct Traveller {
    std::atomic<int> hops, seen, stop;
    std::atomic<pid_t> pid;
};

void hop(int node) {
    task_t self = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, node, &self));
    CHECK_EQ(mach_task_self(), self);
    CHECK_EQ(node, norma::this_node());
}

// Sees every step of the traveller, and answers it.
norma::task follow(Traveller *traveller, int node) {
    return spawn(node, [traveller] {
        while (traveller->stop == 0) {
            traveller->seen = traveller->hops.load();
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
}

struct Unlucky : std::runtime_error {
    explicit Unlucky(int number) : std::runtime_error("unlucky"), hop_number(number) {}
    int hop_number;
};

[[gnu::noinline]] void hop_and_throw(int node, int number) {
    hop(node);
    throw Unlucky(number);
}

// Twenty hops with everything that lives on the stack: a variable, an array, destructors, exceptions.
void travel(Traveller *traveller) {
    struct Count {
        int *destroyed;
        ~Count() { ++*destroyed; }
    };
    int destroyed = 0;
    std::array<long, 1000> board{};
    std::uint64_t checksum = 0;
    for (int number = 1; number <= 20; ++number) {
        board.at(static_cast<std::size_t>(number) * 49) = number;
        int caught = 0;
        try {
            const Count count{&destroyed};
            hop_and_throw(node_after(1), number);
        } catch (const Unlucky &unlucky) {
            caught = unlucky.hop_number;
        }
        CHECK_EQ(number, caught);
        CHECK_EQ(number, destroyed);
        for (int i = 1; i <= number; ++i) {
            CHECK_EQ(long{i}, board.at(static_cast<std::size_t>(i) * 49));
        }
        checksum = checksum * 31 + static_cast<std::uint64_t>(number);
        traveller->hops = number;
        CHECK_SOON(traveller->seen == number);
        const auto heap = std::make_unique<std::array<int, 10'000>>(); // the new process has a working heap
        (*heap)[9'999] = number;
    }
    std::uint64_t expected = 0;
    for (std::uint64_t number = 1; number <= 20; ++number) {
        expected = expected * 31 + number;
    }
    CHECK_EQ(expected, checksum);
}

} // namespace

// The first task moves; the job's exit status is that of where it got to.
SYSTEM_CASE(teleport_main) {
    auto *traveller = shared<Traveller>();
    const auto sharer = follow(traveller, node_after(1)).release();
    const auto before = ::getpid();
    travel(traveller);
    CHECK(process_is_gone(before));
    CHECK_EQ(20 % norma::node_count(), norma::this_node());
    traveller->stop = 1;
    CHECK_SOON(traveller->seen == 20);
    (void)sharer;
    fmt::print("arrived with {} arguments, last {}\n", args.size(), args.back());
    return 42;
}

// A thread of a child moves its task; whoever waits for the task by its old name is told how it ends in the end.
SYSTEM_CASE(teleport_thread) {
    auto *traveller = shared<Traveller>();
    auto sharer = follow(traveller, node_after(0));
    auto child = norma::clone_to(node_after(1));
    child.start([traveller] {
        travel(traveller);
        traveller->stop = 1;
        norma_exit(5);
    });
    CHECK_EQ(5 << 8, END_OF(child.port()));
    CHECK_EQ(5 << 8, END_OF(child.release())); // and again, when it is long over
    JOIN(sharer);
    return 0;
}

SYSTEM_CASE(teleport_driver) {
    auto *traveller = shared<Traveller>();
    auto *noise = shared<std::atomic<long>>();
    auto sharer = follow(traveller, node_after(0));
    auto child = norma::clone_to(node_after(1));
    const auto born = child.port();
    for (int number = 1; number <= 6; ++number) {
        child.start([=] {
            traveller->pid = ::getpid();
            traveller->hops = number;
            for (;;) {
                noise->fetch_add(1); // until it is moved: its threads end
            }
        });
        CHECK_SOON(traveller->seen == number);
        CHECK_SOON(noise->load() > number * 100);
        const auto old = child.port();
        child.teleport_to((1 + number) % norma::node_count());
        CHECK(child.port() != old);
        CHECK_EQ((1 + number) % norma::node_count(), child.node());
        CHECK(process_is_gone(traveller->pid));
        CHECK_KERN(KERN_INVALID_TASK, task_suspend(old));
        const auto now = noise->load();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        CHECK_EQ(now, noise->load());
        thread_act_array_t threads = nullptr;
        mach_msg_type_number_t count = 99;
        CHECK_KERN(KERN_SUCCESS, task_threads(child.port(), &threads, &count));
        CHECK_EQ(0U, count);
    }
    child.start([] { norma_exit(9); });
    CHECK_EQ(9 << 8, END_OF(born));
    traveller->stop = 1;
    JOIN(sharer);
    child.release();
    return 0;
}

// To the node the task is on: nothing happens. To one that does not exist: an error, and nothing happens.
SYSTEM_CASE(teleport_nowhere) {
    static int in_this_process = 0;
    in_this_process = 17;
    auto *word = shared<std::atomic<int>>();
    const auto pid = ::getpid();
    task_t task = 0x1234;
    for (const int node : {-1, norma::node_count(), 1 << 20}) {
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_teleport(mach_task_self(), TRUE, node, &task));
    }
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_teleport(mach_task_self(), TRUE, node_after(1), nullptr));
    CHECK_EQ(task_t{0x1234}, task);
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, norma::this_node(), &task));
    CHECK_EQ(mach_task_self(), task);
    CHECK_EQ(pid, ::getpid());
    CHECK_EQ(17, in_this_process);

    auto child = norma::clone_to(node_after(1));
    child.start([=] {
        for (;;) {
            word->fetch_add(1);
        }
    });
    CHECK_SOON(word->load() > 0);
    task = child.port();
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_task_teleport(child.port(), TRUE, norma::node_count(), &task));
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(child.port(), TRUE, node_after(1), &task));
    CHECK_EQ(child.port(), task);
    const int now = word->load();
    CHECK_SOON(word->load() > now); // it has not been stopped by either
    child.terminate();
    CHECK_KERN(KERN_INVALID_TASK, norma_task_teleport(child.port(), TRUE, norma::this_node(), &task));

    std::thread([] {
        task_t moved = TASK_NULL;
        CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_teleport(mach_task_self(), TRUE, node_after(1), &moved));
    }).join();
    CHECK_EQ(pid, ::getpid());
    return 0;
}

// Without its memory: the new task has none, the old one is over.
SYSTEM_CASE(teleport_without_memory) {
    auto child = norma::clone_to(node_after(1));
    const auto old = child.port();
    task_t moved = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(child.release(), FALSE, node_after(2), &moved));
    CHECK_KERN(KERN_INVALID_TASK, task_suspend(old));
    CHECK_NO_MEMORY(moved);
    CHECK_KERN(KERN_SUCCESS, task_terminate(moved));
    CHECK_EQ(0, END_OF(old));
    return 0;
}

// A lock that is held stays held on the way, and is given back from the other node.
SYSTEM_CASE(teleport_with_lock) {
    struct Page {
        norma::mutex lock;
        norma::barrier meet;
        std::atomic<int> order;
    };
    auto *page = shared<Page>();
    page->lock = norma::mutex::create();
    page->meet = norma::barrier::create(2);
    page->lock.lock();
    auto child = spawn(node_after(1), [page] {
        CHECK(!page->lock.try_lock());
        page->meet.wait();
        page->lock.lock();
        CHECK_EQ(1, page->order.exchange(2));
        page->lock.unlock();
    });
    const auto port = child.release(); // what the object knows lives on this stack, but a name is the process's own
    page->meet.wait();
    hop(node_after(1));
    hop(node_after(1));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_mutex_lock(page->lock.id())); // for it is this thread that holds it
    page->order = 1;
    page->lock.unlock();
    CHECK_SOON(page->order == 2);
    (void)port;
    return 0;
}

// To move with its threads a task needs its variables and its heap in coherent memory.
SYSTEM_CASE(migration_of_no_whole_program) {
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(mach_task_self(), 1, 0));
    CHECK_EQ(0, norma::this_node());
    return 0;
}

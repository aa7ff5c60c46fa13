// SPDX-License-Identifier: BSD-3-Clause
// Threads that never get to a place where they could be stopped: those that norma has not made, on stacks of the C
// library's, and those of <norma/pthread.h> (docs/threads.md), whose stacks are of their own making.
#include <norma/pthread.h>

#include "tests/migration/moving.hpp"

namespace {

using namespace moving;

SYSTEM_CASE(thread_of_the_c_library_stays) {
    over = false;
    ready = 0;
    auto child = systest::spawn(0, [] {
        std::thread other([] { CHECK_SOON(over.load()); });
        be_moved();
        other.join();
        CHECK_EQ(0, norma::this_node());
    });
    CHECK_SOON(ready == 1);
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(child.port(), 1, 0));
    over = true;
    JOIN(child);
    return 0;
}

// The first task of such a program has threads of the C library's, too.
SYSTEM_CASE(posix_threads_stay) {
    pthread_t posix{};
    const auto start = [](void *) -> void * {
        CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_task_migrate(self(), 1, 0));
        CHECK_EQ(systest::last_node(), norma::this_node());
        return nullptr;
    };
    CHECK_EQ(0, norma_pthread_create_on(systest::last_node(), &posix, nullptr, start, nullptr));
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(self(), 1, 0));
    CHECK_EQ(0, pthread_join(posix, nullptr));
    return 0;
}

} // namespace

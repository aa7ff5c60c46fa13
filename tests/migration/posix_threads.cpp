// SPDX-License-Identifier: BSD-3-Clause
// Threads that never get to a place where they could be stopped: on stacks of the C library's, and those of POSIX
// threads on several nodes (docs/threads.md), whose stacks are of their own making.
#include <norma/pthread.h>

#include "tests/migration/moving.hpp"

namespace {

using namespace moving;

// Both at once, since it takes a while until that is given up.
SYSTEM_CASE(threads_that_never_stop_stay) {
    pthread_t posix{};
    const auto start = [](void *) -> void * {
        CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_task_migrate(self(), 1, 0));
        CHECK_EQ(systest::last_node(), norma::this_node());
        return nullptr;
    };
    CHECK_EQ(0, norma_pthread_create_on(systest::last_node(), &posix, nullptr, start, nullptr));
    over = false;
    ready = 0;
    auto child = systest::spawn(0, [] {
        std::thread other([] { CHECK_SOON(over.load()); });
        be_moved();
        other.join();
        CHECK_EQ(0, norma::this_node());
    });
    CHECK_SOON(ready == 1);
    CHECK_KERN(KERN_OPERATION_TIMED_OUT, norma_task_migrate(child.port(), 1, 0));
    over = true;
    JOIN(child);
    CHECK_EQ(0, pthread_join(posix, nullptr));
    return 0;
}

} // namespace

// SPDX-License-Identifier: BSD-3-Clause
// A first program: a task on every node adds to an array that all of them share.
#include <cstdio>
#include <mutex>
#include <vector>

#include <norma/norma.hpp>

struct Shared {
    norma::mutex lock;
    int greetings;
    int from[256];
};

int main() {
    if (!norma::in_job()) {
        std::fputs("hello: start me with `norma run -N 2 hello`\n", stderr);
        return 2;
    }
    norma::region memory(sizeof(Shared)); // the same bytes at the same address in every task
    Shared *shared = &memory.as_span<Shared>()[0];
    shared->lock = norma::mutex::create();

    std::vector<norma::task> tasks;
    for (int node = 0; node < norma::node_count(); ++node) {
        tasks.push_back(norma::clone_to(node)); // shares all coherent memory, moves no page
        tasks.back().run([shared] {
            std::lock_guard guard(shared->lock);
            shared->from[shared->greetings++] = norma::this_node();
        });
    }
    for (norma::task &task : tasks) {
        task.wait();
    }
    for (int i = 0; i < shared->greetings; ++i) {
        std::printf("hello from node %d\n", shared->from[i]);
    }
}

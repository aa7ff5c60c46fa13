// SPDX-License-Identifier: BSD-3-Clause
// For tests/watching.sh: a task on node 0 and one on node 1 write words of the same page, one on node 2 reads another
// page once a second. Runs until it is ended.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include <norma/norma.hpp>

namespace {

using namespace std::chrono_literals;
using Word = std::atomic<std::uint64_t>;

constexpr vm_size_t kPage = 4096;
constexpr int kFoughtOver = 3, kCalm = 5;

Word *memory() {
    vm_size_t size = 8 * kPage;
    memory_object_t object = MACH_PORT_NULL;
    vm_address_t address = 0;
    if (norma_object_open("quarrel", &size, &object) != KERN_SUCCESS ||
        vm_map(mach_task_self(), &address, size, 0, TRUE, object, 0, FALSE, VM_PROT_DEFAULT, VM_PROT_ALL,
               VM_INHERIT_SHARE) != KERN_SUCCESS) {
        std::puts("quarrel: no memory");
        return nullptr;
    }
    return reinterpret_cast<Word *>(address);
}

Word &word(Word *words, int page, int number) {
    return words[page * kPage / sizeof(Word) + number];
}

} // namespace

int main() {
    Word *const words = memory();
    if (words == nullptr) {
        return 1;
    }
    std::vector<norma::task> tasks;
    for (const int node : {0, 1}) {
        tasks.push_back(norma::clone_to(node));
        tasks.back().run([=] {
            auto next = std::chrono::steady_clock::now();
            for (;;) {
                ++word(words, kFoughtOver, node);
                if (node == 0 && std::chrono::steady_clock::now() >= next) {
                    ++word(words, kCalm, 0);
                    next += 1s;
                }
            }
        });
    }
    tasks.push_back(norma::clone_to(2));
    tasks.back().run([=] {
        for (;;) {
            std::this_thread::sleep_for(word(words, kCalm, 0) == 0 ? 100ms : 1s);
        }
    });
    for (auto &task : tasks) {
        task.wait();
    }
}

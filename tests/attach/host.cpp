// SPDX-License-Identifier: BSD-3-Clause
// A job that others attach themselves to: it has a task on each node, which answer what is written into their places,
// until it is told to stop. With "ends NAME" it ends the guest that has registered itself under that name, with
// "awaits NAME" it says how that one has ended.
#include "tests/attach/board.hpp"

#include <string>
#include <unistd.h>
#include <vector>

#include <norma/norma.hpp>

using namespace attachtest;

namespace {

mach_port_t find(const std::string &name) {
    mach_port_t port = MACH_PORT_NULL;
    while (bootstrap_look_up(bootstrap(), name.c_str(), &port) != KERN_SUCCESS) {
        ::usleep(10'000);
    }
    return port;
}

// Of each place the first word is a question, the second the answer.
void answer(Board *board, int node) {
    while (board->stop == 0) {
        for (std::size_t i = static_cast<std::size_t>(node); i < kPlaces;
             i += static_cast<std::size_t>(norma_node_count())) {
            auto &place = board->places[i];
            if (place[0] != 0 && place[1] == 0) {
                place[1] = place[0] * 3 + 1;
            }
        }
        ::usleep(5'000);
    }
}

} // namespace

int main(int argc, char **argv) {
    Board *board = open_board(true);
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&board->mutex));
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &board->never));
    board->open = 1;
    std::vector<norma::task> tasks;
    for (int node = 0; node < norma::node_count(); ++node) {
        tasks.push_back(norma::clone_to(node));
        tasks.back().run([board, node] { answer(board, node); });
    }
    std::printf("ready\n");
    std::fflush(stdout);
    if (argc > 2 && std::string(argv[1]) == "ends") {
        CHECK_KERN(KERN_SUCCESS, task_terminate(find(argv[2])));
        std::printf("ended\n");
    }
    if (argc > 2 && std::string(argv[1]) == "awaits") {
        int status = -1;
        const auto guest = find(argv[2]);
        board->guests = 100; // it may end
        CHECK_KERN(KERN_SUCCESS, norma_task_wait(guest, -1, &status));
        std::printf("%s ended with %#x\n", argv[2], static_cast<unsigned>(status));
    }
    std::fflush(stdout);
    for (auto &task : tasks) {
        task.wait();
    }
    std::printf("guests: %lu, guarded: %lu\n", static_cast<unsigned long>(board->guests),
                static_cast<unsigned long>(board->guarded));
    return 0;
}

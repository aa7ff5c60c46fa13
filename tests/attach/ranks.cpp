// SPDX-License-Identifier: BSD-3-Clause
// An MPI program of two ranks or more: each attaches itself to a node of its own, and they share an object with each
// other and with the tasks of the job. What one rank has written the next one reads, after a message of MPI's.
#include "tests/attach/board.hpp"

#define OMPI_SKIP_MPICXX 1 // only C of it
#include <mpi.h>
#include <string>
#include <unistd.h>

using namespace attachtest;

namespace {

constexpr std::uint64_t kRounds = 20;

std::uint64_t value(int rank, std::uint64_t round, std::size_t place, std::size_t word) {
    return ((static_cast<std::uint64_t>(rank) * 1000 + round) * kPlaces + place) * kWords + word + 1;
}

} // namespace

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank = 0, ranks = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    CHECK(argc == 2 && ranks >= 2);
    char why[300] = "";
    if (norma_attach(std::atoi(argv[1]), rank % 2, 20'000, why, sizeof why) != KERN_SUCCESS) {
        std::fprintf(stderr, "rank %d: %s\n", rank, why);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    CHECK(norma_node() == rank % 2);
    Board *board = open_board(false);
    const int from = (rank + ranks - 1) % ranks;
    const auto places_of = [ranks](int who, auto visit) { // the first eight are for the tasks of the job
        for (auto place = 8 + static_cast<std::size_t>(who); place < kPlaces;
             place += static_cast<std::size_t>(ranks)) {
            visit(place);
        }
    };
    for (std::uint64_t round = 0; round < kRounds; ++round) {
        places_of(rank, [&](std::size_t place) {
            for (std::size_t word = 2; word < kWords; ++word) { // the first two are between the job and its guests
                board->places[place][word] = value(rank, round, place, word);
            }
        });
        MPI_Barrier(MPI_COMM_WORLD);
        places_of(from, [&](std::size_t place) {
            for (std::size_t word = 2; word < kWords; ++word) {
                CHECK(board->places[place][word] == value(from, round, place, word));
            }
        });
        CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(board->mutex));
        ++board->guarded;
        CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(board->mutex));
        MPI_Barrier(MPI_COMM_WORLD);
    }
    const auto own = static_cast<std::size_t>(rank);
    board->places[own][0] = 100 + own; // a task of the job answers
    while (board->places[own][1] == 0) {
        ::usleep(1000);
    }
    std::uint64_t right = board->places[own][1] == (100 + own) * 3 + 1 ? 1 : 0, all = 0;
    MPI_Allreduce(&right, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    CHECK(all == static_cast<std::uint64_t>(ranks));
    if (rank == 0) {
        CHECK(board->guarded == kRounds * static_cast<std::uint64_t>(ranks));
        std::printf("ranks: %d\n", ranks);
        board->stop = 1;
    }
    MPI_Finalize();
    return 0;
}

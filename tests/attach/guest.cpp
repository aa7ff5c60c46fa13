// SPDX-License-Identifier: BSD-3-Clause
// A process that norma does not start: guest JOB NODE WHAT. It attaches itself and does one of the things below.
#include "tests/attach/board.hpp"

#include <csetjmp>
#include <csignal>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <norma/clone.h>

using namespace attachtest;

namespace {

int job, node;

void say(const char *what) {
    std::printf("%s\n", what);
    std::fflush(stdout);
}

// "STATUS: why".
int try_to_attach(int timeout_ms = 0) {
    char why[300] = "";
    const auto status = norma_attach(job, node, timeout_ms, why, sizeof why);
    if (status != KERN_SUCCESS) {
        std::printf("%d: %s\n", status, why);
        std::fflush(stdout);
    }
    CHECK((status == KERN_SUCCESS) == (why[0] == '\0'));
    CHECK(norma_in_job() == (status == KERN_SUCCESS || norma_node() >= 0 ? 1 : 0));
    return status;
}

void attach() {
    if (try_to_attach(20'000) != KERN_SUCCESS) {
        std::exit(1);
    }
}

void register_as(const char *name) {
    CHECK_KERN(KERN_SUCCESS, bootstrap_register(bootstrap(), name, mach_task_self()));
}

void write_word(void *where) {
    static_cast<std::atomic<std::uint64_t> *>(where)->store(77);
}

// What a task can do: memory of its own and of others, a thread, a lock, questions to the tasks of all nodes.
int meets() {
    CHECK(mach_task_self() == TASK_NULL && norma_node() == -1);
    attach();
    CHECK(norma_node() == node && norma_node_count() == 2 && mach_task_self() != TASK_NULL);
    CHECK(norma_getpid() != 0);
    Board *board = open_board(false);
    for (int i = 0; i < 100; ++i) {
        CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(board->mutex));
        ++board->guarded;
        CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(board->mutex));
    }
    const auto first = board->guests.fetch_add(1) * 8;
    for (auto i = first; i < first + 8; ++i) {
        board->places[i][0] = i + 5;
    }
    for (auto i = first; i < first + 8; ++i) {
        while (board->places[i][1] == 0) {
            ::usleep(1000);
        }
        CHECK(board->places[i][1] == (i + 5) * 3 + 1);
    }
    vm_address_t own = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(mach_task_self(), &own, 4096, TRUE));
    thread_act_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS,
               norma_thread_start(mach_task_self(), write_word, reinterpret_cast<void *>(own), 0, &thread));
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, -1));
    CHECK(*reinterpret_cast<std::uint64_t *>(own) == 77);
    std::thread([board] { // one that norma has not made
        CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(board->mutex));
        CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(board->mutex));
    })
        .join();
    task_basic_info_data_t info{};
    mach_msg_type_number_t count = TASK_BASIC_INFO_COUNT;
    CHECK_KERN(KERN_SUCCESS,
               task_info(mach_task_self(), TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count));
    CHECK(info.resident_size > 0);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), own, 4096));
    say("met");
    return 0;
}

int child_of_clone(void *) {
    return 0;
}

// What it cannot be used for, and being attached twice.
int is_refused() {
    attach();
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_clone(mach_task_self(), TRUE, 0, &child));
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_create(mach_task_self(), FALSE, 1, &child));
    CHECK_KERN(KERN_NOT_SUPPORTED, task_create(mach_task_self(), nullptr, 0, FALSE, &child));
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_teleport(mach_task_self(), TRUE, 1 - norma_node(), &child));
    CHECK_KERN(KERN_NOT_SUPPORTED, norma_task_migrate(mach_task_self(), 1 - norma_node(), 0));
    CHECK_KERN(KERN_NOT_SUPPORTED, task_suspend(mach_task_self()));
    vm_address_t stack = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(mach_task_self(), &stack, 65536, TRUE));
    CHECK(norma_clone(child_of_clone, reinterpret_cast<void *>(stack + 65536), CLONE_VM, nullptr) == -1);
    CHECK(errno == ENOTSUP);
    CHECK(try_to_attach() == KERN_INVALID_TASK);
    CHECK(norma_in_job() == 1);
    // A child of fork(2) that ends is not the end of the task.
    const pid_t pid = ::fork();
    if (pid == 0) {
        std::exit(3);
    }
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), stack, 65536));
    say("refused");
    return 0;
}

// Something else is where the window has to be; once it is gone, it works.
int in_the_way() {
    void *const where = reinterpret_cast<void *>(0x200000000000 + (std::uint64_t{1} << 30));
    void *const other = ::mmap(where, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(other == where);
    CHECK(try_to_attach() == KERN_NO_SPACE);
    CHECK(::munmap(other, 4096) == 0);
    attach();
    CHECK(open_board(false)->mutex != 0);
    say("no more in the way");
    return 0;
}

int holds() {
    attach();
    Board *board = open_board(false);
    CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(board->mutex));
    say("held");
    for (;;) {
        ::pause();
    }
}

int finds_lock_of_dead() {
    attach();
    Board *board = open_board(false);
    CHECK_KERN(KERN_TERMINATED, norma_mutex_lock(board->mutex));
    CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(board->mutex));
    say("found");
    return 0;
}

int waits_for(const char *name) {
    attach();
    register_as(name);
    Board *board = open_board(false);
    say("waits");
    while (board->guests < 100) {
        ::usleep(1000);
    }
    return 7;
}

sigjmp_buf after_fault;
void on_bus_error(int) {
    siglongjmp(after_fault, 1);
}

// One thread waits in a call, one touches memory, when the job ends.
int outlives() {
    attach();
    Board *board = open_board(false);
    struct sigaction action {};
    action.sa_handler = on_bus_error;
    CHECK(::sigaction(SIGBUS, &action, nullptr) == 0);
    std::thread waiting([never = board->never] { CHECK_KERN(KERN_NODE_DOWN, norma_semaphore_wait(never, -1)); });
    say("waits");
    if (sigsetjmp(after_fault, 1) == 0) {
        for (std::uint64_t i = 0;; ++i) {
            board->places[i % kPlaces][2] = i;
        }
    }
    waiting.join();
    // The memory may have been lost with the other node, before this one ends.
    vm_address_t address = 0;
    kern_return_t status = KERN_SUCCESS;
    while (status == KERN_SUCCESS) {
        ::usleep(1000);
        status = vm_allocate(mach_task_self(), &address, 4096, TRUE);
    }
    CHECK_KERN(KERN_NODE_DOWN, status);
    std::thread([] {
        vm_address_t own = 0;
        CHECK_KERN(KERN_NODE_DOWN, vm_allocate(mach_task_self(), &own, 4096, TRUE));
    }).join();
    CHECK(try_to_attach() == KERN_INVALID_TASK);
    say("outlived");
    return 5;
}

int stops() {
    attach();
    open_board(false)->stop = 1;
    say("stopped");
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc >= 4);
    job = std::atoi(argv[1]);
    node = std::atoi(argv[2]);
    const std::string what = argv[3];
    if (what == "tries") {
        return try_to_attach() == KERN_SUCCESS ? 0 : 1;
    }
    return what == "meets"                ? meets()
           : what == "is_refused"         ? is_refused()
           : what == "in_the_way"         ? in_the_way()
           : what == "holds"              ? holds()
           : what == "finds_lock_of_dead" ? finds_lock_of_dead()
           : what == "waits_for"          ? waits_for(argv[4])
           : what == "outlives"           ? outlives()
           : what == "stops"              ? stops()
                                          : 2;
}

// SPDX-License-Identifier: BSD-3-Clause
// Jobs of which nodes leave while they run. Tasks on three nodes use together what was made on a node that leaves; the
// harness takes it out of the job.
#include "tests/clone/child.hpp"
#include "tests/migration/moving.hpp"
#include "tests/system/ports.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <unistd.h>

namespace {

using namespace moving;

constexpr int kMembers = 3, kNames = 6, kChildStatus = 7;
constexpr vm_size_t kPage = 4096;
constexpr int kPatienceMs = 10'000; // with a member that may have died with its node
using Word = std::atomic<std::uint32_t>;

// ---- what is made on the node that leaves ----
norma_sync_t lock, barrier, units, condition, at_the_end;
std::atomic<Word *> word; // at its address in the task that has made it
std::atomic<int> child;   // a process

// ---- in the variables of all ----
long guarded, arrived, generation;
std::atomic<long> last_round, added, ended_waits;
std::atomic<int> made, begun; // what has begun can move

std::atomic<long> *memory_called(int number) {
    vm_size_t size = kPage;
    memory_object_t object = MACH_PORT_NULL;
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, norma_object_open(("memory " + std::to_string(number)).c_str(), &size, &object));
    CHECK_KERN(KERN_SUCCESS, vm_map(self(), &address, size, 0, TRUE, object, 0, FALSE, VM_PROT_DEFAULT, VM_PROT_ALL,
                                    VM_INHERIT_NONE));
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self(), object));
    return &systest::word(address);
}

void meet_at_a_condition() {
    CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(lock));
    const auto before = generation;
    if (++arrived == kMembers) {
        arrived = 0;
        ++generation;
        CHECK_KERN(KERN_SUCCESS, norma_cond_broadcast(condition));
    }
    while (generation == before) {
        CHECK_KERN(KERN_SUCCESS, norma_cond_wait(condition, lock, kPatienceMs));
    }
    CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(lock));
}

void meet_at_a_word(Word &turn, long round, int who) {
    const auto now = static_cast<std::uint32_t>(round);
    auto *value = reinterpret_cast<std::uint32_t *>(&turn);
    if (round % kMembers == who) {
        turn = now + 1;
        CHECK_KERN(KERN_SUCCESS, norma_wake(value, kMembers));
        return;
    }
    while (turn == now) {
        const auto status = norma_wait(value, now, kPatienceMs);
        CHECK(status == KERN_SUCCESS || status == KERN_INVALID_VALUE);
    }
}

void go_round(int who, Word &turn) {
    std::array<std::atomic<long> *, kNames> named{};
    for (int number = 0; number < kNames; ++number) {
        named.at(number) = memory_called(number);
    }
    for (long round = 0; round < last_round; ++round) {
        CHECK_KERN(KERN_SUCCESS, norma_mutex_lock(lock));
        ++guarded;
        CHECK_KERN(KERN_SUCCESS, norma_mutex_unlock(lock));
        CHECK_KERN(KERN_SUCCESS, norma_barrier_wait(barrier, nullptr));
        CHECK_KERN(KERN_SUCCESS, norma_semaphore_post(units));
        CHECK_KERN(KERN_SUCCESS, norma_semaphore_wait(units, kPatienceMs));
        meet_at_a_word(turn, round, who);
        meet_at_a_condition();
        for (auto *counter : named) {
            ++*counter;
        }
        ++added;
    }
}

// In the task on the node that leaves.
void make_everything() {
    CHECK_KERN(KERN_SUCCESS, norma_mutex_create(&lock));
    CHECK_KERN(KERN_SUCCESS, norma_barrier_create(kMembers, &barrier));
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &units));
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_create(0, &at_the_end));
    CHECK_KERN(KERN_SUCCESS, norma_cond_create(&condition));
    child = clonetest::child(norma::this_node(), CLONE_VM | SIGCHLD, [] {
        ++begun;
        until_over();
        return kChildStatus;
    });
    made = 1;
}

void start(void (*body)(void *), const void *argument) {
    thread_act_t thread = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), body, const_cast<void *>(argument), 0, &thread));
}

// Words: the node where all is made; a file that is there when the nodes have left; which they are.
SYSTEM_CASE(everything_goes_on) {
    const auto where = static_cast<int>(systest::number(args, 0, 1));
    last_round = 1L << 40;
    over = false;
    auto maker = systest::spawn(where, [] {
        auto turn = vm_address_t{0};
        CHECK_KERN(KERN_SUCCESS, vm_allocate(self(), &turn, kPage, TRUE));
        word = reinterpret_cast<Word *>(turn);
        make_everything();
        go_round(1, *word);
        CHECK_EQ(clonetest::exited(kChildStatus), clonetest::end_of(child));
    });
    CHECK_SOON(made == 1);
    vm_prot_t now = 0, most = 0;
    vm_address_t turn = 0;
    CHECK_KERN(KERN_SUCCESS, vm_remap(self(), &turn, kPage, 0, TRUE, maker.port(), systest::address_of(word), FALSE,
                                      &now, &most, VM_INHERIT_SHARE));
    static Word *here;
    here = reinterpret_cast<Word *>(turn);
    auto third = systest::spawn(systest::last_node(), [] {
        ++begun;
        go_round(2, *here);
    });
    CHECK_SOON(begun == 2);
    start(
        [](void *) { // waits all the time
            CHECK_KERN(KERN_SUCCESS, norma_semaphore_wait(at_the_end, -1));
            ++ended_waits;
        },
        nullptr);
    static task_t waited_for;
    waited_for = maker.port();
    start(
        [](void *) {
            CHECK_KERN(KERN_SUCCESS, norma_task_wait(waited_for, -1, nullptr));
            ++ended_waits;
        },
        nullptr);
    std::printf("begun\n");
    std::fflush(stdout);
    static std::string file;
    file = args[1];
    start(
        [](void *) {
            while (::access(file.c_str(), F_OK) != 0) {
                rest(5ms);
            }
            for (const auto enough = added + 60; added < enough;) { // without the nodes
                rest(1ms);
            }
            last_round = added / kMembers + 5; // nobody is so far
            over = true;
        },
        nullptr);
    go_round(0, *here);
    JOIN(maker);
    JOIN(third);
    CHECK_KERN(KERN_SUCCESS, norma_semaphore_post(at_the_end));
    CHECK_SOON(ended_waits == 2);
    CHECK_EQ(added.load(), guarded);
    CHECK_EQ(last_round * kMembers, guarded);
    for (int number = 0; number < kNames; ++number) {
        CHECK_EQ(guarded, memory_called(number)->load());
        CHECK_KERN(KERN_SUCCESS, norma_object_remove(("memory " + std::to_string(number)).c_str()));
    }
    for (std::size_t i = 2; i < args.size(); ++i) {
        task_t nobody = MACH_PORT_NULL;
        CHECK_KERN(KERN_NODE_DOWN,
                   norma_task_create(self(), FALSE, static_cast<int>(systest::number(args, i, 0)), &nobody));
    }
    return 0;
}

// Words: a file that is there when node 1 has left. A table of directories was made there, by a task that has ended,
// and a new task joins those that share it.
SYSTEM_CASE(directories_go_on) {
    static std::string file;
    file = args[0];
    begun = 0;
    over = false;
    const int maker = clonetest::child(1, CLONE_VM | SIGCHLD, [] {
        clonetest::child(systest::last_node(), CLONE_VM | CLONE_FS | SIGCHLD, [] {
            ++begun;
            CHECK_SOON(::access(file.c_str(), F_OK) == 0);
            const int another = clonetest::child(0, CLONE_VM | CLONE_FS | SIGCHLD, [] { return ::chdir("/"); });
            CHECK_EQ(clonetest::exited(0), clonetest::end_of(another));
            std::array<char, 100> where{};
            CHECK(::getcwd(where.data(), where.size()) != nullptr);
            CHECK_EQ(std::string("/"), where.data());
            over = true;
            return 0;
        });
        return 0;
    });
    CHECK_SOON(begun == 1);
    CHECK_EQ(clonetest::exited(0), clonetest::end_of(maker));
    std::printf("begun\n");
    std::fflush(stdout);
    CHECK_SOON(over.load());
    return 0;
}

// ---- ports that are made on the node that leaves ----

constexpr mach_msg_timeout_t kLong = 60'000;
constexpr std::uint64_t kQueue = MACH_PORT_QLIMIT_DEFAULT;
constexpr int kSpecial = NORMA_MAX_SPECIAL_PORT;
constexpr long kWritten = 4711;

// As the task calls them that has made them.
struct Made {
    mach_port_t inbox, full, far, watched, dying, told;
} ports;
mach_port_t far_here, full_here;
std::atomic<int> late; // what has waited and ended well

struct WithMemory {
    mach_msg_header_t head;
    mach_msg_body_t body;
    mach_msg_ool_descriptor_t memory;
    mach_msg_trailer_t trailer;
};

mach_port_t right_from(const norma::task &task, mach_port_t name, unsigned disposition) {
    mach_port_t here = MACH_PORT_NULL;
    mach_msg_type_name_t type = 0;
    CHECK_KERN(KERN_SUCCESS, mach_port_extract_right(task.port(), name, disposition, &here, &type));
    return here;
}

void send_memory(mach_port_t to) {
    vm_address_t page = 0;
    CHECK_KERN(KERN_SUCCESS, vm_allocate(self(), &page, kPage, TRUE));
    systest::word(page) = kWritten;
    WithMemory message{};
    message.head.msgh_bits = MACH_MSGH_BITS(unsigned{MACH_MSG_TYPE_COPY_SEND}, 0) | MACH_MSGH_BITS_COMPLEX;
    message.head.msgh_remote_port = to;
    message.body.msgh_descriptor_count = 1;
    message.memory.address = reinterpret_cast<void *>(page);
    message.memory.size = kPage;
    message.memory.copy = MACH_MSG_VIRTUAL_COPY;
    message.memory.type = MACH_MSG_OOL_DESCRIPTOR;
    CHECK_KERN(MACH_MSG_SUCCESS, mach_msg(&message.head, MACH_SEND_MSG, systest::size_of<WithMemory>(), 0,
                                          MACH_PORT_NULL, 0, MACH_PORT_NULL));
    systest::word(page) = 0; // the message has a copy
}

void check_memory_from(mach_port_t from) {
    WithMemory message{};
    CHECK_KERN(MACH_MSG_SUCCESS, systest::receive(from, message, kLong));
    CHECK_EQ(kPage, vm_size_t{message.memory.size});
    CHECK_EQ(kWritten, systest::word(reinterpret_cast<vm_address_t>(message.memory.address)).load());
}

void make_ports() {
    ports = {.inbox = systest::make_port(),
             .full = systest::make_port(),
             .far = systest::make_port_to_send(),
             .watched = systest::make_port(),
             .dying = systest::make_port(),
             .told = systest::make_port()};
    CHECK_KERN(KERN_SUCCESS, norma_set_special_port(mach_host_self(), kSpecial, ports.far));
    systest::ask(ports.watched, MACH_NOTIFY_NO_SENDERS, ports.told, 1); // when there has been one
    made = 1;
}

void use_what_was_made() {
    CHECK_EQ(1U, systest::number_from(ports.inbox));
    const auto theirs = systest::port_from(ports.inbox);
    CHECK_KERN(MACH_MSG_SUCCESS, systest::send(theirs, 2));
    check_memory_from(ports.inbox);
    for (std::uint64_t i = 0; i <= kQueue; ++i) {
        CHECK_EQ(i, systest::number_from(ports.full));
    }
    CHECK_KERN(MACH_MSG_SUCCESS, systest::send(ports.far, 3));
    systest::expect_no_senders(ports.told, 1);
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self(), ports.dying, MACH_PORT_RIGHT_RECEIVE, -1));
}

// Words: a file that is there when the nodes have left.
SYSTEM_CASE(ports_go_on) {
    over = false;
    auto maker = systest::spawn(1, [] {
        make_ports();
        until_over();
        use_what_was_made();
    });
    CHECK_SOON(made == 1);
    const auto inbox = right_from(maker, ports.inbox, MACH_MSG_TYPE_MAKE_SEND);
    const auto watched = right_from(maker, ports.watched, MACH_MSG_TYPE_MAKE_SEND);
    const auto dying = right_from(maker, ports.dying, MACH_MSG_TYPE_MAKE_SEND);
    full_here = right_from(maker, ports.full, MACH_MSG_TYPE_MAKE_SEND);
    far_here = right_from(maker, ports.far, MACH_MSG_TYPE_MOVE_RECEIVE);
    const auto mine = systest::make_port(), told = systest::make_port();
    systest::ask(dying, MACH_NOTIFY_DEAD_NAME, told);
    CHECK_KERN(MACH_MSG_SUCCESS, systest::send(inbox, 1));
    CHECK_KERN(MACH_MSG_SUCCESS, systest::send_port(inbox, mine, MACH_MSG_TYPE_MAKE_SEND));
    send_memory(inbox);
    for (std::uint64_t i = 0; i < kQueue; ++i) {
        CHECK_KERN(MACH_MSG_SUCCESS, systest::send(full_here, i));
    }
    start(
        [](void *) { // there is no room
            CHECK_KERN(MACH_MSG_SUCCESS, systest::send(full_here, kQueue, MACH_MSG_TYPE_COPY_SEND, kLong));
            ++late;
        },
        nullptr);
    start(
        [](void *) { // there is no message; then there are two, one by way of the special port
            systest::Plain message{};
            CHECK_KERN(MACH_MSG_SUCCESS, systest::receive(far_here, message, kLong));
            CHECK_EQ(4U, message.number);
            CHECK_EQ(3U, systest::number_from(far_here));
            ++late;
        },
        nullptr);
    rest(20ms);
    std::printf("begun\n");
    std::fflush(stdout);
    while (::access(args[0], F_OK) != 0) {
        rest(5ms);
    }
    CHECK_EQ(0, late.load());
    mach_port_t special = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_get_special_port(mach_host_self(), 1, kSpecial, &special));
    CHECK_EQ(far_here, special);
    CHECK_KERN(MACH_MSG_SUCCESS, systest::send(special, 4));
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self(), watched));
    over = true;
    CHECK_EQ(2U, systest::number_from(mine));
    systest::expect_dead_name(told, dying);
    JOIN(maker);
    CHECK_SOON(late == 2);
    return 0;
}

// Words: a file that is there when it has been tried. A copy, whose home is node 1, keeps that in the job.
SYSTEM_CASE(something_stays) {
    begun = 0;
    over = false;
    auto keeper = systest::spawn(1, [] {
        vm_address_t copied = 0;
        task_t heir = MACH_PORT_NULL;
        CHECK_KERN(KERN_SUCCESS, vm_allocate(self(), &copied, kPage, TRUE));
        systest::word(copied) = 5;
        CHECK_KERN(KERN_SUCCESS, norma_task_create(self(), TRUE, 0, &heir));
        ++begun;
        until_over();
        CHECK_KERN(KERN_SUCCESS, task_terminate(heir));
        CHECK(systest::word(copied) == 5);
    });
    CHECK_SOON(begun == 1);
    std::printf("begun\n");
    std::fflush(stdout);
    CHECK_SOON(::access(args[0], F_OK) == 0);
    auto another = systest::spawn(1, [] {}); // as before
    JOIN(another);
    over = true;
    JOIN(keeper);
    return 0;
}

} // namespace

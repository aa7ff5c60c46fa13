// SPDX-License-Identifier: BSD-3-Clause
// Exceptions that somebody meddles with while they are pending, in the middle of a call, and when nodes die.
#include "tests/system/exceptions.hpp"

#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace systest;

constexpr std::size_t kPage = 4096;
constexpr vm_address_t kNowhere = kWindow + kWindowSize - kPage;

thread_t start_victim(task_t task, Victim *victim) {
    victim->signal = SIGSEGV;
    victim->address = kNowhere;
    victim->survived = 0;
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, fault, victim, 0, &thread));
    return thread;
}

// Every way in which the wait may end otherwise than by a reply; a late reply goes to nobody.
SYSTEM_CASE(exceptions_broken_off) {
    struct Memory {
        Victim victim;
        std::byte good;
    };
    auto *memory = shared<Memory>();
    const auto port = make_port_to_send();
    auto child = child_with(other_node(), port);
    tell(child.port(), port);

    auto thread = start_victim(child.port(), &memory->victim); // thread_abort: it does again what it did
    auto told = raised(port);
    CHECK_KERN(KERN_SUCCESS, thread_abort(thread));
    told = raised(port);
    auto state = state_of(thread); // and elsewhere, if that was set
    state.rax = address_of(&memory->good);
    set_state(thread, state);
    CHECK_KERN(KERN_SUCCESS, thread_abort(thread));
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 20'000));
    CHECK_EQ(1L, memory->victim.survived.load());

    thread = start_victim(child.port(), &memory->victim); // suspended meanwhile: goes on when it is resumed
    told = raised(port);
    CHECK_KERN(KERN_SUCCESS, task_suspend(child.port()));
    CHECK_KERN(KERN_SUCCESS, thread_suspend(thread));
    state = state_of(thread);
    CHECK_EQ(kNowhere, state.rax);
    state.rax = address_of(&memory->good);
    set_state(thread, state);
    answer(told.Head, KERN_SUCCESS);
    CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
    CHECK_EQ(0L, memory->victim.survived.load());
    CHECK_KERN(KERN_SUCCESS, task_resume(child.port()));
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 20'000));
    CHECK_EQ(1L, memory->victim.survived.load());

    thread = start_victim(child.port(), &memory->victim); // ended
    told = raised(port);
    CHECK_KERN(KERN_SUCCESS, thread_terminate(thread));
    CHECK_SOON(type_of(told.Head.msgh_remote_port) == MACH_PORT_TYPE_DEAD_NAME);

    start_victim(child.port(), &memory->victim); // the task is teleported: the thread stays behind
    told = raised(port);
    child.teleport_to(0);
    CHECK_SOON(type_of(told.Head.msgh_remote_port) == MACH_PORT_TYPE_DEAD_NAME);

    start_victim(child.port(), &memory->victim); // and is told of there; then its task is ended
    told = raised(port);
    CHECK_EQ(child.port(), told.task.name);
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.port()));
    CHECK_EQ(0, END_OF(child.release()));
    CHECK_SOON(type_of(told.Head.msgh_remote_port) == MACH_PORT_TYPE_DEAD_NAME);
    CHECK_EQ(0L, memory->victim.survived.load());
    return 0;
}

struct Reader {
    mach_port_t port;
    Plain *page;
    std::atomic<long> got;
};

void read_letter(void *reader) {
    auto *it = static_cast<Reader *>(reader);
    CHECK_KERN(MACH_MSG_SUCCESS, receive(it->port, *it->page));
    it->got = static_cast<long>(it->page->number);
}

// A message that is received into memory which is closed: what the call has in hand is whole when it goes on.
SYSTEM_CASE(exceptions_in_calls) {
    const auto port = make_port_to_send(), letters = make_port_to_send();
    auto *page = reinterpret_cast<Plain *>(shared_bytes(kPage));
    auto *it = shared<Reader>();
    it->port = letters;
    it->page = page;
    tell(self(), port);
    CHECK_KERN(KERN_SUCCESS, vm_protect(self(), address_of(page), kPage, FALSE, VM_PROT_READ));
    thread_t reader = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), read_letter, it, 0, &reader));
    CHECK_KERN(MACH_MSG_SUCCESS, send(letters, 4711));
    const auto told = raised(port);
    CHECK_EQ(KERN_PROTECTION_FAILURE, told.code[0]);
    CHECK_KERN(KERN_SUCCESS, vm_protect(self(), address_of(page), kPage, FALSE, VM_PROT_DEFAULT));
    answer(told.Head, KERN_SUCCESS);
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(reader, 20'000));
    CHECK_EQ(4711L, it->got.load());
    return 0;
}

volatile std::sig_atomic_t seen;

void see(int signal) {
    seen = signal;
    _exit(7);
}

// A program that has had its own way with a signal before still has it when nobody else helps; a signal that somebody
// sends is no exception.
SYSTEM_CASE(exceptions_and_signals) {
    const auto port = make_port_to_send();
    auto *victim = shared<Victim>();
    auto *set = shared<std::atomic<long>>();
    auto child = child_with(other_node(), port);
    child.run([set] {
        std::signal(SIGSEGV, see);
        std::signal(SIGTRAP, SIG_IGN);
        *set = 1;
        for (;;) {
            pause();
        }
    });
    CHECK_SOON(*set == 1);
    tell(child.port(), port);
    norma_thread_entry_data_t entry{[](void *) { raise(SIGTRAP); }, nullptr, 0};
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(child.port(), entry.entry, nullptr, 0, &thread));
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 20'000));
    start_victim(child.port(), victim);
    const auto told = raised(port); // which is the first that is told
    CHECK_EQ(EXC_BAD_ACCESS, int{told.exception});
    answer(told.Head, KERN_FAILURE);
    CHECK_EQ(7, WEXITSTATUS(END_OF(child.release())));
    return 0;
}

// A page that is lost with a node is told of as such; and with its node goes who could have helped.
SYSTEM_CASE(exceptions_and_node_deaths) {
    struct Memory {
        Victim first, second;
        std::atomic<long> heard;
    };
    const auto port = make_port_to_send(), remote = make_port_to_send();
    auto *memory = shared<Memory>();
    auto *page = shared_bytes(kPage);
    auto writer = spawn(1, [page] { page[0] = std::byte{1}; });
    JOIN(writer);
    auto handler = norma::clone_to(1);
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(handler.port(), port, port, MACH_MSG_TYPE_MAKE_SEND));
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(handler.port(), remote, remote, MACH_MSG_TYPE_MOVE_RECEIVE));
    auto doomed = norma::clone_to(0);
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(doomed.port(), remote, remote, MACH_MSG_TYPE_COPY_SEND));
    tell(doomed.port(), remote);
    start_victim(doomed.port(), &memory->first);
    handler.run([memory, remote] {
        raised(remote);
        memory->heard = 1;
        for (;;) {
            pause();
        }
    });
    CHECK_SOON(memory->heard == 1);
    memory->heard = 2; // so that this page, too, is here
    memory->second.survived = memory->first.survived.load();
    kill_node(1);
    const int status = END_OF(doomed.release());
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(SIGSEGV, WTERMSIG(status));

    tell(self(), port);
    memory->second.signal = SIGBUS;
    memory->second.address = address_of(page);
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(self(), fault, &memory->second, 0, &thread));
    const auto told = raised(port);
    CHECK_EQ(EXC_BAD_ACCESS, int{told.exception});
    CHECK_EQ(KERN_MEMORY_FAILURE, told.code[0]);
    CHECK_EQ(static_cast<std::int64_t>(address_of(page)), std::int64_t{told.code[1]});
    CHECK_KERN(KERN_SUCCESS, thread_terminate(thread));
    return 0;
}

} // namespace

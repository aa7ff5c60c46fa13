// SPDX-License-Identifier: BSD-3-Clause
// What a fault becomes: who is told, what is told, and how the thread goes on.
#include "tests/system/exceptions.hpp"

#include <chrono>
#include <sys/wait.h>
#include <thread>

namespace systest {

void fault(void *victim) {
    auto *it = static_cast<Victim *>(victim);
    it->ready = 1;
    switch (it->signal) {
    case SIGFPE:
        asm volatile("xor %%edx, %%edx\n mov $6, %%eax\n xor %%ecx, %%ecx\n div %%ecx" ::: "eax", "ecx", "edx", "cc");
        break;
    case SIGILL:
        asm volatile("ud2");
        break;
    case SIGTRAP:
        asm volatile("int3");
        break;
    default:
        asm volatile("movb $1, (%%rax)" ::"a"(it->address) : "memory");
    }
    it->survived = 1;
}

} // namespace systest

namespace {

using namespace systest;

constexpr std::size_t kPage = 4096;
constexpr vm_address_t kNowhere = kWindow + kWindowSize - kPage; // of the window, and nobody's

thread_t start_victim(task_t task, Victim *victim, int signal, vm_address_t address = kNowhere) {
    victim->signal = signal;
    victim->address = address;
    victim->ready = victim->survived = 0;
    thread_t thread = THREAD_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, fault, victim, 0, &thread));
    return thread;
}

// Makes of the state at a fault one that the thread can go on with.
x86_thread_state64_t mended(x86_thread_state64_t state, int signal, vm_address_t good) {
    state.rax = signal == SIGSEGV || signal == SIGBUS ? good : state.rax;
    state.rcx = signal == SIGFPE ? 2 : state.rcx;
    state.rip += signal == SIGILL ? 2 : 0;
    return state;
}

void check_codes(const norma_exception_raise_t &told, int type, std::int64_t code, std::int64_t place) {
    CHECK_EQ(type, told.exception);
    CHECK_EQ(code, std::int64_t{told.code[0]});
    CHECK_EQ(place, std::int64_t{told.code[1]});
}

struct Kind {
    int signal;
    vm_address_t address;
    int type;
    std::int64_t code;
};

// Each kind, in a task of this node or another one: told to this thread, which mends it through the thread's port.
void check_kinds(task_t task, mach_port_t port, Victim *victim, std::byte *good) {
    const auto *closed = good + kPage;
    CHECK_KERN(KERN_SUCCESS, vm_protect(task, address_of(closed), kPage, FALSE, VM_PROT_READ));
    for (const auto &kind :
         {Kind{SIGSEGV, kNowhere, EXC_BAD_ACCESS, KERN_INVALID_ADDRESS},
          Kind{SIGSEGV, 64, EXC_BAD_ACCESS, KERN_INVALID_ADDRESS},
          Kind{SIGSEGV, address_of(closed), EXC_BAD_ACCESS, KERN_PROTECTION_FAILURE},
          Kind{SIGFPE, 0, EXC_ARITHMETIC, EXC_I386_DIV}, Kind{SIGILL, 0, EXC_BAD_INSTRUCTION, EXC_I386_INVOP},
          Kind{SIGTRAP, 0, EXC_BREAKPOINT, EXC_I386_BPT}}) {
        good[0] = std::byte{0};
        const auto thread = start_victim(task, victim, kind.signal, kind.address);
        const auto told = raised(port);
        CHECK_EQ(thread, told.thread.name);
        CHECK_EQ(task, told.task.name);
        const auto state = state_of(thread);
        const auto place = kind.signal == SIGSEGV ? kind.address : state.rip;
        check_codes(told, kind.type, kind.code, static_cast<std::int64_t>(place));
        CHECK_EQ(0L, victim->survived.load());
        set_state(thread, mended(state, kind.signal, address_of(good)));
        answer(told.Head, KERN_SUCCESS);
        CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 20'000));
        CHECK_EQ(1L, victim->survived.load());
        CHECK_EQ(kind.signal == SIGSEGV ? 1 : 0, std::to_integer<int>(good[0]));
        CHECK_EQ(KERN_SUCCESS, mach_port_deallocate(self(), told.task.name));
        CHECK_EQ(KERN_SUCCESS, mach_port_deallocate(self(), told.thread.name));
    }
}

SYSTEM_CASE(exceptions_kinds) {
    const auto port = make_port_to_send();
    auto *victim = shared<Victim>();
    auto *pages = shared_bytes(2 * kPage);
    tell(self(), port);
    check_kinds(self(), port, victim, pages);
    auto child = child_with(other_node(), port);
    tell(child.port(), port);
    check_kinds(child.port(), port, victim, pages);
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    return 0;
}

// ---- states in the messages ----

template <class Request> const Request &as(const norma_exception_raise_state_identity_t &told) {
    return reinterpret_cast<const Request &>(told);
}

// `Request` is one of the two kinds with a state, and begins as every message does.
template <class Request> void check_state(mach_port_t port, Victim *victim, std::byte *good, int id) {
    const auto thread = start_victim(self(), victim, SIGSEGV);
    norma_exception_raise_state_identity_t raw{};
    CHECK_KERN(MACH_MSG_SUCCESS,
               mach_msg(&raw.Head, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof raw, port, 20'000, MACH_PORT_NULL));
    const auto &told = as<Request>(raw);
    CHECK_EQ(id, told.Head.msgh_id);
    CHECK_EQ(x86_THREAD_STATE64, int{told.flavor});
    CHECK_EQ(x86_THREAD_STATE64_COUNT, unsigned{told.old_stateCnt});
    CHECK_EQ(offsetof(Request, old_state) + sizeof(x86_thread_state64_t), std::size_t{told.Head.msgh_size});
    x86_thread_state64_t state{};
    std::memcpy(&state, told.old_state, sizeof state);
    CHECK_EQ(kNowhere, state.rax);
    CHECK_EQ(state_of(thread).rip, state.rip);
    state.rax = address_of(good);
    norma_exception_reply_state_t reply{};
    make_reply(told.Head, reply, KERN_SUCCESS);
    reply.flavor = x86_THREAD_STATE64;
    reply.new_stateCnt = x86_THREAD_STATE64_COUNT;
    std::memcpy(reply.new_state, &state, sizeof state);
    CHECK_KERN(MACH_MSG_SUCCESS,
               mach_msg(&reply.Head, MACH_SEND_MSG, offsetof(norma_exception_reply_state_t, new_state) + sizeof state,
                        0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
    CHECK_KERN(KERN_SUCCESS, norma_thread_wait(thread, 20'000));
    CHECK_EQ(1L, victim->survived.load());
}

SYSTEM_CASE(exceptions_state) {
    const auto port = make_port_to_send();
    auto *victim = shared<Victim>();
    auto *good = shared_bytes(kPage);
    tell(self(), port, EXCEPTION_STATE | MACH_EXCEPTION_CODES);
    check_state<norma_exception_raise_state_t>(port, victim, good, MACH_EXCEPTION_RAISE_STATE_ID);
    tell(self(), port, EXCEPTION_STATE_IDENTITY);
    check_state<norma_exception_raise_state_identity_t>(port, victim, good, MACH_EXCEPTION_RAISE_STATE_IDENTITY_ID);

    tell(self(), port, EXCEPTION_STATE, x86_FLOAT_STATE64); // and a reply that leaves it as it is
    start_victim(self(), victim, SIGTRAP);
    norma_exception_raise_state_t told{};
    CHECK_KERN(MACH_MSG_SUCCESS,
               mach_msg(&told.Head, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof told, port, 20'000, MACH_PORT_NULL));
    CHECK_EQ(x86_FLOAT_STATE64_COUNT, unsigned{told.old_stateCnt});
    answer(told.Head, KERN_SUCCESS);
    CHECK_SOON(victim->survived == 1);
    return 0;
}

// ---- nobody helps: the task ends as it does without exception ports ----

void expect_end_by(task_t task, int signal) {
    const int status = END_OF(task);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(signal, WTERMSIG(status));
}

SYSTEM_CASE(exceptions_refused) {
    auto *victim = shared<Victim>();
    for (const int signal : {SIGSEGV, SIGFPE, SIGILL, SIGTRAP}) {
        const auto port = make_port_to_send();
        auto child = child_with(signal == SIGFPE ? 0 : other_node(), port);
        tell(child.port(), port);
        start_victim(child.port(), victim, signal);
        answer(raised(port).Head, KERN_FAILURE);
        expect_end_by(child.release(), signal);
        CHECK_EQ(0L, victim->survived.load());
    }
    for (const auto spoil : {+[](mach_port_t, norma_exception_raise_t &told) { // a reply of another kind
                                 told.Head.msgh_id += 1;
                                 answer(told.Head, KERN_SUCCESS);
                             },
                             +[](mach_port_t, norma_exception_raise_t &told) { // nobody can reply any more
                                 CHECK_KERN(KERN_SUCCESS, mach_port_destroy(self(), told.Head.msgh_remote_port));
                             }}) {
        const auto port = make_port_to_send();
        auto child = child_with(other_node(), port);
        tell(child.port(), port);
        start_victim(child.port(), victim, SIGSEGV);
        auto told = raised(port);
        spoil(port, told);
        expect_end_by(child.release(), SIGSEGV);
    }
    const auto port = make_port_to_send(); // it dies with the message in its queue
    auto child = child_with(other_node(), port);
    tell(child.port(), port);
    start_victim(child.port(), victim, SIGSEGV);
    CHECK_SOON(victim->ready == 1);
    CHECK_KERN(KERN_SUCCESS, mach_port_destroy(self(), port));
    expect_end_by(child.release(), SIGSEGV);
    return 0;
}

// The task that has received the message ends before it has replied.
SYSTEM_CASE(exceptions_handler_ends) {
    struct Both {
        Victim victim;
        std::atomic<long> heard;
    };
    auto *both = shared<Both>();
    const auto port = make_port_to_send();
    auto victim = child_with(0, port);
    tell(victim.port(), port);
    auto handler = norma::clone_to(other_node());
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(handler.port(), port, port, MACH_MSG_TYPE_MOVE_RECEIVE));
    handler.run([both, port] {
        raised(port);
        both->heard = 1;
        for (;;) {
            std::this_thread::sleep_for(std::chrono::seconds(1));
        }
    });
    start_victim(victim.port(), &both->victim, SIGSEGV);
    CHECK_SOON(both->heard == 1);
    CHECK_KERN(KERN_SUCCESS, task_terminate(handler.release()));
    expect_end_by(victim.release(), SIGSEGV);
    return 0;
}

// ---- who is asked, and in which order ----

SYSTEM_CASE(exceptions_order) {
    const auto first = make_port_to_send(), second = make_port_to_send();
    auto *victim = shared<Victim>();
    tell(self(), second);
    for (const auto status : {KERN_SUCCESS, KERN_FAILURE}) {
        victim->signal = SIGTRAP;
        victim->survived = 0;
        norma_thread_entry_data_t entry{fault, victim, 0};
        thread_t thread = THREAD_NULL;
        CHECK_KERN(KERN_SUCCESS, thread_create(self(), &thread));
        tell_of_thread(thread, first); // before it runs
        CHECK_KERN(KERN_SUCCESS, thread_set_state(thread, NORMA_THREAD_ENTRY, reinterpret_cast<thread_state_t>(&entry),
                                                  NORMA_THREAD_ENTRY_COUNT));
        CHECK_KERN(KERN_SUCCESS, thread_resume(thread));
        answer(raised(first).Head, status);
        if (status != KERN_SUCCESS) {
            answer(raised(second).Head, KERN_SUCCESS);
        }
        CHECK_SOON(victim->survived == 1);
        expect_silence(second);
    }
    return 0;
}

// Whichever call makes a child, and wherever: its faults come to its parent's port.
SYSTEM_CASE(exceptions_inherited) {
    const auto port = make_port_to_send();
    auto *victim = shared<Victim>();
    CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), address_of(victim), sizeof *victim, VM_INHERIT_SHARE));
    tell(self(), port);
    task_t children[4]{};
    CHECK_KERN(KERN_SUCCESS, task_create(self(), nullptr, 0, TRUE, &children[0]));
    CHECK_KERN(KERN_SUCCESS, norma_task_create(self(), TRUE, other_node(), &children[1]));
    CHECK_KERN(KERN_SUCCESS, norma_task_clone(self(), TRUE, other_node(), &children[2]));
    auto mover = norma::clone_to(0);
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mover.release(), TRUE, other_node(), &children[3]));
    for (const auto child : children) {
        start_victim(child, victim, SIGTRAP);
        const auto told = raised(port);
        CHECK_EQ(child, told.task.name);
        answer(told.Head, KERN_SUCCESS);
        CHECK_SOON(victim->survived == 1);
        CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    }
    return 0;
}

// ---- setting and telling ----

struct Table {
    exception_mask_t masks[EXC_TYPES_COUNT]{};
    mach_port_t ports[EXC_TYPES_COUNT]{};
    exception_behavior_t behaviors[EXC_TYPES_COUNT]{};
    thread_state_flavor_t flavors[EXC_TYPES_COUNT]{};
    mach_msg_type_number_t count = EXC_TYPES_COUNT;
};

Table table_of(task_t task, exception_mask_t mask = EXC_MASK_ALL) {
    Table table;
    CHECK_KERN(KERN_SUCCESS, task_get_exception_ports(task, mask, table.masks, &table.count, table.ports,
                                                      table.behaviors, table.flavors));
    return table;
}

void check_entry(const Table &table, unsigned at, exception_mask_t mask, mach_port_t port,
                 exception_behavior_t behavior = 0, int flavor = 0) {
    CHECK(at < table.count);
    CHECK_EQ(mask, table.masks[at]);
    CHECK_EQ(port, table.ports[at]);
    CHECK_EQ(behavior, table.behaviors[at]);
    CHECK_EQ(flavor, table.flavors[at]);
}

void check_table(task_t task, mach_port_t port, mach_port_t other) {
    check_entry(table_of(task), 0, EXC_MASK_ALL, MACH_PORT_NULL);
    CHECK_KERN(KERN_SUCCESS, task_set_exception_ports(task, EXC_MASK_BAD_ACCESS | EXC_MASK_ARITHMETIC, port,
                                                      EXCEPTION_STATE, x86_FLOAT_STATE64));
    const auto two = table_of(task);
    CHECK_EQ(2U, two.count);
    check_entry(two, 0, EXC_MASK_BAD_ACCESS | EXC_MASK_ARITHMETIC, port, EXCEPTION_STATE, x86_FLOAT_STATE64);
    check_entry(two, 1, EXC_MASK_ALL & ~(EXC_MASK_BAD_ACCESS | EXC_MASK_ARITHMETIC), MACH_PORT_NULL);

    Table before;
    CHECK_KERN(KERN_SUCCESS,
               task_swap_exception_ports(task, EXC_MASK_BAD_ACCESS | EXC_MASK_BREAKPOINT, other, EXCEPTION_DEFAULT, 0,
                                         before.masks, &before.count, before.ports, before.behaviors, before.flavors));
    CHECK_EQ(2U, before.count);
    check_entry(before, 0, EXC_MASK_BAD_ACCESS, port, EXCEPTION_STATE, x86_FLOAT_STATE64);
    check_entry(before, 1, EXC_MASK_BREAKPOINT, MACH_PORT_NULL);
    check_entry(table_of(task, EXC_MASK_BREAKPOINT), 0, EXC_MASK_BREAKPOINT, other, EXCEPTION_DEFAULT);
    tell(task, MACH_PORT_NULL);
    check_entry(table_of(task), 0, EXC_MASK_ALL, MACH_PORT_NULL);
}

kern_return_t set_for_self(exception_mask_t mask, mach_port_t port, exception_behavior_t behavior, int flavor) {
    return task_set_exception_ports(self(), mask, port, behavior, flavor);
}

SYSTEM_CASE(exceptions_ports) {
    const auto port = make_port_to_send(), other = make_port_to_send();
    auto child = norma::clone_to(other_node());
    check_table(self(), port, other);
    check_table(child.port(), port, other);

    CHECK_EQ(KERN_INVALID_ARGUMENT, set_for_self(1U << EXC_TYPES_COUNT, port, EXCEPTION_DEFAULT, 0));
    CHECK_EQ(KERN_INVALID_ARGUMENT, set_for_self(1, port, EXCEPTION_DEFAULT, 0));
    CHECK_EQ(KERN_INVALID_ARGUMENT, set_for_self(EXC_MASK_ALL, port, 0, x86_THREAD_STATE64));
    CHECK_EQ(KERN_INVALID_ARGUMENT, set_for_self(EXC_MASK_ALL, port, 4, x86_THREAD_STATE64));
    CHECK_EQ(KERN_INVALID_ARGUMENT, set_for_self(EXC_MASK_ALL, port, EXCEPTION_STATE, NORMA_THREAD_ENTRY));
    CHECK_EQ(KERN_INVALID_CAPABILITY, set_for_self(EXC_MASK_ALL, make_port(), EXCEPTION_DEFAULT, 0));
    CHECK_EQ(KERN_INVALID_CAPABILITY, set_for_self(EXC_MASK_ALL, mach_task_self(), EXCEPTION_DEFAULT, 0));
    CHECK_EQ(KERN_INVALID_CAPABILITY, set_for_self(EXC_MASK_ALL, 4711, EXCEPTION_DEFAULT, 0));
    CHECK_EQ(KERN_INVALID_TASK, task_set_exception_ports(port, EXC_MASK_ALL, port, EXCEPTION_DEFAULT, 0));
    CHECK_EQ(KERN_INVALID_ARGUMENT, thread_set_exception_ports(self(), EXC_MASK_ALL, port, EXCEPTION_DEFAULT, 0));
    Table little;
    little.count = 5;
    CHECK_EQ(KERN_INVALID_ARGUMENT, task_get_exception_ports(self(), EXC_MASK_ALL, little.masks, &little.count,
                                                             little.ports, little.behaviors, little.flavors));
    CHECK_EQ(KERN_INVALID_ARGUMENT, task_get_exception_ports(self(), EXC_MASK_ALL, nullptr, &little.count, little.ports,
                                                             little.behaviors, little.flavors));
    check_entry(table_of(self()), 0, EXC_MASK_ALL, MACH_PORT_NULL); // nothing has changed

    tell(child.port(), port); // a port that dies is nobody's exception port any more
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self(), port, MACH_PORT_RIGHT_RECEIVE, -1));
    CHECK_SOON(table_of(child.port()).ports[0] == MACH_PORT_NULL);

    thread_t thread = THREAD_NULL; // of a thread
    CHECK_KERN(KERN_SUCCESS, thread_create(child.port(), &thread));
    tell_of_thread(thread, other, EXCEPTION_STATE);
    Table of_thread;
    CHECK_KERN(KERN_SUCCESS,
               thread_swap_exception_ports(thread, EXC_MASK_SOFTWARE, MACH_PORT_NULL, 0, 0, of_thread.masks,
                                           &of_thread.count, of_thread.ports, of_thread.behaviors, of_thread.flavors));
    check_entry(of_thread, 0, EXC_MASK_SOFTWARE, other, EXCEPTION_STATE, x86_THREAD_STATE64);
    of_thread.count = EXC_TYPES_COUNT;
    CHECK_KERN(KERN_SUCCESS, thread_get_exception_ports(thread, EXC_MASK_SOFTWARE, of_thread.masks, &of_thread.count,
                                                        of_thread.ports, of_thread.behaviors, of_thread.flavors));
    check_entry(of_thread, 0, EXC_MASK_SOFTWARE, MACH_PORT_NULL);
    const auto notify = make_port(); // what a thread holds goes with it
    CHECK_KERN(KERN_SUCCESS, mach_port_mod_refs(self(), other, MACH_PORT_RIGHT_SEND,
                                                -static_cast<int>(refs_of(other, MACH_PORT_RIGHT_SEND))));
    ask(other, MACH_NOTIFY_NO_SENDERS, notify);
    expect_silence(notify);
    CHECK_KERN(KERN_SUCCESS, thread_terminate(thread));
    notification<mach_no_senders_notification_t>(notify, MACH_NOTIFY_NO_SENDERS);
    CHECK_EQ(KERN_TERMINATED, thread_set_exception_ports(thread, EXC_MASK_ALL, MACH_PORT_NULL, 0, 0));
    CHECK_KERN(KERN_SUCCESS, task_terminate(child.release()));
    return 0;
}

} // namespace

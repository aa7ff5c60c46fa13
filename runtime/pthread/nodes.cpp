// SPDX-License-Identifier: BSD-3-Clause
// The tasks that threads live in: the program's first, and a clone of it on every other node. They find each other
// through the name server, as a right means something to one task only.
#include "runtime/pthread/thread.hpp"

#include <norma/norma.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <unistd.h>

namespace norma::threads {

namespace {

constexpr int kMostNodes = 256;
constexpr vm_size_t kFirstStack = 64 * 1024; // until a thread is on its own

// Written by the first task only, so that it is nobody else's to lose.
struct alignas(4096) Nodes {
    pthread_once_t once = PTHREAD_ONCE_INIT;
    int error = 0;
    int first = 0;                  // where the first task is
    Word watching = 0;              // threads that watch other tasks
    Word watchers[kMostNodes] = {}; // their names in the first task, by the node they watch
} nodes;

thread_local int last_node = -1; // of NORMA_NODE_NEXT

struct ServiceName {
    explicit ServiceName(int node) { std::snprintf(text, sizeof text, "norma.pthread.%d", node); }
    char text[32];
};

class Right {
  public:
    Right() = default;
    Right(const Right &) = delete;
    Right &operator=(const Right &) = delete;
    ~Right() {
        if (port != MACH_PORT_NULL) {
            mach_port_deallocate(mach_task_self(), port);
        }
    }
    mach_port_t port = MACH_PORT_NULL;
};

kern_return_t name_server(Right &server) {
    return task_get_bootstrap_port(mach_task_self(), &server.port);
}

kern_return_t task_on(int node, Right &task) {
    if (node == norma_node()) {
        return task_get_special_port(mach_task_self(), TASK_KERNEL_PORT, &task.port);
    }
    Right server;
    const auto status = name_server(server);
    return status != KERN_SUCCESS ? status : bootstrap_look_up(server.port, ServiceName(node).text, &task.port);
}

struct Watch {
    task_t task;
    Word *name;
};

// What happens to a task of a program with threads happens to the program: exit, and death by a signal.
void *watch(void *raw) {
    static std::atomic<bool> ending{false};
    const auto what = *static_cast<Watch *>(raw);
    at(nodes.watching).fetch_add(1);
    at(*what.name).store(mach_thread_self());
    wake_at(what.name, 1);
    int status = 0;
    if (norma_task_wait(what.task, -1, &status) != KERN_SUCCESS || ending.exchange(true)) {
        at(nodes.watching).fetch_sub(1);
        return nullptr; // its node has died
    }
    if (const int signal = status & 0x7f; signal != 0) {
        std::signal(signal, SIG_DFL);
        ::kill(getpid(), signal);
    }
    std::exit(status >> 8 & 0xff);
}

int begin_watching(task_t task, Word &name) {
    static constexpr std::size_t kStack = 256 * 1024;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStack);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread{};
    Watch what{.task = task, .name = &name};
    int error = NORMA_C_LIBRARY(pthread_create)(&thread, &attributes, watch, &what);
    pthread_attr_destroy(&attributes);
    while (error == 0 && at(name).load() == 0) {
        error = wait_at(name, 0);
    }
    return error;
}

int begin_node(mach_port_t server, int node) {
    task_t task = mach_task_self();
    if (node != norma_node()) {
        const auto status = norma_task_clone(mach_task_self(), TRUE, node, &task);
        if (status != KERN_SUCCESS) {
            return status == KERN_NODE_DOWN ? 0 : EAGAIN;
        }
        if (const int error = begin_watching(task, nodes.watchers[node]); error != 0) {
            task_terminate(task);
            return error;
        }
    }
    return bootstrap_register(server, ServiceName(node).text, task) == KERN_SUCCESS ? 0 : EAGAIN;
}

void begin() {
    Right server;
    if (name_server(server) != KERN_SUCCESS) {
        nodes.error = EAGAIN;
        return;
    }
    nodes.first = norma_node();
    nodes.error = norma_node_count() <= kMostNodes ? 0 : EAGAIN;
    for (int node = 0; node < norma_node_count() && nodes.error == 0; ++node) {
        nodes.error = begin_node(server.port, node);
    }
}

// -1: the node has died.
int threads_on(int node) {
    Right task;
    thread_act_array_t list = nullptr;
    mach_msg_type_number_t count = 0;
    if (task_on(node, task) != KERN_SUCCESS || task_threads(task.port, &list, &count) != KERN_SUCCESS) {
        return -1;
    }
    for (mach_msg_type_number_t i = 0; i < count; ++i) {
        mach_port_deallocate(mach_task_self(), list[i]);
    }
    vm_deallocate(mach_task_self(), reinterpret_cast<vm_address_t>(list), count * sizeof *list);
    return static_cast<int>(count - (node == nodes.first ? at(nodes.watching).load() : 0));
}

int least_loaded() {
    int chosen = norma_node();
    int fewest = INT_MAX;
    for (int i = 1; i <= norma_node_count(); ++i) { // the caller's own is the last among equals
        const int node = (norma_node() + i) % norma_node_count();
        const int count = threads_on(node);
        if (count >= 0 && count < fewest) {
            chosen = node;
            fewest = count;
        }
    }
    return chosen;
}

int next_node() {
    last_node = ((last_node < 0 ? norma_node() : last_node) + 1) % norma_node_count();
    return last_node;
}

int start_on(int node, Thread *thread, void (*entry)(void *)) {
    Right task;
    Right made;
    thread->node = node;
    auto status = task_on(node, task);
    if (status == KERN_SUCCESS) {
        status = norma_thread_start(task.port, entry, thread, kFirstStack, &made.port);
    }
    switch (status) {
    case KERN_SUCCESS:
        return 0;
    case KERN_NODE_DOWN:
    case KERN_INVALID_TASK:
    case BOOTSTRAP_UNKNOWN_SERVICE:
        return EHOSTDOWN;
    default:
        return EAGAIN;
    }
}

bool is_watcher(thread_t thread) {
    return std::find(std::begin(nodes.watchers), std::end(nodes.watchers), thread) != std::end(nodes.watchers);
}

// Of a task on `node`; true if there was a thread to wait for.
bool wait_for_threads(task_t task, int node, thread_t me) {
    thread_act_array_t list = nullptr;
    mach_msg_type_number_t count = 0;
    if (task_threads(task, &list, &count) != KERN_SUCCESS) {
        return false;
    }
    bool waited = false;
    for (mach_msg_type_number_t i = 0; i < count; ++i) {
        const bool mine = node == norma_node() && (list[i] == me || is_watcher(list[i]));
        if (!mine) {
            norma_thread_wait(list[i], -1);
            waited = true;
        }
        mach_port_deallocate(mach_task_self(), list[i]);
    }
    vm_deallocate(mach_task_self(), reinterpret_cast<vm_address_t>(list), count * sizeof *list);
    return waited;
}

} // namespace

bool is_down(int node) {
    Right device;
    return node != norma_node() &&
           norma_get_special_port(mach_host_self(), node, NORMA_DEVICE_PORT, &device.port) == KERN_NODE_DOWN;
}

int start_somewhere(int node, Thread *thread, void (*entry)(void *)) {
    if (node < NORMA_NODE_LEAST_LOADED || node >= norma_node_count()) {
        return EINVAL;
    }
    if (const int error = norma_pthread_once(&nodes.once, begin); error != 0 || nodes.error != 0) {
        return error != 0 ? error : nodes.error;
    }
    if (node >= 0) {
        return start_on(node, thread, entry);
    }
    int error = EHOSTDOWN; // a node that has died is left out
    for (int tries = 0; error == EHOSTDOWN && tries < norma_node_count(); ++tries) {
        error = start_on(node == NORMA_NODE_NEXT ? next_node() : least_loaded(), thread, entry);
    }
    return error;
}

void wait_for_all() {
    Right me;
    me.port = mach_thread_self();
    bool waited = at(reinterpret_cast<Word &>(nodes.once)).load() != 0;
    while (waited) { // those who ended may have made others
        waited = false;
        for (int node = 0; node < norma_node_count(); ++node) {
            Right task;
            waited |= task_on(node, task) == KERN_SUCCESS && wait_for_threads(task.port, node, me.port);
        }
    }
}

} // namespace norma::threads

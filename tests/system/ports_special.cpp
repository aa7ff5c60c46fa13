// SPDX-License-Identifier: BSD-3-Clause
// Ports without a name of one's own: those that children inherit, those of a node, and what name servers know.
#include "tests/system/ports.hpp"

#include <csignal>
#include <string>

#include <unistd.h>

using namespace systest;

namespace {

mach_port_t bootstrap_of(task_t task) {
    mach_port_t port = MACH_PORT_DEAD;
    CHECK_KERN(KERN_SUCCESS, task_get_special_port(task, TASK_BOOTSTRAP_PORT, &port));
    return port;
}

void register_ports(task_t task, std::initializer_list<mach_port_t> ports) {
    CHECK_KERN(KERN_SUCCESS,
               mach_ports_register(task, ports.begin(), static_cast<mach_msg_type_number_t>(ports.size())));
}

mach_port_t registered(task_t task, unsigned index) {
    mach_port_t *ports = nullptr;
    mach_msg_type_number_t count = 0;
    CHECK_KERN(KERN_SUCCESS, mach_ports_lookup(task, &ports, &count));
    CHECK_EQ(unsigned{TASK_PORT_REGISTER_MAX}, count);
    const auto port = ports[index];
    CHECK_KERN(KERN_SUCCESS,
               vm_deallocate(mach_task_self(), reinterpret_cast<vm_address_t>(ports), count * sizeof *ports));
    return port;
}

mach_port_t found(const char *name) {
    mach_port_t port = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, bootstrap_look_up(bootstrap_of(mach_task_self()), name, &port));
    return port;
}

task_t made(kern_return_t (*call)(task_t, boolean_t, int, task_t *), int node) {
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, call(mach_task_self(), TRUE, node, &child));
    return child;
}

} // namespace

// Inherited by every kind of child, on this node and on another; what a child has set is its own.
SYSTEM_CASE(ports_inherited) {
    const auto self = mach_task_self();
    const auto boot = make_port_to_send(), first = make_port_to_send(), second = make_port_to_send();
    CHECK_EQ(MACH_PORT_TYPE_SEND, type_of(bootstrap_of(self))); // the name server
    CHECK_KERN(KERN_SUCCESS, task_set_special_port(self, TASK_BOOTSTRAP_PORT, boot));
    CHECK_EQ(boot, bootstrap_of(self));
    CHECK_EQ(2U, refs_of(boot, MACH_PORT_RIGHT_SEND)); // one more for each time one is told
    CHECK_EQ(MACH_PORT_NULL, registered(self, 0));
    register_ports(self, {first, MACH_PORT_NULL, second});
    for (auto *const call : {norma_task_clone, norma_task_create}) {
        for (int node = 0; node < norma::node_count(); ++node) {
            const auto child = made(call, node);
            CHECK_EQ(boot, bootstrap_of(child));
            CHECK_EQ(first, registered(child, 0));
            CHECK_EQ(MACH_PORT_NULL, registered(child, 1));
            CHECK_EQ(second, registered(child, 2));
            CHECK_KERN(KERN_SUCCESS, task_set_special_port(child, TASK_BOOTSTRAP_PORT, second));
            register_ports(child, {second});
            CHECK_EQ(second, bootstrap_of(child));
            CHECK_EQ(second, registered(child, 0));
            CHECK_EQ(MACH_PORT_NULL, registered(child, 2));
            CHECK_EQ(boot, bootstrap_of(self));
            CHECK_EQ(first, registered(self, 0));
            task_t moved = TASK_NULL;
            CHECK_KERN(KERN_SUCCESS, norma_task_teleport(child, TRUE, other_node(), &moved));
            CHECK_EQ(second, bootstrap_of(moved));
            CHECK_KERN(KERN_SUCCESS, task_terminate(moved));
        }
    }

    // A task that has none gives none to its children.
    CHECK_KERN(KERN_SUCCESS, task_set_special_port(self, TASK_BOOTSTRAP_PORT, MACH_PORT_NULL));
    CHECK_EQ(MACH_PORT_NULL, bootstrap_of(self));
    const auto poor = made(norma_task_clone, other_node());
    CHECK_EQ(MACH_PORT_NULL, bootstrap_of(poor));
    // The right that is registered is a sender; and goes when its port does.
    const auto told = make_port();
    const auto own = make_port();
    CHECK_KERN(KERN_SUCCESS, mach_port_insert_right(self, own, own, MACH_MSG_TYPE_MAKE_SEND));
    register_ports(poor, {own, first});
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self, own));
    ask(own, MACH_NOTIFY_NO_SENDERS, told);
    expect_silence(told);
    register_ports(poor, {MACH_PORT_NULL, first});
    expect_no_senders(told, 1);
    CHECK_KERN(KERN_SUCCESS, mach_port_destroy(self, first));
    CHECK_SOON(registered(poor, 1) == MACH_PORT_NULL);
    CHECK_KERN(KERN_SUCCESS, task_terminate(poor));

    mach_port_t port = MACH_PORT_NULL;
    const mach_port_t four[] = {second, second, second, second}, bad[] = {second, told}, wrong[] = {second, 0x4000};
    CHECK_KERN(KERN_INVALID_ARGUMENT, mach_ports_register(self, four, 4));
    CHECK_KERN(KERN_INVALID_CAPABILITY, mach_ports_register(self, bad, 2)); // a right to receive only
    CHECK_KERN(KERN_INVALID_CAPABILITY, mach_ports_register(self, wrong, 2));
    CHECK_KERN(KERN_INVALID_TASK, mach_ports_register(second, four, 1));
    CHECK_EQ(MACH_PORT_NULL, registered(self, 0)); // it had died
    CHECK_EQ(second, registered(self, 2));
    CHECK_KERN(KERN_INVALID_ARGUMENT, task_get_special_port(self, 99, &port));
    CHECK_KERN(KERN_INVALID_ARGUMENT, task_set_special_port(self, 99, second));
    CHECK_KERN(KERN_INVALID_TASK, task_get_special_port(second, TASK_BOOTSTRAP_PORT, &port));
    CHECK_KERN(KERN_INVALID_CAPABILITY, task_set_special_port(self, TASK_BOOTSTRAP_PORT, 0x4000));
    CHECK_KERN(KERN_NOT_SUPPORTED, task_set_special_port(self, TASK_KERNEL_PORT, second));
    CHECK_KERN(KERN_SUCCESS, task_get_special_port(self, TASK_KERNEL_PORT, &port));
    CHECK_EQ(self, port);
    CHECK_KERN(KERN_SUCCESS, task_get_special_port(self, TASK_HOST_PORT, &port));
    CHECK_EQ(mach_host_self(), port);
    return 0;
}

// Tasks that know nothing of each other meet at the name server; ports of nodes.
SYSTEM_CASE(ports_services) {
    const auto self = mach_task_self();
    const auto names = bootstrap_of(self);
    const auto service = make_port_to_send(), other = make_port_to_send();
    CHECK_KERN(KERN_SUCCESS, bootstrap_register(names, "service", service));
    CHECK_KERN(BOOTSTRAP_NAME_IN_USE, bootstrap_register(names, "service", other));
    mach_port_t port = MACH_PORT_NULL;
    CHECK_KERN(BOOTSTRAP_UNKNOWN_SERVICE, bootstrap_look_up(names, "servic", &port));
    CHECK_KERN(BOOTSTRAP_UNKNOWN_SERVICE, bootstrap_register(names, "nothing", MACH_PORT_NULL));
    CHECK_KERN(KERN_INVALID_ARGUMENT, bootstrap_look_up(names, "", &port));
    CHECK_KERN(KERN_INVALID_ARGUMENT, bootstrap_look_up(names, nullptr, &port));
    CHECK_KERN(KERN_INVALID_ARGUMENT, bootstrap_look_up(service, "service", &port));
    CHECK_KERN(KERN_INVALID_ARGUMENT, bootstrap_look_up(0x4000, "service", &port));
    CHECK_KERN(KERN_INVALID_CAPABILITY, bootstrap_register(names, "bad", 0x4000));
    const std::string longest(BOOTSTRAP_MAX_NAME_LEN - 1, 'x');
    CHECK_KERN(KERN_SUCCESS, bootstrap_register(names, longest.c_str(), service));
    CHECK_EQ(service, found(longest.c_str()));
    CHECK_KERN(KERN_INVALID_ARGUMENT, bootstrap_register(names, (longest + "x").c_str(), service));
    CHECK_KERN(MACH_SEND_INVALID_DEST, send(names, 1));
    CHECK_KERN(KERN_SUCCESS, mach_port_deallocate(self, names));
    for (int node = 0; node < norma::node_count(); ++node) {
        auto child = norma::clone_to(node);
        child.run([] {
            CHECK_KERN(MACH_MSG_SUCCESS, send(found("service"), 5));
            const auto mine = make_port_to_send();
            CHECK_KERN(KERN_SUCCESS, bootstrap_register(bootstrap_of(mach_task_self()), "of a child", mine));
            CHECK_EQ(std::uint64_t{6}, number_from(mine));
        });
        CHECK_EQ(std::uint64_t{5}, number_from(service));
        CHECK_SOON(bootstrap_look_up(bootstrap_of(self), "of a child", &port) == KERN_SUCCESS);
        CHECK_KERN(MACH_MSG_SUCCESS, send(port, 6));
        JOIN(child);
        // It dies with its port.
        CHECK_SOON(bootstrap_look_up(bootstrap_of(self), "of a child", &port) == BOOTSTRAP_UNKNOWN_SERVICE);
    }
    CHECK_KERN(KERN_SUCCESS, bootstrap_register(bootstrap_of(self), "service", MACH_PORT_NULL));
    CHECK_KERN(BOOTSTRAP_UNKNOWN_SERVICE, bootstrap_look_up(bootstrap_of(self), "service", &port));

    const auto host = mach_host_self();
    const auto last = other_node();
    CHECK_KERN(KERN_SUCCESS, norma_get_special_port(host, last, NORMA_DEVICE_PORT, &port));
    CHECK_EQ(MACH_PORT_NULL, port);
    auto child = child_with(last, service);
    child.run(
        [service] { CHECK_KERN(KERN_SUCCESS, norma_set_special_port(mach_host_self(), NORMA_DEVICE_PORT, service)); });
    JOIN(child);
    CHECK_KERN(KERN_SUCCESS, norma_get_special_port(host, last, NORMA_DEVICE_PORT, &port));
    CHECK_EQ(service, port);
    CHECK_KERN(KERN_SUCCESS, norma_get_special_port(host, last, NORMA_MAX_SPECIAL_PORT, &port));
    CHECK_EQ(MACH_PORT_NULL, port);
    for (const int which : {0, -1, NORMA_MAX_SPECIAL_PORT + 1}) {
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_set_special_port(host, which, service));
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_get_special_port(host, last, which, &port));
    }
    for (const int node : {-1, norma::node_count()}) {
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_get_special_port(host, node, NORMA_DEVICE_PORT, &port));
    }
    CHECK_KERN(KERN_INVALID_HOST, norma_set_special_port(self, NORMA_DEVICE_PORT, service));
    CHECK_KERN(KERN_INVALID_HOST, norma_get_special_port(self, last, NORMA_DEVICE_PORT, &port));
    // On one's own node: set, replaced, taken away.
    CHECK_KERN(KERN_SUCCESS, norma_set_special_port(host, NORMA_HOST_PORT, service));
    CHECK_KERN(KERN_SUCCESS, norma_set_special_port(host, NORMA_HOST_PORT, other));
    CHECK_KERN(KERN_SUCCESS, norma_get_special_port(host, norma::this_node(), NORMA_HOST_PORT, &port));
    CHECK_EQ(other, port);
    CHECK_KERN(KERN_SUCCESS, norma_set_special_port(host, NORMA_HOST_PORT, MACH_PORT_NULL));
    CHECK_KERN(KERN_SUCCESS, norma_set_special_port(host, NORMA_HOST_PORT, MACH_PORT_NULL));
    CHECK_KERN(KERN_SUCCESS, norma_get_special_port(host, norma::this_node(), NORMA_HOST_PORT, &port));
    CHECK_EQ(MACH_PORT_NULL, port);
    return 0;
}

// A node dies with a registered port, a service, and a node's port.
SYSTEM_CASE(ports_services_of_a_dead_node) {
    const auto self = mach_task_self();
    const auto names = bootstrap_of(self);
    auto *pid = shared<std::atomic<pid_t>>();
    auto child = norma::clone_to(1);
    child.run([=] {
        const auto mine = make_port_to_send();
        CHECK_KERN(KERN_SUCCESS, bootstrap_register(bootstrap_of(mach_task_self()), "doomed", mine));
        CHECK_KERN(KERN_SUCCESS, norma_set_special_port(mach_host_self(), NORMA_DEVICE_PORT, mine));
        *pid = ::getppid();
        for (;;) {
            ::pause();
        }
    });
    CHECK_SOON(*pid != 0);
    register_ports(self, {found("doomed")});
    const auto bystander = made(norma_task_clone, 2); // has inherited it
    CHECK(registered(bystander, 0) != MACH_PORT_NULL);
    ::kill(*pid, SIGKILL);
    mach_port_t port = MACH_PORT_NULL;
    CHECK_SOON(bootstrap_look_up(names, "doomed", &port) == BOOTSTRAP_UNKNOWN_SERVICE);
    CHECK_SOON(registered(self, 0) == MACH_PORT_NULL);
    CHECK_SOON(registered(bystander, 0) == MACH_PORT_NULL);
    CHECK_KERN(KERN_NODE_DOWN, norma_get_special_port(mach_host_self(), 1, NORMA_DEVICE_PORT, &port));
    const auto again = make_port_to_send();
    CHECK_KERN(KERN_SUCCESS, bootstrap_register(names, "doomed", again));
    CHECK_EQ(again, found("doomed"));
    CHECK_KERN(KERN_SUCCESS, task_terminate(bystander));
    child.release();
    return 0;
}

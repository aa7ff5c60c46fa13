// SPDX-License-Identifier: BSD-3-Clause
// Named memory objects: tasks that share nothing meet by a name.
#include "tests/system/app.hpp"

#include <string>
#include <vector>

namespace {

using systest::self;
using systest::word;

constexpr std::size_t kPage = 4096;
constexpr int kTasksPerNode = 3;

kern_return_t map(task_t task, vm_address_t &address, memory_object_t object, vm_size_t size, vm_offset_t offset = 0) {
    return vm_map(task, &address, size, 0, TRUE, object, offset, FALSE, VM_PROT_DEFAULT, VM_PROT_DEFAULT,
                  VM_INHERIT_SHARE);
}

memory_object_t open(const std::string &name, vm_size_t size) {
    memory_object_t object = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_object_open(name.c_str(), &size, &object));
    CHECK(object != MACH_PORT_NULL);
    return object;
}

mach_port_t name_at(vm_address_t address) {
    vm_size_t size = 0;
    vm_region_basic_info_data_t info{};
    auto count = VM_REGION_BASIC_INFO_COUNT;
    mach_port_t name = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, vm_region(self(), &address, &size, VM_REGION_BASIC_INFO,
                                       reinterpret_cast<vm_region_info_t>(&info), &count, &name));
    return name;
}

void meet(void *) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, map(self(), address, open("meeting place", 3 * kPage), 2 * kPage, kPage));
    word(address + kPage).fetch_add(1);
    CHECK_SOON(word(address + kPage) == kTasksPerNode * norma::node_count());
    norma_exit(0);
}

} // namespace

SYSTEM_CASE(objects_meet) {
    std::vector<task_t> tasks;
    for (int i = 0; i < kTasksPerNode * norma::node_count(); ++i) {
        task_t task = TASK_NULL;
        thread_t thread = THREAD_NULL;
        CHECK_KERN(KERN_SUCCESS, norma_task_clone(self(), FALSE, i % norma::node_count(), &task));
        CHECK_KERN(KERN_SUCCESS, norma_thread_start(task, meet, nullptr, 0, &thread));
        tasks.push_back(task);
    }
    for (const auto task : tasks) {
        CHECK_EQ(0, END_OF(task));
    }
    vm_size_t size = 0; // it is still there, though nobody has it
    memory_object_t object = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_object_open("meeting place", &size, &object));
    CHECK_EQ(vm_size_t{3 * kPage}, size);
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, map(self(), address, object, size));
    CHECK_EQ(long{kTasksPerNode} * norma::node_count(), word(address + 2 * kPage).load());
    CHECK_SOON(!REGION_AT(self(), address).shared); // all the others have ended
    return 0;
}

SYSTEM_CASE(objects_rules) {
    const std::string longest(255, 'n');
    for (const auto &name : {std::string("a"), std::string("b"), std::string("c"), longest}) { // of several nodes
        const auto object = open(name, kPage + 1);
        vm_size_t size = 7;
        memory_object_t again = 99;
        CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open(name.c_str(), &size, &again));
        CHECK(size == 7 && again == 99);
        CHECK_EQ(object, open(name, 2 * kPage));
        vm_address_t first = 0x78, second = 0;
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(self(), first, object, 3 * kPage));
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(self(), first, object, 2 * kPage, kPage));
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(self(), first, object, kPage, 1));
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(self(), first, object, kPage, 0 - vm_offset_t{kPage}));
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(self(), first, object, 0));
        CHECK_KERN(KERN_NO_SPACE, map(self(), first, object, 0 - vm_size_t{1}));
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(self(), first, self(), kPage));
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(self(), first, 4711, kPage));
        CHECK_EQ(vm_address_t{0x78}, first);
        CHECK_KERN(KERN_SUCCESS, map(self(), first, object, 2 * kPage));
        CHECK_KERN(KERN_SUCCESS, map(self(), second, object, kPage, kPage));
        word(first + kPage) = 5;
        CHECK_EQ(5L, word(second).load());
        // The regions are of one object, which is not that of other memory; what stands for it gives no right to it.
        CHECK(name_at(first) != MACH_PORT_NULL);
        CHECK_EQ(name_at(first), name_at(second));
        CHECK(name_at(first) != name_at(systest::address_of(systest::shared_bytes(kPage))));
        vm_address_t third = 0;
        CHECK_KERN(KERN_INVALID_ARGUMENT, map(self(), third, name_at(first), kPage));

        CHECK_KERN(KERN_SUCCESS, norma_object_remove(name.c_str()));
        CHECK_KERN(KERN_INVALID_VALUE, norma_object_remove(name.c_str()));
        CHECK_EQ(5L, word(second).load());
        CHECK_KERN(KERN_SUCCESS, map(self(), third, object, kPage, kPage)); // its memory is there
        CHECK_EQ(5L, word(third).load());
        size = 0;
        CHECK_KERN(KERN_INVALID_VALUE, norma_object_open(name.c_str(), &size, &again));
        const auto other = open(name, kPage);
        CHECK(other != object);
        for (const auto address : {first, first + kPage, second, third}) {
            CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), address, kPage));
        }
        CHECK_SOON(map(self(), third, object, kPage) == KERN_MEMORY_FAILURE);
        CHECK_KERN(KERN_SUCCESS, map(self(), first, other, kPage));
        CHECK_EQ(0L, word(first).load());
    }
    vm_size_t size = kPage;
    memory_object_t object = MACH_PORT_NULL;
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open("", &size, &object));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open(nullptr, &size, &object));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open((longest + "n").c_str(), &size, &object));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open("x", nullptr, &object));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open("x", &size, nullptr));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_remove(""));
    CHECK_KERN(KERN_INVALID_VALUE, norma_object_remove("x"));
    size = 0 - vm_size_t{1};
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open("x", &size, &object));
    size = vm_size_t{1} << 40;
    CHECK_KERN(KERN_RESOURCE_SHORTAGE, norma_object_open("x", &size, &object));
    return 0;
}

// A name and its memory have one fate: that of the node they are on.
SYSTEM_CASE(objects_and_death) {
    constexpr int kNames = 16; // some of them on either node
    std::vector<memory_object_t> objects;
    for (int i = 0; i < kNames; ++i) {
        objects.push_back(open(std::to_string(i), kPage));
    }
    systest::kill_node(1);
    int down = 0;
    for (int i = 0; i < kNames; ++i) {
        vm_size_t size = kPage;
        memory_object_t object = MACH_PORT_NULL;
        const auto status = norma_object_open(std::to_string(i).c_str(), &size, &object);
        vm_address_t address = 0;
        CHECK_EQ(status, map(self(), address, objects.at(static_cast<std::size_t>(i)), kPage));
        CHECK(status == KERN_SUCCESS || status == KERN_NODE_DOWN);
        down += status == KERN_NODE_DOWN ? 1 : 0;
    }
    CHECK(down > 0 && down < kNames);
    return 0;
}

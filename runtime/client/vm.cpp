// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach.h>: virtual memory.
#include "runtime/client/vm.hpp"
#include "norma/region.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/migration.hpp"

#include <cstring>

using norma::rt::call;
using norma::rt::Op;

namespace norma::rt {

kern_return_t allocate(vm_task_t task, vm_address_t &address, vm_size_t size, bool anywhere) noexcept {
    const auto answer = call(Op::vm_allocate, task, {address, size, anywhere ? 1U : 0U});
    if (answer.status == KERN_SUCCESS) {
        address = answer.vals[0];
    }
    return answer.status;
}

kern_return_t deallocate(vm_task_t task, vm_address_t address, vm_size_t size) noexcept {
    return call(Op::vm_deallocate, task, {address, size}).status;
}

} // namespace norma::rt

extern "C" {

kern_return_t host_page_size(host_t host, vm_size_t *page_size) noexcept {
    if (host != norma::rt::kNameHost) {
        return KERN_INVALID_HOST;
    }
    if (page_size == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    *page_size = 4096;
    return KERN_SUCCESS;
}

kern_return_t vm_allocate(vm_task_t task, vm_address_t *address, vm_size_t size, boolean_t anywhere) noexcept {
    if (address == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    norma::rt::may_stop();
    return norma::rt::allocate(task, *address, size, anywhere != 0);
}

kern_return_t vm_deallocate(vm_task_t task, vm_address_t address, vm_size_t size) noexcept {
    norma::rt::may_stop();
    return norma::rt::deallocate(task, address, size);
}

kern_return_t vm_protect(vm_task_t task, vm_address_t address, vm_size_t size, boolean_t set_maximum,
                         vm_prot_t protection) noexcept {
    norma::rt::may_stop();
    return call(Op::vm_protect, task, {address, size, set_maximum ? 1U : 0U, static_cast<std::uint32_t>(protection)})
        .status;
}

kern_return_t vm_inherit(vm_task_t task, vm_address_t address, vm_size_t size, vm_inherit_t inheritance) noexcept {
    return call(Op::vm_inherit, task, {address, size, inheritance}).status;
}

kern_return_t vm_behavior_set(vm_task_t task, vm_address_t address, vm_size_t size, vm_behavior_t behavior) noexcept {
    return call(Op::vm_behavior, task, {address, size, static_cast<std::uint64_t>(static_cast<std::int64_t>(behavior))})
        .status;
}

kern_return_t vm_msync(vm_task_t task, vm_address_t address, vm_size_t size, vm_sync_t flags) noexcept {
    return call(Op::vm_msync, task, {address, size, flags}).status;
}

kern_return_t vm_wire(host_t host, vm_task_t task, vm_address_t address, vm_size_t size, vm_prot_t access) noexcept {
    if (host != norma::rt::kNameHost) {
        return KERN_INVALID_HOST;
    }
    return call(Op::vm_wire, task, {address, size, static_cast<std::uint32_t>(access)}).status;
}

kern_return_t vm_region(vm_task_t task, vm_address_t *address, vm_size_t *size, vm_region_flavor_t flavor,
                        vm_region_info_t info, mach_msg_type_number_t *count, mach_port_t *object_name) noexcept {
    if (address == nullptr || size == nullptr || info == nullptr || count == nullptr ||
        flavor != VM_REGION_BASIC_INFO || *count < VM_REGION_BASIC_INFO_COUNT) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = call(Op::vm_region, task, {*address, object_name != nullptr ? 1U : 0U, 1});
    if (answer.status != KERN_SUCCESS) {
        return answer.status;
    }
    norma::rt::RegionInfo region;
    if (answer.blob.size() != sizeof region) {
        return KERN_FAILURE;
    }
    std::memcpy(&region, answer.blob.data(), sizeof region);
    vm_region_basic_info_data_t basic{};
    basic.protection = static_cast<vm_prot_t>(region.protection);
    basic.max_protection = static_cast<vm_prot_t>(region.max_protection);
    basic.inheritance = region.inheritance;
    basic.shared = region.shared != 0;
    basic.offset = region.offset;
    basic.behavior = static_cast<vm_behavior_t>(region.behavior);
    basic.user_wired_count = region.wired != 0 ? 1 : 0;
    std::memcpy(info, &basic, sizeof basic);
    *count = VM_REGION_BASIC_INFO_COUNT;
    *address = region.address;
    *size = region.bytes;
    if (object_name != nullptr) {
        *object_name = static_cast<mach_port_t>(answer.vals[0]);
    }
    return KERN_SUCCESS;
}
}

// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach.h> and <norma/norma.h>: what tasks do with each other's memory. To copy from or to another task the
// library has that memory mapped here for the moment, and copies: the pages come and go by the page protocol, as they
// do for everybody else.
#include "norma/norma.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/vm.hpp"

#include <array>
#include <climits>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <unistd.h>
#include <utility>

using norma::rt::call;
using norma::rt::Op;

namespace {

// A range of some task, as the calling task has it for now.
class Loan {
  public:
    Loan(task_t task, vm_address_t address, vm_size_t bytes, vm_prot_t access) {
        const auto answer =
            call(Op::vm_borrow, mach_task_self(), {task, 0, address, bytes, static_cast<std::uint64_t>(access)});
        status_ = answer.status;
        address_ = status_ == KERN_SUCCESS ? answer.vals[0] : 0;
    }
    Loan(const Loan &) = delete;
    Loan &operator=(const Loan &) = delete;
    ~Loan() { give_back(); }

    kern_return_t status() const { return status_; }
    std::byte *data() const { return reinterpret_cast<std::byte *>(address_); }
    // KERN_MEMORY_FAILURE: some of it was lost before or while it was used.
    kern_return_t give_back() {
        if (address_ != 0) {
            status_ = call(Op::vm_give_back, mach_task_self(), {std::exchange(address_, 0)}).status;
        }
        return status_;
    }

  private:
    kern_return_t status_;
    vm_address_t address_;
};

// All is read before any is written, as both may be the same memory, though at different addresses: here, or in the
// task that has both.
kern_return_t copy_within(std::byte *to, const std::byte *from, std::size_t bytes) {
    const std::unique_ptr<std::byte[]> between(new (std::nothrow) std::byte[bytes]);
    if (between == nullptr) {
        return KERN_RESOURCE_SHORTAGE;
    }
    std::memcpy(between.get(), from, bytes);
    std::memcpy(to, between.get(), bytes);
    return KERN_SUCCESS;
}

// The blob of a call must not be coherent memory, which a thread's stack is.
thread_local norma::rt::MapArgs map_args;
thread_local std::array<char, norma::rt::kMostNameBytes> object_name;
thread_local std::array<char, PATH_MAX> file_path;

// Puts the path into file_path, as the node server has a working directory of its own; its length, or 0.
std::size_t absolute(const char *path) {
    std::size_t start = 0;
    if (*path != '/') {
        if (*path == '\0' || ::getcwd(file_path.data(), file_path.size() - 1) == nullptr) {
            return 0;
        }
        start = std::strlen(file_path.data());
        file_path[start++] = '/';
    }
    const auto bytes = strnlen(path, file_path.size());
    if (bytes >= file_path.size() - start) {
        return 0;
    }
    std::memcpy(file_path.data() + start, path, bytes);
    return start + bytes;
}

norma::rt::Answer map_call(Op op, task_t task, mach_port_t from, const norma::rt::MapArgs &args) {
    map_args = args;
    return call(op, task, {from}, std::as_bytes(std::span(&map_args, 1)));
}

norma::rt::Answer name_call(Op op, const char *name, vm_size_t size) {
    const auto bytes = name == nullptr ? 0 : strnlen(name, object_name.size() + 1);
    if (bytes == 0 || bytes > object_name.size()) {
        return {.status = norma::rt::job.active ? KERN_INVALID_ARGUMENT : KERN_FAILURE, .vals = {}, .blob = {}};
    }
    std::memcpy(object_name.data(), name, bytes);
    return call(op, MACH_PORT_NULL, {size}, std::as_bytes(std::span(object_name).first(bytes)));
}

} // namespace

extern "C" {

kern_return_t vm_map(vm_task_t task, vm_address_t *address, vm_size_t size, vm_address_t mask, boolean_t anywhere,
                     memory_object_t object, vm_offset_t offset, boolean_t copy, vm_prot_t protection,
                     vm_prot_t max_protection, vm_inherit_t inheritance) noexcept {
    if (address == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = map_call(Op::vm_map, task, object,
                                 {.address = *address,
                                  .bytes = size,
                                  .mask = mask,
                                  .offset = offset,
                                  .anywhere = anywhere ? 1U : 0U,
                                  .copy = copy ? 1U : 0U,
                                  .protection = static_cast<std::uint32_t>(protection),
                                  .max_protection = static_cast<std::uint32_t>(max_protection),
                                  .inheritance = inheritance,
                                  .reserved = 0});
    if (answer.status == KERN_SUCCESS) {
        *address = answer.vals[0];
    }
    return answer.status;
}

kern_return_t norma_object_open(const char *name, vm_size_t *size, memory_object_t *object) noexcept {
    if (size == nullptr || object == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = name_call(Op::object_open, name, *size);
    if (answer.status == KERN_SUCCESS) {
        *object = static_cast<memory_object_t>(answer.vals[0]);
        *size = answer.vals[1];
    }
    return answer.status;
}

kern_return_t norma_object_remove(const char *name) noexcept {
    return name_call(Op::object_remove, name, 0).status;
}

kern_return_t norma_object_open_file(const char *path, vm_prot_t access, vm_size_t *size,
                                     memory_object_t *object) noexcept {
    if (path == nullptr || size == nullptr || object == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto bytes = absolute(path);
    if (bytes == 0) {
        return norma::rt::job.active ? KERN_INVALID_ARGUMENT : KERN_FAILURE;
    }
    const auto answer = call(Op::object_open_file, MACH_PORT_NULL, {static_cast<std::uint32_t>(access)},
                             std::as_bytes(std::span(file_path).first(bytes)));
    if (answer.status == KERN_SUCCESS) {
        *object = static_cast<memory_object_t>(answer.vals[0]);
        *size = answer.vals[1];
    }
    return answer.status;
}

kern_return_t norma_object_close(memory_object_t object) noexcept {
    return object == MACH_PORT_NULL ? KERN_INVALID_ARGUMENT : call(Op::object_close, MACH_PORT_NULL, {object}).status;
}

kern_return_t vm_remap(vm_task_t task, vm_address_t *address, vm_size_t size, vm_address_t mask, boolean_t anywhere,
                       vm_task_t source, vm_address_t source_address, boolean_t copy, vm_prot_t *protection,
                       vm_prot_t *max_protection, vm_inherit_t inheritance) noexcept {
    if (address == nullptr || protection == nullptr || max_protection == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = map_call(Op::vm_remap, task, source,
                                 {.address = *address,
                                  .bytes = size,
                                  .mask = mask,
                                  .offset = source_address,
                                  .anywhere = anywhere ? 1U : 0U,
                                  .copy = copy ? 1U : 0U,
                                  .protection = 0,
                                  .max_protection = 0,
                                  .inheritance = inheritance,
                                  .reserved = 0});
    if (answer.status == KERN_SUCCESS) {
        *address = answer.vals[0];
        *protection = static_cast<vm_prot_t>(answer.vals[1]);
        *max_protection = static_cast<vm_prot_t>(answer.vals[2]);
    }
    return answer.status;
}

kern_return_t vm_read(vm_task_t task, vm_address_t address, vm_size_t size, vm_offset_t *data,
                      mach_msg_type_number_t *count) noexcept {
    if (data == nullptr || count == nullptr || size > std::numeric_limits<mach_msg_type_number_t>::max()) {
        return KERN_INVALID_ARGUMENT;
    }
    vm_address_t mine = 0;
    if (size > 0) {
        Loan loan(task, address, size, VM_PROT_READ);
        if (loan.status() != KERN_SUCCESS) {
            return loan.status();
        }
        if (const auto status = norma::rt::allocate(mach_task_self(), mine, size, true); status != KERN_SUCCESS) {
            return status;
        }
        std::memcpy(reinterpret_cast<void *>(mine), loan.data(), size);
        if (const auto status = loan.give_back(); status != KERN_SUCCESS) {
            norma::rt::deallocate(mach_task_self(), mine, size);
            return status;
        }
    }
    *data = mine;
    *count = static_cast<mach_msg_type_number_t>(size);
    return KERN_SUCCESS;
}

kern_return_t vm_write(vm_task_t task, vm_address_t address, vm_offset_t data, mach_msg_type_number_t count) noexcept {
    if (count == 0) {
        return KERN_SUCCESS;
    }
    Loan loan(task, address, count, VM_PROT_WRITE);
    if (loan.status() != KERN_SUCCESS) {
        return loan.status();
    }
    const auto *from = reinterpret_cast<const std::byte *>(data);
    if (!norma::rt::job.is_coherent(from) && !norma::rt::job.is_coherent(from + count - 1)) {
        std::memcpy(loan.data(), from, count);
    } else if (const auto status = copy_within(loan.data(), from, count); status != KERN_SUCCESS) {
        return status;
    }
    return loan.give_back();
}

kern_return_t vm_copy(vm_task_t task, vm_address_t source, vm_size_t count, vm_address_t destination) noexcept {
    if (count == 0) {
        return KERN_SUCCESS;
    }
    Loan from(task, source, count, VM_PROT_READ);
    if (from.status() != KERN_SUCCESS) {
        return from.status();
    }
    Loan to(task, destination, count, VM_PROT_WRITE);
    if (to.status() != KERN_SUCCESS) {
        return to.status();
    }
    if (const auto status = copy_within(to.data(), from.data(), count); status != KERN_SUCCESS) {
        return status;
    }
    const auto read = from.give_back();
    const auto written = to.give_back();
    return read != KERN_SUCCESS ? read : written;
}
}

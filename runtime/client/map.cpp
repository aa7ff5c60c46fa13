// SPDX-License-Identifier: BSD-3-Clause
// <norma/mach.h>: what tasks do with each other's memory. To copy from or to another task the library has that memory
// mapped here for the moment, and copies: the pages come and go by the page protocol, as they do for everybody else.
#include "norma/mach.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"

#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
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

bool overlap(vm_address_t a, vm_address_t b, vm_size_t bytes) {
    return a < b ? b - a < bytes : a - b < bytes;
}

// Where the two are the same memory, though at different addresses here, all is read before any is written.
kern_return_t copy(std::byte *to, const std::byte *from, std::size_t bytes, bool same_memory) {
    if (!same_memory) {
        std::memcpy(to, from, bytes);
        return KERN_SUCCESS;
    }
    const std::unique_ptr<std::byte[]> between(new (std::nothrow) std::byte[bytes]);
    if (between == nullptr) {
        return KERN_RESOURCE_SHORTAGE;
    }
    std::memcpy(between.get(), from, bytes);
    std::memcpy(to, between.get(), bytes);
    return KERN_SUCCESS;
}

} // namespace

extern "C" {

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
        if (const auto status = vm_allocate(mach_task_self(), &mine, size, TRUE); status != KERN_SUCCESS) {
            return status;
        }
        std::memcpy(reinterpret_cast<void *>(mine), loan.data(), size);
        if (const auto status = loan.give_back(); status != KERN_SUCCESS) {
            vm_deallocate(mach_task_self(), mine, size);
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
    const bool same_memory = task == mach_task_self() && overlap(address, data, count);
    const auto status = copy(loan.data(), reinterpret_cast<const std::byte *>(data), count, same_memory);
    return status != KERN_SUCCESS ? status : loan.give_back();
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
    if (const auto status = copy(to.data(), from.data(), count, overlap(source, destination, count));
        status != KERN_SUCCESS) {
        return status;
    }
    const auto read = from.give_back();
    const auto written = to.give_back();
    return read != KERN_SUCCESS ? read : written;
}
}

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/clone.hpp"

#include "norma/clone.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/descriptors.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/client/inheritance.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/shared_files.hpp"
#include "runtime/client/tables.hpp"
#include "runtime/families.hpp"
#include "runtime/sockets.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

namespace norma::rt {

int begin_clone(std::uint64_t entry, std::uint64_t argument, std::uint64_t top_of_stack,
                std::span<const std::byte> inheritance, int parcel, NewThread &made) {
    const int unpacked = parcel < 0 ? 0 : unpack_files(parcel);
    if (unpacked != 0 || inheritance.size() != sizeof(Inheritance)) {
        return unpacked != 0 ? unpacked : EINVAL;
    }
    const auto taken = std::make_unique<Inheritance>();
    std::memcpy(taken.get(), inheritance.data(), sizeof(Inheritance));
    int error = is_shared(Table::directories) ? 0 : apply_directories(*taken);
    if (error == 0 && !is_shared(Table::actions)) {
        error = apply_actions(*taken);
    }
    return error != 0 ? error : start_clone(entry, argument, top_of_stack, set_of(taken->blocked), made);
}

namespace {

constexpr int kSignalMask = 0xff;

int check(int node, int (*fn)(void *), const void *stack, int flags) {
    if (fn == nullptr || stack == nullptr ||
        (flags & ~(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_PID | kSignalMask)) != 0 ||
        !is_signal(static_cast<std::uint64_t>(flags & kSignalMask))) {
        return EINVAL;
    }
    if (!job.active) {
        return ENOSYS;
    }
    return node < 0 || node >= job.nodes ? ESRCH : 0;
}

// Files that the child has in common with this task, in whatever way, are ones that can be shared, except for plain
// references on the same node, which go along in a parcel.
int prepare_files(int node, int flags, int &parcel) {
    if (shared_numbers.any || (flags & CLONE_FILES) != 0 || node != job.node) {
        return share_files();
    }
    parcel = pack_files();
    return parcel >= 0 ? 0 : errno == ENOMEM ? ENOMEM : EAGAIN;
}

// What it sends along is in private memory: the kernel may not be able to fetch any other.
int clone_on(int node, int (*fn)(void *), void *stack, int flags, void *argument) {
    const std::unique_ptr<Inheritance> inheritance(new (std::nothrow) Inheritance);
    if (inheritance == nullptr) {
        return fail_with(ENOMEM);
    }
    for (std::size_t table = 0; table < kTables; ++table) {
        if ((static_cast<std::uint64_t>(flags) & kTableFlags.at(table)) != 0) {
            share(static_cast<Table>(table));
        }
    }
    if (const int error = collect(*inheritance); error != 0) {
        return fail_with(error);
    }
    int parcel = -1;
    if (const int error = prepare_files(node, flags, parcel); error != 0) {
        return fail_with(error);
    }
    const auto answer =
        call(Op::clone, kNameTaskSelf,
             {static_cast<std::uint64_t>(flags), static_cast<std::uint64_t>(node), reinterpret_cast<std::uint64_t>(fn),
              reinterpret_cast<std::uint64_t>(stack), reinterpret_cast<std::uint64_t>(argument)},
             std::as_bytes(std::span(inheritance.get(), 1)), parcel);
    close_if_open(parcel);
    if (answer.status != KERN_SUCCESS) {
        return fail_with(answer.vals[0] != 0 ? static_cast<int>(answer.vals[0]) : errno_of(answer.status));
    }
    return static_cast<int>(answer.vals[0]);
}

} // namespace

} // namespace norma::rt

extern "C" {

int norma_clone(int (*fn)(void *), void *stacktop, int flags, void *arg) NORMA_MACH_NOEXCEPT {
    return norma_clone_on(norma::rt::job.active ? norma::rt::job.node : 0, fn, stacktop, flags, arg);
}

int norma_clone_on(int node, int (*fn)(void *), void *stacktop, int flags, void *arg) NORMA_MACH_NOEXCEPT {
    const int error = norma::rt::check(node, fn, stacktop, flags);
    return error != 0 ? norma::rt::fail_with(error) : norma::rt::clone_on(node, fn, stacktop, flags, arg);
}
}

// SPDX-License-Identifier: BSD-3-Clause
// <norma/region.h>, and finding the library that does it.
#include "runtime/client/one_sided.hpp"

#include "runtime/c_strings.hpp"
#include "runtime/client/attach.hpp"
#include "runtime/client/channel.hpp"
#include "runtime/client/direct_regions.hpp"
#include "runtime/client/job.hpp"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <exception>
#include <mutex>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr const char *kLibrary = "libnorma_one_sided.so";
constexpr unsigned kMostPieces = 4096;

std::atomic<OneSided *> opened{nullptr}; // never destroyed: threads may be in it when the process ends
std::mutex opening;

DirectRegions &direct() {
    static auto *const regions = new DirectRegions; // likewise
    return *regions;
}

// Beside libnorma itself.
std::string library_path() {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void *>(&library_path), &info) == 0 || info.dli_fname == nullptr) {
        return kLibrary;
    }
    const std::string own = info.dli_fname;
    const auto slash = own.rfind('/');
    return slash == std::string::npos ? kLibrary : own.substr(0, slash + 1) + kLibrary;
}

void stop_at_exit() {
    opened.load()->stop();
}

OneSided *open_library() {
    const auto path = library_path();
    auto *const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    auto *const open = library == nullptr ? nullptr : reinterpret_cast<OpenOneSided *>(dlsym(library, kOpenOneSided));
    if (open == nullptr) {
        std::fprintf(stderr, "norma: one-sided access is not to be had: %s\n", dlerror());
        return nullptr;
    }
    std::string why;
    const auto settings = settings_in_force();
    const auto config = load_config(c_strings(settings).data());
    auto *const made = open(
        {.transport = config.transport,
         .verbs = {.device = config.verbs_device, .port = config.verbs_port, .gid_index = config.verbs_gid_index},
         .wait = config.wait,
         .spin = config.spin,
         .timeout = config.call_timeout,
         .task_lives =
             [](std::uint64_t task) { return call(Op::region_find, MACH_PORT_NULL, {task}).status == KERN_SUCCESS; },
         .owner_thread = &job.owner_thread,
         .network_thread = &job.network_thread},
        why);
    if (made == nullptr) {
        std::fprintf(stderr, "norma: one-sided access is not to be had: %s\n", why.c_str());
        return nullptr;
    }
    opened = made;
    std::atexit(stop_at_exit); // before UCX's own end, which expects to be alone
    return made;
}

// KERN_SUCCESS, or why not.
kern_return_t one_sided(OneSided *&access) {
    access = opened.load(std::memory_order_acquire);
    if (access != nullptr) {
        return KERN_SUCCESS;
    }
    if (!job.active) {
        return KERN_FAILURE;
    }
    const std::lock_guard hold(opening);
    access = opened.load();
    access = access != nullptr ? access : open_library();
    return access != nullptr ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
}

// Makes a result of what `body()` throws.
template <class Body> kern_return_t caught(Body body) {
    try {
        return body();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "norma: one-sided access: %s\n", error.what());
        return KERN_RESOURCE_SHORTAGE;
    }
}

// For calls that are given something made before: without the library there is no such thing.
template <class Body> kern_return_t with_opened(Body body) {
    auto *const access = opened.load(std::memory_order_acquire);
    return access != nullptr ? body(*access) : job.active ? KERN_INVALID_VALUE : KERN_FAILURE;
}

kern_return_t start(norma_region_t region, std::span<const Access> pieces, norma_op_t *op) {
    if (op == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    if (DirectRegions::has(region)) {
        return direct().start(region, pieces, *op);
    }
    return with_opened([&](OneSided &access) { return access.start(region, pieces, *op); });
}

kern_return_t run(norma_region_t region, std::span<const Access> pieces) {
    if (DirectRegions::has(region)) {
        return direct().run(region, pieces);
    }
    norma_op_t op = 0;
    const auto status = start(region, pieces, &op);
    return status == KERN_SUCCESS ? opened.load()->wait(op, std::chrono::milliseconds(-1)) : status;
}

Access piece_of(AccessKind kind, vm_offset_t offset, const void *buffer, vm_size_t bytes) {
    return {
        .kind = kind, .offset = offset, .buffer = static_cast<std::byte *>(const_cast<void *>(buffer)), .bytes = bytes};
}

Access word_of(AccessKind kind, vm_offset_t offset, std::uint64_t first, std::uint64_t second, std::uint64_t *before) {
    return {
        .kind = kind, .offset = offset, .bytes = sizeof(std::uint64_t), .operand = {first, second}, .before = before};
}

// Calls `go` with the pieces as accesses.
template <class Go> kern_return_t with_pieces(AccessKind kind, const norma_piece_t *pieces, unsigned count, Go go) {
    if (pieces == nullptr || count == 0 || count > kMostPieces) {
        return KERN_INVALID_ARGUMENT;
    }
    try {
        std::vector<Access> list;
        list.reserve(count);
        for (const auto &piece : std::span(pieces, count)) {
            list.push_back(piece_of(kind, piece.offset, piece.buffer, piece.bytes));
        }
        return go(list);
    } catch (const std::bad_alloc &) {
        return KERN_RESOURCE_SHORTAGE;
    }
}

} // namespace

void revoke_exports(std::uint64_t address, std::uint64_t bytes) {
    if (auto *const access = opened.load(std::memory_order_acquire)) {
        access->revoke(address, bytes);
    }
}

} // namespace norma::rt

using namespace norma::rt;

extern "C" {

kern_return_t norma_region_export(vm_address_t address, vm_size_t size, vm_prot_t access, norma_key_t *key) noexcept {
    if (key == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    return caught([&]() -> kern_return_t {
        OneSided *network = nullptr;
        if (const auto status = one_sided(network); status != KERN_SUCCESS) {
            return status;
        }
        const auto where = network->address();
        // First the key, then the question whether it may be, then access: what is unwired meanwhile ends the export.
        auto made = network->expose(address, size, access);
        const auto answer = call(
            Op::region_export, kNameTaskSelf,
            {address, size, static_cast<std::uint32_t>(access), made.words[1], made.words[2], made.words[3]}, where);
        if (answer.status != KERN_SUCCESS) {
            network->withdraw(made);
            return answer.status;
        }
        if (!network->open(made)) {
            return KERN_INVALID_ADDRESS;
        }
        made.words[0] = answer.vals[0];
        *key = made;
        return KERN_SUCCESS;
    });
}

kern_return_t norma_region_withdraw(const norma_key_t *key) noexcept {
    if (key == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto wanted = *key;
    const auto found =
        with_opened([&](OneSided &access) { return access.withdraw(wanted) ? KERN_SUCCESS : KERN_INVALID_CAPABILITY; });
    if (found != KERN_SUCCESS) {
        return found == KERN_INVALID_VALUE ? KERN_INVALID_CAPABILITY : found;
    }
    return call(Op::region_withdraw, kNameTaskSelf, {wanted.words[2], wanted.words[3]}).status;
}

kern_return_t norma_region_import(const norma_key_t *key, norma_region_t *region, vm_size_t *size,
                                  vm_prot_t *access) noexcept {
    if (key == nullptr || region == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    return caught([&]() -> kern_return_t {
        const auto wanted = *key;
        const auto answer = call(Op::region_find, MACH_PORT_NULL, {wanted.words[0]});
        if (answer.status != KERN_SUCCESS || answer.vals[0] > answer.blob.size()) {
            return answer.status != KERN_SUCCESS ? answer.status : KERN_FAILURE;
        }
        const auto name = answer.blob.last(answer.vals[0]);
        const std::string socket(reinterpret_cast<const char *>(name.data()), name.size());
        const std::vector<std::byte> where(answer.blob.begin(), answer.blob.end() - std::ssize(name));
        std::uint64_t bytes = 0;
        vm_prot_t rights = VM_PROT_NONE;
        norma_region_t made = 0;
        auto status = direct().import(socket, wanted, made, bytes, rights);
        if (!status) {
            OneSided *network = nullptr;
            status = one_sided(network);
            status = network == nullptr ? status : network->import(wanted, where, made, bytes, rights);
        }
        if (*status == KERN_SUCCESS) {
            *region = made;
            size == nullptr ? void() : void(*size = bytes);
            access == nullptr ? void() : void(*access = rights);
        }
        return *status;
    });
}

kern_return_t norma_region_release(norma_region_t region) noexcept {
    if (DirectRegions::has(region)) {
        return direct().release(region);
    }
    return with_opened([&](OneSided &access) { return access.release(region); });
}

kern_return_t norma_get(norma_region_t region, vm_offset_t offset, void *buffer, vm_size_t bytes) noexcept {
    const auto piece = piece_of(AccessKind::get, offset, buffer, bytes);
    return run(region, {&piece, 1});
}
kern_return_t norma_put(norma_region_t region, vm_offset_t offset, const void *buffer, vm_size_t bytes) noexcept {
    const auto piece = piece_of(AccessKind::put, offset, buffer, bytes);
    return run(region, {&piece, 1});
}
kern_return_t norma_fetch_add(norma_region_t region, vm_offset_t offset, uint64_t add, uint64_t *before) noexcept {
    const auto piece = word_of(AccessKind::fetch_add, offset, add, 0, before);
    return run(region, {&piece, 1});
}
kern_return_t norma_compare_swap(norma_region_t region, vm_offset_t offset, uint64_t expected, uint64_t desired,
                                 uint64_t *before) noexcept {
    const auto piece = word_of(AccessKind::compare_swap, offset, expected, desired, before);
    return run(region, {&piece, 1});
}
kern_return_t norma_getv(norma_region_t region, const norma_piece_t *pieces, unsigned count) noexcept {
    return with_pieces(AccessKind::get, pieces, count, [&](std::span<const Access> list) { return run(region, list); });
}
kern_return_t norma_putv(norma_region_t region, const norma_piece_t *pieces, unsigned count) noexcept {
    return with_pieces(AccessKind::put, pieces, count, [&](std::span<const Access> list) { return run(region, list); });
}

kern_return_t norma_get_start(norma_region_t region, const norma_piece_t *pieces, unsigned count,
                              norma_op_t *op) noexcept {
    return with_pieces(AccessKind::get, pieces, count,
                       [&](std::span<const Access> list) { return start(region, list, op); });
}
kern_return_t norma_put_start(norma_region_t region, const norma_piece_t *pieces, unsigned count,
                              norma_op_t *op) noexcept {
    return with_pieces(AccessKind::put, pieces, count,
                       [&](std::span<const Access> list) { return start(region, list, op); });
}
kern_return_t norma_fetch_add_start(norma_region_t region, vm_offset_t offset, uint64_t add, uint64_t *before,
                                    norma_op_t *op) noexcept {
    const auto piece = word_of(AccessKind::fetch_add, offset, add, 0, before);
    return start(region, {&piece, 1}, op);
}
kern_return_t norma_compare_swap_start(norma_region_t region, vm_offset_t offset, uint64_t expected, uint64_t desired,
                                       uint64_t *before, norma_op_t *op) noexcept {
    const auto piece = word_of(AccessKind::compare_swap, offset, expected, desired, before);
    return start(region, {&piece, 1}, op);
}

kern_return_t norma_op_wait(norma_op_t op, int timeout_ms) noexcept {
    if (DirectRegions::has(op)) {
        return direct().take(op);
    }
    return with_opened([&](OneSided &access) { return access.wait(op, std::chrono::milliseconds(timeout_ms)); });
}
kern_return_t norma_op_test(norma_op_t op, boolean_t *done) noexcept {
    if (done == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    if (DirectRegions::has(op)) {
        const auto status = direct().take(op);
        *done = status != KERN_INVALID_VALUE ? TRUE : *done;
        return status;
    }
    return with_opened([&](OneSided &access) {
        bool over = false;
        const auto status = access.test(op, over);
        if (status != KERN_INVALID_VALUE || over) {
            *done = over ? TRUE : FALSE;
        }
        return status;
    });
}
kern_return_t norma_fence(norma_region_t region) noexcept {
    if (DirectRegions::has(region)) {
        return direct().fence(region);
    }
    return with_opened([&](OneSided &access) { return access.fence(region); });
}
}

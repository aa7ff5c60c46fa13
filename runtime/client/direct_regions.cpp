// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/direct_regions.hpp"

#include "runtime/client/descriptors.hpp"
#include "runtime/client/one_sided_memory.hpp"
#include "runtime/direct.hpp"
#include "runtime/local_socket.hpp"
#include "runtime/sockets.hpp"

#include <ctime>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr int kPatienceMs = 2000; // for the node server's answer to an import
constexpr std::int64_t kLookNs = 100'000'000;

std::int64_t coarse_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// A descriptor that no child gets.
class Received {
  public:
    Received() = default;
    ~Received() { close_if_open(fd); }
    Received(const Received &) = delete;
    Received &operator=(const Received &) = delete;
    int fd = -1;
};

// What the kernel reads and writes is not on the stack, which may be coherent memory.

// False: nothing comes in time.
bool wait_for_packet(int socket, int milliseconds) {
    static thread_local pollfd ready;
    ready = {.fd = socket, .events = POLLIN, .revents = 0};
    return poll(&ready, 1, milliseconds) == 1;
}

// The next packet, and what comes along. False: none of that size comes in time.
template <class Packet> bool receive(int socket, Packet &packet, Received &passed) {
    static thread_local Packet came;
    const bool whole = wait_for_packet(socket, kPatienceMs) &&
                       receive_packet(socket, std::as_writable_bytes(std::span(&came, 1)), passed.fd) == sizeof came;
    packet = came;
    return whole;
}

bool send(int socket, const DirectAsk &ask) {
    static thread_local DirectAsk going;
    going = ask;
    return send_packet(socket, std::as_bytes(std::span(&going, 1)), {}) == 0;
}

} // namespace

// Frames that have been mapped, and the connection as long as which they are this process's to use.
class DirectRegion {
  public:
    explicit DirectRegion(int socket) : socket_(socket) { keep_private(socket); }
    ~DirectRegion() {
        if (control_ != nullptr) {
            ::munmap(control_, kPageBytes);
        }
        if (base_ != nullptr) {
            ::munmap(base_, mapped_);
        }
        close_private(socket_);
    }
    DirectRegion(const DirectRegion &) = delete;
    DirectRegion &operator=(const DirectRegion &) = delete;

    int socket() const { return socket_; }
    std::uint64_t bytes() const { return bytes_; }
    vm_prot_t access() const { return access_; }

    // Takes what the node server sends. False: not all of it comes, or makes sense.
    bool take(const DirectGrant &grant, int control);
    kern_return_t carry_out(const Access &access);

  private:
    kern_return_t check(const Access &access) const;
    bool owner_lives();

    int socket_;
    DirectControl *control_ = nullptr;
    std::byte *base_ = nullptr;
    std::size_t mapped_ = 0;
    std::byte *start_ = nullptr; // of the region
    std::uint64_t bytes_ = 0;
    vm_prot_t access_ = VM_PROT_NONE;
    std::atomic<std::int64_t> looked_{coarse_now()};
};

bool DirectRegion::take(const DirectGrant &grant, int control) {
    const auto whole = (grant.lead + grant.bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
    if (control < 0 || grant.pieces > kMostDirectPieces || grant.lead >= kPageBytes || whole <= grant.bytes - 1) {
        return false;
    }
    auto *const page = ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, control, 0);
    if (page == MAP_FAILED) {
        return false;
    }
    control_ = static_cast<DirectControl *>(page);
    auto *const room = ::mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        return false;
    }
    base_ = static_cast<std::byte *>(room);
    mapped_ = whole;
    const int rights = (grant.access & VM_PROT_WRITE) != 0 ? PROT_READ | PROT_WRITE : PROT_READ;
    std::uint64_t filled = 0;
    for (std::uint32_t i = 0; i < grant.pieces; ++i) {
        DirectPiece piece{};
        Received frames;
        if (!receive(socket_, piece, frames) || frames.fd < 0 || piece.size > whole - filled ||
            ::mmap(base_ + filled, piece.size, rights, MAP_SHARED | MAP_FIXED | MAP_POPULATE, frames.fd,
                   static_cast<off_t>(piece.offset)) == MAP_FAILED) {
            return false;
        }
        filled += piece.size;
    }
    start_ = base_ + grant.lead;
    bytes_ = grant.bytes;
    access_ = static_cast<vm_prot_t>(grant.access);
    return filled == whole;
}

kern_return_t DirectRegion::check(const Access &access) const {
    if (access.offset > bytes_ || access.bytes > bytes_ - access.offset) {
        return KERN_INVALID_ADDRESS;
    }
    if ((needed_for(access.kind) & ~access_) != 0) {
        return KERN_PROTECTION_FAILURE;
    }
    const bool word = access.kind == AccessKind::fetch_add || access.kind == AccessKind::compare_swap;
    const auto address = reinterpret_cast<std::uintptr_t>(start_ + access.offset);
    return word && address % sizeof(std::uint64_t) != 0 ? KERN_INVALID_ADDRESS : KERN_SUCCESS;
}

// The end of its node server is the end of the owner, and nobody is left to write that into the page.
bool DirectRegion::owner_lives() {
    const auto now = coarse_now();
    if (now - looked_.load(std::memory_order_relaxed) < kLookNs) {
        return true;
    }
    looked_.store(now, std::memory_order_relaxed);
    return !wait_for_packet(socket_, 0);
}

kern_return_t DirectRegion::carry_out(const Access &access) {
    const bool lives = owner_lives();
    std::uint64_t before = 0;
    control_->users.fetch_add(1, std::memory_order_seq_cst);
    const auto state = control_->state.load(std::memory_order_seq_cst);
    auto status = state == DirectControl::withdrawn              ? KERN_INVALID_CAPABILITY
                  : state == DirectControl::owner_gone || !lives ? KERN_TERMINATED
                                                                 : check(access);
    if (status == KERN_SUCCESS && access.kind == AccessKind::get) {
        copy_shared(access.buffer, start_ + access.offset, access.bytes);
    } else if (status == KERN_SUCCESS && access.kind == AccessKind::put) {
        copy_shared(start_ + access.offset, access.buffer, access.bytes);
    } else if (status == KERN_SUCCESS) {
        before = change_word(start_ + access.offset, access.kind, access.operand);
    }
    control_->users.fetch_sub(1, std::memory_order_release);
    if (status == KERN_SUCCESS && access.before != nullptr) {
        *access.before = before;
    }
    return status;
}

std::optional<kern_return_t> DirectRegions::import(const std::string &socket, const norma_key_t &key,
                                                   norma_region_t &region, std::uint64_t &bytes, vm_prot_t &access) {
    const int fd = socket.empty() ? -1 : connect_to(socket, SOCK_SEQPACKET);
    if (fd < 0) {
        return std::nullopt; // of another machine
    }
    const auto memory = std::make_shared<DirectRegion>(fd);
    const auto peer = peer_behind(fd);
    const DirectAsk ask{
        .owner = key.words[0], .place = key.words[1], .secret = {.high = key.words[2], .low = key.words[3]}};
    if (!peer || peer->user != ::geteuid() || !send(fd, ask)) {
        return std::nullopt;
    }
    DirectGrant grant{};
    Received control;
    if (!receive(fd, grant, control)) {
        return std::nullopt;
    }
    if (grant.status != KERN_SUCCESS) {
        return grant.status;
    }
    if (!memory->take(grant, control.fd)) {
        return std::nullopt;
    }
    bytes = memory->bytes();
    access = memory->access();
    const std::lock_guard hold(mutex_);
    const auto number = regions_.take();
    regions_.find(number)->memory = memory;
    region = number | kMark;
    return KERN_SUCCESS;
}

kern_return_t DirectRegions::release(norma_region_t region) {
    std::shared_ptr<DirectRegion> memory; // ends without the lock
    const std::lock_guard hold(mutex_);
    auto *found = regions_.find(region & ~kMark);
    if (found == nullptr) {
        return KERN_INVALID_VALUE;
    }
    memory = std::move(found->memory);
    regions_.give_back(region & ~kMark);
    return KERN_SUCCESS;
}

kern_return_t DirectRegions::run(norma_region_t region, std::span<const Access> pieces) {
    std::shared_ptr<DirectRegion> memory;
    {
        const std::lock_guard hold(mutex_);
        const auto *found = regions_.find(region & ~kMark);
        if (found == nullptr || found->memory == nullptr) {
            return found == nullptr ? KERN_INVALID_VALUE : found->failure;
        }
        memory = found->memory;
    }
    kern_return_t status = KERN_SUCCESS; // the first that is none
    for (const auto &piece : pieces) {
        const auto one = memory->carry_out(piece);
        status = status == KERN_SUCCESS ? one : status;
        if (one == KERN_INVALID_CAPABILITY || one == KERN_TERMINATED) {
            is_over(region, one);
        }
    }
    return status;
}

// The frames are not kept for nothing.
void DirectRegions::is_over(norma_region_t region, kern_return_t why) {
    std::shared_ptr<DirectRegion> memory; // ends without the lock
    const std::lock_guard hold(mutex_);
    if (auto *found = regions_.find(region & ~kMark); found != nullptr && found->memory != nullptr) {
        memory = std::move(found->memory);
        found->failure = why;
    }
}

kern_return_t DirectRegions::start(norma_region_t region, std::span<const Access> pieces, norma_op_t &op) {
    const auto status = run(region, pieces);
    const std::lock_guard hold(mutex_);
    if (regions_.find(region & ~kMark) == nullptr) {
        return KERN_INVALID_VALUE;
    }
    const auto number = ops_.take();
    ops_.find(number)->status = status;
    op = number | kMark;
    return KERN_SUCCESS;
}

kern_return_t DirectRegions::take(norma_op_t op) {
    const std::lock_guard hold(mutex_);
    const auto *found = ops_.find(op & ~kMark);
    if (found == nullptr) {
        return KERN_INVALID_VALUE;
    }
    const auto status = found->status;
    ops_.give_back(op & ~kMark);
    return status;
}

// All accesses have been carried out; what remains is that they are seen before what follows.
kern_return_t DirectRegions::fence(norma_region_t region) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const std::lock_guard hold(mutex_);
    return regions_.find(region & ~kMark) != nullptr ? KERN_SUCCESS : KERN_INVALID_VALUE;
}

} // namespace norma::rt

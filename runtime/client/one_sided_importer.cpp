// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_importer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <sched.h>
#include <set>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace norma::rt {

namespace {

// How often who waits asks whether there is anybody to wait for.
constexpr std::chrono::milliseconds kLook{500};

} // namespace

class OneSidedImporter::Hold {
  public:
    explicit Hold(OneSidedImporter &importer) : lock(importer.mutex_, std::try_to_lock) {
        if (!lock.owns_lock()) {
            ++importer.wanted_;
            lock.lock();
            --importer.wanted_;
        }
    }
    std::unique_lock<std::mutex> lock;
};

class OneSidedImporter::Looking {
  public:
    explicit Looking(unsigned &threads) : threads_(threads) { ++threads_; }
    ~Looking() { --threads_; }
    Looking(const Looking &) = delete;
    Looking &operator=(const Looking &) = delete;

  private:
    unsigned &threads_;
};

OneSidedImporter::OneSidedImporter(const OneSidedOptions &options)
    : wait_(options.wait), spin_(options.spin), timeout_(options.timeout), task_lives_(options.task_lives),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (wake_ < 0) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
}

OneSidedImporter::~OneSidedImporter() {
    ::close(wake_);
}

// ---- regions ----

kern_return_t OneSidedImporter::import(const norma_key_t &key, std::span<const std::byte> address,
                                       norma_region_t &region, std::uint64_t &bytes, vm_prot_t &access) {
    std::uint64_t found[2] = {};
    Hold hold(*this);
    auto &target = target_for(key, address);
    ++target.users;
    const auto number = ops_.take();
    begin(*ops_.find(number), number, target, key, {.kind = AccessKind::look, .bytes = 0, .before = found});
    hold.lock.unlock();
    const bool over = progress_until(timeout_, [&] { return ops_.find(number)->open == 0; });
    hold.lock.lock();
    if (!over) {
        give_up(number);
    }
    const auto status = over ? *result_of(number) : KERN_OPERATION_TIMED_OUT;
    if (status != KERN_SUCCESS) {
        leave(target);
        return status;
    }
    region = regions_.take();
    *regions_.find(region) = {.target = &target, .key = key};
    bytes = found[0];
    access = static_cast<vm_prot_t>(found[1]);
    return KERN_SUCCESS;
}

kern_return_t OneSidedImporter::release(norma_region_t region) {
    const Hold hold(*this);
    const auto *found = regions_.find(region);
    if (found == nullptr) {
        return KERN_INVALID_VALUE;
    }
    auto &target = *found->target;
    regions_.give_back(region);
    leave(target);
    return KERN_SUCCESS;
}

void OneSidedImporter::leave(Target &target) {
    if (--target.users == 0) {
        unused(target);
    }
}

// ---- accesses ----

kern_return_t OneSidedImporter::start(norma_region_t region, std::span<const Access> pieces, norma_op_t &op) {
    const Hold hold(*this);
    const auto *wanted = regions_.find(region);
    if (wanted == nullptr) {
        return KERN_INVALID_VALUE;
    }
    op = ops_.take();
    auto &made = *ops_.find(op);
    made.region = region;
    for (const auto &piece : pieces) {
        begin(made, op, *wanted->target, wanted->key, piece);
    }
    return KERN_SUCCESS;
}

void OneSidedImporter::begin(Op &op, std::uint64_t number, Target &target, const norma_key_t &key,
                             const Access &access) {
    ++op.open;
    ++target.users;
    const auto made = parts_.take();
    *parts_.find(made) = {.op = number, .target = &target, .key = key, .access = access};
    if (target.failure != KERN_SUCCESS) {
        finish(made, target.failure);
        return;
    }
    target.to_send.push_back(made);
    send(target);
}

void OneSidedImporter::finish(std::uint64_t number, kern_return_t status) {
    auto &op = *ops_.find(parts_.find(number)->op);
    forget_part(number);
    op.status = op.status == KERN_SUCCESS ? status : op.status;
    if (--op.open > 0) {
        return;
    }
    if (sleepers_ > 0) {
        changed_.notify_all();
    }
    if (sleeping_) { // what it waits for may be this, and has been taken out of the descriptor
        ::eventfd_write(wake_, 1);
    }
}

void OneSidedImporter::forget_part(std::uint64_t number) {
    auto &target = *parts_.find(number)->target;
    parts_.give_back(number);
    leave(target);
}

void OneSidedImporter::give_up(norma_op_t number) {
    parts_.for_each([&](std::uint64_t part, const Part &value) {
        if (value.op == number) {
            forget_part(part);
        }
    });
    ops_.give_back(number);
}

void OneSidedImporter::fail(Target &target, kern_return_t failure) {
    target.failure = failure;
    target.to_send.clear();
    ++target.users; // it stays until this is over
    close(target);
    std::vector<std::uint64_t> stranded;
    parts_.for_each([&](std::uint64_t number, const Part &part) {
        if (part.target == &target) {
            stranded.push_back(number);
        }
    });
    for (const auto number : stranded) {
        finish(number, failure);
    }
    leave(target);
}

// ---- waiting ----

// The network may not notice that a process has ended; the node servers do.
void OneSidedImporter::look_for_dead_owners(std::unique_lock<std::mutex> &lock) {
    look_for_dead_peers();
    std::set<std::uint64_t> asked;
    parts_.for_each([&](std::uint64_t, const Part &part) { asked.insert(part.target->task); });
    lock.unlock();
    std::erase_if(asked, [this](std::uint64_t task) { return task_lives_(task); });
    lock.lock();
    std::vector<Target *> dead;
    for_each_target([&](Target &target) {
        if (asked.contains(target.task)) {
            dead.push_back(&target);
        }
    });
    for (auto *target : dead) {
        fail(*target, KERN_TERMINATED);
    }
}

// Several looks under one hold of the lock, unless somebody else wants it.
template <class Over> bool OneSidedImporter::look(bool &happened, Over over) {
    constexpr unsigned kTurns = 16;
    const unsigned turns = wait_ == WaitMode::block || looking_ > 1 ? 1 : kTurns;
    for (unsigned turn = 0; turn < turns && (turn == 0 || wanted_ == 0); ++turn) {
        if (over()) {
            return true;
        }
        happened = progress() || happened;
    }
    return over();
}

// Most accesses over shared memory are answered within a few looks, and reading the clock takes as long as one.
template <class Over> bool OneSidedImporter::progress_until(std::chrono::milliseconds timeout, Over over) {
    Hold hold(*this);
    const Looking looking(looking_);
    std::optional<Clock::time_point> began;
    Clock::time_point last, looked;
    for (;;) {
        bool happened = false;
        if (look(happened, over)) {
            return true;
        }
        const auto now = Clock::now();
        if (!began) {
            began = last = looked = now;
        }
        const auto deadline = *began + timeout;
        if (now >= deadline) {
            return false;
        }
        if (now - looked >= kLook) {
            look_for_dead_owners(hold.lock);
            looked = Clock::now();
        } else if (happened) {
            last = now;
        } else if (wait_ == WaitMode::block || (wait_ == WaitMode::adaptive && now - last >= spin_)) {
            sleep(hold.lock, deadline);
            last = Clock::now();
        }
        hold.lock.unlock();
        while (wanted_ > 0) {
            sched_yield();
        }
        hold.lock.lock();
    }
}

// One thread waits for the worker's descriptor, the others for that thread.
void OneSidedImporter::sleep(std::unique_lock<std::mutex> &lock, Clock::time_point deadline) {
    if (sleeping_) {
        ++sleepers_;
        changed_.wait_until(lock, std::min(deadline, Clock::now() + kLook));
        --sleepers_;
        return;
    }
    if (!arm()) {
        return; // something has come meanwhile
    }
    sleeping_ = true;
    lock.unlock();
    static thread_local std::array<pollfd, 2> ready; // not on the stack, which may be coherent memory
    ready = {{{.fd = event_fd(), .events = POLLIN, .revents = 0}, {.fd = wake_, .events = POLLIN, .revents = 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    poll(ready.data(), ready.size(), static_cast<int>(std::clamp(left, std::chrono::milliseconds(0), kLook).count()));
    lock.lock();
    sleeping_ = false;
    static eventfd_t ignored;
    ::eventfd_read(wake_, &ignored);
    changed_.notify_all();
}

std::optional<kern_return_t> OneSidedImporter::result_of(norma_op_t number) {
    const auto *op = ops_.find(number);
    if (op->open > 0) {
        return std::nullopt;
    }
    const auto status = op->status;
    ops_.give_back(number);
    return status;
}

std::optional<kern_return_t> OneSidedImporter::result_for_caller(norma_op_t number) {
    const auto *op = ops_.find(number);
    return op == nullptr || op->region == 0 ? KERN_INVALID_VALUE : result_of(number);
}

kern_return_t OneSidedImporter::wait(norma_op_t number, std::chrono::milliseconds timeout) {
    std::optional<kern_return_t> result;
    const auto over = [&] { return (result = result_for_caller(number)).has_value(); };
    if (!progress_until(timeout.count() < 0 ? timeout_ : timeout, over)) {
        const Hold hold(*this);
        result = result_for_caller(number);
        if (!result) {
            give_up(number);
        }
        return result.value_or(KERN_OPERATION_TIMED_OUT);
    }
    return *result;
}

kern_return_t OneSidedImporter::test(norma_op_t number, bool &done) {
    const Hold hold(*this);
    if (const auto *op = ops_.find(number); op == nullptr || op->region == 0) {
        return KERN_INVALID_VALUE;
    }
    progress();
    const auto result = result_of(number);
    done = result.has_value();
    return result.value_or(KERN_SUCCESS);
}

kern_return_t OneSidedImporter::fence(norma_region_t region) {
    std::vector<norma_op_t> open;
    {
        const Hold hold(*this);
        if (regions_.find(region) == nullptr) {
            return KERN_INVALID_VALUE;
        }
        ops_.for_each([&](std::uint64_t number, const Op &op) {
            if (op.region == region && op.open > 0) {
                open.push_back(number);
            }
        });
    }
    const auto over = [&] {
        return std::all_of(open.begin(), open.end(), [&](norma_op_t number) {
            const auto *op = ops_.find(number);
            return op == nullptr || op->open == 0;
        });
    };
    return progress_until(timeout_, over) ? KERN_SUCCESS : KERN_OPERATION_TIMED_OUT;
}

} // namespace norma::rt

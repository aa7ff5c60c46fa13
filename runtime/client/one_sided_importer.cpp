// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_importer.hpp"

#include <algorithm>
#include <poll.h>
#include <sched.h>
#include <set>

namespace norma::rt {

namespace {

// How often who waits asks whether there is anybody to wait for.
constexpr std::chrono::milliseconds kLook{500};

} // namespace

class OneSidedImporter::Hold {
  public:
    explicit Hold(OneSidedImporter &importer) : lock(importer.mutex_, std::defer_lock) {
        ++importer.wanted_;
        lock.lock();
        --importer.wanted_;
    }
    std::unique_lock<std::mutex> lock;
};

OneSidedImporter::OneSidedImporter(const OneSidedOptions &options)
    : wait_(options.wait), spin_(options.spin), timeout_(options.timeout), task_lives_(options.task_lives),
      context_(options.transport), worker_(context_, UCS_THREAD_MODE_SERIALIZED), address_(worker_.address()),
      self_(std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {
    worker_.on_message(kAnswerId, &OneSidedImporter::on_answer, this);
}

// ---- regions ----

OneSidedImporter::Owner &OneSidedImporter::owner_of(std::uint64_t task, std::span<const std::byte> address) {
    auto *&owner = owner_by_task_[task];
    if (owner == nullptr || owner->failed) {
        auto &made = owners_.emplace_back(); // stays: accesses may still name a former one
        made.task = task;
        made.link.open(worker_, address);
        owner = &made;
    }
    return *owner;
}

kern_return_t OneSidedImporter::import(const norma_key_t &key, std::span<const std::byte> address,
                                       norma_region_t &region, std::uint64_t &bytes, vm_prot_t &access) {
    const auto deadline = Clock::now() + timeout_;
    std::uint64_t found[2] = {};
    Hold hold(*this);
    auto &owner = owner_of(key.words[0], address);
    const auto number = ops_.take();
    begin(*ops_.find(number), number, owner, key,
          {.kind = AccessKind::look, .buffer = address_.data(), .bytes = 0, .before = found});
    hold.lock.unlock();
    if (!progress_until(deadline, [&] { return ops_.find(number)->open == 0; })) {
        const Hold again(*this);
        give_up(number);
        return KERN_OPERATION_TIMED_OUT;
    }
    hold.lock.lock();
    const auto status = *result_of(number);
    if (status == KERN_SUCCESS) {
        if (owner.piece == 0) {
            owner.piece = owner.link.best_piece();
        }
        region = regions_.take();
        *regions_.find(region) = {.owner = &owner, .key = key};
        bytes = found[0];
        access = static_cast<vm_prot_t>(found[1]);
    }
    return status;
}

kern_return_t OneSidedImporter::release(norma_region_t region) {
    const Hold hold(*this);
    if (regions_.find(region) == nullptr) {
        return KERN_INVALID_VALUE;
    }
    regions_.give_back(region);
    return KERN_SUCCESS;
}

// ---- accesses ----

kern_return_t OneSidedImporter::start(norma_region_t region, std::span<const Access> pieces, norma_op_t &op) {
    const Hold hold(*this);
    const auto *target = regions_.find(region);
    if (target == nullptr) {
        return KERN_INVALID_VALUE;
    }
    op = ops_.take();
    auto &made = *ops_.find(op);
    made.region = region;
    for (const auto &piece : pieces) {
        begin(made, op, *target->owner, target->key, piece);
    }
    return KERN_SUCCESS;
}

void OneSidedImporter::begin(Op &op, std::uint64_t number, Owner &owner, const norma_key_t &key, const Access &access) {
    ++op.open;
    const auto part = parts_.take();
    *parts_.find(part) = {.op = number, .owner = &owner, .key = key, .access = access};
    if (owner.failed) {
        finish(part, KERN_TERMINATED);
        return;
    }
    owner.to_send.push_back(part);
    send(owner);
}

bool OneSidedImporter::send(Owner &owner) {
    bool sent = false;
    while (!owner.to_send.empty()) {
        const auto number = owner.to_send.front();
        auto *part = parts_.find(number);
        auto *room = part == nullptr ? nullptr : owner.outbox.room(); // it may have been given up
        if (part != nullptr && room == nullptr) {
            return sent;
        }
        if (part == nullptr || send_part(*part, number, room)) {
            owner.to_send.pop_front();
        }
        sent = true;
    }
    return sent;
}

// True: that was all of it.
bool OneSidedImporter::send_part(Part &part, std::uint64_t number, std::byte *room) {
    const auto &access = part.access;
    const auto piece = part.owner->piece;
    Ask ask{.kind = access.kind,
            .reserved = {},
            .piece = static_cast<std::uint32_t>(piece),
            .importer = self_,
            .op = number,
            .place = part.key.words[1],
            .secret = {part.key.words[2], part.key.words[3]},
            .offset = access.offset,
            .bytes = access.bytes,
            .at = 0,
            .operand = {access.operand[0], access.operand[1]}};
    std::size_t bytes = 0;
    if (access.kind == AccessKind::look) {
        bytes = address_.size();
        std::memcpy(room, address_.data(), bytes);
    } else if (access.kind == AccessKind::put) {
        ask.at = part.at;
        bytes = std::min<std::size_t>(piece, access.bytes - part.at);
        std::memcpy(room, access.buffer + part.at, bytes);
        part.at += bytes;
    }
    part.owner->outbox.send(part.owner->link, kAskId, ask, bytes);
    return access.kind != AccessKind::put || part.at == access.bytes;
}

ucs_status_t OneSidedImporter::on_answer(void *self, const void *head, std::size_t head_bytes, void *data,
                                         std::size_t bytes, const ucp_am_recv_param_t *param) {
    if (head_bytes == sizeof(Answer) && (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0) {
        Answer answer;
        std::memcpy(&answer, head, sizeof answer);
        static_cast<OneSidedImporter *>(self)->take(answer, {static_cast<const std::byte *>(data), bytes});
    }
    return UCS_OK;
}

void OneSidedImporter::take(const Answer &answer, std::span<const std::byte> data) {
    auto *part = parts_.find(answer.op);
    if (part == nullptr) {
        return; // given up
    }
    const auto &access = part->access;
    if (answer.status != KERN_SUCCESS) {
        finish(answer.op, answer.status);
        return;
    }
    if (access.kind == AccessKind::get) {
        if (answer.at > access.bytes || data.size() > access.bytes - answer.at) {
            return; // not from an owner that keeps to the rules
        }
        if (!data.empty()) {
            std::memcpy(access.buffer + answer.at, data.data(), data.size());
        }
        part->at += data.size();
        if (part->at < access.bytes) {
            return;
        }
    } else if (access.before != nullptr) {
        access.before[0] = answer.value[0];
        if (access.kind == AccessKind::look) {
            access.before[1] = answer.value[1];
        }
    }
    finish(answer.op, KERN_SUCCESS);
}

void OneSidedImporter::finish(std::uint64_t number, kern_return_t status) {
    auto &op = *ops_.find(parts_.find(number)->op);
    parts_.give_back(number);
    op.status = op.status == KERN_SUCCESS ? status : op.status;
    if (--op.open > 0) {
        return;
    }
    if (sleepers_ > 0) {
        changed_.notify_all();
    }
    if (sleeping_) { // what it waits for may be this, and has been taken out of the descriptor
        ucp_worker_signal(worker_.get());
    }
}

void OneSidedImporter::give_up(norma_op_t number) {
    parts_.for_each([&](std::uint64_t part, const Part &value) {
        if (value.op == number) {
            parts_.give_back(part);
        }
    });
    ops_.give_back(number);
}

// ---- waiting ----

bool OneSidedImporter::progress() {
    bool happened = ucp_worker_progress(worker_.get()) != 0;
    for (auto &[task, owner] : owner_by_task_) {
        if (owner->link.broken() && !owner->failed) {
            fail(*owner);
            happened = true;
        } else if (!owner->to_send.empty()) {
            happened = send(*owner) || happened;
        }
    }
    return happened;
}

void OneSidedImporter::fail(Owner &owner) {
    owner.failed = true;
    owner.to_send.clear();
    owner.link.close();
    std::vector<std::uint64_t> stranded;
    parts_.for_each([&](std::uint64_t number, const Part &part) {
        if (part.owner == &owner) {
            stranded.push_back(number);
        }
    });
    for (const auto number : stranded) {
        finish(number, KERN_TERMINATED);
    }
}

// The network may not notice that a process has ended; the node servers do.
void OneSidedImporter::look_for_dead_owners(std::unique_lock<std::mutex> &lock) {
    look_for_dead(worker_);
    std::set<std::uint64_t> asked;
    parts_.for_each([&](std::uint64_t, const Part &part) { asked.insert(part.owner->task); });
    lock.unlock();
    std::erase_if(asked, [this](std::uint64_t task) { return task_lives_(task); });
    lock.lock();
    for (const auto task : asked) {
        if (auto *owner = owner_by_task_[task]; !owner->failed) {
            fail(*owner);
        }
    }
}

template <class Over> bool OneSidedImporter::progress_until(Clock::time_point deadline, Over over) {
    auto last = Clock::now(), looked = last;
    for (;;) {
        while (wanted_ > 0) {
            sched_yield();
        }
        std::unique_lock lock(mutex_);
        if (over()) {
            return true;
        }
        const bool happened = progress();
        if (over()) {
            return true;
        }
        const auto now = Clock::now();
        if (now >= deadline) {
            return false;
        }
        if (now - looked >= kLook) {
            look_for_dead_owners(lock);
            looked = Clock::now();
        } else if (happened) {
            last = now;
        } else if (wait_ == WaitMode::block || (wait_ == WaitMode::adaptive && now - last >= spin_)) {
            sleep(lock, deadline);
            last = Clock::now();
        }
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
    if (ucp_worker_arm(worker_.get()) != UCS_OK) {
        return; // something has come meanwhile
    }
    sleeping_ = true;
    lock.unlock();
    static thread_local pollfd ready; // not on the stack, which may be coherent memory
    ready = {.fd = worker_.event_fd(), .events = POLLIN, .revents = 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    poll(&ready, 1, static_cast<int>(std::clamp(left, std::chrono::milliseconds(0), kLook).count()));
    lock.lock();
    sleeping_ = false;
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

kern_return_t OneSidedImporter::wait(norma_op_t number, std::chrono::milliseconds timeout) {
    {
        const Hold hold(*this);
        const auto *op = ops_.find(number);
        if (op == nullptr || op->region == 0) {
            return KERN_INVALID_VALUE;
        }
    }
    std::optional<kern_return_t> result;
    const auto deadline = Clock::now() + (timeout.count() < 0 ? timeout_ : timeout);
    if (!progress_until(deadline, [&] { return (result = result_of(number)).has_value(); })) {
        const Hold hold(*this);
        give_up(number);
        return KERN_OPERATION_TIMED_OUT;
    }
    return *result;
}

kern_return_t OneSidedImporter::test(norma_op_t number, bool &done) {
    const Hold hold(*this);
    const auto *op = ops_.find(number);
    if (op == nullptr || op->region == 0) {
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
    return progress_until(Clock::now() + timeout_, over) ? KERN_SUCCESS : KERN_OPERATION_TIMED_OUT;
}

} // namespace norma::rt

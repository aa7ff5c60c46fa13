// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/one_sided_ucx_owner.hpp"

#include <algorithm>
#include <csignal>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <unistd.h>
#include <utility>

namespace norma::rt {

using Clock = std::chrono::steady_clock;

UcxOwner::UcxOwner(const OneSidedOptions &options)
    : wait_(options.wait), spin_(options.spin), context_(options.transport, true), door_(context_),
      address_(door_.address()) {
    door_.on_message(kAskId, &UcxOwner::on_arrival, this);
    waiting_.add(door_);
    thread_ = std::thread([this, who = options.owner_thread] { run(who); });
}

UcxOwner::~UcxOwner() {
    stop_ = true;
    ucp_worker_signal(door_.get());
    thread_.join();
}

norma_key_t UcxOwner::expose(std::uint64_t address, std::uint64_t bytes, vm_prot_t access) {
    const std::lock_guard hold(memory_);
    return exports_.add(address, bytes, access);
}

bool UcxOwner::open(const norma_key_t &key) {
    const std::lock_guard hold(memory_);
    return exports_.find(key) != nullptr; // nobody has had the key until now
}

bool UcxOwner::withdraw(const norma_key_t &key) {
    const std::lock_guard hold(memory_);
    auto *ended = exports_.find(key);
    if (ended != nullptr) {
        exports_.end(*ended);
    }
    return ended != nullptr;
}

void UcxOwner::revoke(std::uint64_t address, std::uint64_t bytes) {
    const std::lock_guard hold(memory_);
    exports_.end_all_of(address, bytes);
}

std::byte *UcxOwner::admitted(const Ask &ask, vm_prot_t needed, std::int32_t &status) {
    const auto *wanted = exports_.find(ask.place, ask.secret);
    if (wanted == nullptr) {
        status = KERN_INVALID_CAPABILITY;
    } else if (ask.offset > wanted->bytes || ask.bytes > wanted->bytes - ask.offset) {
        status = KERN_INVALID_ADDRESS;
    } else if ((needed & ~wanted->access) != 0) {
        status = KERN_PROTECTION_FAILURE;
    } else {
        status = KERN_SUCCESS;
        return wanted->base + ask.offset;
    }
    return nullptr;
}

namespace {

// What is not sent by libnorma is dropped: data that is announced only, a head of another size.
std::optional<Ask> ask_in(const void *head, std::size_t bytes, const ucp_am_recv_param_t &param) {
    if (bytes != sizeof(Ask) || (param.recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0) {
        return std::nullopt;
    }
    Ask ask;
    std::memcpy(&ask, head, sizeof ask);
    return ask;
}

} // namespace

ucs_status_t UcxOwner::on_arrival(void *self, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                                  const ucp_am_recv_param_t *param) {
    const auto ask = ask_in(head, head_bytes, *param);
    if (ask && ask->kind == AccessKind::look && bytes != 0) {
        const auto *address = static_cast<const std::byte *>(data);
        static_cast<UcxOwner *>(self)->arrivals_.push_back({*ask, {address, address + bytes}});
    }
    return UCS_OK;
}

ucs_status_t UcxOwner::on_ask(void *from, const void *head, std::size_t head_bytes, void *data, std::size_t bytes,
                              const ucp_am_recv_param_t *param) {
    auto &importer = *static_cast<Importer *>(from);
    if (const auto ask = ask_in(head, head_bytes, *param)) {
        importer.owner.serve(importer, *ask, {static_cast<const std::byte *>(data), bytes});
    }
    return UCS_OK;
}

// Outside UCX's callbacks, because it makes workers.
bool UcxOwner::let_in() {
    const auto arrivals = std::exchange(arrivals_, {});
    for (const auto &arrival : arrivals) {
        try {
            look(arrival);
        } catch (const std::exception &) {
            forget(importers_.find(arrival.ask.importer)); // it has gone already, or UCX has nothing left for it
        }
    }
    return !arrivals.empty();
}

UcxOwner::Importer &UcxOwner::importer_of(const Arrival &arrival) {
    const auto [place, made] = importers_.try_emplace(arrival.ask.importer, context_, *this);
    auto &importer = place->second;
    if (made) {
        importer.worker.on_message(kAskId, &UcxOwner::on_ask, &importer);
        waiting_.add(importer.worker);
        importer.link.open(importer.worker, arrival.address);
    }
    return importer;
}

void UcxOwner::look(const Arrival &arrival) {
    Answer found{.op = arrival.ask.op};
    {
        const std::lock_guard hold(memory_);
        if (admitted(arrival.ask, VM_PROT_NONE, found.status) != nullptr) {
            const auto &wanted = *exports_.find(arrival.ask.place, arrival.ask.secret);
            found.value[0] = wanted.bytes;
            found.value[1] = static_cast<std::uint64_t>(wanted.access);
        }
    }
    answer(importer_of(arrival), found, true);
}

void UcxOwner::serve(Importer &importer, const Ask &ask, std::span<const std::byte> data) {
    switch (ask.kind) {
    case AccessKind::look: // at the door only
        return;
    case AccessKind::get: {
        Reading reading{.ask = ask, .at = 0};
        const bool over = !importer.busy() && importer.outbox.room() && send_part(importer, reading);
        if (!over) {
            importer.readings.push_back(reading);
            go_on(importer);
        }
        return;
    }
    case AccessKind::put:
        put(importer, ask, data);
        return;
    case AccessKind::fetch_add:
    case AccessKind::compare_swap:
        change(importer, ask);
        return;
    }
}

void UcxOwner::answer(Importer &importer, const Answer &answer, bool welcome) {
    if (!welcome && !importer.busy() && importer.outbox.room()) {
        importer.outbox.send(importer.link, kAnswerId, answer);
        return;
    }
    importer.answers.push_back({answer, welcome});
    go_on(importer);
}

bool UcxOwner::go_on(Importer &importer) {
    bool sent = false;
    while (!importer.answers.empty() && importer.outbox.room()) {
        const auto &[answer, welcome] = importer.answers.front();
        importer.outbox.send(importer.link, kAnswerId, answer,
                             welcome ? importer.worker.address() : std::vector<std::byte>{});
        importer.answers.pop_front();
        sent = true;
    }
    sent = (importer.answers.empty() && go_on_reading(importer)) || sent;
    if (importer.busy() && std::find(busy_.begin(), busy_.end(), &importer) == busy_.end()) {
        busy_.push_back(&importer);
    }
    return sent;
}

bool UcxOwner::go_on() {
    bool sent = false;
    for (auto *importer : std::exchange(busy_, {})) {
        sent = go_on(*importer) || sent;
    }
    return sent;
}

// Parts of one put come in their order, so the answer to the last one says that all have been carried out.
void UcxOwner::put(Importer &importer, const Ask &ask, std::span<const std::byte> data) {
    if (status_of(data) != KERN_SUCCESS) {
        return; // given up
    }
    Answer done{.op = ask.op, .at = ask.at};
    const bool last = ask.at <= ask.bytes && data.size() >= ask.bytes - ask.at;
    {
        const std::lock_guard hold(memory_);
        auto *to = admitted(ask, needed_for(ask.kind), done.status);
        if (to != nullptr && (ask.at > ask.bytes || data.size() > ask.bytes - ask.at)) {
            done.status = KERN_INVALID_ADDRESS;
        } else if (to != nullptr) {
            copy_shared(to + ask.at, data.data(), data.size());
        }
    }
    if (last || ask.at > ask.bytes) {
        answer(importer, done);
    }
}

void UcxOwner::change(Importer &importer, const Ask &asked) {
    Answer done{.op = asked.op};
    auto ask = asked;
    ask.bytes = sizeof(std::uint64_t);
    {
        const std::lock_guard hold(memory_);
        auto *word = admitted(ask, needed_for(ask.kind), done.status);
        if (word != nullptr && reinterpret_cast<std::uintptr_t>(word) % sizeof(std::uint64_t) != 0) {
            done.status = KERN_INVALID_ADDRESS;
        } else if (word != nullptr) {
            done.value[0] = change_word(word, ask.kind, ask.operand);
        }
    }
    answer(importer, done);
}

PieceStatus UcxOwner::fill(const Ask &ask, std::byte *to, std::size_t bytes) {
    PieceStatus status = KERN_SUCCESS;
    const std::lock_guard hold(memory_);
    if (const auto *from = admitted(ask, needed_for(ask.kind), status); from != nullptr) {
        copy_shared(to, from + ask.at, bytes);
    }
    return status;
}

bool UcxOwner::go_on_reading(Importer &importer) {
    bool sent = false;
    while (!importer.readings.empty() && importer.outbox.room()) {
        if (send_part(importer, importer.readings.front())) {
            importer.readings.pop_front();
        }
        sent = true;
    }
    return sent;
}

// True: that was all of it. Each part is admitted anew: the export may have ended since the last one.
bool UcxOwner::send_part(Importer &importer, Reading &reading) {
    auto ask = reading.ask;
    ask.at = reading.at;
    Answer part{.op = ask.op, .at = ask.at};
    const auto most = std::clamp<std::size_t>(ask.piece, 1, kMostPiece);
    const auto bytes = std::min<std::size_t>(most, ask.bytes - ask.at);
    if (bytes < ask.bytes) { // of one part, fill() says whether it is to be had
        const std::lock_guard hold(memory_);
        admitted(ask, needed_for(ask.kind), part.status);
    }
    if (part.status != KERN_SUCCESS) {
        importer.outbox.send(importer.link, kAnswerId, part);
        return true;
    }
    reading.at += bytes;
    importer.outbox.send_piece(importer.link, kAnswerId, part, ask, bytes);
    return reading.at == ask.bytes || importer.link.broken();
}

bool UcxOwner::progress(bool at_the_door) {
    bool happened = false;
    if (at_the_door) {
        happened = ucp_worker_progress(door_.get()) != 0;
        happened = let_in() || happened;
    }
    for (auto &[id, importer] : importers_) {
        happened = ucp_worker_progress(importer.worker.get()) != 0 || happened;
    }
    return (!busy_.empty() && go_on()) || happened;
}

void UcxOwner::tidy() {
    for (auto next = importers_.begin(); next != importers_.end();) {
        const auto importer = next++;
        if (importer->second.link.broken()) {
            forget(importer);
        }
    }
}

void UcxOwner::forget(std::map<std::uint64_t, Importer>::iterator importer) {
    if (importer != importers_.end()) {
        std::erase(busy_, &importer->second);
        end_connection(importer->second.worker, importer->second.link);
        importers_.erase(importer);
    }
}

void UcxOwner::run(std::atomic<pid_t> *who) {
    *who = gettid(); // from now on nobody stops this thread, so the signal for that need not come through
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    // A look at the door or at the clock takes as long as one at an importer's worker, so there are few of them.
    constexpr unsigned kTurnsBetweenLooks = 16, kTurnsBetweenTidying = 1024;
    auto last = Clock::now();
    bool happened = true; // since the last look at the clock
    for (unsigned turn = 1; !stop_; ++turn) {
        const bool look = wait_ == WaitMode::block || turn % kTurnsBetweenLooks == 0;
        happened = progress(look) || happened;
        if (turn % kTurnsBetweenTidying == 0) {
            tidy();
        }
        if (!look) {
            __builtin_ia32_pause();
            continue;
        }
        const auto now = Clock::now();
        last = happened ? now : last;
        if (happened || wait_ == WaitMode::spin || (wait_ == WaitMode::adaptive && now - last < spin_)) {
            happened = false;
            continue;
        }
        tidy();
        wait();
        last = Clock::now();
    }
}

void UcxOwner::wait() {
    const auto armed = [](const rpc::ucx::Worker &worker) { return ucp_worker_arm(worker.get()) == UCS_OK; };
    const auto quiet = [&](const auto &importer) { return armed(importer.second.worker); };
    if (!armed(door_) || !std::all_of(importers_.begin(), importers_.end(), quiet)) {
        return; // something has come meanwhile
    }
    constexpr int kLookMs = 500;
    pollfd ready{.fd = waiting_.get(), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, busy_.empty() ? -1 : kLookMs) == 0) {
        for (const auto &[id, importer] : importers_) {
            look_for_dead(importer.worker);
        }
    }
}

} // namespace norma::rt

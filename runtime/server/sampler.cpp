// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/sampler.hpp"

#include "runtime/log.hpp"
#include "runtime/server/node.hpp"

#include "norma/mach.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <limits>

namespace norma::rt {

namespace {

constexpr std::uint64_t kEveryUs = 10'000; // of a thread's processor time
constexpr std::chrono::milliseconds kFetchEvery{250};

Message message_of(const Right &thread, std::uint64_t lost, std::span<const std::uint64_t> pcs) {
    norma_samples_t laid_out{};
    laid_out.body.msgh_descriptor_count = 1;
    laid_out.lost = static_cast<natural_t>(std::min<std::uint64_t>(lost, std::numeric_limits<natural_t>::max()));
    laid_out.count = static_cast<mach_msg_type_number_t>(pcs.size());
    std::ranges::copy(pcs, laid_out.pc);
    const auto bytes =
        std::as_bytes(std::span(&laid_out, 1))
            .subspan(sizeof laid_out.header, offsetof(norma_samples_t, pc) - sizeof laid_out.header + pcs.size_bytes());
    Message message;
    message.id = NORMA_SAMPLES_ID;
    message.complex = true;
    message.rights.push_back({.right = thread});
    message.body.assign(bytes.begin(), bytes.end());
    return message;
}

// Of those that have had this kernel thread the last one, which may have ended since.
std::uint64_t thread_of(Task &task, pid_t tid, dsm::NodeId node) {
    const auto found = std::find_if(task.threads.rbegin(), task.threads.rend(),
                                    [tid](const auto &entry) { return entry.second.tid == tid; });
    return found != task.threads.rend() ? found->first : task.add_thread(tid, node);
}

} // namespace

void Sampler::look_at(TaskId id) {
    const auto task = node_.tasks.find(id);
    const bool runs = task != node_.tasks.end() && task->second->state == Task::State::running;
    const auto port = runs ? task->second->names.slot(kSlotSample).right : Right{};
    const auto found = sampled_.find(id);
    if (found != sampled_.end() && found->second.port == port) {
        return;
    }
    if (found != sampled_.end()) {
        end(id);
    }
    if (port.kind == Right::Kind::port) {
        begin(id, port);
    }
}

void Sampler::begin(TaskId id, const Right &port) {
    sampled_[id] = {.port = port, .number = ++last_number_};
    ask(id);
    if (timer_ == 0) {
        timer_ = node_.loop.at(Clock::now() + kFetchEvery, [this] { look_around(); });
    }
}

void Sampler::end(TaskId id) {
    const auto sampled = sampled_.extract(id);
    for (const auto &[thread, batch] : sampled.mapped().threads) {
        if (batch.out) {
            node_.ports.call_off(sampled.mapped().port, batch.message);
        }
    }
    if (const auto task = node_.tasks.find(id); task != node_.tasks.end()) {
        node_.command(*task->second, Command::sample, {0}, [](const Ack &) {});
    }
}

void Sampler::look_around() {
    timer_ = 0;
    std::vector<TaskId> ids;
    for (const auto &[id, sampled] : sampled_) {
        ids.push_back(id);
    }
    for (const auto id : ids) {
        look_at(id);
        ask(id);
    }
    if (!sampled_.empty()) {
        timer_ = node_.loop.at(Clock::now() + kFetchEvery, [this] { look_around(); });
    }
}

// A task that is slow to answer is not asked again meanwhile.
void Sampler::ask(TaskId id) {
    const auto found = sampled_.find(id);
    if (found == sampled_.end() || found->second.asked) {
        return;
    }
    found->second.asked = true;
    node_.command(*node_.tasks.at(id), Command::sample, {kEveryUs},
                  [this, id, number = found->second.number](const Ack &ack) { take(id, number, ack); });
}

void Sampler::take(TaskId id, std::uint64_t number, const Ack &ack) {
    const auto found = sampled_.find(id);
    const auto task = node_.tasks.find(id);
    if (found == sampled_.end() || found->second.number != number || task == node_.tasks.end()) {
        return;
    }
    auto &sampled = found->second;
    sampled.asked = false;
    if (ack.error != 0 && !std::exchange(warned_, true)) {
        log_warning("{}: not all threads can be sampled: {} (is said once)", task->second->program.path,
                    std::strerror(ack.error));
    }
    std::vector<Sample> samples(ack.blob.size() / sizeof(Sample));
    std::memcpy(samples.data(), ack.blob.data(), samples.size() * sizeof(Sample));
    sampled.lost += ack.value;
    keep(*task->second, sampled, samples);
    std::vector<std::uint64_t> full;
    for (const auto &[thread, batch] : sampled.threads) {
        if (!batch.pcs.empty() && !batch.out) {
            full.push_back(thread);
        }
    }
    for (const auto thread : full) {
        send(id, thread);
    }
}

void Sampler::keep(Task &task, Sampled &sampled, std::span<const Sample> samples) const {
    for (const auto &sample : samples) {
        auto &batch = sampled.threads[thread_of(task, static_cast<pid_t>(sample.tid), node_.self)];
        if (batch.pcs.size() < NORMA_SAMPLES_MAX) {
            batch.pcs.push_back(sample.pc);
        } else {
            ++sampled.lost;
        }
    }
}

// The message waits for room in the port's queue, if need be for ever.
void Sampler::send(TaskId id, std::uint64_t thread) {
    auto &sampled = sampled_.at(id);
    auto &task = *node_.tasks.at(id);
    auto &batch = sampled.threads.at(thread);
    const auto pcs = std::exchange(batch.pcs, {});
    const auto message = message_of(task.thread_right(thread), sampled.lost, pcs);
    if (node_of(sampled.port.task) != node_.self &&
        !Node::pay_for_sending(task, sizeof(RequestHead), message.body.size())) {
        sampled.lost += pcs.size();
        return;
    }
    const Sent sent{.task = id,
                    .number = sampled.number,
                    .thread = thread,
                    .lost = std::exchange(sampled.lost, 0),
                    .count = pcs.size()};
    batch.out = true;
    node_.ports.keep(sampled.port);
    node_.ports.post(sampled.port, message, false, batch.message,
                     [this, sent](const Reply &reply) { answered(sent, reply); });
}

void Sampler::answered(const Sent &sent, const Reply &reply) {
    const auto found = sampled_.find(sent.task);
    if (found == sampled_.end() || found->second.number != sent.number) {
        return;
    }
    auto &sampled = found->second;
    if (reply.status != MACH_MSG_SUCCESS) {
        sampled.lost += sent.lost + sent.count;
    }
    auto &batch = sampled.threads.at(sent.thread);
    batch.out = false;
    if (batch.pcs.empty()) { // the thread may have ended
        sampled.threads.erase(sent.thread);
    }
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "tests/siege/partner.hpp"

#include "norma/mach.h"

#include <chrono>
#include <fmt/format.h>
#include <stdexcept>
#include <thread>

namespace siege {

using namespace norma;

namespace {

constexpr auto kPatience = std::chrono::seconds(10);

bool is_bookkeeping(rt::Op op) {
    return op == rt::Op::sync_task_died || op == rt::Op::sync_thread_died || op == rt::Op::sync_task_moved ||
           op == rt::Op::detach || op == rt::Op::destroy;
}

} // namespace

Partner::Partner(dsm::NodeId self, const std::string &transport)
    : self_(self),
      transport_(rpc::make_transport({.self = self, .kind = transport, .job_key = kJobKey, .incarnation = kIncarnation},
                                     {.message = [this](dsm::NodeId, std::span<const std::byte> record,
                                                        std::span<const std::byte>) { message(record); },
                                      .down = [](dsm::NodeId, const std::string &) {},
                                      .dropped = [](const char *) {}})) {}

void Partner::connect(const Job &job) {
    transport_->connect(0, kIncarnation, job.address(0));
}

void Partner::message(std::span<const std::byte> record) {
    if (auto request = rt::decode_request(record); request && record[0] == std::byte{2}) {
        if (is_bookkeeping(request->op)) {
            answer(*request, {});
        } else {
            requests_.push_back(std::move(*request));
        }
        return;
    }
    std::uint64_t call = 0;
    if (auto reply = rt::decode_reply(record, call)) {
        replies_[call] = std::move(*reply);
    }
}

template <class Done> void Partner::wait_until(Done done, const std::string &what) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) {
            throw std::runtime_error("in vain: " + what);
        }
        if (stands_by_ != nullptr) {
            stands_by_->transport_->progress();
        }
        if (!transport_->progress()) {
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }
}

rt::Request Partner::expect(rt::Op op) {
    const auto number = static_cast<unsigned>(op);
    wait_until([this] { return !requests_.empty(); }, fmt::format("waited for a request for operation {}", number));
    auto request = std::move(requests_.front());
    requests_.pop_front();
    if (request.op != op) {
        throw std::runtime_error(
            fmt::format("asked for operation {} instead of {}", static_cast<unsigned>(request.op), number));
    }
    return request;
}

void Partner::answer(const rt::Request &request, const rt::Reply &reply) {
    transport_->send(request.caller.node, rt::encode(request.caller.call, reply));
}

std::uint64_t Partner::ask(rt::Request request) {
    request.caller.node = self_;
    request.caller.call = ++calls_;
    transport_->send(0, rt::encode(request));
    return calls_;
}

rt::Reply Partner::answer_to(std::uint64_t call) {
    wait_until([this, call] { return replies_.contains(call); }, fmt::format("waited for the answer to call {}", call));
    return replies_.at(call);
}

void Partner::wait_for_output(const Job &job, const std::string &text) {
    wait_until([&] { return job.out().find(text) != std::string::npos; }, "waited for the output " + text);
}

} // namespace siege

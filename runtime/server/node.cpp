// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/node.hpp"

#include "norma/mach.h"
#include "runtime/log.hpp"
#include "runtime/server/binding.hpp"
#include "runtime/server/keys.hpp"
#include "runtime/server/probe.hpp"

namespace norma::rt {

Node::Node(dsm::NodeId node, const JobSize &size, std::uint32_t life, Config settings)
    : self(node), founders(size.founders), count(size.nodes), announced(size.nodes), incarnation(life),
      config(std::move(settings)), loop(config.wait, config.spin),
      router(
          self, loop, config.call_timeout,
          [this](dsm::NodeId to, const std::vector<std::byte> &record) { send_request(to, record); },
          [this](const Request &request, Done done) { execute(request, std::move(done)); }),
      sync(self, incarnation, loop), ports(self, incarnation, port_links()), sampler(*this),
      pager(self, incarnation, config.prefetch,
            {.send = [this](dsm::NodeId to, std::span<const dsm::ObjectMsg> messages,
                            rpc::StagingPtr payload) { send_pages(to, messages, std::move(payload)); },
             .stage = [this] { return transport->stage(); },
             .poison = [this](dsm::Space &space, std::uint64_t address) { poison(space, address); },
             .frozen = [this](const dsm::ObjectId &id,
                              std::uint64_t stretch) { frozen({.object = id, .number = stretch}); },
             .home = [this](const dsm::ObjectId &id, dsm::HomeNews news) { rehoming.heard(id, news); },
             .now = now}),
      window{.base = config.window_base, .size = config.window_size, .slices = size.places},
      addresses(window.slice(node)), memory_limit(config.memory != 0 ? config.memory : share_of_memory(nodes_here())),
      ledgers(self, incarnation), families(self), groups(self), open_files(*this), direct(*this), following(*this),
      rehoming(*this), departure(*this), succession(*this) {}

Node::~Node() = default;

PortLinks Node::port_links() {
    return {.call =
                [this](dsm::NodeId to, Request request, const Done &done, bool deadline) {
                    if (to >= count) { // in a right from a node that does as it likes
                        done(status_reply(KERN_NODE_DOWN));
                        return;
                    }
                    router.call(to, std::move(request), done, deadline);
                },
            .at = [this](std::chrono::milliseconds delay,
                         std::function<void()> action) { return loop.at(Clock::now() + delay, std::move(action)); },
            .cancel = [this](std::uint64_t timer) { loop.cancel(timer); },
            .draw = draw_key,
            .pay = [this](TaskId id,
                          std::size_t bytes) { return pay_for_sending(*tasks.at(id), sizeof(RequestHead), bytes); },
            .names = [this](TaskId id) -> NameSpace * {
                const auto found = tasks.find(id);
                return found == tasks.end() ? nullptr : &found->second->names;
            },
            .each_names =
                [this](const std::function<void(NameSpace &)> &visit) {
                    for (auto &[id, task] : tasks) {
                        visit(task->names);
                    }
                },
            .server_of = [this](dsm::NodeId node) { return router.server_of(node); },
            .holds = [this](dsm::NodeId node) { return router.holds(node); },
            .memory = memory_links()};
}

void Node::start(const rpc::Options &options) {
    transport = rpc::make_transport(
        options, {.message = [this](dsm::NodeId from, std::span<const std::byte> record,
                                    std::span<const std::byte> payload) { peer_message(from, record, payload); },
                  .down = [this](dsm::NodeId peer, const std::string &why) { suspect(peer, why); },
                  .dropped =
                      [this](const char *why) {
                          if (++dropped_ == 1) {
                              log_warning("a message was dropped: {}; this one and any later ones are only counted",
                                          why);
                          }
                      }});
    probe = std::make_unique<Probe>(*transport);
    loop.poll(transport.get());
    loop.has_notices = [this] { return pager.has_notices(); };
    loop.send_notices = [this] { pager.send_notices(); };
    loop.expects_message = [this] { return pager.threads_wait() || probe->busy(); };
}

void Node::start_first(Program program) {
    auto id = std::make_shared<TaskId>(0);
    auto &task = start_process(std::move(program), true, {}, [this, id](std::int32_t status) {
        if (status != KERN_SUCCESS) {
            return; // the end of the process says the rest
        }
        auto &first = *tasks.at(*id);
        make_stack(first, config.stack_size, [this, id](std::int32_t made, std::uint64_t stack, std::uint64_t bytes) {
            const auto found = tasks.find(*id);
            if (found == tasks.end()) {
                return;
            }
            if (made != KERN_SUCCESS) {
                log_error("no stack of {} bytes for the first task (NORMA_STACK_SIZE, NORMA_MEMORY)",
                          config.stack_size);
                kill_task(*found->second, [] {});
                return;
            }
            auto &ready = *found->second;
            thread_runs(ready, ready.add_thread(ready.pid, self), ready.pid);
            command(*found->second, Command::run_main, {stack, bytes}, [](const Ack &) {});
        });
    });
    *id = task.id;
}

void Node::peer_message(dsm::NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload) {
    bool good = !record.empty();
    switch (good ? static_cast<PeerMsg>(record[0]) : PeerMsg{}) {
    case PeerMsg::coherence:
        good = coherence(from, record, payload);
        break;
    case PeerMsg::request: {
        auto request = decode_request(record);
        good = request && request->caller.node == from;
        if (good) {
            router.on_request(from, std::move(*request));
        }
        break;
    }
    case PeerMsg::reply: {
        std::uint64_t call = 0;
        auto reply = decode_reply(record, call);
        good = reply.has_value();
        if (good) {
            router.on_reply(from, call, std::move(*reply));
        }
        break;
    }
    case PeerMsg::bulk:
        good = probe->message(from, record);
        break;
    default:
        good = false;
    }
    if (!good && ++bad_records == 1) {
        log_warning("node {} sent a record that is no good ({} bytes); it and any later one are dropped", from,
                    record.size());
    }
}

// What was done to pages comes first: whoever is let go on by this message (a lock is handed over, say) is likely to
// touch the same pages, and would otherwise wait for the end of their last transaction.
void Node::send_request(dsm::NodeId to, const std::vector<std::byte> &record) {
    pager.send_notices();
    transport->send(to, record);
}

// One or more records, one behind the other; a payload belongs to the first.
bool Node::coherence(dsm::NodeId from, std::span<const std::byte> record, std::span<const std::byte> payload) {
    bool good = true;
    for (; !record.empty(); payload = {}) {
        const auto size = std::min(record.size(), sizeof(CoherenceRecord));
        const auto message = decode_coherence(record.first(size));
        good = message && pager.message(from, message->object, message->msg, payload) && good;
        record = record.subspan(size);
    }
    return good;
}

// Whoever waits for a page gets it: a fault cannot be refused. What the quota lacks then is missing to calls.
void Node::pay_for_pages(const dsm::ObjectMsg &message, std::size_t bytes) {
    const auto object = objects.find(message.object);
    if (object == objects.end()) {
        return;
    }
    const auto use = object->second.stretches.find(message.msg.base / pager.pages(message.object));
    if (use != object->second.stretches.end() && use->second.payers[kNetwork] != nullptr) {
        use->second.payers[kNetwork]->charge(bytes);
    }
}

void Node::send_pages(dsm::NodeId to, std::span<const dsm::ObjectMsg> messages, rpc::StagingPtr payload) {
    if (payload != nullptr) {
        pay_for_pages(messages.front(), payload->size);
    }
    constexpr std::size_t kMost = rpc::kMaxRecordBytes / sizeof(CoherenceRecord);
    for (; !messages.empty(); messages = messages.subspan(std::min(messages.size(), kMost))) {
        sending_.clear();
        for (const auto &message : messages.first(std::min(messages.size(), kMost))) {
            sending_.push_back(encode(message.object, message.msg));
        }
        transport->send(to, std::as_bytes(std::span(sending_)), std::move(payload));
        payload = nullptr;
    }
}

// The page is lost: its range of the task is replaced by one where every access raises SIGBUS, then the thread that
// waits for it goes on into that. Of a loan it is replaced by zeros, and the call that borrowed it fails. So it is of
// what the heap knows of its parts: an inbox full of zeros has nothing in it, and what else is lost makes its part one
// that is not used any more, which the thread finds out before it can believe the zeros.
void Node::poison(dsm::Space &space, std::uint64_t address) {
    for (auto &[id, task] : tasks) {
        if (task->space.get() == &space) {
            const auto loan = task->loan_at(address);
            const bool lent = loan != task->loans.end();
            if (lent) {
                loan->second.lost = true;
            }
            const auto page = task->program.heap_page(address, heap_parts);
            if (page == Program::HeapPage::state) {
                const auto &heap = task->program.heap;
                command(*task, Command::heap_lost, {(address - heap.start) / (heap.size / heap_parts)},
                        [](const Ack &) {});
            }
            const bool forgiven = lent || page != Program::HeapPage::block;
            command(*task, forgiven ? Command::blank : Command::poison, {address},
                    [this, id = id, address](const Ack &) {
                        if (const auto found = tasks.find(id); found != tasks.end()) {
                            found->second->space->userfault.wake(address, kMapPage);
                        }
                    });
            return;
        }
    }
}

void Node::node_down(dsm::NodeId node, const std::string &why) {
    if (node == self || router.is_down(node) || shutting_down_) {
        return;
    }
    log_info("node {} is down: {}", node, why);
    transport->disconnect(node);
    probe->node_down(node);
    router.node_down(node);
    succession.forget(node);
    sync.node_died(node);
    ports.node_down(node);
    for (auto &[id, task] : tasks) { // before any of them touches what is lost
        if (task->program.heap.size != 0 && task->state == Task::State::running) {
            tell_of_lost_heap(*task, node);
        }
    }
    pager.node_down(node);
    end_orphans_of(node);
    for (const auto &news : families.node_down(node)) {
        family_news(news);
    }
    for (dsm::NodeId served = 0; served < count; ++served) {
        if (router.server_of(served) == node) { // with it goes what it served for nodes that have left
            end_groups_of(served);
        }
    }
    open_files.node_down(node);
    thaw_all_of(node);
    rehoming.node_down(node);
    forget_uses_of(node);
    departure.node_down(node);
}

// No task ran there, no page and no home was there any more. So nothing is poisoned, and what the services know of
// tasks there holds no longer anyway.
void Node::node_left(dsm::NodeId node, dsm::NodeId successor) {
    if (node == self || router.is_down(node) || shutting_down_) {
        return;
    }
    log_info("node {} has left the job; node {} has what was made there", node, successor);
    transport->disconnect(node);
    probe->node_down(node);
    router.left(node, successor);
    ports.node_left(node);
    pager.node_down(node);
    rehoming.node_down(node);
    forget_uses_of(node);
}

void Node::wait_in(std::vector<Done> &list, std::int64_t timeout_ms, std::uint64_t thread, Done done) {
    struct Wait {
        Done done;
        std::uint64_t timer = 0;
        decltype(waits_)::iterator place;
    };
    auto wait = std::make_shared<Wait>(Wait{.done = std::move(done), .place = waits_.end()});
    const auto finish = [this, wait](Reply reply) {
        if (auto answer = std::exchange(wait->done, nullptr)) {
            loop.cancel(wait->timer);
            waits_.erase(wait->place);
            answer(std::move(reply));
        }
    };
    list.push_back(finish);
    wait->place = waits_.emplace(thread, finish);
    if (timeout_ms >= 0) {
        wait->timer = loop.at(Clock::now() + std::chrono::milliseconds(timeout_ms),
                              [finish] { finish(status_reply(KERN_OPERATION_TIMED_OUT)); });
    }
}

void Node::abort_waits(std::uint64_t thread, std::int32_t status) {
    for (auto wait = waits_.find(thread); wait != waits_.end(); wait = waits_.find(thread)) {
        const auto finish = wait->second; // which takes it out
        finish(status_reply(status));
    }
    if (status == KERN_ABORTED) { // who is told to begin again has nothing to do with them
        open_files.abort(thread);
    }
}

void Node::withdraw_waits() {
    while (!waits_.empty()) {
        const auto finish = waits_.begin()->second; // which takes it out
        finish(status_reply(kWithdrawn));
    }
}

Task *Node::running(const Right &right) {
    const auto found = tasks.find(right.task);
    return found != tasks.end() && found->second->state == Task::State::running ? found->second.get() : nullptr;
}

} // namespace norma::rt

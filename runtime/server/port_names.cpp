// SPDX-License-Identifier: BSD-3-Clause
// Rights that are known without a name in a task's name space: those a task hands on to its children, and those that
// the node's name server gives to whoever asks.
#include "runtime/server/port_service.hpp"

#include <algorithm>

namespace norma::rt {

namespace {

constexpr std::size_t kMostServices = 4096;

} // namespace

void PortService::hand(const Right &right, const Right &to, const Done &done) {
    if (right.kind == Right::Kind::none || right.kind == Right::Kind::dead) {
        done({});
        return;
    }
    keep(right);
    auto request = request_for(Op::port_put, to);
    request.blob = encode(Carried{.right = right});
    links_.call(
        node_of(to.task), std::move(request),
        [this, right, done](const Reply &reply) {
            refs_.drop(right);
            done(reply.status == KERN_INVALID_CAPABILITY ? Reply{} : reply); // it has died on the way
        },
        false);
}

// The right that `name` is to the task; nothing for no name.
std::int32_t PortService::copy(TaskId task, std::uint32_t name, std::vector<Passed> &passed) {
    if (name == MACH_PORT_NULL) {
        passed.push_back({.name = name, .disposition = MACH_MSG_TYPE_COPY_SEND, .carried = {}});
        return KERN_SUCCESS;
    }
    const auto status = take(*links_.names(task), name, MACH_MSG_TYPE_COPY_SEND, passed);
    if (status == KERN_SUCCESS && passed.back().carried.right.kind != Right::Kind::dead) {
        return KERN_SUCCESS;
    }
    return KERN_INVALID_CAPABILITY;
}

void PortService::set_slot(TaskId task, std::uint32_t name, const Right &of, std::uint32_t slot, const Done &done) {
    std::vector<Passed> passed;
    if (const auto status = copy(task, name, passed); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    auto request = request_for(Op::port_put, of);
    request.args[1] = slot;
    request.blob = encode(passed.back().carried);
    links_.call(node_of(of.task), std::move(request), settled(task, passed, done), false);
}

void PortService::put_in_slot(const Request &request, const Carried &carried, const Done &done) {
    if (carried.receive.any() || !is_slot(request.args[1])) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    changing_.insert(request.target.task);
    admit_one(carried, [this, carried, task = request.target.task, slot = static_cast<std::uint32_t>(request.args[1]),
                        done](bool alive) {
        changing_.extract(task);
        auto *names = links_.names(task);
        if (!alive || names == nullptr) {
            refs_.drop(carried.right);
            done(status_reply(alive ? KERN_INVALID_TASK : KERN_INVALID_CAPABILITY));
            return;
        }
        Letting old;
        names->set_slot(slot, {.right = carried.right}, old);
        let_go(old);
        done(status_reply(KERN_SUCCESS));
    });
}

// ---- what a task is made with ----

void PortService::keep(const Right &right) {
    refs_.hold(right, false, [](bool) {});
}

void PortService::adopt(TaskId task, const Slots &slots, std::function<void()> then) {
    const auto open = std::make_shared<std::size_t>(1 + slots.size());
    const auto one = [open, then = std::move(then)] {
        if (--*open == 0) {
            then();
        }
    };
    Letting none;
    links_.names(task)->set_slot(kSlotBootstrap, {}, none); // what it has got is all it has
    for (const auto &entry : slots) {
        refs_.hold(entry.second.right, false, [this, task, slot = entry.first, held = entry.second, one](bool alive) {
            auto *names = links_.names(task);
            Letting old;
            if (alive && names != nullptr) {
                names->set_slot(slot, held, old);
                let_go(old);
            } else {
                refs_.drop(held.right);
            }
            one();
        });
    }
    one();
}

// ---- the name server ----

void PortService::set_service(TaskId task, std::uint32_t name, const Right &server, std::span<const std::byte> service,
                              bool replace, const Done &done) {
    std::vector<Passed> passed;
    if (const auto status = copy(task, name, passed); status != KERN_SUCCESS) {
        done(status_reply(status));
        return;
    }
    auto request = request_for(Op::name_put, server);
    request.args[0] = replace ? 1 : 0;
    request.blob = encode(NamedService{.right = passed.back().carried, .name = {service.begin(), service.end()}});
    links_.call(node_of(server.task), std::move(request), settled(task, passed, done), true);
}

void PortService::serve_name_put(const Request &request, const Done &done) {
    const auto service = decode_service(request.blob);
    if (!service) {
        done(status_reply(KERN_INVALID_ARGUMENT));
        return;
    }
    const auto server = node_of(request.target.task);
    admit_one(service->right, [this, server, right = service->right.right, name = service->name,
                               replace = request.args[0] != 0, done](bool alive) {
        auto &services = services_[server];
        const auto known = services.find(name);
        const bool removes = right.kind == Right::Kind::none;
        const auto status = !alive                                                        ? KERN_INVALID_CAPABILITY
                            : removes && known == services.end()                          ? BOOTSTRAP_UNKNOWN_SERVICE
                            : known != services.end() && !replace && !removes             ? BOOTSTRAP_NAME_IN_USE
                            : known == services.end() && services.size() >= kMostServices ? KERN_RESOURCE_SHORTAGE
                                                                                          : KERN_SUCCESS;
        if (status != KERN_SUCCESS) {
            refs_.drop(right);
            done(status_reply(status));
            return;
        }
        if (known != services.end()) {
            const auto old = known->second;
            services.erase(known);
            refs_.drop(old);
        }
        if (!removes) {
            services[name] = right;
        }
        done(status_reply(KERN_SUCCESS));
    });
}

void PortService::serve_name_find(const Request &request, const Done &done) {
    const auto service = decode_service(request.blob);
    if (!service || service->right.right.kind != Right::Kind::task) {
        done(status_reply(service ? BOOTSTRAP_UNKNOWN_SERVICE : KERN_INVALID_ARGUMENT));
        return;
    }
    const auto server = services_.find(node_of(request.target.task));
    if (server == services_.end() || !server->second.contains(service->name)) {
        done(status_reply(BOOTSTRAP_UNKNOWN_SERVICE));
        return;
    }
    hand(server->second.at(service->name), service->right.right, done);
}

} // namespace norma::rt

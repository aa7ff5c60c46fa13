// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/succession.hpp"

#include "norma/mach.h"
#include "runtime/server/node.hpp"

#include <fmt/format.h>
#include <stdexcept>
#include <utility>

namespace norma::rt {

namespace {

constexpr std::uint64_t kMostServiceBytes = std::uint64_t{1} << 30;

} // namespace

// Whatever this node has asked before has arrived there when the answer to this does.
void Succession::serve_hold(const Request &request, const Done &done) {
    const auto what = static_cast<Hold>(request.args[0]);
    if (request.args[0] == kGoOn) {
        forget(request.caller.node);
        node_.router.let_go(request.caller.node);
    } else if (what == Hold::beginnings || what == Hold::everything) {
        node_.router.hold(request.caller.node, what);
    } else {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    done(status_reply(KERN_SUCCESS));
}

void Succession::serve_adopt(const Request &request, const Done &done) {
    rpc::Reader reader(request.blob);
    const auto stretch = get_stretch(reader);
    if (!reader.done() || request.args[0] > 1 || request.caller.node == node_.self) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    const auto from = request.caller.node;
    const bool home = request.args[0] != 0;
    node_.attach_all({{.stretch = stretch, .pages = 0}}, [this, stretch, from, home, done](std::int32_t status) {
        if (status != KERN_SUCCESS) {
            done(status_reply(status));
            return;
        }
        node_.following.fetch(stretch, from, home, [this, stretch, done](std::int32_t fetched) {
            node_.release(stretch);
            done(status_reply(fetched));
        });
    });
}

void Succession::serve_entrust(const Request &request, const Done &done) {
    const auto from = request.caller.node;
    const auto [offset, all] = std::pair(request.args[0], request.args[1]);
    auto &bytes = arriving_[from];
    if (offset == 0) {
        bytes.clear();
        let_go(from);
    }
    if (from == node_.self || offset != bytes.size() || all > kMostServiceBytes ||
        request.blob.size() > all - std::min(all, offset)) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    bytes.insert(bytes.end(), request.blob.begin(), request.blob.end());
    if (bytes.size() < all) {
        done(status_reply(KERN_SUCCESS));
        return;
    }
    auto services = decode_services(bytes, from, node_.count);
    arriving_.erase(from);
    if (!services) {
        done(status_reply(KERN_INVALID_VALUE));
        return;
    }
    if (const auto why = services->opened.open(services->files.files); !why.empty()) {
        done(reply_with(KERN_FAILURE, why));
        return;
    }
    const auto ports = services->ports;
    entrusted_.emplace(from, std::move(*services));
    node_.ports.hold(ports, done);
}

void Succession::serve(dsm::NodeId node) {
    auto entrusted = entrusted_.extract(node);
    if (entrusted.empty()) {
        throw std::runtime_error(fmt::format("the launcher says that node {} has entrusted this one with what its "
                                             "services know, which it has not",
                                             node));
    }
    take_over(node_, std::move(entrusted.mapped()));
}

void Succession::forget(dsm::NodeId node) {
    arriving_.erase(node);
    let_go(node);
}

void Succession::let_go(dsm::NodeId node) {
    if (const auto entrusted = entrusted_.extract(node)) {
        node_.ports.let_go(*entrusted.mapped().ports);
    }
}

} // namespace norma::rt

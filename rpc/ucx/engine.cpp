// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/ucx/engine.hpp"

#include "rpc/ucx/settings.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <sys/epoll.h>
#include <system_error>
#include <unistd.h>

#include <fmt/core.h>

namespace norma::rpc::ucx {

void check(ucs_status_t status, std::string_view what) {
    if (status != UCS_OK) {
        throw std::runtime_error(fmt::format("{}: {}", what, ucs_status_string(status)));
    }
}

Context::Context(std::string_view kind, bool workers_later, const std::string &only) {
    ucp_config_t *config = nullptr;
    check(ucp_config_read(nullptr, nullptr, &config), "UCX cannot read its settings (a UCX_ variable?)");
    if (workers_later) {
        keep_transport_settings(*config, kind);
    }
    if (!only.empty()) {
        ucp_config_modify(config, "TLS", only.c_str());
    }
    ucp_params_t params{};
    params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME;
    params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
    params.name = "norma";
    const auto status = ucp_init(&params, config, &context_);
    ucp_config_release(config);
    check(status, fmt::format("cannot start UCX for transport '{}'", kind));
}

Registrar Context::registrar() const {
    const auto context = context_;
    return {
        .add = [context](std::byte *base, std::size_t size) -> void * {
            ucp_mem_map_params_t params{};
            params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH;
            params.address = base;
            params.length = size;
            ucp_mem_h handle = nullptr;
            // Memory that cannot be registered (a locked-memory limit) still can be sent, only slower.
            return ucp_mem_map(context, &params, &handle) == UCS_OK ? handle : nullptr;
        },
        .remove = [context](void *handle) { ucp_mem_unmap(context, static_cast<ucp_mem_h>(handle)); },
    };
}

Worker::Worker(const Context &context, ucs_thread_mode_t mode) {
    ucp_worker_params_t params{};
    params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE | UCP_WORKER_PARAM_FIELD_EVENTS;
    params.thread_mode = mode;
    params.events = UCP_WAKEUP_RX | UCP_WAKEUP_TX;
    check(ucp_worker_create(context.get(), &params, &worker_), "cannot make a UCX worker");
    try {
        check(ucp_worker_get_efd(worker_, &event_fd_), "UCX gives no event descriptor");
        ucp_worker_attr_t attr{};
        attr.field_mask = UCP_WORKER_ATTR_FIELD_MAX_AM_HEADER;
        check(ucp_worker_query(worker_, &attr), "UCX does not tell its limits");
        max_header_ = attr.max_am_header;
    } catch (...) {
        ucp_worker_destroy(worker_);
        throw;
    }
}

std::vector<std::byte> Worker::address() const {
    ucp_address_t *raw = nullptr;
    std::size_t size = 0;
    check(ucp_worker_get_address(worker_, &raw, &size), "UCX gives no worker address");
    const auto bytes = std::span(reinterpret_cast<const std::byte *>(raw), size);
    std::vector<std::byte> copy(bytes.begin(), bytes.end());
    ucp_worker_release_address(worker_, raw);
    return copy;
}

void Worker::on_message(unsigned id, ucp_am_recv_callback_t callback, void *arg) {
    ucp_am_handler_param_t params{};
    params.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                        UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
    params.id = id;
    params.flags = UCP_AM_FLAG_WHOLE_MSG;
    params.cb = callback;
    params.arg = arg;
    check(ucp_worker_set_am_recv_handler(worker_, &params), "UCX takes no message handler");
}

WaitSet::WaitSet() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (fd_ < 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
    }
}

WaitSet::~WaitSet() {
    ::close(fd_);
}

void WaitSet::add(const Worker &worker) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(fd_, EPOLL_CTL_ADD, worker.event_fd(), &event) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
}

// UCX 1.13 tells what it has chosen in print only. The line sought is like "lane[0]:  1:posix/memory.0 md[1] ...".
std::string first_lane(ucp_ep_h endpoint) {
    char *text = nullptr;
    std::size_t size = 0;
    std::FILE *file = ::open_memstream(&text, &size);
    if (file == nullptr) {
        return {};
    }
    ucp_ep_print_info(endpoint, file);
    std::fclose(file);
    const std::string_view info(text, size);
    std::string lane;
    auto begin = info.find("lane[0]:");
    begin = begin == info.npos ? begin : info.find(':', begin + 8);
    if (begin != info.npos) {
        const auto end = info.find_first_of(". \n", begin);
        lane = info.substr(begin + 1, end - begin - 1);
    }
    std::free(text);
    return lane;
}

} // namespace norma::rpc::ucx

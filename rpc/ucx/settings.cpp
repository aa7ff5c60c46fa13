// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/ucx/settings.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <string>

#include <fmt/core.h>
#include <ucs/config/global_opts.h>
#include <ucs/debug/debug.h>

namespace norma::rpc::ucx {

namespace {

struct Setting {
    std::string_view kind; // empty: every kind; "lane": workers that are for one peer (transport.hpp)
    const char *name;
    const char *value;
    const char *own_name = nullptr; // of transports' settings: in their own tables
};

constexpr std::array kSettings{
    Setting{"tcp", "TLS", "tcp"},
    Setting{"tcp", "NET_DEVICES", "lo"},
    Setting{"shm", "TLS", "posix,self"},
    Setting{"", "TCP_RX_SEG_SIZE", "320K", "RX_SEG_SIZE"},
    Setting{"", "TCP_MAX_POLL", "1", "MAX_POLL"},
    Setting{"", "MAX_EAGER_RAILS", "1"},
    Setting{"", "POSIX_ERROR_HANDLING", "y", "MM_ERROR_HANDLING"},
    Setting{"lane", "POSIX_FIFO_SIZE", "16", "MM_FIFO_SIZE"},
    Setting{"lane", "POSIX_RX_BUFS_GROW", "20", "MM_RX_BUFS_GROW"},
    Setting{"", "KEEPALIVE_INTERVAL", "500ms"},
};

std::string variable(const char *name) {
    return fmt::format("UCX_{}", name);
}

bool user_has(const char *name) {
    return std::getenv(variable(name).c_str()) != nullptr;
}

} // namespace

bool known_kind(std::string_view kind) {
    return kind == "ucx" || kind == "tcp" || kind == "shm";
}

ScopedSettings::ScopedSettings(std::string_view kind) {
    for (const auto &setting : kSettings) {
        if ((setting.kind.empty() || setting.kind == kind) && !user_has(setting.name)) {
            names_.push_back(variable(setting.name));
            ::setenv(names_.back().c_str(), setting.value, 1);
        }
    }
}

ScopedSettings::~ScopedSettings() {
    for (const auto &name : names_) {
        ::unsetenv(name.c_str());
    }
}

void keep_transport_settings(ucp_config_t &config, std::string_view kind) {
    for (const auto &setting : kSettings) {
        if (setting.own_name != nullptr && (setting.kind.empty() || setting.kind == kind)) {
            const auto *in_force = std::getenv(variable(setting.name).c_str()); // the user's, or ScopedSettings'
            ucp_config_modify(&config, setting.own_name, in_force != nullptr ? in_force : setting.value);
        }
    }
}

void quieten_library() {
    if (!user_has("LOG_LEVEL")) {
        ucs_global_opts_set_value("LOG_LEVEL", "fatal");
    }
    // UCX catches crash signals from its load on and prints a backtrace; a process that serves page faults must be free
    // to have handlers of its own, and a crash must end it at once.
    if (!user_has("HANDLE_ERRORS") && !user_has("ERROR_SIGNALS")) {
        for (const int signal : {SIGILL, SIGSEGV, SIGBUS, SIGFPE}) {
            ucs_debug_disable_signal(signal);
        }
    }
}

} // namespace norma::rpc::ucx

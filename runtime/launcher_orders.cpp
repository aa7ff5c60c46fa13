// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_orders.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

namespace norma::rt {
namespace {

namespace fs = std::filesystem;
using Act = SignalOrder::Act;

// Those by which batch systems and people tell a job something. Others cannot be caught, or come from a mistake.
constexpr std::array kSignals{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGURG, SIGXCPU, SIGPWR};

std::optional<int> signal_called(std::string_view name) {
    if (name.starts_with("SIG")) {
        name.remove_prefix(3);
    }
    const auto *const found =
        std::ranges::find_if(kSignals, [name](int signal) { return name == ::sigabbrev_np(signal); });
    return found == kSignals.end() ? std::nullopt : std::optional(*found);
}

SignalOrder parse(std::string_view word) {
    const auto wrong = [word](const std::string &what) {
        return std::invalid_argument(fmt::format("'{}' for a signal: {}", word, what));
    };
    const auto equals = word.find('=');
    if (equals == std::string_view::npos) {
        throw wrong("it must be SIGNAL=checkpoint:FILE, SIGNAL=checkpoint-and-end:FILE or SIGNAL=drain");
    }
    const auto signal = signal_called(word.substr(0, equals));
    if (!signal) {
        std::vector<const char *> names;
        std::ranges::transform(kSignals, std::back_inserter(names), ::sigabbrev_np);
        throw wrong(fmt::format("'{}' is none of the signals {}", word.substr(0, equals), fmt::join(names, ", ")));
    }
    const auto what = word.substr(equals + 1);
    if (what == "drain") {
        return {.signal = *signal, .act = Act::drain, .file = {}};
    }
    const auto act = what.substr(0, what.find(':'));
    if (act != "checkpoint" && act != "checkpoint-and-end") {
        throw wrong(fmt::format("'{}' is not checkpoint:FILE, checkpoint-and-end:FILE or drain", what));
    }
    const auto file = what.substr(std::min(act.size() + 1, what.size()));
    if (file.empty()) {
        throw wrong("it names no file");
    }
    return {.signal = *signal,
            .act = act == "checkpoint" ? Act::checkpoint : Act::checkpoint_and_end,
            .file = std::string(file)};
}

std::vector<std::string> words_of_environment() {
    const char *const given = std::getenv("NORMA_ON_SIGNAL");
    std::vector<std::string> words;
    for (std::string_view rest = given != nullptr ? given : ""; !rest.empty();) {
        const auto word = rest.substr(0, rest.find(';'));
        words.emplace_back(word);
        rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    }
    return words;
}

} // namespace

SignalOrders signal_orders(const std::vector<std::string> &words) {
    SignalOrders orders;
    for (const auto &word : words.empty() ? words_of_environment() : words) {
        auto order = parse(word);
        if (order_for(order.signal, orders) != nullptr) {
            throw std::invalid_argument(
                fmt::format("'{}' for a signal: {} has been named before", word, signal_name(order.signal)));
        }
        orders.push_back(std::move(order));
    }
    return orders;
}

void check_files(const SignalOrders &orders) {
    for (const auto &order : orders) {
        if (order.act == Act::drain) {
            continue;
        }
        const auto folder = fs::absolute(order.file).parent_path();
        std::error_code ignored;
        if (fs::is_directory(order.file, ignored)) {
            throw std::invalid_argument(fmt::format("the checkpoint '{}' is a folder", order.file));
        }
        if (::access(folder.c_str(), W_OK | X_OK) != 0) {
            throw std::invalid_argument(
                fmt::format("the checkpoint '{}' cannot be made: {}", order.file, std::strerror(errno)));
        }
    }
}

const SignalOrder *order_for(int signal, const SignalOrders &orders) {
    const auto found = std::ranges::find(orders, signal, &SignalOrder::signal);
    return found == orders.end() ? nullptr : &*found;
}

std::string signal_name(int signal) {
    return fmt::format("SIG{}", ::sigabbrev_np(signal));
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "apps/heat/options.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "apps/common/split.hpp"
#include "apps/common/usage.hpp"

namespace heat {

using apps::UsageError;

namespace {

template <class T> T parse_number(std::string_view text, std::string_view whole) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
        throw UsageError(
            fmt::format("--teleport-at '{}': '{}' is no number; the form is STEP[:WORKER[:NODE]]", whole, text));
    }
    return value;
}

} // namespace

TeleportRequest parse_teleport(std::string_view text) {
    std::vector<std::string_view> fields;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(':', begin), text.size());
        fields.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    if (fields.size() > 3) {
        throw UsageError(fmt::format("--teleport-at '{}': too many fields; the form is STEP[:WORKER[:NODE]]", text));
    }
    TeleportRequest request;
    request.step = parse_number<std::uint64_t>(fields[0], text);
    if (fields.size() > 1) {
        request.worker = parse_number<unsigned>(fields[1], text);
    }
    if (fields.size() > 2) {
        request.node = parse_number<int>(fields[2], text);
    }
    return request;
}

unsigned choose_workers(const Options &options, std::size_t rows, int nodes) {
    const std::size_t inner_rows = rows - 2; // the first and the last row keep their temperatures
    if (!options.workers) {
        return static_cast<unsigned>(std::min<std::size_t>(apps::default_workers(nodes), inner_rows));
    }
    const std::int64_t workers = *options.workers;
    if (workers < 1 || static_cast<std::uint64_t>(workers) > inner_rows) {
        throw UsageError(fmt::format("--workers {}: a plate of {} rows can be split among 1 to {} workers", workers,
                                     rows, inner_rows));
    }
    return static_cast<unsigned>(workers);
}

std::vector<Move> plan_moves(const Options &options, unsigned workers, int nodes) {
    std::vector<std::pair<TeleportRequest, std::string_view>> requests;
    for (const std::string &text : options.teleports) {
        requests.emplace_back(parse_teleport(text), text);
    }
    std::stable_sort(requests.begin(), requests.end(),
                     [](const auto &a, const auto &b) { return a.first.step < b.first.step; });
    std::vector<int> node_of(workers);
    for (unsigned index = 0; index < workers; ++index) {
        node_of[index] = apps::node_for(index, nodes);
    }
    std::vector<Move> moves;
    for (const auto &[request, text] : requests) {
        const unsigned worker = request.worker.value_or(workers - 1);
        if (request.step >= options.steps) {
            throw UsageError(fmt::format("--teleport-at '{}': step {} is not in 0 .. {}", text, request.step,
                                         static_cast<std::int64_t>(options.steps) - 1));
        }
        if (worker >= workers) {
            throw UsageError(fmt::format("--teleport-at '{}': worker {} is not in 0 .. {}", text, worker, workers - 1));
        }
        const int to = request.node.value_or((node_of[worker] + 1) % nodes);
        if (to < 0 || to >= nodes) {
            throw UsageError(fmt::format("--teleport-at '{}': node {} is not in 0 .. {}", text, to, nodes - 1));
        }
        if (std::any_of(moves.begin(), moves.end(), [&, step = request.step](const Move &other) {
                return other.step == step && other.worker == worker;
            })) {
            throw UsageError(
                fmt::format("--teleport-at '{}': worker {} is moved at step {} already", text, worker, request.step));
        }
        moves.push_back({request.step, worker, node_of[worker], to});
        node_of[worker] = to;
    }
    return moves;
}

void prepare_output(const std::string &directory) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (!error && !std::filesystem::is_directory(directory)) {
        error = std::make_error_code(std::errc::not_a_directory);
    }
    if (error) {
        throw UsageError(fmt::format("--output '{}' cannot be made: {}", directory, error.message()));
    }
    if (::access(directory.c_str(), W_OK | X_OK) != 0) {
        throw UsageError(fmt::format("--output '{}' cannot be written: {}", directory, std::strerror(errno)));
    }
}

} // namespace heat

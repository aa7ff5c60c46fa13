// SPDX-License-Identifier: BSD-3-Clause
// Programs as text.
#include "tests/exploration/job.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <string_view>

namespace norma::exploration {

namespace {

std::string_view trim(std::string_view text) {
    const std::size_t first = text.find_first_not_of(' ');
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

// visit(part) for every part that is not empty.
template <class Visit> void split(std::string_view text, char separator, Visit visit) {
    while (!text.empty()) {
        const std::size_t end = text.find(separator);
        if (const std::string_view part = trim(text.substr(0, end)); !part.empty()) {
            visit(part);
        }
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
}

std::uint64_t number(std::string_view text, std::uint64_t least, std::uint64_t limit, const std::string &what) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value >= limit) {
        throw std::invalid_argument(what + " '" + std::string(text) + "' is not a number from " +
                                    std::to_string(least) + " to " + std::to_string(limit - 1));
    }
    return value;
}

Touch::Kind kind_of(char letter, std::string_view text) {
    constexpr std::string_view kLetters = "rwefstxm";
    const std::size_t kind = kLetters.find(letter);
    if (kind == std::string_view::npos) {
        throw std::invalid_argument("'" + std::string(1, letter) + "' in '" + std::string(text) +
                                    "' is not one of r, w, e, f, s, t, x, m: read, write, evict, freeze, snapshot, "
                                    "thaw, end, move");
    }
    return static_cast<Touch::Kind>(kind);
}

Touch read_touch(const Job &job, std::string_view text) {
    const std::size_t slash = text.find('/');
    const Touch::Kind kind = kind_of(text.front(), text);
    const std::string what = kind == Touch::Kind::move ? "the node in '"
                             : is_order(kind)          ? "the stretch in '"
                                                       : "the page in '";
    const std::uint64_t limit =
        kind == Touch::Kind::move ? job.nodes : job.stretches * (is_order(kind) ? 1 : job.pages);
    Touch touch{.kind = kind,
                .page = number(text.substr(1, slash - 1), 0, limit, what + std::string(text) + "',"),
                .window = 1};
    if (slash != std::string_view::npos) {
        touch.window = static_cast<std::uint32_t>(
            number(text.substr(slash + 1), 1, job.pages + 1, "the window in '" + std::string(text) + "',"));
    }
    return touch;
}

Thread read_thread(const Job &job, std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) {
        throw std::invalid_argument("the thread '" + std::string(text) + "' does not say on which node: '1: r0 w0'");
    }
    Thread thread{.node = static_cast<dsm::NodeId>(number(trim(text.substr(0, colon)), 0, job.nodes, "the node")),
                  .touches = {}};
    split(text.substr(colon + 1), ' ',
          [&](std::string_view touch) { thread.touches.push_back(read_touch(job, touch)); });
    for (const Touch &touch : thread.touches) {
        if (is_order(touch.kind) && thread.node != kHome) {
            throw std::invalid_argument("the thread '" + std::string(text) +
                                        "' freezes, copies, thaws or ends a stretch or moves the home " +
                                        "and is not at the home, node " + std::to_string(kHome));
        }
    }
    return thread;
}

// Every page alone, and from every page as far as the object goes.
std::vector<Touch> everything(std::uint64_t pages, std::string_view letters) {
    std::vector<Touch> result;
    for (const char letter : letters) {
        const Touch::Kind kind = kind_of(letter, letters);
        if (is_order(kind)) {
            throw std::invalid_argument("'" + std::string(1, letter) + "' cannot be done by anybody at any time");
        }
        for (dsm::PageIndex page = 0; page < pages; ++page) {
            result.push_back({.kind = kind, .page = page, .window = 1});
            if (page + 1 < pages) {
                result.push_back({.kind = kind, .page = page, .window = static_cast<std::uint32_t>(pages - page)});
            }
        }
    }
    return result;
}

} // namespace

Job read_job(Job job) {
    if (job.nodes < 1 || job.nodes > kMostNodes || job.pages < 1 || job.pages > kMostPages) {
        throw std::invalid_argument(std::to_string(job.nodes) + " nodes and " + std::to_string(job.pages) +
                                    " pages: there may be 1 to " + std::to_string(kMostNodes) + " and 1 to " +
                                    std::to_string(kMostPages));
    }
    if (job.deaths + job.suspicions > job.nodes) {
        throw std::invalid_argument(std::to_string(job.deaths) + " deaths and " + std::to_string(job.suspicions) +
                                    " suspicions are more than there are nodes");
    }
    constexpr std::string_view kAny = "any";
    if (job.program.starts_with(kAny)) {
        const std::string_view letters = trim(std::string_view(job.program).substr(kAny.size()));
        job.anything = everything(job.pages, letters.empty() ? "rwe" : letters);
        return job;
    }
    job.stretches += static_cast<std::uint64_t>(std::count(job.program.begin(), job.program.end(), 's'));
    job.moves = job.program.find('m') != std::string::npos;
    split(job.program, ';', [&](std::string_view thread) { job.threads.push_back(read_thread(job, thread)); });
    if (job.threads.empty() || job.threads.size() > kMostThreads) {
        throw std::invalid_argument("the program '" + job.program + "' has " + std::to_string(job.threads.size()) +
                                    " threads; 1 to " + std::to_string(kMostThreads) + " are possible");
    }
    return job;
}

} // namespace norma::exploration

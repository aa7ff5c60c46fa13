// SPDX-License-Identifier: BSD-3-Clause
// What happened, as a number that two equal runs have in common, and as text for whoever asks.
#pragma once

#include "rpc/sim/scheduler.hpp"

#include <cstdio>
#include <initializer_list>
#include <string_view>

#include <fmt/format.h>

namespace norma::sim {

inline void mix(std::uint64_t &hash, std::uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 29;
}

class Trace {
  public:
    Trace(const rpc::sim::Scheduler &scheduler, std::FILE *out) : scheduler_(scheduler), out_(out) {}

    // One line: who, what, and as much else as the format wants. Everything given goes into the hash.
    template <class... Args> void operator()(unsigned node, std::string_view what, Args... args) {
        mix(scheduler_.now());
        mix(node);
        for (const char letter : what) {
            mix(static_cast<unsigned char>(letter));
        }
        (mix(static_cast<std::uint64_t>(args)), ...);
        if (out_ != nullptr) {
            fmt::print(out_, "{:>12.3f} us  node {:<2} {}", static_cast<double>(scheduler_.now()) / 1000, node, what);
            (fmt::print(out_, " {:#x}", static_cast<std::uint64_t>(args)), ...);
            fmt::print(out_, "\n");
        }
    }
    // Text that says no more than what is in the hash already.
    void say(unsigned node, std::string_view text) {
        if (out_ != nullptr) {
            fmt::print(out_, "{:>12.3f} us  node {:<2} {}\n", static_cast<double>(scheduler_.now()) / 1000, node, text);
        }
    }
    bool talks() const { return out_ != nullptr; }
    void mix(std::uint64_t value) { sim::mix(hash_, value); }
    std::uint64_t hash() const { return hash_; }

  private:
    const rpc::sim::Scheduler &scheduler_;
    std::FILE *out_;
    std::uint64_t hash_ = 0x6e6f726d61;
};

} // namespace norma::sim

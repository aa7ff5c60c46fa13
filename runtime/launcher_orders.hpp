// SPDX-License-Identifier: BSD-3-Clause
// What a launcher or a joiner is to do when a signal comes, instead of ending (docs/clusters.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace norma::rt {

struct SignalOrder {
    enum class Act : std::uint8_t { checkpoint, checkpoint_and_end, drain };

    int signal = 0;
    Act act{};
    std::string file; // of a checkpoint
};

using SignalOrders = std::vector<SignalOrder>; // each signal at most once

inline constexpr std::string_view kOnSignalMeaning =
    "what to do when a signal comes, instead of ending: SIGNAL=checkpoint:FILE, SIGNAL=checkpoint-and-end:FILE or\n"
    "SIGNAL=drain; once for each signal (else NORMA_ON_SIGNAL, with ; between them)";

// The words of the command line, SIGNAL=WHAT each; if there are none, those in NORMA_ON_SIGNAL. Throws
// std::invalid_argument.
SignalOrders signal_orders(const std::vector<std::string> &words);
// For who is to write the files: throws std::invalid_argument if a file could not be made.
void check_files(const SignalOrders &orders);

const SignalOrder *order_for(int signal, const SignalOrders &orders); // null: nothing is asked
std::string signal_name(int signal);                                  // "SIGUSR1"

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
// Exceptions as messages (<norma/mach_exception.h>), and what a reply to one says. Pure.
#pragma once

#include "runtime/message.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace norma::rt {

// Whether a right that came as an exception port can be one, told as it says.
bool is_exception_port(const HeldRight &held);
bool is_exception_mask(std::uint64_t mask);

struct Exception {
    std::uint32_t type = 0; // EXC_...
    std::array<std::int64_t, 2> code{};
    std::vector<std::byte> general, floats; // the states of the thread
};

// For a port that is told as `held` says; it lacks the reply port.
Message exception_message(const Exception &exception, const HeldRight &held, const Right &thread, const Right &task);

struct ExceptionReply {
    std::uint32_t flavor = 0; // 0: the state is as it was
    std::vector<std::byte> state;
};
// No value: refused, or not a reply to such a message.
std::optional<ExceptionReply> read_exception_reply(const Message &reply, const HeldRight &held);

} // namespace norma::rt

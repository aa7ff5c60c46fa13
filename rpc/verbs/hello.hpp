// SPDX-License-Identifier: BSD-3-Clause
// What two nodes tell each other while librdmacm connects them, in its private data (56 bytes at most):
//
//    hello (request) and welcome (answer)          refusal
//   +--------------------------+-----------+      +-----------+-----------+
//   | message header (record.hpp), no record | credits |      | magic     | verdict   |
//   +--------------------------+-----------+      +-----------+-----------+
//
// As it is a message header, it is judged by the same code as every message.
#pragma once

#include "rpc/record.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace norma::rpc::verbs {

struct Hello {
    MessageHeader header;
    std::uint32_t credits = 0; // receive slots that the other side may fill
};
inline constexpr std::size_t kHelloBytes = kHeaderBytes + sizeof(std::uint32_t);
inline constexpr std::size_t kRefusalBytes = 8;
static_assert(kHelloBytes <= 56);

std::array<std::byte, kHelloBytes> encode_hello(const Hello &hello);
// The library pads private data; what is behind the hello is not looked at. `hello` is set even if the verdict is one
// of incarnation or gone, and not otherwise.
Verdict decode_hello(std::span<const std::byte> data, const Expected &expected, Hello &hello);

std::array<std::byte, kRefusalBytes> encode_refusal(Verdict verdict);
std::optional<Verdict> decode_refusal(std::span<const std::byte> data);

} // namespace norma::rpc::verbs

// SPDX-License-Identifier: BSD-3-Clause
// What one send carries. A message (header, record, payload: record.hpp) that fits a slot travels in its frame. A
// larger one is announced: the frame says where its parts lie, the receiver reads them out of the sender's staging
// buffers with RDMA reads, and says so, which frees the buffers.
//
//    0        1        2        4                 8
//   +--------+--------+--------+-----------------+
//   | kind   | 0      |credits | token           |   credits: receive slots given back to the other side
//   +--------+--------+--------+-----------------+
//   message:   the header, the record, the payload
//   announced: two parts {address, key, bytes}, of front (header, record) and payload; the front, if its part is empty
//   fetched:   nothing more; the token is the announcement's
//   credits:   nothing more
#pragma once

#include "rpc/transport.hpp"
#include "rpc/verbs/queue.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace norma::rpc::verbs {

enum class FrameKind : std::uint8_t { message = 1, announced = 2, fetched = 3, credits = 4 };

struct Frame {
    FrameKind kind{};
    std::uint8_t zero = 0;
    std::uint16_t credits = 0;
    std::uint32_t token = 0;
};
inline constexpr std::size_t kFrameBytes = 8;
static_assert(sizeof(Frame) == kFrameBytes);

struct Part {
    std::uint64_t address = 0;
    std::uint32_t key = 0;
    std::uint32_t bytes = 0;
};
inline constexpr std::size_t kPartsBytes = 32;
static_assert(2 * sizeof(Part) == kPartsBytes);

struct Announcement {
    Part front; // empty: the front is in the frame
    Part payload;
};

// What arrived, judged. Nothing in it is trusted beyond the checks that decode_frame() makes.
struct ArrivedFrame {
    Frame frame;
    Announcement announcement;          // announced
    std::span<const std::byte> content; // message: header, record, payload; announced: the front, if it is here
};

// False: it is no frame of a node server.
bool decode_frame(std::span<const std::byte> bytes, ArrivedFrame &out);

void encode_frame(const Frame &frame, std::span<std::byte> out);
void encode_announcement(const Announcement &announcement, std::span<std::byte> out);

} // namespace norma::rpc::verbs

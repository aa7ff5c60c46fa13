// SPDX-License-Identifier: BSD-3-Clause
// What arrives over an RDMA device: the private data of a connection, and what sends carry.
#include "tests/fuzz/targets.hpp"

#include "rpc/verbs/frame.hpp"
#include "rpc/verbs/hello.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace fuzz {

using namespace norma::rpc;

void verbs_hello(Bytes input) {
    const std::array<std::uint32_t, 4> peers{0, 7, 0, kNoIncarnation};
    const Expected expected{.self = 2, .incarnation = 9, .job_key = 0x1122334455667788, .peers = peers};
    verbs::Hello hello;
    const auto verdict = verbs::decode_hello(input, expected, hello);
    FUZZ_CHECK(describe(verdict) != nullptr);
    FUZZ_CHECK(hello.credits == 0 || hello.header.source < peers.size());
    if (verdict == Verdict::ok) {
        FUZZ_CHECK(hello.credits >= 2 && hello.header.record_bytes == 0 && hello.header.payload_bytes == 0);
        FUZZ_CHECK(std::ranges::equal(verbs::encode_hello(hello), input.first(verbs::kHelloBytes)));
    }
    if (const auto refusal = verbs::decode_refusal(input)) {
        FUZZ_CHECK(describe(*refusal) != nullptr);
        FUZZ_CHECK(std::ranges::equal(verbs::encode_refusal(*refusal), input.first(verbs::kRefusalBytes)));
    }
}

void verbs_frame(Bytes input) {
    verbs::ArrivedFrame arrived;
    if (!verbs::decode_frame(input, arrived)) {
        return;
    }
    const bool announced = arrived.frame.kind == verbs::FrameKind::announced;
    const auto head = verbs::kFrameBytes + (announced ? verbs::kPartsBytes : 0);
    FUZZ_CHECK(arrived.content.size() == input.size() - head);
    FUZZ_CHECK(arrived.content.empty() || arrived.content.data() == input.data() + head);
    std::array<std::byte, verbs::kFrameBytes + verbs::kPartsBytes> again{};
    verbs::encode_frame(arrived.frame, again);
    if (announced) {
        const auto &[front, payload] = arrived.announcement;
        FUZZ_CHECK(front.bytes <= kHeaderBytes + kMaxRecordBytes && payload.bytes <= kMaxPayloadBytes);
        FUZZ_CHECK((front.bytes == 0) != arrived.content.empty());
        verbs::encode_announcement(arrived.announcement, std::span(again).subspan<verbs::kFrameBytes>());
    }
    FUZZ_CHECK(std::ranges::equal(std::span(again).first(head), input.first(head)));
}

} // namespace fuzz

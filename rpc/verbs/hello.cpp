// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/verbs/hello.hpp"

#include "rpc/wire.hpp"

#include <algorithm>
#include <cstring>

namespace norma::rpc::verbs {

namespace {
constexpr std::uint32_t kRefusalMagic = 0x6f4e4f4e;
}

std::array<std::byte, kHelloBytes> encode_hello(const Hello &hello) {
    std::array<std::byte, kHelloBytes> out{};
    encode_header(hello.header, std::span(out).first<kHeaderBytes>());
    std::memcpy(out.data() + kHeaderBytes, &hello.credits, sizeof hello.credits);
    return out;
}

Verdict decode_hello(std::span<const std::byte> data, const Expected &expected, Hello &hello) {
    if (data.size() < kHelloBytes) {
        return Verdict::garbage;
    }
    Message message;
    const auto verdict = decode_message(data.first(kHeaderBytes), {}, expected, message);
    Hello found;
    std::memcpy(&found.header, data.data(), kHeaderBytes);
    std::memcpy(&found.credits, data.data() + kHeaderBytes, sizeof found.credits);
    if (found.header.record_bytes != 0 || found.header.payload_bytes != 0 || found.credits < 2) {
        return verdict == Verdict::ok ? Verdict::garbage : verdict;
    }
    if (verdict == Verdict::ok || verdict == Verdict::incarnation || verdict == Verdict::gone) {
        hello = found;
    }
    return verdict;
}

std::array<std::byte, kRefusalBytes> encode_refusal(Verdict verdict) {
    Writer writer;
    writer.put(kRefusalMagic).put(static_cast<std::uint32_t>(verdict));
    std::array<std::byte, kRefusalBytes> out{};
    std::ranges::copy(writer.bytes(), out.begin());
    return out;
}

std::optional<Verdict> decode_refusal(std::span<const std::byte> data) {
    Reader reader(data);
    const auto magic = reader.get<std::uint32_t>();
    const auto verdict = reader.get<std::uint32_t>();
    if (!reader.ok() || magic != kRefusalMagic || verdict > static_cast<std::uint32_t>(Verdict::gone)) {
        return std::nullopt;
    }
    return static_cast<Verdict>(verdict);
}

} // namespace norma::rpc::verbs

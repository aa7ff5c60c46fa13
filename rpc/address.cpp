// SPDX-License-Identifier: BSD-3-Clause
#include "rpc/address.hpp"

#include "rpc/wire.hpp"

#include <algorithm>
#include <cstdint>

#include <fmt/core.h>

namespace norma::rpc {

namespace {

constexpr std::uint32_t kAddressMagic = 0x41584355; // "UCXA"
constexpr std::size_t kEnvelopeBytes = 16;

std::uint64_t fnv1a(std::span<const std::byte> bytes) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const auto byte : bytes) {
        hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
    return hash;
}

} // namespace

std::vector<std::byte> seal_address(std::string_view kind, std::span<const std::byte> inner) {
    std::vector<std::byte> body;
    const auto name = std::as_bytes(std::span(kind));
    body.assign(name.begin(), name.end());
    body.push_back(std::byte{0});
    body.insert(body.end(), inner.begin(), inner.end());
    Writer head;
    head.put(kAddressMagic).put(static_cast<std::uint32_t>(body.size())).put(fnv1a(body));
    auto sealed = head.bytes();
    sealed.insert(sealed.end(), body.begin(), body.end());
    return sealed;
}

std::span<const std::byte> open_address(std::string_view kind, std::span<const std::byte> sealed, std::string &why) {
    Reader head(sealed);
    const auto magic = head.get<std::uint32_t>();
    const auto size = head.get<std::uint32_t>();
    const auto hash = head.get<std::uint64_t>();
    if (!head.ok() || magic != kAddressMagic) {
        why = fmt::format("not an address ({} bytes)", sealed.size());
        return {};
    }
    const auto body = sealed.subspan(kEnvelopeBytes);
    if (size != body.size() || hash != fnv1a(body)) {
        why = fmt::format("damaged address ({} bytes, should have {})", body.size(), size);
        return {};
    }
    const auto end = std::find(body.begin(), body.end(), std::byte{0});
    const auto name_size = static_cast<std::size_t>(end - body.begin());
    const std::string_view name(reinterpret_cast<const char *>(body.data()), name_size);
    if (end == body.end() || name_size + 1 == body.size()) {
        why = "empty address";
        return {};
    }
    if (name != kind) {
        why = fmt::format("it uses transport '{}', this node uses '{}'", name, kind);
        return {};
    }
    return body.subspan(name_size + 1);
}

} // namespace norma::rpc

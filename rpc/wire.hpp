// SPDX-License-Identifier: BSD-3-Clause
// Bytes in, bytes out: little-endian, bounds-checked. A Reader that has run past its end stays failed and yields zeros,
// so a decoder reads everything and asks ok() once.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace norma::rpc {

static_assert(std::endian::native == std::endian::little, "wire records are little-endian, as is every supported host");

class Writer {
  public:
    template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>) Writer &put(T value) {
        const auto *raw = reinterpret_cast<const std::byte *>(&value);
        bytes_.insert(bytes_.end(), raw, raw + sizeof value);
        return *this;
    }
    Writer &put_bytes(std::span<const std::byte> bytes) {
        put(static_cast<std::uint32_t>(bytes.size()));
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        return *this;
    }
    Writer &put_string(std::string_view text) { return put_bytes(std::as_bytes(std::span(text))); }
    const std::vector<std::byte> &bytes() const { return bytes_; }
    void clear() { bytes_.clear(); }

  private:
    std::vector<std::byte> bytes_;
};

class Reader {
  public:
    explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
    template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>) T get() {
        if constexpr (std::is_same_v<T, bool>) {
            const auto raw = get<std::uint8_t>();
            failed_ |= raw > 1; // one value, one encoding
            return raw == 1;
        } else {
            T value{};
            const auto raw = take(sizeof(T));
            if (!raw.empty()) {
                std::memcpy(&value, raw.data(), sizeof value);
            }
            return value;
        }
    }
    std::span<const std::byte> get_bytes() { return take(get<std::uint32_t>()); }
    std::string get_string() {
        const auto raw = get_bytes();
        return {reinterpret_cast<const char *>(raw.data()), raw.size()};
    }
    // A count of items that each take at least `each` bytes: refuses counts the rest cannot hold.
    std::uint32_t get_count(std::size_t each) {
        const auto count = get<std::uint32_t>();
        if (count > rest_.size() / (each == 0 ? 1 : each)) {
            failed_ = true;
            return 0;
        }
        return count;
    }
    bool ok() const { return !failed_; }
    bool done() const { return ok() && rest_.empty(); }

  private:
    std::span<const std::byte> take(std::size_t size) {
        if (failed_ || size > rest_.size()) {
            failed_ = true;
            return {};
        }
        const auto head = rest_.first(size);
        rest_ = rest_.subspan(size);
        return head;
    }
    std::span<const std::byte> rest_;
    bool failed_ = false;
};

} // namespace norma::rpc

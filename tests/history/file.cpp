// SPDX-License-Identifier: BSD-3-Clause
#include "tests/history/file.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <span>
#include <type_traits>

#include <fmt/format.h>

namespace history {

namespace {

constexpr std::uint64_t kMagic = 0x3259524f54534948; // "HISTORY2"
static_assert(std::is_trivially_copyable_v<Facts> && std::is_trivially_copyable_v<Seen>);

class Source {
  public:
    explicit Source(const std::string &bytes) : rest_(bytes) {}

    template <class T> void get(std::span<T> values) {
        const auto size = values.size_bytes();
        if (size > rest_.size()) {
            rest_ = {};
            short_ = true;
            return;
        }
        std::copy_n(rest_.data(), size, reinterpret_cast<char *>(values.data()));
        rest_.remove_prefix(size);
    }
    template <class T> T get() {
        T value{};
        get(std::span(&value, 1));
        return value;
    }
    template <class T> std::vector<T> list() {
        const auto count = get<std::uint64_t>();
        if (count > rest_.size() / sizeof(T)) {
            short_ = true;
            return {};
        }
        std::vector<T> values(count);
        get(std::span(values));
        return values;
    }
    bool good() const { return !short_ && rest_.empty(); }

  private:
    std::string_view rest_;
    bool short_ = false;
};

template <class T> void put(std::ofstream &out, std::span<const T> values) {
    out.write(reinterpret_cast<const char *>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
}
template <class T> void put(std::ofstream &out, const T &value) {
    put(out, std::span<const T>(&value, 1));
}
template <class T> void put_list(std::ofstream &out, const std::vector<T> &values) {
    put(out, std::uint64_t{values.size()});
    put(out, std::span<const T>(values));
}

bool sound(const File &file) {
    return std::ranges::all_of(
               file.operations,
               [](const Operation &one) { return one.kind >= Kind::read && one.kind <= Kind::update; }) &&
           std::ranges::all_of(file.seen, [](const Seen &one) { return one.shape < shapes().size(); });
}

} // namespace

void save(const std::string &path, const File &file) {
    std::ofstream out(path, std::ios::binary);
    put(out, kMagic);
    put(out, file.facts);
    put_list(out, file.operations);
    put_list(out, file.seen);
    if (!out.flush()) {
        throw FileError(fmt::format("{} cannot be written", path));
    }
}

File load(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    Source source(bytes);
    File file;
    const auto magic = source.get<std::uint64_t>();
    file.facts = source.get<Facts>();
    file.operations = source.list<Operation>();
    file.seen = source.list<Seen>();
    if (magic != kMagic || !source.good() || !sound(file)) {
        throw FileError(fmt::format("{} is no history, or a damaged one ({} bytes)", path, bytes.size()));
    }
    return file;
}

} // namespace history

// SPDX-License-Identifier: BSD-3-Clause
// The environment, and the address map with what the vm calls do to it.
#include "tests/fuzz/targets.hpp"

#include "norma/mach.h"
#include "runtime/address_map.hpp"
#include "runtime/config.hpp"
#include "runtime/values.hpp"

#include <array>
#include <string>
#include <vector>

namespace fuzz {

using namespace norma;
using namespace norma::rt;

namespace {

constexpr std::uint64_t kBase = 0x100000000000;
constexpr std::uint64_t kPages = 64;
constexpr Window kWindow{kBase, kPages *kMapPage, 4};

bool continues(const MapEntry &one, const MapEntry &next) {
    MapEntry rest = one;
    rest.start = one.end();
    rest.size = next.size;
    rest.offset = one.offset + one.size;
    return rest == next;
}

void check_map(const AddressMap &map) {
    std::uint64_t reached = kWindow.base;
    const MapEntry *before = nullptr;
    for (const auto &entry : map.entries()) {
        FUZZ_CHECK(entry.start >= reached && entry.size > 0 && page_aligned(entry.start) && page_aligned(entry.size));
        FUZZ_CHECK(kWindow.range().contains(entry.start, entry.size));
        FUZZ_CHECK((entry.protection & ~entry.max_protection) == 0);
        FUZZ_CHECK(before == nullptr || !continues(*before, entry));
        FUZZ_CHECK(map.lookup(entry.start) == &entry && map.lookup(entry.end() - 1) == &entry);
        reached = entry.end();
        before = &entry;
    }
}

// Mostly near the window, so that something happens; sometimes anything.
std::uint64_t some_address(Choices &choices) {
    const auto kind = choices.below(4);
    return kind == 0 ? choices.number()
                     : kBase + (choices.below(kPages + 2)) * kMapPage + (kind == 1 ? choices.byte() : 0);
}
std::uint64_t some_size(Choices &choices) {
    const auto kind = choices.below(4);
    return kind == 0 ? choices.number() : choices.below(10) * kMapPage + (kind == 1 ? choices.byte() : 0);
}

MapEntry some_entry(Choices &choices) {
    MapEntry entry;
    entry.start = some_address(choices);
    entry.size = some_size(choices);
    entry.stretch = {.object = {.home = choices.below(2), .incarnation = 1, .serial = choices.below(3)}, .number = 0};
    entry.offset = some_size(choices);
    entry.protection = choices.below(9);
    entry.max_protection = choices.below(9);
    entry.inheritance = choices.below(4);
    return entry;
}

void change(AddressMap &map, Choices &choices) {
    std::vector<MapEntry> removed;
    std::vector<ProtectionChange> changed;
    const auto before = map.entries().size();
    switch (choices.below(5)) {
    case 0:
        map.insert(some_entry(choices));
        break;
    case 1: {
        const auto address = some_address(choices);
        map.remove(address, some_size(choices), removed);
        break;
    }
    case 2: {
        const auto address = some_address(choices);
        const auto size = some_size(choices);
        const bool maximum = choices.flag();
        map.protect(address, size, maximum, static_cast<vm_prot_t>(choices.below(9)), changed);
        break;
    }
    case 3: {
        const auto address = some_address(choices);
        const auto size = some_size(choices);
        map.inherit(address, size, choices.below(5));
        break;
    }
    default:
        FUZZ_CHECK(map.region(some_address(choices)) == nullptr || before > 0);
    }
    for (const auto &piece : removed) {
        FUZZ_CHECK(map.lookup(piece.start) == nullptr);
    }
    for (const auto &piece : changed) {
        FUZZ_CHECK(map.lookup(piece.entry.start)->protection == piece.entry.protection);
    }
}

void use_slice(SliceAllocator &slice, Choices &choices) {
    const auto start = some_address(choices);
    const Range range{start - start % kMapPage, choices.below(20) * kMapPage};
    switch (range.size == 0 || range.end() < range.start ? 3 : choices.below(3)) {
    case 0:
        if (const auto got = slice.allocate(range.size)) {
            FUZZ_CHECK(kWindow.slice(1).contains(*got, range.size));
        }
        break;
    case 1:
        slice.reserve(range);
        break;
    case 2:
        slice.release(range);
        break;
    default:
        break;
    }
    FUZZ_CHECK(slice.free_bytes() <= kWindow.slice_bytes() && (slice.gaps() == 0) == (slice.free_bytes() == 0));
}

} // namespace

void address_map(Bytes input) {
    Choices choices(input);
    AddressMap map(kWindow);
    SliceAllocator slice(kWindow.slice(1));
    while (choices.any_left()) {
        if (choices.below(4) == 0) {
            use_slice(slice, choices);
        } else {
            change(map, choices);
        }
        check_map(map);
    }
    rpc::Writer writer;
    encode_entries(writer, map.entries());
    rpc::Reader reader(writer.bytes());
    AddressMap copy(kWindow);
    FUZZ_CHECK(decode_entries(reader, copy) && reader.done());
    FUZZ_CHECK(std::vector(copy.entries().begin(), copy.entries().end()) ==
               std::vector(map.entries().begin(), map.entries().end()));
}

// One variable a line. Whatever is said, either all of it is good or there is at least one mistake to tell of.
void config(Bytes input) {
    std::vector<std::string> lines{""};
    for (const char c : as_text(input)) {
        if (c == '\n') {
            lines.emplace_back();
        } else if (c != '\0') {
            lines.back() += c;
        }
    }
    std::vector<const char *> environment;
    for (const auto &line : lines) {
        environment.push_back(line.c_str());
    }
    environment.push_back(nullptr);
    const auto mistakes = config_mistakes(environment.data());
    try {
        const auto settings = load_config(environment.data());
        FUZZ_CHECK(mistakes.empty());
        FUZZ_CHECK(settings.prefetch <= 64 && settings.stack_size >= 65536 && settings.spin.count() >= 0);
        FUZZ_CHECK(settings.window_base + settings.window_size > settings.window_base);
    } catch (const ConfigError &error) {
        FUZZ_CHECK(!mistakes.empty() && *error.what() != '\0');
    }
    for (const auto &line : lines) {
        if (const auto bytes = parse_bytes(line)) {
            FUZZ_CHECK(*bytes >= 0 && parse_bytes(format_bytes(static_cast<std::uint64_t>(*bytes))) == bytes);
        }
        if (const auto time = parse_time(line)) {
            FUZZ_CHECK(*time >= 0 && parse_time(format_time(std::chrono::nanoseconds(*time))) == time);
        }
        parse_integer(line);
        parse_boolean(line);
        parse_address(line);
    }
}

} // namespace fuzz

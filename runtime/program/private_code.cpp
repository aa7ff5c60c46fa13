// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/program/private_code.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <link.h>
#include <string_view>
#include <utility>

namespace norma::rt {

namespace {

struct Code {
    std::uintptr_t start = 0, size = 0;
    bool holds(std::uintptr_t address) const { return address - start < size; }
    bool operator==(const Code &) const = default;
};

Code program; // asks most often
std::array<Code, 64> found;
std::atomic<std::size_t> count{0}; // of `found`; entries below it do not change any more

constexpr std::array<std::string_view, 9> kPrivate{"ld-linux", "libnorma",   "libucp",  "libucs", "libuct",
                                                   "libucm",   "libibverbs", "librdma", "libnl-"};

Code code_of(const dl_phdr_info &object) {
    Code code;
    for (int i = 0; i < object.dlpi_phnum; ++i) {
        const auto &header = object.dlpi_phdr[i];
        if (header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0) {
            code = {.start = object.dlpi_addr + header.p_vaddr, .size = header.p_memsz};
        }
    }
    return code;
}

int look_at(dl_phdr_info *object, std::size_t, void *first) {
    const auto code = code_of(*object);
    if (std::exchange(*static_cast<bool *>(first), false)) { // the main program
        program = code;
        return 0;
    }
    const auto *slash = std::strrchr(object->dlpi_name, '/');
    const std::string_view name = slash == nullptr ? object->dlpi_name : slash + 1;
    const bool wanted = std::ranges::any_of(kPrivate, [name](auto prefix) { return name.starts_with(prefix); });
    const auto known = count.load();
    const auto *end = found.begin() + known;
    if (wanted && known < found.size() && std::find(found.cbegin(), end, code) == end) {
        found[known] = code;
        count.store(known + 1, std::memory_order_release);
    }
    return 0;
}

} // namespace

void find_private_code() {
    bool first = true;
    dl_iterate_phdr(look_at, &first);
}

bool is_private_code(const void *address) {
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    if (program.holds(wanted)) {
        return false;
    }
    const auto known = count.load(std::memory_order_acquire);
    return std::any_of(found.cbegin(), found.cbegin() + known,
                       [wanted](const Code &code) { return code.holds(wanted); });
}

} // namespace norma::rt

// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/heap/units.hpp"

#include <algorithm>
#include <bit>

namespace norma::rt::heap {
namespace {

// How often somebody else may be quicker before the part counts as full.
constexpr int kTries = 16;

// The bits of word `word` that stand for units in [from, to).
std::uint64_t mask_of(std::uint32_t word, std::uint32_t from, std::uint32_t to) {
    const std::uint32_t low = std::max(from, word * 64), high = std::min(to, word * 64 + 64);
    if (low >= high) {
        return 0;
    }
    const std::uint64_t ones = high - low == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (high - low)) - 1;
    return ones << (low - word * 64);
}

// The last unit in use in [from, to), or `to` if all are free.
std::uint32_t last_used(const Part &part, std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t word = (to - 1) / 64 + 1; word-- > from / 64;) {
        const std::uint64_t used = part.used()[word].load(std::memory_order_relaxed) & mask_of(word, from, to);
        if (used != 0) {
            return word * 64 + 63 - static_cast<std::uint32_t>(std::countl_zero(used));
        }
    }
    return to;
}

std::uint32_t align_up(const Part &part, std::uint32_t unit, std::size_t align) {
    const auto address = reinterpret_cast<std::uintptr_t>(part.unit(unit));
    return unit + static_cast<std::uint32_t>(((address + align - 1) / align * align - address) / kUnit);
}

std::uint32_t claim_one_in(const Part &part, std::uint32_t from_word, std::uint32_t to_word) {
    const Geometry &geometry = part.geometry();
    for (std::uint32_t word = from_word; word < to_word; ++word) {
        const std::uint64_t mine = mask_of(word, geometry.first, geometry.units);
        std::uint64_t free = ~part.used()[word].load(std::memory_order_relaxed) & mine;
        while (free != 0) {
            const std::uint64_t bit = free & -free;
            const std::uint64_t before = part.used()[word].fetch_or(bit);
            if ((before & bit) == 0) {
                return word * 64 + static_cast<std::uint32_t>(std::countr_zero(bit));
            }
            free = ~before & mine;
        }
    }
    return 0;
}

std::uint32_t claim_one(const Part &part) {
    const std::uint32_t words = (part.geometry().units + 63) / 64;
    const auto start = static_cast<std::uint32_t>(part.first_free().load(std::memory_order_relaxed));
    std::uint32_t unit = claim_one_in(part, start, words);
    if (unit == 0) {
        unit = claim_one_in(part, 0, start);
    }
    if (unit != 0 && unit / 64 != start) {
        part.first_free().store(unit / 64, std::memory_order_relaxed);
    }
    return unit;
}

// One look at the whole part; `beaten` if somebody else took what was free.
std::uint32_t claim_many(const Part &part, std::uint32_t count, std::size_t align, bool &beaten) {
    const Geometry &geometry = part.geometry();
    std::uint32_t unit = align_up(part, geometry.first, align);
    while (std::uint64_t{unit} + count <= geometry.units) {
        const std::uint32_t obstacle = last_used(part, unit, unit + count);
        if (obstacle != unit + count) {
            unit = align_up(part, obstacle + 1, align);
        } else if (claim_range(part, unit, count)) {
            return unit;
        } else {
            beaten = true;
            unit = align_up(part, unit + 1, align);
        }
    }
    return 0;
}

} // namespace

bool claim_range(const Part &part, std::uint32_t unit, std::uint32_t count) {
    const std::uint32_t end = unit + count;
    for (std::uint32_t word = unit / 64; word <= (end - 1) / 64; ++word) {
        const std::uint64_t wanted = mask_of(word, unit, end);
        const std::uint64_t before = part.used()[word].fetch_or(wanted);
        if ((before & wanted) != 0) {
            part.used()[word].fetch_and(~(wanted & ~before));
            for (std::uint32_t back = unit / 64; back < word; ++back) {
                part.used()[back].fetch_and(~mask_of(back, unit, end));
            }
            return false;
        }
    }
    return true;
}

std::uint32_t claim_units(const Part &part, std::uint32_t count, std::size_t align) {
    if (count == 1 && align <= kUnit) {
        return claim_one(part);
    }
    bool beaten = true;
    std::uint32_t unit = 0;
    for (int i = 0; i < kTries && beaten && unit == 0; ++i) {
        beaten = false;
        unit = claim_many(part, count, align, beaten);
    }
    return unit;
}

void release_units(const Part &part, std::uint32_t unit, std::uint32_t count) {
    const std::uint32_t end = unit + count;
    for (std::uint32_t word = unit / 64; word <= (end - 1) / 64; ++word) {
        part.used()[word].fetch_and(~mask_of(word, unit, end));
    }
    if (unit / 64 < part.first_free().load(std::memory_order_relaxed)) {
        part.first_free().store(unit / 64, std::memory_order_relaxed);
    }
}

std::uint32_t units_free(const Part &part) {
    const Geometry &geometry = part.geometry();
    std::uint32_t free = 0;
    for (std::uint32_t word = geometry.first / 64; word <= (geometry.units - 1) / 64; ++word) {
        const std::uint64_t mine = mask_of(word, geometry.first, geometry.units);
        free += static_cast<std::uint32_t>(std::popcount(~part.used()[word].load(std::memory_order_acquire) & mine));
    }
    return free;
}

namespace {

void describe_inside(const Part &part, std::uint32_t unit, std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t i = from; i < to; ++i) {
        part.descriptor(unit + i).store(Descriptor::inside(i).word(), std::memory_order_relaxed);
    }
}

void describe_nothing(const Part &part, std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t unit = from; unit < to; ++unit) {
        part.descriptor(unit).store(0, std::memory_order_relaxed);
    }
}

} // namespace

std::byte *take_run(const Part &part, std::uint32_t units, std::size_t align) {
    const std::uint32_t unit = claim_units(part, units, align);
    if (unit == 0) {
        return nullptr;
    }
    describe_inside(part, unit, 1, units);
    part.descriptor(unit).store(Descriptor::run(units).word(), std::memory_order_release);
    return part.unit(unit);
}

bool give_run(const Part &part, std::uint32_t unit, Descriptor run) {
    std::uint64_t expected = run.word(); // whoever takes it away has the units, also if a block is freed twice at once
    if (!part.descriptor(unit).compare_exchange_strong(expected, 0)) {
        return false;
    }
    const auto units = static_cast<std::uint32_t>(run.value());
    describe_nothing(part, unit + 1, unit + units);
    release_units(part, unit, units);
    return true;
}

void retire_run(const Part &part, std::byte *run, std::uint32_t units,
                bool (*gone)(const std::byte *start, std::size_t bytes)) {
    const auto first = static_cast<std::uint32_t>(part.offset_of(run) / kUnit);
    describe_nothing(part, first, first + units);
    for (std::uint32_t unit = first; unit < first + units; ++unit) {
        if (!gone(part.unit(unit), kUnit)) {
            release_units(part, unit, 1);
        }
    }
}

bool resize_run(const Part &part, std::uint32_t unit, std::uint32_t from, std::uint32_t to) {
    if (to > from) {
        if (std::uint64_t{unit} + to > part.geometry().units || last_used(part, unit + from, unit + to) != unit + to ||
            !claim_range(part, unit + from, to - from)) {
            return false;
        }
        describe_inside(part, unit, from, to);
        part.descriptor(unit).store(Descriptor::run(to).word(), std::memory_order_release);
    } else if (to < from) {
        part.descriptor(unit).store(Descriptor::run(to).word(), std::memory_order_release);
        describe_nothing(part, unit + to, unit + from);
        release_units(part, unit + to, from - to);
    }
    return true;
}

} // namespace norma::rt::heap

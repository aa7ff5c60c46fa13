// SPDX-License-Identifier: BSD-3-Clause
// Random operations on the slice allocator and the address map, against an array that says of each page what it is.
#include "runtime/address_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

namespace norma::rt {
namespace {

constexpr std::uint64_t kBase = 0x100000000000;
constexpr std::uint64_t kPages = 64;
constexpr Window kWindow{kBase, kPages *kMapPage, 4};

constexpr std::uint64_t page(std::uint64_t index) {
    return kBase + index * kMapPage;
}
constexpr std::uint64_t bytes(std::uint64_t pages) {
    return pages * kMapPage;
}

TEST(Slice, RandomAgainstPages) {
    std::mt19937_64 random(7);
    SliceAllocator slice({page(0), bytes(kPages)});
    std::array<bool, kPages> taken{};
    for (int step = 0; step < 20000; ++step) {
        const std::uint64_t first = random() % kPages;
        const std::uint64_t count = 1 + random() % std::min<std::uint64_t>(9, kPages - first);
        const auto mark = [&](std::uint64_t from, bool value) {
            std::fill_n(taken.begin() + static_cast<std::ptrdiff_t>(from), count, value);
        };
        switch (random() % 3) {
        case 0: {
            const std::array<bool, 9> none{};
            const auto gap = std::search(taken.begin(), taken.end(), none.begin(), none.begin() + count);
            const auto got = slice.allocate(bytes(count));
            ASSERT_EQ(got.has_value(), gap != taken.end());
            if (got) {
                ASSERT_EQ(*got, page(static_cast<std::uint64_t>(gap - taken.begin())));
                mark((*got - kBase) / kMapPage, true);
            }
            break;
        }
        case 1:
            slice.reserve({page(first), bytes(count)});
            mark(first, true);
            break;
        default:
            slice.release({page(first), bytes(count)});
            mark(first, false);
        }
        ASSERT_EQ(slice.free_bytes(), bytes(static_cast<std::uint64_t>(std::ranges::count(taken, false))));
    }
}

struct Page {
    bool mapped = false;
    std::uint64_t object = 0, offset = 0;
    vm_prot_t protection = 0, maximum = 0;
    vm_inherit_t inheritance = 0;
    bool operator==(const Page &) const = default;
};

class Model {
  public:
    using Pages = std::array<Page, kPages>;

    explicit Model(std::uint64_t seed) : random_(seed) {}

    void step() {
        first_ = random_() % kPages;
        count_ = 1 + random_() % std::min<std::uint64_t>(10, kPages - first_);
        switch (random_() % 5) {
        case 0:
            return insert();
        case 1:
            return remove();
        case 2:
            return protect(false);
        case 3:
            return random_() % 4 == 0 ? protect(true) : inherit();
        default:
            return inherit();
        }
    }

    // The map says of every page what the model says, in as few entries as possible.
    void compare() const {
        Pages seen{};
        for (const MapEntry &e : map_.entries()) {
            fill(seen, e);
        }
        ASSERT_TRUE(seen == pages_);
        ASSERT_EQ(map_.entries().size(), runs());
        for (std::size_t i = 0; i < kPages; ++i) {
            const MapEntry *found = map_.lookup(page(i));
            ASSERT_EQ(found != nullptr, pages_[i].mapped);
            ASSERT_TRUE(found == nullptr || found->offset_of(page(i)) == pages_[i].offset);
        }
    }

  private:
    bool any(auto &&what) const { return std::any_of(begin(), begin() + count_, what); }
    Pages::const_iterator begin() const { return pages_.begin() + static_cast<std::ptrdiff_t>(first_); }
    void each(auto &&change) {
        for (std::uint64_t i = first_; i < first_ + count_; ++i) {
            change(pages_[i]);
        }
    }
    // A range that rounds outward to the chosen pages.
    std::pair<std::uint64_t, std::uint64_t> ragged() {
        const std::uint64_t skip = random_() % kMapPage;
        const std::uint64_t least = bytes(count_ - 1) + 1;
        const std::uint64_t size = skip + 1 > least ? 1 : least - skip;
        const std::uint64_t room = bytes(count_) - skip - size;
        return {page(first_) + skip, size + (room == 0 ? 0 : random_() % (room + 1))};
    }
    static void fill(Pages &pages, const MapEntry &e) {
        for (std::uint64_t at = e.start; at < e.end(); at += kMapPage) {
            Page &p = pages.at((at - kBase) / kMapPage);
            ASSERT_FALSE(p.mapped);
            p = {true, e.stretch.object.serial, e.offset_of(at), e.protection, e.max_protection, e.inheritance};
        }
    }
    std::size_t runs() const {
        std::size_t count = 0;
        Page expected;
        for (const Page &p : pages_) {
            count += p.mapped && p != expected;
            expected = p;
            expected.offset += kMapPage;
        }
        return count;
    }

    void insert() {
        // Offsets that follow the address make neighbours that can merge likely.
        MapEntry e;
        e.start = page(first_);
        e.size = bytes(count_);
        e.stretch.object.serial = 1 + random_() % 2;
        e.offset = bytes(first_ + random_() % 2);
        const bool overlap = any([](const Page &p) { return p.mapped; });
        ASSERT_EQ(map_.insert(e), overlap ? KERN_NO_SPACE : KERN_SUCCESS);
        if (!overlap) {
            fill(pages_, e);
        }
    }
    void remove() {
        std::vector<MapEntry> removed;
        const auto [address, size] = ragged();
        ASSERT_EQ(map_.remove(address, size, removed), KERN_SUCCESS);
        Pages gone{};
        for (const MapEntry &e : removed) {
            fill(gone, e);
        }
        for (std::uint64_t i = 0; i < kPages; ++i) {
            const bool inside = i >= first_ && i < first_ + count_;
            ASSERT_TRUE(gone[i] == (inside ? pages_[i] : Page{}));
        }
        each([](Page &p) { p = {}; });
    }
    void protect(bool maximum) {
        const auto wanted = static_cast<vm_prot_t>(random_() % 8);
        const auto [address, size] = ragged();
        std::vector<ProtectionChange> changed;
        const auto status = map_.protect(address, size, maximum, wanted, changed);
        if (any([](const Page &p) { return !p.mapped; })) {
            ASSERT_EQ(status, KERN_INVALID_ADDRESS);
        } else if (any([&](const Page &p) { return (wanted & ~p.maximum) != 0; })) {
            ASSERT_EQ(status, KERN_PROTECTION_FAILURE);
        } else {
            ASSERT_EQ(status, KERN_SUCCESS);
            apply(maximum, wanted, changed);
            return;
        }
        ASSERT_TRUE(changed.empty());
    }
    void apply(bool maximum, vm_prot_t wanted, const std::vector<ProtectionChange> &changed) {
        std::uint64_t differing = 0;
        each([&](Page &p) {
            const vm_prot_t before = p.protection;
            p.protection = maximum ? before & wanted : wanted;
            p.maximum = maximum ? wanted : p.maximum;
            differing += before != p.protection;
        });
        std::uint64_t told = 0;
        for (const ProtectionChange &change : changed) {
            ASSERT_NE(change.before, change.entry.protection);
            told += change.entry.size / kMapPage;
        }
        ASSERT_EQ(told, differing);
    }
    void inherit() {
        const auto wanted = static_cast<vm_inherit_t>(random_() % 4);
        const auto [address, size] = ragged();
        const auto status = map_.inherit(address, size, wanted);
        if (wanted > VM_INHERIT_NONE) {
            ASSERT_EQ(status, KERN_INVALID_ARGUMENT);
        } else if (any([](const Page &p) { return !p.mapped; })) {
            ASSERT_EQ(status, KERN_INVALID_ADDRESS);
        } else {
            ASSERT_EQ(status, KERN_SUCCESS);
            each([&](Page &p) { p.inheritance = wanted; });
        }
    }

    std::mt19937_64 random_;
    std::uint64_t first_ = 0, count_ = 0;
    AddressMap map_{kWindow};
    Pages pages_{};
};

TEST(MapModel, RandomOperations) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        SCOPED_TRACE(seed);
        Model model(seed);
        for (int step = 0; step < 400; ++step) {
            SCOPED_TRACE(step);
            model.step();
            ASSERT_FALSE(testing::Test::HasFatalFailure());
            model.compare();
            ASSERT_FALSE(testing::Test::HasFatalFailure());
        }
    }
}

} // namespace
} // namespace norma::rt

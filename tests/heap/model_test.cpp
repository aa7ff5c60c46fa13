// SPDX-License-Identifier: BSD-3-Clause
// Random programs against a model: which blocks live, where, and what is in them. HEAP_SEED repeats one.
#include <cstdlib>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tests/heap/world.hpp"

namespace norma::rt::heap::test {
namespace {

class Model {
  public:
    Model(World &world, std::uint64_t seed) : world_(world), heap_(world.heap()), random_(seed) {
        for (std::uint32_t part = 0; part < world.layout().parts; ++part) {
            slots_.push_back(heap_.attach(part, 1 + 2 * part));
            slots_.push_back(heap_.attach(part, 2 + 2 * part));
        }
    }

    void run(int steps) {
        for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
            step();
        }
    }
    void end() {
        while (!live_.empty()) {
            release(live_.begin());
        }
        for (int round = 0; round < 2; ++round) { // what the first sends, the second finds
            for (std::uint32_t part = 0; part < world_.layout().parts; ++part) {
                heap_.drain(part);
            }
            for (Slot *slot : slots_) {
                heap_.flush(slot);
            }
        }
        for (std::uint32_t part = 0; part < world_.layout().parts; ++part) {
            heap_.drain(part);
        }
        world_.expect_empty();
    }
    bool saw_out_of_memory() const { return refused_ > 0; }

  private:
    using Live = std::map<std::byte *, Stamped>;

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    Slot *somebody() { return slots_[below(slots_.size())]; }

    std::size_t some_size() {
        switch (below(16)) {
        case 0:
            return below(2 * kMiB);
        case 1:
            return below(5 * kUnit);
        case 2:
        case 3:
            return below(kLargestSmall + 2);
        default:
            return below(600);
        }
    }

    void step() {
        // There are times of growing and of shrinking; in the former memory gets short.
        if (below(2000) == 0) {
            growing_ = !growing_;
        }
        const std::uint64_t choice = below(100);
        if (live_.empty() || choice < (growing_ ? 50u : 30u)) {
            allocate();
        } else if (choice < 60) {
            resize(anyone());
        } else if (choice < 99) {
            release(anyone());
        } else {
            heap_.flush(somebody());
        }
    }

    Live::iterator anyone() {
        auto found =
            live_.lower_bound(world_.layout().base + below(world_.layout().parts * world_.layout().part_bytes));
        return found == live_.end() ? live_.begin() : found;
    }

    void add(void *block, std::size_t size) {
        auto *const bytes = static_cast<std::byte *>(block);
        ASSERT_TRUE(heap_.contains(block));
        ASSERT_GE(heap_.usable(block), size);
        ASSERT_EQ(heap_.block_at(bytes + (size == 0 ? 0 : below(size))).data(), bytes);
        const auto next = live_.lower_bound(bytes);
        ASSERT_TRUE(next == live_.end() || next->first >= bytes + std::max<std::size_t>(size, 1));
        ASSERT_TRUE(next == live_.begin() || std::prev(next)->first + std::prev(next)->second.size <= bytes);
        live_[bytes] = stamp(block, size, random_());
    }

    void allocate() {
        const std::size_t size = some_size(), align = below(8) == 0 ? std::size_t{1} << below(21) : kGrain;
        void *const block = heap_.allocate(somebody(), size, align);
        if (block == nullptr) {
            ++refused_;
            return;
        }
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(block) % align, 0u);
        add(block, size);
    }

    void resize(Live::iterator which) {
        Stamped block = which->second;
        ASSERT_TRUE(intact(block));
        const std::size_t size = below(3) == 0 ? some_size() : block.size + below(1 + block.size / 2);
        void *const moved = heap_.resize(somebody(), block.block, size);
        if (moved == nullptr) {
            ++refused_;
            return;
        }
        live_.erase(which);
        block.block = static_cast<std::byte *>(moved);
        ASSERT_TRUE(intact(block, size));
        add(moved, size);
    }

    void release(Live::iterator which) {
        EXPECT_TRUE(intact(which->second));
        heap_.release(somebody(), which->first);
        live_.erase(which);
    }

    World &world_;
    Heap &heap_;
    std::mt19937_64 random_;
    std::vector<Slot *> slots_;
    Live live_;
    bool growing_ = true;
    int refused_ = 0;
};

class HeapModel : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(HeapModel, RandomPrograms) {
    const char *const asked = std::getenv("HEAP_SEED");
    const std::uint64_t first = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 1;
    const std::uint64_t last = asked != nullptr ? first : 6;
    bool short_of_memory = false;
    for (std::uint64_t seed = first; seed <= last && !HasFailure(); ++seed) {
        SCOPED_TRACE("HEAP_SEED=" + std::to_string(seed));
        World world(GetParam(), 8 * kMiB);
        Model model(world, seed);
        model.run(20000);
        model.end();
        short_of_memory |= model.saw_out_of_memory();
    }
    EXPECT_TRUE(short_of_memory || asked != nullptr);
}

INSTANTIATE_TEST_SUITE_P(Parts, HeapModel, ::testing::Values(1, 2, 5));

} // namespace
} // namespace norma::rt::heap::test

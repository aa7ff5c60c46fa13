// SPDX-License-Identifier: BSD-3-Clause
// norma-heap: how long malloc and free take in a whole program, by threads of one node or of two; norma-heap-plain is
// the same with the C library's threads and heap. bench/heap runs both.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <random>
#include <stdexcept>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "apps/common/application.hpp"
#include "apps/common/heap.hpp"
#include "apps/common/pages.hpp"
#include "apps/common/threads.hpp"

namespace {

constexpr std::size_t kInUse = 10'000;  // blocks of a thread that replaces them at random
constexpr std::size_t kHandOver = 4096; // blocks that go from one thread to another at once

// Mostly small ones, as programs have them.
class Sizes {
  public:
    explicit Sizes(unsigned seed) : draw_(seed) {}
    std::size_t next() {
        const auto drawn = draw_();
        return 16 + (drawn >> 8) % (drawn % 8 == 0 ? 1008 : 112);
    }
    std::size_t place() { return draw_() % kInUse; }

  private:
    std::minstd_rand draw_;
};

std::byte *allocate(std::size_t size) {
    auto *block = static_cast<std::byte *>(std::malloc(size));
    if (block == nullptr) {
        throw std::bad_alloc();
    }
    *block = static_cast<std::byte>(size);
    return block;
}

double nanoseconds(const std::function<void()> &work) {
    const auto started = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - started).count();
}

// Each block is freed by who has allocated it.
void replace_at_random(std::size_t pairs, unsigned seed) {
    Sizes sizes(seed);
    std::vector<std::byte *> blocks(kInUse);
    std::ranges::generate(blocks, [&sizes] { return allocate(sizes.next()); });
    for (std::size_t i = 0; i < pairs; ++i) {
        auto *&place = blocks[sizes.place()];
        std::free(place);
        place = allocate(sizes.next());
    }
    std::ranges::for_each(blocks, [](auto *block) { std::free(block); });
}

// In pages of their own: while one thread fills one, the other empties the other.
struct Item {
    std::byte *block;
    std::size_t size;
};
struct alignas(apps::kPage) Tray {
    std::array<Item, kHandOver> items;
};

void fill(Tray &tray, Sizes &sizes, bool use) {
    for (auto &item : tray.items) {
        item.size = sizes.next();
        item.block = allocate(item.size);
        if (use) {
            std::memset(item.block, static_cast<int>(item.size & 0xff), item.size);
        }
    }
}

void empty(const Tray &tray, bool use) {
    for (const auto &item : tray.items) {
        const auto wanted = static_cast<std::byte>(item.size);
        if (use && std::any_of(item.block, item.block + item.size, [=](std::byte byte) { return byte != wanted; })) {
            throw std::runtime_error("a block does not hold what was written");
        }
        std::free(item.block);
    }
}

// The first thread allocates, the second frees; with `use`, the first writes all of each block, and the second reads
// it.
void hand_over(std::size_t trays, unsigned thread, const apps::Meet &meet, Tray *both, bool use) {
    Sizes sizes(7);
    for (std::size_t turn = 0; turn <= trays; ++turn) {
        if (thread == 0 && turn < trays) {
            fill(both[turn % 2], sizes, use);
        } else if (thread == 1 && turn > 0) {
            empty(both[(turn - 1) % 2], use);
        }
        meet();
    }
}

int run(std::size_t pairs) {
    apps::nodes_for_threads("norma-heap");
    const auto trays = (pairs + kHandOver - 1) / kHandOver;
    apps::Pages<Tray> room(2);
    auto *both = &room[0];
    const auto tell = [](const char *what, double time, std::size_t count) {
        fmt::print("{}: {:.1f} ns\n", what, time / static_cast<double>(count));
    };
    replace_at_random(pairs, 1); // the first time there are pages to be fetched, and a heap to be divided
    tell("alone", nanoseconds([pairs] { replace_at_random(pairs, 1); }), pairs);
    apps::run_threads(2, [=](unsigned thread, const apps::Meet &meet) {
        const auto together = [&](const char *what, std::size_t count, const std::function<void()> &work) {
            work();
            meet();
            const double time = nanoseconds([&] {
                work();
                meet();
            });
            if (thread == 0) {
                tell(what, time, count);
            }
        };
        together("each", pairs, [=] { replace_at_random(pairs, thread + 2); });
        together("freed", trays * kHandOver, [&] { hand_over(trays, thread, meet, both, false); });
        together("used", trays * kHandOver, [&] { hand_over(trays, thread, meet, both, true); });
    });
    return 0;
}

} // namespace

int main(int argc, char **argv) {
    CLI::App app{"Measures malloc and free; bench/heap runs it.", "norma-heap"};
    std::size_t pairs = 2'000'000;
    app.add_option("-p,--pairs", pairs, "of malloc and free, in each test")->check(CLI::Range(1U, 1U << 30));
    return apps::run_application("norma-heap", app, argc, argv,
                                 [pairs = &pairs] { return apps::in_heap([=] { return run(*pairs); }); });
}

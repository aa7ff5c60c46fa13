// SPDX-License-Identifier: BSD-3-Clause
// The coherence of one location. The litmus shapes over two locations are in tests/history.
#include "tests/system/app.hpp"

#include <atomic>
#include <vector>

// Writes to one place are seen in one order: values only grow, and the last one stays.
SYSTEM_CASE(litmus_one_place) {
    const auto values = static_cast<std::uint64_t>(systest::number(args, 0, 20'000));
    auto *word = systest::shared<std::atomic<std::uint64_t>>();
    std::vector<norma::task> readers;
    for (int node = 0; node < norma::node_count(); ++node) {
        readers.push_back(systest::spawn(node, [word, values] {
            std::uint64_t last = 0;
            while (last < values) {
                const auto now = word->load(std::memory_order_relaxed);
                CHECK(now >= last);
                last = now;
            }
            CHECK_EQ(values, last);
        }));
    }
    auto writer = systest::spawn(1, [word, values] {
        for (std::uint64_t value = 1; value <= values; ++value) {
            word->store(value, std::memory_order_relaxed);
        }
    });
    JOIN(writer);
    for (auto &reader : readers) {
        JOIN(reader);
    }
    CHECK_EQ(values, word->load());
    return 0;
}

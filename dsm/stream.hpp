// SPDX-License-Identifier: BSD-3-Clause
// Detects sequential streams of faults on one object and says how many pages a fault should ask for. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace norma::dsm {

class StreamDetector {
  public:
    // A fault on `page`; at most `limit` pages may be asked for. A page that continues a known stream doubles its
    // window; any other starts a stream of its own, in the place of the one unused for longest, with window 1, so
    // random access never fetches what it did not ask for.
    std::uint32_t window(std::uint64_t page, std::uint32_t limit) {
        ++clock_;
        for (auto &stream : streams_) {
            if (stream.used != 0 && page == stream.next) {
                stream.window = std::min(stream.window * 2, std::max(limit, 1U));
                stream.next = page + stream.window;
                stream.used = clock_;
                return stream.window;
            }
        }
        auto &oldest = *std::min_element(streams_.begin(), streams_.end(),
                                         [](const Stream &a, const Stream &b) { return a.used < b.used; });
        oldest = {.next = page + 1, .used = clock_, .window = 1};
        return 1;
    }

  private:
    struct Stream {
        std::uint64_t next = 0;
        std::uint64_t used = 0; // 0: never
        std::uint32_t window = 1;
    };
    std::array<Stream, 8> streams_{};
    std::uint64_t clock_ = 0;
};

} // namespace norma::dsm

// SPDX-License-Identifier: BSD-3-Clause
// Detects sequential streams of faults on one object and says how many pages a fault should ask for. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace norma::dsm {

class StreamDetector {
  public:
    // Pages to ask for: from the fault's page on, at least that; or, if that is under way, from behind what is, if any.
    struct Ahead {
        std::uint64_t first = 0;
        std::uint32_t count = 0;
        bool operator==(const Ahead &) const = default;
    };
    struct Fault {
        std::uint64_t page = 0;
        bool under_way = false; // it has been asked for already
        bool sure = false;      // the program has said that it goes on from here
    };

    // At most `limit` pages from the fault's page on may be under way. A fault that continues a known stream, or waits
    // for a page that the stream has asked for, doubles its window, and moves it on to begin at that page: so a reader
    // that is faster than the network always has a full window under way. Any other fault starts a stream of its own,
    // in the place of the one unused for longest, with window 1, so random access never fetches what it did not ask
    // for.
    Ahead ahead(const Fault &fault, std::uint32_t limit) {
        limit = std::max(limit, 1U);
        ++clock_;
        for (auto &stream : streams_) {
            if (stream.used != 0 && follows(fault, stream)) {
                stream.window = fault.sure ? limit : std::min(stream.window * 2, limit);
                return move_on(stream, fault.page);
            }
        }
        if (fault.under_way) {
            return {fault.page, 1}; // by somebody else
        }
        auto &oldest = *std::min_element(streams_.begin(), streams_.end(),
                                         [](const Stream &a, const Stream &b) { return a.used < b.used; });
        oldest = {.next = fault.page, .used = clock_, .window = fault.sure ? limit : 1};
        return move_on(oldest, fault.page);
    }

  private:
    struct Stream {
        std::uint64_t next = 0; // the first page that has not been asked for
        std::uint64_t used = 0; // 0: never
        std::uint32_t window = 1;
    };

    static bool follows(const Fault &fault, const Stream &stream) {
        return fault.page == stream.next ||
               (fault.under_way && fault.page < stream.next && stream.next - fault.page <= stream.window);
    }

    Ahead move_on(Stream &stream, std::uint64_t page) {
        const auto from = stream.next;
        stream.next = std::max(from, page + stream.window);
        stream.used = clock_;
        return {from, static_cast<std::uint32_t>(stream.next - from)};
    }

    std::array<Stream, 8> streams_{};
    std::uint64_t clock_ = 0;
};

} // namespace norma::dsm

// SPDX-License-Identifier: BSD-3-Clause
// What comes off the network before anything knows what it is about.
#include "tests/fuzz/targets.hpp"

#include "rpc/address.hpp"
#include "rpc/inbox.hpp"
#include "rpc/record.hpp"
#include "rpc/wire.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

namespace fuzz {

using namespace norma::rpc;

// The first byte says whether header and record came apart from the payload, and where the cut is.
void message(Bytes input) {
    Choices choices(input);
    const bool whole = choices.flag();
    const auto rest = choices.rest();
    const std::array<std::uint32_t, 4> peers{0, 7, 0, kNoIncarnation};
    const Expected expected{.self = 2, .incarnation = 9, .job_key = 0x1122334455667788, .peers = peers};
    const auto cut =
        whole ? 0 : std::min<std::size_t>(rest.size(), kHeaderBytes + (rest.empty() ? 0 : rest.size() % 9));
    Message out;
    const auto verdict = decode_message(rest.first(cut), rest.subspan(cut), expected, out);
    FUZZ_CHECK(verdict == Verdict::ok || out.record.empty());
    FUZZ_CHECK(describe(verdict) != nullptr);
    if (verdict == Verdict::ok) {
        FUZZ_CHECK(out.header.source < peers.size() && peers.at(out.header.source) != kNoIncarnation);
        FUZZ_CHECK(kHeaderBytes + out.record.size() + out.payload.size() == rest.size());
        FUZZ_CHECK(out.record.empty() || out.record.data() == rest.data() + kHeaderBytes);
        FUZZ_CHECK(out.payload.empty() || out.payload.data() + out.payload.size() == rest.data() + rest.size());
        std::array<std::byte, kHeaderBytes> again{};
        encode_header(out.header, again);
        FUZZ_CHECK(std::ranges::equal(again, rest.first(kHeaderBytes)));
    }
}

// Every message is yielded once, in the order of its number, and only those of the incarnation that was opened.
void inbox(Bytes input) {
    Choices choices(input);
    Inbox box;
    std::uint64_t next = 0;
    bool open = false;
    while (choices.any_left()) {
        const auto what = choices.below(8);
        if (what == 0) {
            box.open(1 + choices.below(2));
            next = 0;
            open = true;
        } else if (what == 1) {
            box.close();
            open = false;
        } else if (what < 6) {
            const std::array<std::byte, 3> record{};
            Message message;
            message.header.source_incarnation = 1 + choices.below(2);
            message.header.sequence = what == 2 ? choices.number() : choices.below(16);
            message.record = std::span(record).first(choices.below(4));
            const auto offer = box.offer(message);
            FUZZ_CHECK(offer != Inbox::Offer::deliver || (open && message.header.sequence == next));
            next += offer == Inbox::Offer::deliver ? 1 : 0;
        } else {
            Inbox::Held held;
            const bool ready = box.ready();
            FUZZ_CHECK(box.take(held) == ready);
            FUZZ_CHECK(!ready || (open && held.record_bytes <= held.bytes.size()));
            next += ready ? 1 : 0;
        }
    }
}

// The first bytes say what is asked for, the rest is what it is asked of.
void reader(Bytes input) {
    constexpr std::size_t kQuestions = 16;
    Choices choices(input.first(std::min(input.size(), kQuestions)));
    const auto bytes = input.subspan(std::min(input.size(), kQuestions));
    Reader reader(bytes);
    std::size_t taken = 0;
    while (choices.any_left()) {
        const bool was_good = reader.ok();
        bool zero = true;
        switch (choices.below(7)) {
        case 0:
            zero = reader.get<std::uint8_t>() == 0;
            taken += 1;
            break;
        case 1:
            zero = reader.get<std::int16_t>() == 0;
            taken += 2;
            break;
        case 2:
            zero = reader.get<std::uint64_t>() == 0;
            taken += 8;
            break;
        case 3:
            zero = !reader.get<bool>();
            taken += 1;
            break;
        case 4: {
            const auto part = reader.get_bytes();
            zero = part.empty();
            taken += 4 + part.size();
            break;
        }
        case 5: {
            const auto text = reader.get_string();
            zero = text.empty();
            taken += 4 + text.size();
            break;
        }
        default: {
            const std::size_t each = choices.byte();
            const auto count = reader.get_count(each);
            FUZZ_CHECK(count * each <= bytes.size());
            zero = count == 0;
            taken += 4;
        }
        }
        FUZZ_CHECK(was_good || !reader.ok());
        FUZZ_CHECK(reader.ok() || zero);
        FUZZ_CHECK(!reader.ok() || taken <= bytes.size());
        FUZZ_CHECK(reader.done() == (reader.ok() && taken == bytes.size()));
    }
}

void address(Bytes input) {
    std::string why;
    for (const std::string_view kind : {"tcp", "ucx"}) {
        const auto opened = open_address(kind, input, why);
        FUZZ_CHECK(!opened.empty() || !why.empty());
        FUZZ_CHECK(opened.empty() || std::ranges::equal(seal_address(kind, opened), input));
    }
    // Behind the checksum, which chance does not get right.
    const auto sealed = seal_address("tcp", input);
    const auto opened = open_address("tcp", sealed, why);
    FUZZ_CHECK(std::ranges::equal(opened, input));
}

} // namespace fuzz

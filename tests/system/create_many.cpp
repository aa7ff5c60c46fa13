// SPDX-License-Identifier: BSD-3-Clause
// Copies of one moment, copies of copies, copies that come and go, and deaths in the middle.
#include "tests/system/create.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace {

using systest::address_of;
using systest::bytes_of_node;
using systest::child_of_mine;
using systest::Maker;
using systest::shared_bytes;
using systest::spawn;
using systest::truly_shared;

constexpr std::size_t kPage = systest::kPageBytes;
using Turn = std::atomic<int>;
using Word = std::atomic<long>;

int node_after(int steps) {
    return (norma::this_node() + steps) % norma::node_count();
}

Word &word(std::byte *memory, std::size_t page) {
    return *reinterpret_cast<Word *>(memory + page * kPage);
}

// Writes 1, 2, 3, ... one after the other into `pages` pages that lie in two objects in turn.
struct Chain {
    static constexpr std::size_t kPages = 8;
    std::array<std::byte *, 2> memory{};
    Word &place(long number) const {
        const auto i = static_cast<std::size_t>(number) % kPages;
        return word(memory[i % 2], i / 2);
    }
    void write_until(const Turn &stop) const {
        for (long number = 1; stop == 0; ++number) {
            place(number) = number;
        }
    }
    // At any one moment the pages have numbers that follow each other.
    long check() const {
        std::array<long, kPages> numbers{};
        for (std::size_t i = 0; i < kPages; ++i) {
            numbers[i] = place(static_cast<long>(i));
        }
        const long last = *std::max_element(numbers.begin(), numbers.end());
        for (std::size_t i = 0; i < kPages && last >= static_cast<long>(kPages); ++i) {
            const long expected = last - (last - static_cast<long>(i)) % static_cast<long>(kPages);
            CHECK_EQ(expected, numbers[i]);
        }
        return last;
    }
};

} // namespace

// While a third task, on another node, writes memory of two homes, a parent makes children. Each sees one moment, the
// same whenever it looks.
SYSTEM_CASE(create_of_one_moment) {
    const int rounds = static_cast<int>(systest::number(args, 0, 12));
    const int last_node = norma::node_count() - 1;
    Chain chain;
    chain.memory[1] = bytes_of_node(last_node, 4 * kPage);
    chain.memory[0] = shared_bytes(4 * kPage);
    auto *const stop = truly_shared<Turn>();
    auto *const seen = truly_shared<Word>();
    auto writer = spawn(last_node, [=] { chain.write_until(*stop); });
    CHECK_SOON(chain.place(20) >= 20);
    for (int round = 0; round < rounds; ++round) {
        const Maker maker{.how = round % 4 == 0 ? Maker::How::create : Maker::How::create_on,
                          .node = round % norma::node_count()};
        const auto child = child_of_mine(maker, [=] {
            const long first = chain.check();
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            CHECK_EQ(first, chain.check());
            CHECK(first >= *seen);
            *seen = first;
        });
        CHECK_EQ(0, END_OF(child));
    }
    *stop = 1;
    JOIN(writer);
    CHECK(chain.check() >= *seen);
    return 0;
}

// Several parents at once, on all nodes, of the same memory, which all of them write.
SYSTEM_CASE(create_by_all_at_once) {
    constexpr std::size_t kSlots = 16;
    auto *const memory = shared_bytes(kSlots * kPage);
    auto *const left = truly_shared<Turn>();
    *left = norma::node_count();
    std::array<norma::task, kSlots> parents;
    for (int node = 0; node < norma::node_count(); ++node) {
        parents.at(static_cast<std::size_t>(node)) = spawn(node, [=] {
            auto &mine = word(memory, static_cast<std::size_t>(node));
            for (long round = 1; round <= 6; ++round) {
                mine = round;
                const Maker maker{.how = Maker::How::create_on, .node = static_cast<int>(round) % norma::node_count()};
                const auto child = child_of_mine(maker, [=, &mine] {
                    CHECK_EQ(round, mine.load());
                    for (std::size_t i = 0; i < kSlots; ++i) {
                        word(memory, i) = -1;
                    }
                });
                mine = round + 100;
                CHECK_EQ(0, END_OF(child));
                CHECK_EQ(round + 100, mine.load());
            }
            left->fetch_sub(1);
        });
    }
    for (int node = 0; node < norma::node_count(); ++node) {
        JOIN(parents.at(static_cast<std::size_t>(node)));
    }
    CHECK_EQ(0, left->load());
    return 0;
}

// A copy of a copy, made before and after either of the two writes; and a clone of a child, which shares the child's
// copy and nothing of its parent or of children made earlier.
SYSTEM_CASE(create_generations) {
    auto *const memory = shared_bytes(4 * kPage);
    auto *const turn = truly_shared<Turn>();
    for (std::size_t i = 0; i < 4; ++i) {
        word(memory, i) = 1;
    }
    const Maker next{.how = Maker::How::create_on, .node = node_after(1)};
    const auto elder = child_of_mine(next, [=] {
        CHECK_SOON(*turn == 1);
        word(memory, 0) = 20; // parent 10, child 20; the others pending
        const Maker further{.how = Maker::How::create_on, .node = node_after(1)};
        const auto grandchild = child_of_mine(further, [=] {
            CHECK_EQ(20, word(memory, 0).load());
            CHECK_EQ(1, word(memory, 1).load());
            word(memory, 1) = 31;
            CHECK_SOON(*turn >= 3);
            CHECK_EQ(1, word(memory, 2).load());
            CHECK_EQ(1, word(memory, 3).load());
            CHECK_EQ(20, word(memory, 0).load());
        });
        const auto sharer = child_of_mine({.how = Maker::How::clone, .node = node_after(2)}, [=] {
            word(memory, 2) = 22;
            CHECK_EQ(20, word(memory, 0).load());
        });
        CHECK_EQ(0, END_OF(sharer));
        CHECK_EQ(22, word(memory, 2).load());
        *turn = 2;
        CHECK_EQ(0, END_OF(grandchild));
        CHECK_EQ(1, word(memory, 1).load());
        CHECK_SOON(*turn == 4);
        CHECK_EQ(20, word(memory, 0).load());
        CHECK_EQ(22, word(memory, 2).load());
        CHECK_EQ(1, word(memory, 3).load());
    });
    word(memory, 0) = 10;
    *turn = 1;
    CHECK_SOON(*turn == 2);
    const auto younger = child_of_mine(next, [=] {
        CHECK_EQ(10, word(memory, 0).load());
        for (std::size_t i = 1; i < 4; ++i) {
            CHECK_EQ(1, word(memory, i).load());
            word(memory, i) = 40;
        }
    });
    for (std::size_t i = 0; i < 4; ++i) {
        word(memory, i) = 50;
    }
    CHECK_EQ(0, END_OF(younger));
    *turn = 3;
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK_EQ(50, word(memory, i).load());
    }
    *turn = 4;
    CHECK_EQ(0, END_OF(elder));
    return 0;
}

// A parent that is teleported takes its memory along: a copy made before does not see what it writes there, a third
// task that shares does. (It does not take the names of the children along, so they say themselves that all was well.)
SYSTEM_CASE(create_then_teleport) {
    auto *const memory = shared_bytes(3 * kPage);
    auto *const turn = truly_shared<Turn>();
    word(memory, 0) = 1;
    systest::set_inheritance(memory + 2 * kPage, kPage, VM_INHERIT_NONE);
    child_of_mine({.how = Maker::How::clone, .node = node_after(2)}, [=] {
        CHECK_SOON(*turn == 1);
        CHECK_EQ(2, word(memory, 0).load());
        CHECK_EQ(7, word(memory, 2).load());
        *turn = 2;
    });
    child_of_mine({.how = Maker::How::create_on, .node = node_after(0)}, [=] {
        CHECK_SOON(*turn == 2);
        CHECK_EQ(1, word(memory, 0).load());
        *turn = 3;
    });
    task_t self = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(mach_task_self(), TRUE, node_after(1), &self));
    CHECK_EQ(VM_INHERIT_NONE, REGION_AT(mach_task_self(), address_of(memory) + 2 * kPage).inheritance);
    word(memory, 0) = 2;
    word(memory, 2) = 7;
    *turn = 1;
    CHECK_SOON(*turn == 3);
    return 0;
}

namespace {

// Bytes of memory that the frames on a node take: those of its server, the parent of each task there.
long frames_on(int node) {
    auto *const bytes = truly_shared<Word>();
    auto child = spawn(node, [bytes] {
        long sum = 0;
        const auto folder = fmt::format("/proc/{}/fd", ::getppid());
        for (const auto &entry : std::filesystem::directory_iterator(folder)) {
            struct stat status {};
            std::error_code error;
            const auto target = std::filesystem::read_symlink(entry.path(), error).string();
            if (target.find("norma-frames") != std::string::npos && ::stat(entry.path().c_str(), &status) == 0) {
                sum += status.st_blocks * 512;
            }
        }
        *bytes = sum;
    });
    JOIN(child);
    return *bytes;
}

} // namespace

// A parent that makes one short-lived child after the other, all of which write: the memory comes back, on all nodes,
// and so does what counts for NORMA_MEMORY, of which two copies take more than there is.
SYSTEM_CASE(create_often) {
    constexpr long kPages = 4096; // 16 MiB
    auto *const memory = shared_bytes(kPages * kPage);
    for (long i = 0; i < kPages; ++i) {
        word(memory, static_cast<std::size_t>(i)) = i;
    }
    for (int round = 0; round < 12; ++round) {
        const Maker maker{.how = round % 2 == 0 ? Maker::How::create : Maker::How::create_on,
                          .node = round % norma::node_count()};
        const auto child = child_of_mine(maker, [=] {
            for (long i = round; i < kPages; i += 3) {
                auto &mine = word(memory, static_cast<std::size_t>(i));
                CHECK_EQ(i + 1000L * (i % 2 == 0 ? round : 0), mine.load());
                mine = -1;
            }
        });
        for (long i = 0; i < kPages; i += 2) {
            word(memory, static_cast<std::size_t>(i)) = i + 1000L * (round + 1);
        }
        CHECK_EQ(0, END_OF(child));
    }
    for (long i = 0; i < kPages; ++i) {
        CHECK_EQ(i + (i % 2 == 0 ? 12000L : 0L), word(memory, static_cast<std::size_t>(i)).load());
    }
    CHECK_SOON(frames_on(0) < kPages * static_cast<long>(kPage) * 5 / 4);
    CHECK_SOON(frames_on(norma::node_count() - 1) < kPages * static_cast<long>(kPage) / 4);
    return 0;
}

// With NORMA_MEMORY=64M: a copy counts in full. What is refused has changed nothing.
SYSTEM_CASE(create_limit) {
    constexpr std::size_t kBytes = 36 << 20;
    auto *const memory = shared_bytes(kBytes);
    word(memory, 0) = 1;
    task_t child = TASK_NULL;
    for (int node = 0; node < norma::node_count(); ++node) {
        CHECK_KERN(KERN_RESOURCE_SHORTAGE, norma_task_create(mach_task_self(), TRUE, node, &child));
    }
    word(memory, 0) = 2;
    systest::set_inheritance(memory, kBytes, VM_INHERIT_NONE);
    for (int round = 0; round < 8; ++round) {
        CHECK_KERN(KERN_SUCCESS, norma_task_create(mach_task_self(), TRUE, round % norma::node_count(), &child));
        CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    }
    CHECK_EQ(2, word(memory, 0).load());
    return 0;
}

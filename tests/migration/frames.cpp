// SPDX-License-Identifier: BSD-3-Clause
// What a program has on its stack, in its variables and on its heap, in ways that need more than bytes to stay the
// same: frames to go back to, objects that know where they are, blocks that the heap has to find again.
#include "tests/migration/moving.hpp"

#include <algorithm>
#include <array>
#include <coroutine>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace moving;

[[gnu::noinline]] long descend(long depth) {
    std::array<volatile long, 16> mine{};
    for (auto &value : mine) {
        value = depth;
    }
    long below = 0;
    if (depth == 0) {
        be_moved();
    } else {
        below = descend(depth - 1);
    }
    for (const auto &value : mine) {
        CHECK_EQ(depth, static_cast<long>(value));
    }
    return below + depth;
}

// Moved at the deepest place only, and all the way back afterwards.
SYSTEM_CASE(deep_stack_moves) {
    return moved_when_ready(2, [] { CHECK_EQ(2000L * 2001 / 2, descend(2000)); });
}

std::array<void *, 5> way_back;

[[gnu::noinline, noreturn]] void jump_from(int depth) {
    if (depth == 0) {
        be_moved();
        __builtin_longjmp(way_back.data(), 1);
    }
    jump_from(depth - 1);
    std::abort();
}

[[gnu::noinline]] int jumps() {
    volatile int before = 5;
    if (__builtin_setjmp(way_back.data()) == 0) {
        before = 6;
        jump_from(20);
    }
    return before;
}

SYSTEM_CASE(jumps_lead_back) {
    return moved_when_ready(2, [] { CHECK_EQ(6, jumps()); });
}

struct Generator {
    struct promise_type {
        long value = 0;
        Generator get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        static std::suspend_always initial_suspend() noexcept { return {}; }
        static std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(long next) {
            value = next;
            return {};
        }
        static void return_void() {}
        static void unhandled_exception() { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
    long next() const {
        handle.resume();
        return handle.promise().value;
    }
};

Generator squares() {
    const std::string word(100, 'x'); // with a block of its own
    for (long i = 0; !over; ++i) {
        CHECK_EQ(std::size_t{100}, word.size());
        co_yield i *i;
    }
}

// Two that were begun before the first move, and go on by turns.
SYSTEM_CASE(coroutines_go_on) {
    return moved_while(4, [] {
        const auto one = squares(), other = squares();
        for (long i = 0; !over; ++i) {
            const auto first = one.next(), second = other.next();
            if (!over) {
                CHECK_EQ(i * i, first);
                CHECK_EQ(i * i, second);
            }
        }
        one.handle.destroy();
        other.handle.destroy();
    });
}

struct MovedMeanwhile {
    int *count;
    ~MovedMeanwhile() {
        CHECK_EQ(1, std::uncaught_exceptions());
        ++*count;
        be_moved(); // the exception is on its way
        CHECK_EQ(1, std::uncaught_exceptions());
    }
};

[[gnu::noinline]] void throw_past(int *count) {
    const MovedMeanwhile guard{count};
    throw std::runtime_error("on its way");
}

SYSTEM_CASE(exception_in_flight_moves) {
    return moved_when_ready(2, [] {
        int count = 0;
        try {
            throw_past(&count);
        } catch (const std::runtime_error &error) {
            CHECK_EQ(std::string("on its way"), std::string(error.what()));
        }
        CHECK_EQ(1, count);
        CHECK_EQ(0, std::uncaught_exceptions());
    });
}

// Three handlers deep, each exception kept by the next; then all are thrown again.
SYSTEM_CASE(nested_exceptions_move) {
    return moved_when_ready(2, [] {
        std::string said;
        try {
            try {
                try {
                    throw std::out_of_range("first");
                } catch (...) {
                    std::throw_with_nested(std::runtime_error("second"));
                }
            } catch (...) {
                const auto kept = std::current_exception();
                be_moved();
                std::rethrow_exception(kept);
            }
        } catch (const std::runtime_error &outer) {
            said = outer.what();
            try {
                std::rethrow_if_nested(outer);
            } catch (const std::out_of_range &inner) {
                said += std::string(", ") + inner.what();
            }
        }
        CHECK_EQ(std::string("second, first"), said);
    });
}

struct Counted {
    static inline std::atomic<int> made;
    std::vector<int> values;
    Counted() : values(100, ++made) {}
};

Counted &made_at_first_use() {
    static Counted object;
    return object;
}
thread_local Counted of_a_thread;

// What has been made at its first use is not made again.
SYSTEM_CASE(static_and_thread_local_objects_move) {
    return moved_when_ready(2, [] {
        made_at_first_use().values.back() = 7;
        of_a_thread.values.back() = 8;
        const int made = Counted::made;
        be_moved();
        CHECK_EQ(7, made_at_first_use().values.back());
        CHECK_EQ(8, of_a_thread.values.back());
        CHECK_EQ(made, Counted::made.load());
    });
}

struct Shape {
    virtual ~Shape() = default;
    virtual int corners() const = 0;
};
struct Square : Shape {
    int corners() const override { return 4; }
};

// Maps, functions with what they have caught, and tables of virtual functions, changed all the while.
SYSTEM_CASE(containers_are_changed) {
    return moved_while(4, [] {
        std::map<std::string, std::shared_ptr<Shape>> shapes;
        std::function<void(int)> add = [&shapes, prefix = std::string(50, 'p')](int i) {
            shapes[prefix + std::to_string(i % 500)] = std::make_shared<Square>();
        };
        for (int i = 0; !over; ++i) {
            add(i);
            if (i % 1000 == 999) {
                CHECK_EQ(std::size_t{500}, shapes.size());
                for (const auto &[name, shape] : shapes) {
                    CHECK_EQ(4, shape->corners());
                    CHECK_EQ(1, static_cast<int>(shape.use_count()));
                }
                shapes.erase(shapes.begin(), std::next(shapes.begin(), 250));
                shapes.clear();
            }
        }
    });
}

std::array<std::atomic<char *>, 64> handed_over;

// Blocks of all sizes, made on one node and freed, or made longer, on another; some of them by the parent, on a third.
SYSTEM_CASE(heap_blocks_are_freed_elsewhere) {
    over = false;
    auto child = systest::spawn(0, [] {
        std::vector<char *> blocks(300);
        for (std::size_t round = 0; !over; ++round) {
            for (std::size_t i = 0; i < blocks.size(); ++i) {
                const auto size = std::size_t{1} << (i % 17);
                auto *&block = blocks[i];
                CHECK(block == nullptr ||
                      (block[0] == static_cast<char>(i) && block[size / 2] == static_cast<char>(i)));
                if ((i + round) % 3 == 0) {
                    block = static_cast<char *>(std::realloc(block, 2 * size));
                } else {
                    std::free(block);
                    block = static_cast<char *>(std::malloc(size));
                }
                CHECK(block != nullptr);
                std::fill_n(block, size, static_cast<char>(i));
            }
            auto &place = handed_over.at(round % handed_over.size());
            if (place == nullptr) {
                place = blocks[7];
                blocks[7] = nullptr;
            }
        }
        std::ranges::for_each(blocks, [](char *block) { std::free(block); });
    });
    for (int i = 0; i < 4; ++i) {
        rest(15ms);
        move_to(node_after(i), child.port());
        for (auto &place : handed_over) {
            std::free(place.exchange(nullptr));
        }
    }
    over = true;
    JOIN(child);
    return 0;
}

} // namespace

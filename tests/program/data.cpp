// SPDX-License-Identifier: BSD-3-Clause
// What a whole program has from the start: its variables, however they came to their values, are those of all tasks.
#include "tests/system/create.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using systest::Args;

int counter = 7;
std::array<int, 100'000> zeros;
const char *text = "preinitialised";
std::vector<int> numbers{1, 2, 3}; // made by a constructor before main
std::map<std::string, int> words;
norma::mutex lock;
norma::barrier together;

struct Shape {
    virtual ~Shape() = default;
    virtual int corners() const { return 0; }
};
struct Square : Shape {
    int corners() const override { return 4; }
};
Shape *shape;

std::atomic<int> makings;
int made_once() {
    static const int value = [] {
        ++makings;
        return 40 + makings;
    }();
    return value;
}

SYSTEM_CASE(data_is_shared) {
    lock = norma::mutex::create();
    shape = new Square;
    for (int node = 0; node <= systest::last_node(); ++node) {
        auto child = systest::spawn(node, [] {
            CHECK_EQ(std::string("preinitialised"), text);
            ++counter;
            zeros[99'999] += shape->corners();
            numbers.push_back(norma::this_node());
            words["a child on node " + std::to_string(norma::this_node())] = counter;
        });
        JOIN(child);
    }
    const int nodes = norma::node_count();
    CHECK_EQ(7 + nodes, counter);
    CHECK_EQ(4 * nodes, zeros[99'999]);
    CHECK_EQ(3U + static_cast<unsigned>(nodes), numbers.size());
    CHECK_EQ(nodes - 1, numbers.back());
    CHECK_EQ(7 + nodes, words.at("a child on node " + std::to_string(nodes - 1)));
    delete shape; // made here, used there
    return 0;
}

SYSTEM_CASE(static_variables_are_made_once) {
    together = norma::barrier::create(2U * static_cast<unsigned>(norma::node_count()));
    std::vector<norma::task> children;
    for (int i = 0; i < 2 * norma::node_count(); ++i) {
        children.push_back(systest::spawn(i % norma::node_count(), [] {
            together.wait();
            CHECK_EQ(41, made_once());
        }));
    }
    for (auto &child : children) {
        JOIN(child);
    }
    CHECK_EQ(1, makings.load());
    return 0;
}

// The C++ library's streams are each process's own, and there in each.
SYSTEM_CASE(streams_in_children) {
    auto child = systest::spawn(systest::last_node(), [] {
        std::ostringstream made;
        made << 1.5 << ' ' << text;
        std::cout << made.str() << std::endl;
    });
    JOIN(child);
    return 0;
}

// A child by inheritance has a copy of all of it, of the moment when it was made.
SYSTEM_CASE(data_is_copied) {
    auto *result = systest::truly_shared<std::atomic<int>>();
    for (int node = 0; node <= systest::last_node(); ++node) {
        counter = 7;
        numbers.assign(1000, 5);
        const systest::Maker maker{.how = systest::Maker::How::create_on, .node = node};
        const auto child = systest::child_of_mine(maker, [result] {
            while (result->load() % 100 != 1) { // until the parent has written
                std::this_thread::yield();
            }
            CHECK_EQ(7, counter);
            CHECK_EQ(1000U, numbers.size());
            numbers.push_back(1); // in its own heap
            counter = 100;
            const auto *fresh = new std::string("a string that does not fit into itself");
            *result += 99 + static_cast<int>(fresh->size());
        });
        counter = -1;
        numbers.assign(2000, 6);
        ++*result;
        CHECK_EQ(0, END_OF(child));
        CHECK_EQ(-1, counter);
        CHECK_EQ(2000U, numbers.size());
        CHECK_EQ(138, result->exchange(0));
    }
    return 0;
}

SYSTEM_CASE(data_moves) {
    words["before"] = 1;
    auto *block = new std::vector<int>(5000, 3);
    task_t port = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_teleport(systest::self(), TRUE, systest::last_node(), &port));
    CHECK_EQ(systest::last_node(), norma::this_node());
    words["after"] = 2;
    CHECK_EQ(2U, words.size());
    CHECK_EQ(3, (*block)[4999]);
    delete block;
    CHECK_EQ(7, counter);
    std::cout << "moved with " << words.begin()->first << std::endl;
    return 0;
}

// Four workers on all nodes build the same things under locks, again and again; the result is what one alone builds.
SYSTEM_CASE(built_by_four) {
    constexpr int kWorkers = 4, kItems = 60;
    const auto rounds = systest::number(args, 0, 100);
    lock = norma::mutex::create();
    for (long round = 0; round < rounds; ++round) {
        numbers.clear();
        words.clear();
        counter = 0;
        std::vector<norma::task> children;
        for (int worker = 0; worker < kWorkers; ++worker) {
            children.push_back(systest::spawn(worker % norma::node_count(), [worker] {
                for (int item = worker; item < kItems; item += kWorkers) {
                    const std::string word = "the item with number " + std::to_string(item % 20);
                    std::lock_guard guard(lock);
                    ++counter;
                    zeros[static_cast<std::size_t>(item)] = item * item;
                    numbers.push_back(item);
                    words[word] += item;
                }
            }));
        }
        for (auto &child : children) {
            JOIN(child);
        }
        std::vector<int> sequential;
        std::map<std::string, int> expected;
        for (int item = 0; item < kItems; ++item) {
            sequential.push_back(item);
            expected["the item with number " + std::to_string(item % 20)] += item;
            CHECK_EQ(item * item, zeros[static_cast<std::size_t>(item)]);
        }
        std::sort(numbers.begin(), numbers.end()); // the workers' order is nobody's
        CHECK(numbers == sequential);
        CHECK(words == expected);
        CHECK_EQ(kItems, counter);
    }
    return 0;
}

} // namespace

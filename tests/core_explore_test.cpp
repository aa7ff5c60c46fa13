// SPDX-License-Identifier: BSD-3-Clause
// Every order of everything, for small jobs: breadth first over all states that a few threads with short programs on
// two to four nodes can reach, with messages delivered in any order and, where said, deaths at any moment.
#include "tests/core_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

namespace norma::dsm {
namespace {

struct Touch {
    PageIndex page;
    bool write;
    std::uint32_t window;
};
struct Thread {
    NodeId node;
    std::vector<Touch> touches; // one after the other; a fault is waited for
};
using Program = std::vector<Thread>;

Touch read(PageIndex page, std::uint32_t window = 1) {
    return {page, false, window};
}
Touch write(PageIndex page, std::uint32_t window = 1) {
    return {page, true, window};
}

struct Position {
    World world;
    std::vector<std::size_t> next; // by thread: its next touch
    unsigned deaths = 0;           // how many may still happen
    std::size_t history = 0;       // how it was reached
};

// Enough of a state to tell it from others: two independent 64-bit digests.
struct Digest {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    bool operator==(const Digest &) const = default;
};
struct DigestHash {
    std::size_t operator()(const Digest &digest) const { return digest.first; }
};

class Explorer {
  public:
    Explorer(NodeId nodes, std::uint64_t pages, Program program, unsigned deaths)
        : program_(std::move(program)), start_{.world = World(nodes, 0, pages),
                                               .next = std::vector<std::size_t>(program_.size(), 0),
                                               .deaths = deaths} {}

    // The number of states, or 0 after a failure, which has been reported.
    std::size_t explore() {
        history_.push_back({0, 0});
        add(start_);
        while (!frontier_.empty()) {
            const std::vector<Position> level = std::exchange(frontier_, {});
            for (const Position &position : level) {
                if (!expand(position)) {
                    return 0;
                }
            }
        }
        return seen_.size();
    }

  private:
    struct Step {
        std::size_t before;
        std::size_t choice;
    };

    bool expand(const Position &position) {
        const std::size_t choices = count_choices(position);
        if (choices == 0) {
            Position end = position;
            end.world.check_quiet();
            return good(end);
        }
        for (std::size_t choice = 0; choice < choices; ++choice) {
            if (!possible(position, choice)) {
                continue;
            }
            Position next = position;
            take(next, choice);
            history_.push_back({position.history, choice});
            next.history = history_.size() - 1;
            if (!good(next)) {
                return false;
            }
            add(next);
        }
        return true;
    }

    // Per thread a touch, per message a delivery and a loss, per death notice its arrival, per node a death. Not all
    // are possible; none is where nothing moves any more, for a job that can only lose a node has come to its end.
    std::size_t count_choices(const Position &position) const {
        bool moves = !position.world.quiet();
        for (std::size_t thread = 0; thread < program_.size(); ++thread) {
            moves = moves || ready(position, thread);
        }
        const World &world = position.world;
        return moves ? program_.size() + 2 * world.flying().size() + world.notices().size() + world.size() : 0;
    }

    bool ready(const Position &position, std::size_t thread) const {
        const auto &[node, touches] = program_[thread];
        const std::size_t next = position.next[thread];
        return position.world.alive(node) && next < touches.size() &&
               (next == 0 || !position.world.waits(node, touches[next - 1].page, touches[next - 1].write));
    }

    bool possible(const Position &position, std::size_t choice) const {
        const World &world = position.world;
        if (choice < program_.size()) {
            return ready(position, choice);
        }
        choice -= program_.size();
        const std::size_t arrivals = world.flying().size() + world.notices().size();
        if (choice < arrivals) {
            return true;
        }
        choice -= arrivals;
        if (choice < world.size()) {
            return position.deaths > 0 && world.alive(static_cast<NodeId>(choice));
        }
        return !world.alive(world.flying()[choice - world.size()].from);
    }

    void take(Position &position, std::size_t choice) const {
        World &world = position.world;
        if (choice < program_.size()) {
            const Touch touch = program_[choice].touches[position.next[choice]++];
            return world.access(program_[choice].node, touch.page, touch.write, touch.window);
        }
        choice -= program_.size();
        if (choice < world.flying().size()) {
            return world.deliver(choice);
        }
        choice -= world.flying().size();
        if (choice < world.notices().size()) {
            return world.notice(choice);
        }
        choice -= world.notices().size();
        if (choice < world.size()) {
            --position.deaths;
            return world.kill(static_cast<NodeId>(choice));
        }
        world.lose(choice - world.size());
    }

    void add(const Position &position) {
        if (seen_.insert(digest(position)).second) {
            frontier_.push_back(position);
        }
    }

    static Digest digest(const Position &position) {
        std::vector<std::uint8_t> bytes = position.world.canonical();
        for (const std::size_t next : position.next) {
            bytes.push_back(static_cast<std::uint8_t>(next));
        }
        bytes.push_back(static_cast<std::uint8_t>(position.deaths));
        Digest result{.first = 0xcbf29ce484222325U, .second = 0x9e3779b97f4a7c15U};
        for (const std::uint8_t byte : bytes) {
            result.first = (result.first ^ byte) * 0x100000001b3U;
            result.second = ((result.second << 7 | result.second >> 57) + byte) * 0xd6e8feb86659fd93U;
        }
        return result;
    }

    bool good(const Position &position) const {
        if (position.world.error().empty()) {
            return true;
        }
        std::vector<std::size_t> choices;
        for (std::size_t step = position.history; step != 0; step = history_[step].before) {
            choices.push_back(history_[step].choice);
        }
        std::reverse(choices.begin(), choices.end());
        Position again = start_;
        std::vector<std::string> trace;
        again.world.trace_to(&trace);
        for (const std::size_t choice : choices) {
            take(again, choice);
        }
        std::string text;
        for (const std::string &line : trace) {
            text += line + "\n";
        }
        ADD_FAILURE() << position.world.error() << "\nby the shortest way:\n" << text << again.world.describe();
        return false;
    }

    Program program_;
    Position start_;
    std::vector<Position> frontier_;
    std::unordered_set<Digest, DigestHash> seen_;
    std::vector<Step> history_;
};

std::size_t explore(NodeId nodes, std::uint64_t pages, Program program, unsigned deaths = 0) {
    const std::size_t states = Explorer(nodes, pages, std::move(program), deaths).explore();
    testing::Test::RecordProperty("states", std::to_string(states));
    return states;
}

// Node 0 is the home. The lower bounds guard against an explorer that explores nothing.

TEST(CoreExplore, TwoNodesOnePage) {
    EXPECT_GT(explore(2, 1,
                      {{0, {write(0), read(0), write(0)}},
                       {0, {read(0)}},
                       {1, {read(0), write(0), read(0), write(0)}},
                       {1, {write(0)}}}),
              4000U);
}

TEST(CoreExplore, ThreeNodesOnePage) {
    EXPECT_GT(
        explore(3, 1, {{0, {write(0), read(0)}}, {1, {read(0), write(0)}}, {2, {read(0), write(0)}}, {2, {write(0)}}}),
        4000U);
}

TEST(CoreExplore, HomeOnlyWatches) {
    EXPECT_GT(explore(4, 1, {{1, {write(0), read(0)}}, {2, {read(0), write(0)}}, {3, {read(0), write(0)}}}), 2000U);
}

TEST(CoreExplore, TwoNodesTwoPages) {
    EXPECT_GT(
        explore(2, 2,
                {{0, {write(0), write(1)}}, {0, {write(1)}}, {1, {read(0, 2), write(0, 2), read(1)}}, {1, {write(1)}}}),
        4000U);
}

TEST(CoreExplore, ThreeNodesTwoPages) {
    EXPECT_GT(explore(3, 2, {{0, {write(0), read(1)}}, {1, {read(0, 2), write(0, 2)}}, {2, {read(0, 2), write(0, 2)}}}),
              2000U);
}

TEST(CoreExplore, TwoNodesOneDies) {
    EXPECT_GT(explore(2, 2, {{0, {write(0), read(1)}}, {1, {read(0, 2), write(0, 2), read(0)}}}, 1), 500U);
}

TEST(CoreExplore, ThreeNodesOneDies) {
    EXPECT_GT(explore(3, 1, {{0, {read(0)}}, {1, {read(0), write(0)}}, {2, {read(0), write(0)}}}, 1), 5000U);
}

TEST(CoreExplore, FourNodesTwoDie) {
    EXPECT_GT(explore(4, 1, {{1, {write(0)}}, {2, {read(0)}}, {3, {write(0)}}}, 2), 5000U);
}

TEST(CoreExplore, TwoPagesOneDies) {
    EXPECT_GT(explore(3, 2, {{0, {write(0)}}, {1, {read(0, 2)}}, {2, {read(0, 2), write(1)}}}, 1), 3000U);
}

} // namespace
} // namespace norma::dsm

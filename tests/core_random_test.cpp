// SPDX-License-Identifier: BSD-3-Clause
// Random runs of whole jobs: messages overtake each other at will, nodes die, late messages come twice. One number
// reproduces a run: CORE_SEED=n runs that one alone and prints its trace; CORE_SEEDS=n runs n of them.
#include "tests/core_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace norma::dsm {
namespace {

// splitmix64: the same on every machine, unlike the distributions of the standard library.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t below(std::uint64_t limit) { return next() % limit; }
    bool chance(unsigned percent) { return below(100) < percent; }
    std::uint64_t next() {
        std::uint64_t value = state_ += 0x9e3779b97f4a7c15U;
        value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9U;
        value = (value ^ value >> 27) * 0x94d049bb133111ebU;
        return value ^ value >> 31;
    }

  private:
    std::uint64_t state_;
};

// What kind of run a seed is. Drawn once a run, so that runs differ in character and not only in detail.
struct Character {
    NodeId nodes;
    NodeId home;
    std::uint64_t pages;
    unsigned accesses;
    unsigned writes;      // per cent
    unsigned evictions;   // per cent
    unsigned eagerness;   // per cent: a new access rather than a delivery
    unsigned newest;      // per cent: deliver the newest message, which starves the others
    unsigned repeats;     // per cent
    std::uint32_t window; // largest
    unsigned deaths;      // how many nodes may die
    unsigned snapshots;   // how many are made
    unsigned moves;       // how often the home may move
};

Character draw(Random &random, bool deadly, bool copying, bool moving) {
    constexpr std::uint64_t kPages[] = {1, 1, 2, 3, 8, 64, 65, 130};
    constexpr std::uint32_t kWindows[] = {1, 2, 8, 64};
    Character result{};
    result.nodes = static_cast<NodeId>(2 + random.below(4));
    result.home = static_cast<NodeId>(random.below(result.nodes));
    result.pages = kPages[random.below(std::size(kPages))];
    result.accesses = static_cast<unsigned>(20 + random.below(150));
    result.writes = static_cast<unsigned>(5 + random.below(90));
    result.evictions = random.chance(50) ? 20 : 0;
    result.eagerness = static_cast<unsigned>(5 + random.below(60));
    result.newest = random.chance(30) ? 70 : 0;
    result.repeats = random.chance(50) ? 5 : 0;
    result.window = kWindows[random.below(std::size(kWindows))];
    result.deaths = deadly ? static_cast<unsigned>(1 + random.below(result.nodes - 1U)) : 0;
    result.snapshots = copying ? static_cast<unsigned>(1 + random.below(25)) : 0;
    result.moves = moving ? static_cast<unsigned>(1 + random.below(6)) : 0;
    if (copying) {
        result.accesses *= 2;
        result.pages = std::min<std::uint64_t>(result.pages, 8);
    }
    return result;
}

class RandomRun {
  public:
    RandomRun(std::uint64_t seed, bool deadly, bool copying, bool moving)
        : random_(seed), is_(draw(random_, deadly, copying, moving)), world_(is_.nodes, is_.home, is_.pages) {}

    World &world() { return world_; }

    void play() {
        while (is_.accesses > 0 && world_.error().empty()) {
            if (is_.deaths > 0 && random_.below(60) == 0) {
                kill_one();
            } else if (is_.snapshots > 0 && random_.below(12) == 0) {
                order();
            } else if (is_.moves > 0 && random_.below(20) == 0) {
                move_home();
            } else if (world_.quiet() || random_.chance(is_.eagerness)) {
                touch();
            } else {
                move();
            }
        }
        for (std::uint64_t stretch = 0; stretch < world_.stretches(); ++stretch) {
            while (world_.freezes(stretch) > 0 && home_lives()) {
                world_.thaw(stretch);
            }
        }
        calm_down();
        if (world_.stretches() > 1 && world_.error().empty()) {
            read_all();
            calm_down();
        }
    }

  private:
    void calm_down() {
        for (unsigned moves = 0; !world_.quiet() && world_.error().empty(); ++moves) {
            ASSERT_LT(moves, 1000000U) << "messages without end";
            move();
        }
        world_.check_quiet();
    }

    bool home_lives() const { return world_.home_in_charge(); }

    void move_home() {
        const auto to = static_cast<NodeId>(random_.below(is_.nodes));
        if (world_.may_move_home(to)) {
            --is_.moves;
            world_.move_home(to);
        }
    }

    std::uint64_t live_stretch() {
        std::uint64_t stretch = random_.below(world_.stretches());
        while (!world_.live(stretch)) {
            stretch = (stretch + 1) % world_.stretches();
        }
        return stretch;
    }

    // What those who make and end tasks tell the home.
    void order() {
        if (!home_lives()) {
            return;
        }
        const std::uint64_t stretch = live_stretch();
        if (world_.frozen(stretch) && random_.chance(70)) {
            --is_.snapshots;
            world_.snapshot(stretch);
        } else if (world_.freezes(stretch) > 0 && random_.chance(70)) {
            world_.thaw(stretch);
        } else if (world_.freezes(stretch) == 0 && random_.chance(40) && others_live(stretch)) {
            world_.end(stretch);
        } else {
            world_.freeze(stretch);
        }
    }

    bool others_live(std::uint64_t stretch) const {
        for (std::uint64_t other = 0; other < world_.stretches(); ++other) {
            if (other != stretch && world_.live(other)) {
                return true;
            }
        }
        return false;
    }

    void read_all() {
        for (NodeId node = 0; node < is_.nodes; ++node) {
            for (PageIndex page = 0; page < world_.pages(); ++page) {
                if (world_.alive(node) && world_.live(page / is_.pages)) {
                    world_.access(node, page, false, 1);
                }
            }
        }
    }

    void touch() {
        const auto node = static_cast<NodeId>(random_.below(is_.nodes));
        --is_.accesses;
        if (!world_.alive(node)) {
            return;
        }
        // Half of all accesses meet on the first pages, or nobody would ever be in anybody's way.
        const PageIndex page = live_stretch() * is_.pages +
                               random_.below(random_.chance(50) ? std::min<std::uint64_t>(is_.pages, 3) : is_.pages);
        const auto window = static_cast<std::uint32_t>(1 + random_.below(is_.window));
        if (random_.chance(is_.evictions)) {
            world_.evict(node, page, window);
            return;
        }
        world_.access(node, page, random_.chance(is_.writes), window);
    }

    void move() {
        const std::size_t packets = world_.flying().size();
        const std::size_t choice = random_.below(packets + world_.notices().size());
        if (choice >= packets) {
            world_.notice(choice - packets);
            return;
        }
        const std::size_t packet = random_.chance(is_.newest) ? packets - 1 : choice;
        if (!world_.alive(world_.flying()[packet].from) && random_.chance(30)) {
            world_.lose(packet);
            return;
        }
        if (random_.chance(is_.repeats)) {
            world_.repeat(packet);
        }
        world_.deliver(packet);
    }

    void kill_one() {
        const auto node = static_cast<NodeId>(random_.below(is_.nodes));
        // The home's death ends most of what there is to see.
        if (world_.alive(node) && (node != world_.home() || random_.chance(15))) {
            --is_.deaths;
            world_.kill(node);
        }
    }

    Random random_;
    Character is_;
    World world_;
};

std::uint64_t number_from(const char *variable, std::uint64_t otherwise) {
    const char *text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

void run_seed(std::uint64_t seed, bool deadly, bool copying, bool moving, std::uint64_t &poisoned,
              std::uint64_t &late) {
    RandomRun run(seed, deadly, copying, moving);
    run.play();
    poisoned += run.world().poisoned();
    late += run.world().late();
    if (!run.world().error().empty()) {
        RandomRun again(seed, deadly, copying, moving);
        std::vector<std::string> trace;
        again.world().trace_to(&trace);
        again.play();
        std::string text;
        for (std::size_t i = trace.size() > 60 ? trace.size() - 60 : 0; i < trace.size(); ++i) {
            text += trace[i] + "\n";
        }
        EXPECT_EQ(again.world().error(), run.world().error()) << "the run does not depend on the seed alone";
        FAIL() << "CORE_SEED=" << seed << ": " << run.world().error() << "\n" << text << again.world().describe();
    }
}

void run_seeds(bool deadly, bool copying, bool moving, std::uint64_t &poisoned, std::uint64_t &late) {
    const std::uint64_t single = number_from("CORE_SEED", 0);
    const std::uint64_t first = single != 0 ? single : 1;
    const std::uint64_t last = single != 0 ? single : number_from("CORE_SEEDS", 3000);
    for (std::uint64_t seed = first; seed <= last && !testing::Test::HasFailure(); ++seed) {
        run_seed(seed, deadly, copying, moving, poisoned, late);
    }
}

TEST(CoreRandom, EveryReadSeesTheLastWrite) {
    std::uint64_t poisoned = 0;
    std::uint64_t late = 0;
    run_seeds(false, false, false, poisoned, late);
    EXPECT_EQ(poisoned, 0U);
}

TEST(CoreRandom, ASnapshotIsOfOneInstant) {
    std::uint64_t poisoned = 0;
    std::uint64_t late = 0;
    run_seeds(false, true, false, poisoned, late);
    EXPECT_EQ(poisoned, 0U);
}

TEST(CoreRandom, NodesDieAndSnapshotsStayTrue) {
    std::uint64_t poisoned = 0;
    std::uint64_t late = 0;
    run_seeds(true, true, false, poisoned, late);
    if (number_from("CORE_SEED", 0) == 0) {
        EXPECT_GT(poisoned, 0U) << "no run lost a page: the deaths do not reach what they should";
    }
}

TEST(CoreRandom, NodesDieAndTheOthersGoOn) {
    std::uint64_t poisoned = 0;
    std::uint64_t late = 0;
    run_seeds(true, false, false, poisoned, late);
    if (number_from("CORE_SEED", 0) == 0) {
        EXPECT_GT(poisoned, 0U) << "no run lost a page: the deaths do not reach what they should";
        EXPECT_GT(late, 0U) << "no message was ever late: the deaths do not reach what they should";
    }
}

TEST(CoreRandom, TheHomeMoves) {
    std::uint64_t poisoned = 0;
    std::uint64_t late = 0;
    run_seeds(false, false, true, poisoned, late);
    run_seeds(false, true, true, poisoned, late);
    EXPECT_EQ(poisoned, 0U);
}

TEST(CoreRandom, TheHomeMovesAndNodesDie) {
    std::uint64_t poisoned = 0;
    std::uint64_t late = 0;
    run_seeds(true, false, true, poisoned, late);
    run_seeds(true, true, true, poisoned, late);
}

TEST(CoreRandom, SameSeedSameRun) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        RandomRun first(seed, true, true, true);
        RandomRun second(seed, true, true, true);
        first.play();
        second.play();
        EXPECT_EQ(first.world().canonical(), second.world().canonical()) << "seed " << seed;
    }
}

} // namespace
} // namespace norma::dsm

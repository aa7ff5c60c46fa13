// SPDX-License-Identifier: BSD-3-Clause
// Programs that send each other messages and rights, in the random world of ports_world.hpp, against what a list of
// sent messages says: nothing is lost while its port lives, nothing comes twice or to another port or out of order, all
// rights are accounted for, and whoever asked hears of it when the last one has gone.
#include "tests/ports_world.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

namespace norma::rt::test {
namespace {

constexpr unsigned kMostLooks = 10'000;

struct Port { // by the order in which they were made
    Right right;
    bool asked = false, heard = false, told = false; // of the end of its senders: wanted, promised, happened
    bool disturbed = false;
    std::size_t listens = SIZE_MAX; // to the end of that port's senders
};

struct Sent {
    std::uint64_t thread, port;
    bool answered = false, succeeded = false, received = false;
};

struct Thread {
    TaskId task;
    int channel;
    bool busy = false;
    std::size_t receives = SIZE_MAX; // from that port, if it is busy with that
};

class Judge {
  public:
    Judge(std::uint64_t seed, bool deaths, bool departures)
        : world_(seed, departures ? 4 : 3), deaths_(deaths), departures_(departures) {
        world_.no_deaths = !deaths;
        for (unsigned i = 0; i < 6; ++i) {
            const auto task = world_.add_task(static_cast<dsm::NodeId>(i % world_.nodes()));
            threads_.push_back({.task = task, .channel = 2 * static_cast<int>(i)});
            threads_.push_back({.task = task, .channel = 2 * static_cast<int>(i) + 1});
        }
    }

    void run(unsigned steps) {
        for (unsigned i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
            act();
            for (auto moves = world_.below(6); moves > 0; --moves) {
                world_.step();
            }
        }
        drain();
        account();
        finish();
    }

    unsigned received = 0, rights = 0, told = 0, refused = 0, interrupted = 0;
    unsigned moves() const { return world_.moves; }
    unsigned stays() const { return world_.stays; }
    unsigned departures() const { return world_.departures; }
    unsigned departures_failed() const { return world_.failures; }

  private:
    void act() {
        go_along();
        if (departures_ && !empties_ && world_.below(100) == 0) {
            choose_who_leaves();
        }
        auto &thread = threads_[world_.below(static_cast<unsigned>(threads_.size()))];
        auto *names = world_.names(thread.task);
        if (names == nullptr || leaving_.contains(thread.task)) {
            return;
        }
        const auto service = [&]() -> PortService & { return world_.service(node_of(thread.task)); };
        switch (world_.below(deaths_ ? 65 : 61)) {
        case 0:
        case 1:
        case 2:
            make_port(thread);
            break;
        case 3:
        case 4: { // gives something back
            Letting gone;
            if (const auto name = any_name(*names); name != 0) {
                names->deallocate(name, gone);
                service().let_go(gone);
            }
            break;
        }
        case 5:
            ask(thread, *names);
            break;
        case 6: // hands a right to another task
            if (const auto name = any_name(*names); name != 0) {
                const auto to = threads_[world_.below(static_cast<unsigned>(threads_.size()))].task;
                const auto disposition = makeable(*names, name) ? MACH_MSG_TYPE_MAKE_SEND : MACH_MSG_TYPE_COPY_SEND;
                service().pass(thread.task, name, static_cast<std::uint32_t>(disposition),
                               {.kind = Right::Kind::task, .task = to, .thread = 0}, 0, [](const Reply &) {});
            }
            break;
        case 60:
            if (world_.below(4) == 0) {
                leaving_.insert(thread.task);
            }
            break;
        case 61:
            if (thread.busy && world_.below(2) == 0) {
                service().abort(identity_of(thread), KERN_ABORTED);
            } else if (thread.busy) {
                disturb(*names);
                service().thread_gone(waiter(thread));
            }
            break;
        case 62:
            if (world_.below(8) == 0) {
                world_.end_task(thread.task);
            }
            break;
        case 63:
            if (world_.below(24) == 0 && node_of(thread.task) != 0) {
                world_.kill(node_of(thread.task));
            }
            break;
        case 64: { // a port dies
            Letting gone;
            if (const auto name = any_name(*names); name != 0 && world_.below(4) == 0) {
                names->destroy(name, gone);
                service().let_go(gone);
            }
            break;
        }
        default:
            if (!thread.busy) {
                world_.below(2) == 0 ? send(thread, *names) : receive(thread, *names);
            }
        }
    }

    // Tasks that are to move do so when none of their threads waits and nothing is on the way to them.
    void go_along() {
        for (auto &thread : threads_) {
            const auto now = world_.now(thread.task);
            if (now != thread.task || world_.names(thread.task) == nullptr) {
                leaving_.erase(thread.task);
                thread.busy = thread.busy && now == thread.task;
            }
            thread.task = now;
        }
        const auto leaving = leaving_;
        for (const auto task : leaving) {
            const bool stopped = world_.has_stopped(task);
            if (!stopped && has_moved_.erase(task) > 0) { // it stays
                leaving_.erase(task);
            } else if (!stopped && stop(task)) {
                has_moved_.insert(task);
                world_.move(task, another_node(node_of(task)));
            }
        }
        empty_node();
    }

    // Not one that is to leave.
    dsm::NodeId another_node(dsm::NodeId node) {
        auto other = node;
        while (other == node || other == empties_) {
            other = static_cast<dsm::NodeId>(world_.below(world_.nodes()));
        }
        return other;
    }

    void choose_who_leaves() {
        const auto node = static_cast<dsm::NodeId>(world_.below(world_.nodes()));
        successor_ = another_node(node);
        if (world_.is_in_job(node) && world_.is_in_job(successor_)) {
            empties_ = node;
        }
    }

    // A node leaves when it has no tasks any more.
    void empty_node() {
        if (!empties_) {
            return;
        }
        const bool over = leaves_ ? !world_.departing() : !world_.is_in_job(*empties_) || !world_.is_in_job(successor_);
        if (over) {
            empties_.reset();
            leaves_ = false;
            return;
        }
        for (const auto &thread : threads_) {
            if (node_of(thread.task) == *empties_ && world_.names(thread.task) != nullptr) {
                leaving_.insert(thread.task);
            }
        }
        if (!leaves_ && !world_.has_tasks(*empties_)) {
            leaves_ = true;
            world_.leave(*empties_, successor_);
        }
    }

    bool stop(TaskId task) {
        auto &service = world_.service(node_of(task));
        bool all = !service.is_changing(task);
        for (const auto &thread : threads_) {
            if (thread.task == task && thread.busy) {
                service.abort(identity_of(thread), kWithdrawn);
                all = false;
            }
        }
        return all;
    }

    static std::uint64_t identity_of(const Thread &thread) { return static_cast<std::uint64_t>(thread.channel) + 1; }
    static PortService::Waiter waiter(const Thread &thread) {
        return {.task = thread.task, .channel = thread.channel, .thread = identity_of(thread)};
    }

    // Messages that several threads give back may change places.
    void disturb(const NameSpace &names) {
        for (auto &port : ports_) {
            const auto name = names.name_of(port.right);
            port.disturbed = port.disturbed || (name != 0 && names.find(name)->receive.any());
        }
    }

    void make_port(const Thread &thread) {
        std::uint32_t name = 0;
        auto &service = world_.service(node_of(thread.task));
        ASSERT_EQ(service.allocate(thread.task, MACH_PORT_RIGHT_RECEIVE, name), KERN_SUCCESS);
        ports_.push_back({.right = world_.names(thread.task)->find(name)->right});
    }

    std::uint32_t any_name(const NameSpace &names) {
        std::vector<std::uint32_t> all;
        for (const auto &[name, entry] : names.entries()) {
            if (!entry.fixed) {
                all.push_back(name);
            }
        }
        return all.empty() ? 0 : all[world_.below(static_cast<unsigned>(all.size()))];
    }

    std::size_t serial_of(const Right &right) const {
        for (std::size_t i = 0; i < ports_.size(); ++i) {
            if (ports_[i].right == right) {
                return i;
            }
        }
        return ports_.size();
    }

    // From a port whose end of senders somebody waits for no more rights are made: what is told then stays true.
    bool makeable(const NameSpace &names, std::uint32_t name) const {
        const auto *entry = names.find(name);
        const auto serial = serial_of(entry->right);
        return entry->receive.any() && serial < ports_.size() && !ports_[serial].asked;
    }

    void ask(const Thread &thread, const NameSpace &names) {
        const auto name = any_name(names), place = any_name(names);
        if (name == 0 || !makeable(names, name) || !names.find(place)->receive.any() || name == place) {
            return;
        }
        const auto serial = serial_of(names.find(name)->right), listener = serial_of(names.find(place)->right);
        if (ports_[listener].listens != SIZE_MAX) {
            return;
        }
        ports_[listener].listens = serial;
        ports_[serial].asked = true;
        Request request;
        request.caller.task = thread.task;
        request.args = {name, MACH_NOTIFY_NO_SENDERS, 0, place};
        world_.service(node_of(thread.task)).request_notification(request, [this, serial](const Reply &reply) {
            ports_[serial].heard = reply.status == KERN_SUCCESS;
        });
    }

    void send(Thread &thread, const NameSpace &names) {
        const auto to = any_name(names);
        if (to == 0 || names.find(to)->right.kind != Right::Kind::port) {
            return;
        }
        Packet packet{};
        const unsigned how = makeable(names, to) ? MACH_MSG_TYPE_MAKE_SEND : MACH_MSG_TYPE_COPY_SEND;
        const auto port = serial_of(names.find(to)->right);
        packet.head.msgh_bits = how | MACH_MSGH_BITS_COMPLEX;
        packet.head.msgh_remote_port = to;
        packet.body.msgh_descriptor_count = 1;
        packet.port.type = MACH_MSG_PORT_DESCRIPTOR;
        if (const auto carried = any_name(names); carried != 0 && world_.below(2) == 0) {
            packet.port.name = carried;
            packet.port.disposition = disposition_for(names, carried, port) & 0xff;
        }
        packet.number = sent_.size();
        sent_.push_back({.thread = static_cast<std::uint64_t>(&thread - threads_.data()), .port = port});
        thread.busy = true;
        thread.receives = SIZE_MAX;
        const auto bytes = std::as_bytes(std::span(&packet, 1));
        world_.service(node_of(thread.task))
            .send(waiter(thread), bytes, world_.below(3) == 0 ? 1 : -1,
                  [this, &thread, number = packet.number](const Reply &reply) {
                      thread.busy = false;
                      EXPECT_FALSE(sent_[number].answered);
                      sent_[number].answered = true;
                      sent_[number].succeeded = reply.status == MACH_MSG_SUCCESS;
                      refused += reply.status != MACH_MSG_SUCCESS;
                      interrupted += reply.status == MACH_SEND_INTERRUPTED;
                  });
    }

    // The right to receive goes only into the queue of an older port: two that lie in each other's queue are nobody's.
    unsigned disposition_for(const NameSpace &names, std::uint32_t name, std::size_t port) {
        const auto *entry = names.find(name);
        if (entry->receive.any()) {
            if (world_.below(2) == 0 && serial_of(entry->right) > port) {
                return MACH_MSG_TYPE_MOVE_RECEIVE;
            }
            return makeable(names, name) ? MACH_MSG_TYPE_MAKE_SEND : MACH_MSG_TYPE_COPY_SEND;
        }
        return world_.below(2) == 0 ? MACH_MSG_TYPE_MOVE_SEND : MACH_MSG_TYPE_COPY_SEND;
    }

    void receive(Thread &thread, const NameSpace &names, std::uint32_t name = 0) {
        const bool draining = name != 0;
        name = draining ? name : any_name(names);
        if (name == 0 || !names.find(name)->receive.any()) {
            return;
        }
        const auto port = serial_of(names.find(name)->right);
        for (const auto &other : threads_) { // what two receive at once may overtake each other, for its rights
            ports_[port].disturbed = ports_[port].disturbed || (other.busy && other.receives == port);
        }
        thread.busy = true;
        thread.receives = port;
        world_.service(node_of(thread.task))
            .receive(waiter(thread), name, 1 << 16, false, draining || world_.below(2) == 0 ? 1 : -1,
                     [this, &thread, port](const Reply &reply) {
                         thread.busy = false;
                         interrupted += reply.status == MACH_RCV_INTERRUPTED;
                         if (reply.status == MACH_MSG_SUCCESS) {
                             take(thread, reply.blob, port);
                         }
                     });
    }

    void take(const Thread &thread, std::span<const std::byte> bytes, std::size_t port) {
        Packet packet{};
        ASSERT_GE(bytes.size(), sizeof(mach_msg_header_t));
        std::memcpy(&packet, bytes.data(), std::min(bytes.size(), sizeof packet));
        if (packet.head.msgh_id == MACH_NOTIFY_NO_SENDERS) {
            ASSERT_LT(ports_[port].listens, ports_.size());
            auto &about = ports_[ports_[port].listens];
            EXPECT_FALSE(about.told);
            about.told = true;
            ++told;
            return;
        }
        ASSERT_LT(packet.number, sent_.size());
        auto &sent = sent_[packet.number];
        EXPECT_FALSE(sent.received) << "message " << packet.number << " came twice";
        EXPECT_EQ(sent.port, port) << "to task " << thread.task;
        sent.received = true;
        ++received;
        rights += MACH_PORT_VALID(packet.port.name);
        auto &last = last_[{sent.thread, port}];
        if (!ports_[port].disturbed) {
            EXPECT_LE(last, packet.number) << "out of order";
        }
        last = packet.number;
    }

    // Everybody takes what there is, until there is nothing more.
    void drain() {
        for (bool more = true; more && !::testing::Test::HasFailure();) {
            unsigned looks = 0;
            do {
                go_along();
                world_.settle();
            } while ((!leaving_.empty() || empties_) && ++looks < kMostLooks);
            ASSERT_LT(looks, kMostLooks) << leaving_.size() << " tasks do not move, or a node does not leave";
            const auto before = received + told;
            for (auto &thread : threads_) {
                if (thread.busy) { // waits for ever
                    world_.service(node_of(thread.task)).abort(identity_of(thread), KERN_ABORTED);
                }
                world_.settle();
                EXPECT_FALSE(thread.busy && world_.alive(node_of(thread.task)));
                auto *names = world_.names(thread.task);
                const auto entries = names == nullptr ? std::map<std::uint32_t, NameSpace::Entry>{} : names->entries();
                for (const auto &[name, entry] : entries) {
                    if (names->find(name) != nullptr && !thread.busy) {
                        receive(thread, *names, name);
                        world_.settle();
                    }
                }
            }
            more = received + told > before;
        }
    }

    bool somebody(const Right &right, bool receive) {
        for (const auto &thread : threads_) {
            const auto *names = world_.names(thread.task);
            const auto *entry = names == nullptr ? nullptr : names->find(names->name_of(right));
            if (entry != nullptr && (receive ? entry->receive.any() : entry->sends > 0)) {
                return true;
            }
        }
        return false;
    }

    void account() {
        for (const auto &sent : sent_) {
            const bool lives = sent.port < ports_.size() && somebody(ports_[sent.port].right, true);
            if (sent.succeeded && lives) {
                EXPECT_TRUE(sent.received) << "message " << &sent - sent_.data() << " to port " << sent.port;
            }
            EXPECT_TRUE(!sent.received || sent.succeeded || deaths_);
        }
        for (const auto &listener : ports_) {
            const auto about = listener.listens;
            if (about == SIZE_MAX || !ports_[about].heard || !somebody(listener.right, true) ||
                !somebody(ports_[about].right, true)) {
                continue;
            }
            const bool senders = somebody(ports_[about].right, false);
            // What will notify it is one, too.
            const auto next = ports_[about].listens;
            const bool notified = next != SIZE_MAX && !ports_[next].told;
            EXPECT_TRUE(senders || notified || ports_[about].told) << "port " << about << " has no senders";
            EXPECT_TRUE(!senders || !ports_[about].told || deaths_) << "port " << about << " has senders still";
        }
    }

    void finish() {
        for (const auto &thread : threads_) {
            if (world_.names(thread.task) != nullptr) {
                world_.end_task(thread.task);
            }
            world_.settle();
        }
        const auto left = world_.left();
        EXPECT_EQ(left.ports, 0u);
        EXPECT_EQ(left.references, 0u);
        EXPECT_EQ(left.waiting, 0u);
        EXPECT_EQ(left.delivering, 0u);
    }

    PortWorld world_;
    bool deaths_, departures_;
    std::optional<dsm::NodeId> empties_; // its tasks are to move
    dsm::NodeId successor_ = 0;
    bool leaves_ = false; // it has none any more
    std::vector<Thread> threads_;
    std::vector<Port> ports_;
    std::vector<Sent> sent_;
    std::set<TaskId> leaving_, has_moved_; // has_moved_: or tries to
    std::map<std::pair<std::uint64_t, std::size_t>, std::uint64_t> last_;
};

struct Runs {
    const char *name;
    bool deaths, departures;
};

void PrintTo(const Runs &runs, std::ostream *out) {
    *out << runs.name;
}

class PortsRandom : public testing::TestWithParam<Runs> {};

std::uint64_t number_from(const char *variable, std::uint64_t otherwise) {
    const auto *text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

// PORTS_SEED is the first seed, of PORTS_RUNS.
TEST_P(PortsRandom, NothingIsLostOrLeftOver) {
    const auto &[name, deaths, departures] = GetParam();
    const bool chosen = std::getenv("PORTS_SEED") != nullptr;
    const auto begin = number_from("PORTS_SEED", 1), runs = number_from("PORTS_RUNS", chosen ? 1 : 400);
    unsigned received = 0, rights = 0, told = 0, refused = 0, interrupted = 0, moves = 0, stays = 0;
    unsigned left = 0, stayed = 0;
    for (auto seed = begin; seed < begin + runs; ++seed) {
        SCOPED_TRACE(testing::Message() << "PORTS_SEED=" << seed);
        Judge judge(seed, deaths, departures);
        judge.run(400);
        ASSERT_FALSE(HasFailure());
        received += judge.received;
        rights += judge.rights;
        told += judge.told;
        refused += judge.refused;
        interrupted += judge.interrupted;
        moves += judge.moves();
        stays += judge.stays();
        left += judge.departures();
        stayed += judge.departures_failed();
    }
    if (!chosen) { // the runs must have met what they are for
        EXPECT_GT(received, 10'000u);
        EXPECT_GT(rights, 3'000u);
        EXPECT_GT(told, 50u);
        EXPECT_GT(refused, 200u);
        EXPECT_GT(interrupted, 200u);
        EXPECT_GT(moves, 300u);
        EXPECT_GT(stays, 50u);
        EXPECT_TRUE(!departures || (left > 200 && stayed > 50)) << left << " and " << stayed;
    }
    GTEST_LOG_(INFO) << received << " messages with " << rights << " rights, " << refused << " refused, " << told
                     << " told of the last sender; " << moves << " moves, " << stays << " given up; " << left
                     << " nodes left, " << stayed << " stayed";
}

TEST(PortsRandomSeeds, ThatOnceFailed) {
    // Tasks that were to move to a node which had just left. This world once made them there.
    Judge(15070, false, true).run(400);
    Judge(16674, true, true).run(400);
    Judge(50340, true, true).run(400);
    // A reference went before what was held had said that it came.
    Judge(74000, true, true).run(400);
}

INSTANTIATE_TEST_SUITE_P(, PortsRandom,
                         testing::Values(Runs{"WithoutDeaths", false, false}, Runs{"WithDeaths", true, false},
                                         Runs{"WithDepartures", false, true}, Runs{"WithBoth", true, true}),
                         [](const auto &run) { return run.param.name; });

} // namespace
} // namespace norma::rt::test

// SPDX-License-Identifier: BSD-3-Clause
// What goes from a node that leaves to its successor: nothing of it is lost or changed, and what is damaged is refused.
#include "runtime/server/services.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace norma::rt {
namespace {

constexpr unsigned kNodes = 4;
constexpr std::int32_t kAgain = -1; // what who waits is told

Waiter thread(std::uint64_t number) {
    return {.node = 2, .task = number / 10, .thread = number, .call = number};
}

Right task_on(dsm::NodeId node) {
    return {.kind = Right::Kind::task, .task = TaskId{node} << 48 | 7, .thread = 0, .key = {.high = 3, .low = 4}};
}

std::vector<std::byte> bytes_of(const Services &services) {
    return encode({.sync = services.sync,
                   .families = services.families,
                   .groups = services.groups,
                   .names = services.names,
                   .ended = services.ended,
                   .priv_keys = services.priv_keys,
                   .files = services.files,
                   .ports = {.home = services.ports->home, .servers = services.ports->servers}});
}

struct ServicesTest : ::testing::Test {
    SyncId make(SyncKind kind, std::uint32_t value = 0) {
        SyncId id = 0;
        EXPECT_EQ(leaving.sync.create(kind, value, id), KERN_SUCCESS);
        return id;
    }
    // Of the node that leaves, which gives it out under a name.
    Carried make_port() {
        Carried receive{.right = {}, .receive = {3, 4}};
        EXPECT_EQ(leaving.ports->home.create({1, 2}, receive.receive, 1, receive.right), KERN_SUCCESS);
        EXPECT_TRUE(leaving.ports->home.attach(receive.right, 2, true));
        leaving.ports->servers[1].emplace(std::vector(9, std::byte{65}), receive.right);
        return receive;
    }
    Outcomes ask(SyncHome &home, SyncOp op, SyncId id, std::uint64_t number) {
        Outcomes out;
        home.request(op, id, thread(number), out);
        return out;
    }
    // As they are at the successor, which has something of its own.
    SyncHome &after_the_move() {
        Outcomes out;
        leaving.sync.withdraw_all(kAgain, out);
        withdrawn = out;
        auto arrived = decode_services(bytes_of(leaving), 1, kNodes);
        EXPECT_TRUE(arrived);
        SyncId own = 0;
        EXPECT_EQ(successor.create(SyncKind::mutex, 0, own), KERN_SUCCESS);
        successor.merge(std::move(arrived->sync));
        return successor;
    }

    Services leaving{1};
    SyncHome successor{0, 1};
    Outcomes withdrawn;
};

TEST_F(ServicesTest, LocksGoWithTheirHolders) {
    const auto mutex = make(SyncKind::mutex);
    ask(leaving.sync, SyncOp::mutex_lock, mutex, 11);
    ask(leaving.sync, SyncOp::mutex_lock, mutex, 12);
    auto &there = after_the_move();
    EXPECT_EQ(withdrawn, (Outcomes{{thread(12), kAgain, false}}));
    EXPECT_EQ(ask(there, SyncOp::mutex_lock, mutex, 12), Outcomes{}); // it waits again
    EXPECT_EQ(ask(there, SyncOp::mutex_unlock, mutex, 13), (Outcomes{{thread(13), KERN_INVALID_ARGUMENT, false}}));
    EXPECT_EQ(ask(there, SyncOp::mutex_unlock, mutex, 11).size(), 2U); // and gets it
    Outcomes out;
    there.node_died(2, out);
    EXPECT_EQ(ask(there, SyncOp::mutex_trylock, mutex, 13), (Outcomes{{thread(13), KERN_TERMINATED, true}}));
}

TEST_F(ServicesTest, BarriersAndSemaphoresGoOn) {
    const auto barrier = make(SyncKind::barrier, 2), semaphore = make(SyncKind::semaphore, 1);
    ask(leaving.sync, SyncOp::barrier_wait, barrier, 11);
    auto &there = after_the_move();
    EXPECT_EQ(ask(there, SyncOp::barrier_wait, barrier, 21),
              Outcomes{}); // one alone: the other has been told to return
    EXPECT_EQ(ask(there, SyncOp::barrier_wait, barrier, 11).size(), 2U);
    EXPECT_EQ(ask(there, SyncOp::semaphore_trywait, semaphore, 11), (Outcomes{{thread(11), KERN_SUCCESS, false}}));
    EXPECT_EQ(ask(there, SyncOp::semaphore_trywait, semaphore, 11),
              (Outcomes{{thread(11), KERN_OPERATION_TIMED_OUT, false}}));
    Outcomes out;
    there.task_died(1, out); // who has used it is known
    EXPECT_EQ(ask(there, SyncOp::barrier_wait, barrier, 21), (Outcomes{{thread(21), KERN_TERMINATED, false}}));
}

TEST_F(ServicesTest, NoWakeOfAConditionIsLost) {
    const auto condition = make(SyncKind::condition);
    for (const auto number : {11U, 12U, 13U}) {
        ask(leaving.sync, SyncOp::cond_enqueue, condition, number);
    }
    ask(leaving.sync, SyncOp::cond_signal, condition, 21); // for 11, which does not wait yet
    ask(leaving.sync, SyncOp::cond_await, condition, 12);
    auto &there = after_the_move();
    EXPECT_EQ(withdrawn, (Outcomes{{thread(12), kAgain, false}}));
    EXPECT_EQ(ask(there, SyncOp::cond_await, condition, 11), (Outcomes{{thread(11), KERN_SUCCESS, false}}));
    EXPECT_EQ(ask(there, SyncOp::cond_await, condition, 13), Outcomes{});
    EXPECT_EQ(ask(there, SyncOp::cond_enqueue, condition, 14), (Outcomes{{thread(14), KERN_SUCCESS, false}}));
    EXPECT_EQ(ask(there, SyncOp::cond_signal, condition, 21).front(), (Outcome{thread(13), KERN_SUCCESS, false}));
}

// Also who is queued and does not wait yet: the word is on its way elsewhere.
TEST_F(ServicesTest, NobodyStaysAtAWord) {
    const SyncWord word{.stretch = {.object = {.home = 1, .incarnation = 1, .serial = 1}, .number = 0}, .offset = 8};
    SyncId queue = 0;
    ASSERT_EQ(leaving.sync.queue_at(word, thread(11), queue), KERN_SUCCESS);
    ASSERT_EQ(leaving.sync.queue_at(word, thread(12), queue), KERN_SUCCESS);
    ask(leaving.sync, SyncOp::cond_await, queue, 11);
    auto &there = after_the_move();
    EXPECT_FALSE(leaving.sync.waits_in(word.stretch.object));
    EXPECT_EQ(withdrawn, (Outcomes{{thread(11), kAgain, false}}));
    EXPECT_EQ(ask(there, SyncOp::cond_await, queue, 12), (Outcomes{{thread(12), kAgain, false}}));
    ASSERT_EQ(there.queue_at(word, thread(12), queue), KERN_SUCCESS);
    Outcomes out;
    EXPECT_EQ(there.wake(word, 5, out), 1U);
    EXPECT_EQ(ask(there, SyncOp::cond_await, queue, 12), (Outcomes{{thread(12), KERN_SUCCESS, false}}));
    EXPECT_FALSE(there.waits_in(word.stretch.object));
}

TEST_F(ServicesTest, ProcessesTablesNamesAndEndsArrive) {
    const auto parent = leaving.families.make(task_on(2), 0);
    const auto child = parent + (1 << kPidNodeBits);
    ASSERT_TRUE(
        leaving.families.add_child({.identity = child, .pid = child, .parent = parent, .exit_signal = SIGCHLD}, 3));
    const auto other = child + (1 << kPidNodeBits);
    ASSERT_TRUE(leaving.families.add_child({.identity = other, .pid = other, .parent = parent, .exit_signal = 0}, 3));
    leaving.families.child_ended(parent, other, 5 << 8);
    const auto group = leaving.groups.make(Table::directories, task_on(2));
    leaving.names["a name"] = {.home = 3, .incarnation = 1, .serial = 9};
    leaving.ended[12] = {
        .key = {.high = 1, .low = 2}, .status = 256, .successor = task_on(3), .threads_moved = true, .awaited_by = {}};
    leaving.priv_keys.insert({.high = 5, .low = 6});

    auto arrived = decode_services(bytes_of(leaving), 1, kNodes);
    ASSERT_TRUE(arrived);
    EXPECT_EQ(bytes_of(*arrived), bytes_of(leaving));
    Families there(0);
    const auto own = there.make(task_on(0), 0);
    there.merge(std::move(arrived->families));
    EXPECT_EQ(there.find(parent)->where, task_on(2));
    EXPECT_NE(there.find(own), nullptr);
    bool any = false;
    const auto ended = there.take_ended(parent, -1, Kinds::all, any);
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->pid, other);
    EXPECT_EQ(ended->status, 5 << 8);
    EXPECT_EQ(there.node_down(3).size(), 1U); // the other child ends with its node
    EXPECT_TRUE(arrived->groups.has_member(group, task_on(2).task));
    EXPECT_EQ(arrived->names.at("a name").serial, 9U);
    EXPECT_EQ(arrived->ended.at(12).successor, task_on(3));
    EXPECT_TRUE(arrived->ended.at(12).threads_moved);
    EXPECT_TRUE(arrived->priv_keys.contains({.high = 5, .low = 6}));
}

// Whoever waits begins again; what is in the queue and who has rights goes along.
TEST_F(ServicesTest, PortsGoWithTheirQueues) {
    const auto receive = make_port();
    PortEvents out;
    const Carried other{.right = {.kind = Right::Kind::port, .task = TaskId{3} << 48, .thread = 0, .key = {7, 7}}};
    const auto message = std::make_shared<const Message>(
        Message{.id = 5, .reply = other, .rights = {}, .body = std::vector(3, std::byte{9})});
    for (std::uint64_t number = 1; number <= MACH_PORT_QLIMIT_DEFAULT + 1; ++number) {
        leaving.ports->home.send(receive.right, {.node = 2, .number = number}, message, false, out);
    }
    EXPECT_FALSE(leaving.ports->home.is_quiet());
    out.clear();
    leaving.ports->home.withdraw_all(kAgain, out);
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(out.front().status, kAgain);
    EXPECT_EQ(*out.front().message, *message); // the sender's again

    auto arrived = decode_services(bytes_of(leaving), 1, kNodes);
    ASSERT_TRUE(arrived);
    EXPECT_EQ(bytes_of(*arrived), bytes_of(leaving));
    EXPECT_EQ(arrived->ports->servers, leaving.ports->servers);
    PortHome there(0, 1);
    out.clear();
    there.merge(std::move(arrived->ports->home), 1, out);
    EXPECT_TRUE(out.empty());
    there.receive(receive, {.node = 1, .number = 1}, 1000, false, out);
    EXPECT_EQ(out.back().status, MACH_RCV_PORT_CHANGED); // what node 1 had a right to receive of is node 0's
    there.receive(receive, {.node = 0, .number = 1}, 1000, false, out);
    EXPECT_EQ(*out.back().message, *message);
    EXPECT_EQ(out.back().status, MACH_MSG_SUCCESS);
}

TEST_F(ServicesTest, WhatIsDamagedIsRefused) {
    const auto receive = make_port();
    PortEvents out;
    leaving.ports->home.send(receive.right, {.node = 2, .number = 1}, std::make_shared<const Message>(), false, out);
    make(SyncKind::mutex);
    leaving.families.make(task_on(2), 0);
    leaving.groups.make(Table::actions, task_on(2));
    leaving.names["n"] = {.home = 1, .incarnation = 1, .serial = 1};
    leaving.ended[12] = {.key = {}, .status = 0, .successor = task_on(3), .threads_moved = true, .awaited_by = {}};
    leaving.files.files.push_back({.path = "/dev/null"});
    const auto bytes = bytes_of(leaving);
    ASSERT_TRUE(decode_services(bytes, 1, kNodes));
    EXPECT_FALSE(decode_services(bytes, 1, 3)); // there is no node 3
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_services(std::span(bytes).first(size), 1, kNodes)) << size;
    }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decode_services(longer, 1, kNodes));
}

} // namespace
} // namespace norma::rt

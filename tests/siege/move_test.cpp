// SPDX-License-Identifier: BSD-3-Clause
// A task moves between a real node server and a node that the test plays, which answers late, dies, or never takes the
// last step: exactly one outcome, and nothing left that nobody will let go on. tests/model/teleport.m has all orders of
// these events; here are those that its guards are about.
#include "tests/siege/partner.hpp"

#include "norma/mach.h"
#include "runtime/message.hpp"
#include "runtime/server/image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace siege {
namespace {

using namespace norma;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
namespace launch = rt::launch;

constexpr auto kTransport = "tcp";
constexpr auto kQuiet = 200ms; // of a node server that has been given time to say something wrong

// Serial numbers of tasks begin with 1: the job's first task on node 0.
rt::Right task_of(dsm::NodeId node, std::uint64_t serial) {
    return {.kind = rt::Right::Kind::task,
            .task = rt::TaskId{node} << 48 | rt::TaskId{kIncarnation} << 32 | serial,
            .thread = 0};
}

rt::Reply created(const rt::Right &child) {
    rt::Reply reply;
    reply.rights.push_back(child);
    return reply;
}

rt::Request request_for(rt::Op op, const rt::Right &target = {}) {
    rt::Request request;
    request.op = op;
    request.target = target;
    return request;
}

rt::Request wait_for(const rt::Right &task) {
    auto request = request_for(rt::Op::task_wait, task);
    request.args[0] = static_cast<std::uint64_t>(-1);
    return request;
}

// Node 0 is real; 1 and 2 are the test.
class Move : public ::testing::Test {
  protected:
    explicit Move(std::vector<std::string> settings = {}) : job_(1, 3, kTransport, std::move(settings)) {
        job_.connect({other_.address(), witness_.address()});
        other_.connect(job_);
        witness_.connect(job_);
        other_.stand_by(witness_);
    }
    rt::TaskImage image() const {
        rt::TaskImage image;
        image.program.path = SIEGE_APP;
        image.program.argv = {SIEGE_APP, "wait_to_be_taken_over"};
        image.program.env = job_.environment();
        image.program.cwd = "/";
        image.first = true;
        image.teleported = true;
        return image;
    }
    // Node 1 asks node 0 for the first task's successor.
    rt::Right make_child() {
        auto request = request_for(rt::Op::spawn);
        request.blob = rt::encode(image());
        const auto reply = other_.answer_to(other_.ask(std::move(request)));
        EXPECT_EQ(reply.status, KERN_SUCCESS);
        return reply.rights.at(0);
    }
    // What a task of the program gives to one that the test says it has made.
    rt::Right given_right() {
        other_.answer(other_.expect(rt::Op::spawn), created(task_of(1, 8)));
        const auto put = other_.expect(rt::Op::port_put);
        other_.answer(put, {});
        const auto carried = rt::decode_carried(put.blob);
        return carried ? carried->right : rt::Right{};
    }
    static void expect_exit(const launch::Record &record, int status, const std::string &note) {
        const auto *exited = std::get_if<launch::Exited>(&record);
        ASSERT_NE(exited, nullptr);
        EXPECT_EQ(exited->status, status);
        EXPECT_EQ(exited->note, note);
    }

    Job job_;
    Partner other_{1, kTransport}, witness_{2, kTransport};
    const rt::Right child_ = task_of(1, 7); // what the test says it has made
};

class ImpatientMove : public Move {
  protected:
    ImpatientMove() : Move({"NORMA_CALL_TIMEOUT=300ms"}) {}
    void child_comes_too_late(const char *itself) {
        job_.run({SIEGE_APP, "move_in_vain", itself});
        const auto spawn = other_.expect(rt::Op::spawn);
        other_.wait_for_output(job_, "stayed");
        other_.answer(spawn, created(child_));
        EXPECT_EQ(other_.expect(rt::Op::task_terminate).target, child_);
        EXPECT_EQ(job_.wait_for_end(), 0);
        job_.shut_down();
    }
};

TEST_F(ImpatientMove, EndsTheChildThatComesTooLate) {
    child_comes_too_late("1");
}

TEST_F(ImpatientMove, EndsTheCloneThatComesTooLate) {
    child_comes_too_late("0");
}

TEST_F(Move, OfATaskThatWasTerminatedDoesNotTakePlace) {
    job_.run({SIEGE_APP, "move_child"});
    const auto parent = given_right();
    const auto spawn = other_.expect(rt::Op::spawn);
    EXPECT_EQ(other_.answer_to(other_.ask(request_for(rt::Op::task_terminate, parent))).status, KERN_SUCCESS);
    other_.answer(spawn, created(child_));
    EXPECT_EQ(other_.expect(rt::Op::task_terminate).target, child_);
    EXPECT_EQ(job_.wait_for_end(), 0);
    job_.shut_down();
}

TEST_F(Move, OfAFirstTaskThatWasTerminatedDoesNotTakePlace) {
    job_.run({SIEGE_APP, "move_first", "1"});
    const auto parent = given_right();
    const auto spawn = other_.expect(rt::Op::spawn);
    // Who has not been given the right does not have it, whatever he knows about the task.
    EXPECT_EQ(parent.task, task_of(0, 1).task);
    for (const rt::Key key : {rt::Key{}, rt::Key{.high = parent.key.high, .low = parent.key.low ^ 1}}) {
        auto guessed = parent;
        guessed.key = key;
        for (const auto op : {rt::Op::task_terminate, rt::Op::task_suspend, rt::Op::port_put, rt::Op::task_wait}) {
            EXPECT_EQ(other_.answer_to(other_.ask(request_for(op, guessed))).status, KERN_INVALID_TASK);
        }
        guessed.kind = rt::Right::Kind::thread;
        guessed.thread = 1;
        EXPECT_EQ(other_.answer_to(other_.ask(request_for(rt::Op::thread_terminate, guessed))).status,
                  KERN_INVALID_ARGUMENT);
    }
    EXPECT_EQ(other_.answer_to(other_.ask(request_for(rt::Op::task_terminate, parent))).status, KERN_SUCCESS);
    EXPECT_EQ(job_.wait_for_end(), 0);
    other_.answer(spawn, created(child_));
    EXPECT_EQ(other_.expect(rt::Op::task_terminate).target, child_);
    EXPECT_TRUE(job_.is_silent(0, kQuiet));
    job_.shut_down();
}

// The parent is gone, and the child with its node before it could go on. The launcher knows the task on node 0 only.
TEST_F(Move, TellsOfAFirstTaskThatIsLostOnTheWay) {
    job_.run({SIEGE_APP, "move_first"});
    other_.answer(other_.expect(rt::Op::spawn), created(child_));
    other_.expect(rt::Op::take_over);
    EXPECT_TRUE(job_.is_silent(0, 0ms));
    job_.send(0, launch::NodeDown{.node = 1, .why = "test"});
    expect_exit(job_.next_record(0), 1 << 8, "the first task was lost with node 1");
    job_.shut_down();
}

TEST_F(Move, IsReportedWhenTheChildTakesOver) {
    const auto child = make_child();
    EXPECT_TRUE(job_.is_silent(0, kQuiet));
    EXPECT_EQ(other_.answer_to(other_.ask(request_for(rt::Op::take_over, child))).status, KERN_SUCCESS);
    EXPECT_TRUE(std::holds_alternative<launch::Hosting>(job_.next_record(0)));
    // From now on it is a task like any other: its source may die.
    job_.send(0, launch::NodeDown{.node = 1, .why = "test"});
    const auto wait = witness_.ask(wait_for(child));
    EXPECT_TRUE(job_.is_silent(0, kQuiet));
    EXPECT_EQ(witness_.answer_to(witness_.ask(request_for(rt::Op::task_terminate, child))).status, KERN_SUCCESS);
    EXPECT_EQ(witness_.answer_to(wait).vals[0], 0U);
    expect_exit(job_.next_record(0), 0, "");
    job_.shut_down();
}

TEST_F(Move, EndsTheChildIfTheSourceDiesFirst) {
    const auto child = make_child();
    const auto wait = witness_.ask(wait_for(child));
    job_.send(0, launch::NodeDown{.node = 1, .why = "test"});
    EXPECT_EQ(witness_.answer_to(wait).vals[0], 9U);
    EXPECT_TRUE(job_.is_silent(0, kQuiet)) << "the end of a child that never ran was reported as the job's";
    job_.shut_down();
}

TEST_F(Move, IsForTheSourceAloneToComplete) {
    const auto child = make_child();
    EXPECT_EQ(witness_.answer_to(witness_.ask(request_for(rt::Op::take_over, child))).status, KERN_INVALID_TASK);
    EXPECT_TRUE(job_.is_silent(0, kQuiet));
    job_.shut_down();
}

// So it is to give it its memory, before that, and of the program that it is.
TEST_F(Move, IsForTheSourceAloneToFurnish) {
    auto furnish = request_for(rt::Op::furnish, make_child());
    furnish.blob = rt::encode(image());
    EXPECT_EQ(witness_.answer_to(witness_.ask(furnish)).status, KERN_INVALID_TASK);
    auto other_program = image();
    other_program.program.data = {.start = 1 << 20, .size = 1 << 20};
    auto wrong = furnish;
    wrong.blob = rt::encode(other_program);
    EXPECT_EQ(other_.answer_to(other_.ask(wrong)).status, KERN_INVALID_ARGUMENT);
    wrong.blob.pop_back();
    EXPECT_EQ(other_.answer_to(other_.ask(wrong)).status, KERN_INVALID_ARGUMENT);
    EXPECT_EQ(other_.answer_to(other_.ask(furnish)).status, KERN_SUCCESS);
    EXPECT_EQ(other_.answer_to(other_.ask(request_for(rt::Op::take_over, furnish.target))).status, KERN_SUCCESS);
    EXPECT_EQ(other_.answer_to(other_.ask(furnish)).status, KERN_INVALID_TASK);
    EXPECT_TRUE(std::holds_alternative<launch::Hosting>(job_.next_record(0)));
    job_.shut_down();
}

// A child that ends before it has taken over is nobody's end, unless its source has ended the parent meanwhile.
TEST_F(Move, ReportsAChildThatEndedOnlyWhenItShouldTakeOver) {
    const auto child = make_child();
    EXPECT_EQ(other_.answer_to(other_.ask(request_for(rt::Op::task_terminate, child))).status, KERN_SUCCESS);
    EXPECT_TRUE(job_.is_silent(0, kQuiet));
    EXPECT_EQ(other_.answer_to(other_.ask(request_for(rt::Op::take_over, child))).status, KERN_INVALID_TASK);
    EXPECT_TRUE(std::holds_alternative<launch::Hosting>(job_.next_record(0)));
    expect_exit(job_.next_record(0), 0, "");
    job_.shut_down();
}

// The answer of a node that says it has made a child must name one.
TEST_F(Move, NeedsAChild) {
    job_.run({SIEGE_APP, "move_first"});
    other_.answer(other_.expect(rt::Op::spawn), created(task_of(2, 7)));
    EXPECT_EQ(job_.wait_for_end(), 1 << 8); // the program goes on, and finds that it has not moved
    EXPECT_THAT(job_.err(), HasSubstr("norma_task_teleport"));
    job_.shut_down();
}

} // namespace
} // namespace siege

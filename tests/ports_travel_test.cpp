// SPDX-License-Identifier: BSD-3-Clause
// A right on its way from node to node is somebody's at every moment: in the random world of ports_world.hpp.
#include "tests/ports_world.hpp"

#include <gtest/gtest.h>

#include <array>

namespace norma::rt::test {
namespace {

// One task on each node; the last right to send to a port of node 0 goes to and fro between the other two.
class Travel {
  public:
    explicit Travel(std::uint64_t seed) : world_(seed, 3) {
        for (dsm::NodeId node = 0; node < 3; ++node) {
            tasks_[node] = world_.add_task(node);
            EXPECT_EQ(world_.service(node).allocate(tasks_[node], MACH_PORT_RIGHT_RECEIVE, box_[node]), KERN_SUCCESS);
        }
        std::uint32_t port = 0;
        EXPECT_EQ(world_.service(0).allocate(tasks_[0], MACH_PORT_RIGHT_RECEIVE, port), KERN_SUCCESS);
        travels_ = world_.names(tasks_[0])->find(port)->right;
        give(0, port, 1);
        give(1, box_[1], 2);
        give(2, box_[2], 1);
        Request request;
        request.caller.task = tasks_[0];
        request.args = {port, MACH_NOTIFY_NO_SENDERS, 0, box_[0]};
        world_.service(0).request_notification(request, [](const Reply &) {});
        world_.settle();
    }

    void move(dsm::NodeId from, dsm::NodeId to) {
        auto &names = *world_.names(tasks_[from]);
        Packet packet{};
        packet.head.msgh_bits = unsigned{MACH_MSG_TYPE_COPY_SEND} | MACH_MSGH_BITS_COMPLEX;
        packet.head.msgh_remote_port = names.name_of(world_.names(tasks_[to])->find(box_[to])->right);
        packet.body.msgh_descriptor_count = 1;
        packet.port.name = names.name_of(travels_);
        packet.port.disposition = MACH_MSG_TYPE_MOVE_SEND;
        bool received = false;
        world_.service(to).receive({tasks_[to], 1}, box_[to], 1 << 16, false, -1,
                                   [&](const Reply &reply) { received = reply.status == MACH_MSG_SUCCESS; });
        world_.service(from).send({tasks_[from], 2}, std::as_bytes(std::span(&packet, 1)), -1, [](const Reply &) {});
        while (!received && world_.step()) {
        }
        EXPECT_TRUE(received);
    }

    bool told() { // that nobody has it any more
        bool heard = false;
        world_.settle();
        world_.service(0).receive({tasks_[0], 3}, box_[0], 1 << 16, false, 1,
                                  [&](const Reply &reply) { heard = reply.status == MACH_MSG_SUCCESS; });
        world_.settle();
        return heard;
    }

    void drop(dsm::NodeId at) {
        Letting gone;
        auto &names = *world_.names(tasks_[at]);
        names.deallocate(names.name_of(travels_), gone);
        world_.service(at).let_go(gone);
    }

  private:
    void give(dsm::NodeId from, std::uint32_t name, dsm::NodeId to) {
        world_.service(from).pass(tasks_[from], name, MACH_MSG_TYPE_MAKE_SEND,
                                  {.kind = Right::Kind::task, .task = tasks_[to], .thread = 0}, 0,
                                  [](const Reply &) {});
        world_.settle();
    }

    PortWorld world_;
    std::array<TaskId, 3> tasks_{};
    std::array<std::uint32_t, 3> box_{};
    Right travels_;
};

TEST(PortsTravel, TheLastRightIsNeverNobodys) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        Travel travel(seed);
        for (int i = 0; i < 10; ++i) {
            travel.move(1, 2);
            travel.move(2, 1);
        }
        ASSERT_FALSE(travel.told());
        travel.drop(1);
        ASSERT_TRUE(travel.told());
    }
}

} // namespace
} // namespace norma::rt::test

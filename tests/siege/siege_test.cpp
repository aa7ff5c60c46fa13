// SPDX-License-Identifier: BSD-3-Clause
// A node server that gets what is not meant for it drops it, counts it, says so once, and goes on: the job that runs
// meanwhile comes to the right result.
#include "tests/siege/intruder.hpp"
#include "tests/siege/job.hpp"

#include "rpc/record.hpp"
#include "rpc/transport.hpp"
#include "runtime/server/wire.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <regex>
#include <thread>

namespace siege {
namespace {

using namespace norma;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr unsigned kServers = 2; // real ones
constexpr std::size_t kRepeats = 20;

Bytes random_bytes(std::mt19937_64 &random, std::size_t size) {
    Bytes bytes(size);
    std::ranges::generate(bytes, [&] { return static_cast<std::byte>(random()); });
    return bytes;
}

// A message that node 0 would take, if it came from where it says it does.
rpc::MessageHeader good_header() {
    return {.source = 1,
            .destination = 0,
            .job_key = kJobKey,
            .sequence = 0,
            .source_incarnation = kIncarnation,
            .destination_incarnation = kIncarnation,
            .record_bytes = 8,
            .payload_bytes = 4096};
}

class Siege : public ::testing::TestWithParam<const char *> {
  protected:
    std::uint64_t count(const std::string &name) const {
        std::smatch found;
        const auto text = job_.out();
        EXPECT_TRUE(std::regex_search(text, found, std::regex("\\b" + name + "=([0-9]+)"))) << text;
        return found.empty() ? 0 : std::stoull(found[1]);
    }
    void run_and_attack(std::size_t unwelcome, const std::function<void()> &attack) {
        job_.run({SIEGE_APP, "siege", std::to_string(unwelcome)});
        job_.wait_for_output("begun"); // from here on its memory is there to be attacked
        attack();
        EXPECT_EQ(job_.wait_for_end(), 0);
    }
    // One line, whatever came.
    void expect_one_warning(const char *about) const {
        const auto text = job_.err();
        EXPECT_THAT(text, HasSubstr(about));
        EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
        EXPECT_THAT(text, HasSubstr("norma[node 0]: warning: "));
    }
    Job &job() { return job_; }
    static std::string transport() { return GetParam(); }

  private:
    Job job_{kServers, nodes(), GetParam()};
    // In some tests the last node is the test itself.
    static unsigned nodes() {
        const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
        return name.starts_with("Traitor") ? kServers + 1 : kServers;
    }
};

// Sends a header with `change` applied, with the record it announces: header and record in front, or all in one piece.
void send_changed(Intruder &intruder, const std::function<void(rpc::MessageHeader &)> &change) {
    auto header = good_header();
    change(header);
    Bytes front(rpc::kHeaderBytes + 8, std::byte{7});
    rpc::encode_header(header, std::span(front).first<rpc::kHeaderBytes>());
    Bytes payload(4096, std::byte{0xee});
    for (std::size_t i = 0; i < kRepeats; ++i) {
        if (i % 2 == 0) {
            intruder.send(front, payload);
        } else {
            auto whole = front;
            whole.insert(whole.end(), payload.begin(), payload.end());
            intruder.send({}, whole);
        }
    }
}

TEST_P(Siege, ForeignKey) {
    job().connect({});
    run_and_attack(kRepeats, [&] {
        Intruder intruder(transport(), job().address(0));
        send_changed(intruder, [](auto &header) { header.job_key ^= 1; });
        intruder.flush();
    });
    job().shut_down();
    EXPECT_EQ(count("dropped_key"), kRepeats);
    expect_one_warning("another job");
}

TEST_P(Siege, WrongVersion) {
    job().connect({});
    run_and_attack(2 * kRepeats, [&] {
        Intruder intruder(transport(), job().address(0));
        send_changed(intruder, [](auto &header) { header.version = rpc::kWireVersion + 1; });
        send_changed(intruder, [](auto &header) { header.version = 0; });
        intruder.flush();
    });
    job().shut_down();
    EXPECT_EQ(count("dropped_version"), 2 * kRepeats);
    expect_one_warning("another version");
}

// From a life of node 1 that is over or has not begun, and for another life of node 0.
TEST_P(Siege, OtherIncarnations) {
    job().connect({});
    run_and_attack(3 * kRepeats, [&] {
        Intruder intruder(transport(), job().address(0));
        send_changed(intruder, [](auto &header) { header.source_incarnation = kIncarnation + 1; });
        send_changed(intruder, [](auto &header) { header.source_incarnation = 0x7fffffff; });
        send_changed(intruder, [](auto &header) { header.destination_incarnation = kIncarnation + 1; });
        intruder.flush();
    });
    job().shut_down();
    EXPECT_EQ(count("dropped_incarnation"), 3 * kRepeats);
    expect_one_warning("another life");
}

TEST_P(Siege, Garbage) {
    constexpr std::size_t kSizes[] = {0, 1, 39, 40, 41, 300, 5000};
    job().connect({});
    const auto unwelcome = std::size(kSizes) * 2 * kRepeats + 4 * kRepeats + 1;
    run_and_attack(unwelcome, [&] {
        Intruder intruder(transport(), job().address(0));
        std::mt19937_64 random(5);
        for (std::size_t i = 0; i < kRepeats; ++i) {
            for (const auto size : kSizes) {
                intruder.send(random_bytes(random, std::min<std::size_t>(size, 300)), random_bytes(random, size));
                intruder.send({}, random_bytes(random, size));
            }
        }
        send_changed(intruder, [](auto &header) { header.magic ^= 0x100; });
        send_changed(intruder, [](auto &header) { header.payload_bytes = 0xffffffff; });
        send_changed(intruder, [](auto &header) { header.source = 0; });           // the node itself
        send_changed(intruder, [](auto &header) { header.destination = 0x0101; }); // another node
        intruder.send({}, Bytes(1 << 20, std::byte{1}), Intruder::How::announced); // more than any message has
        intruder.flush();
    });
    job().shut_down();
    EXPECT_EQ(count("dropped_garbage"), unwelcome);
    expect_one_warning("no message of a node server");
}

// A node of the job, with the right key and in the right order, whose records are no good.
TEST_P(Siege, TraitorsRecords) {
    const auto transport = rpc::make_transport(
        {.self = kServers, .kind = GetParam(), .job_key = kJobKey, .incarnation = kIncarnation}, {});
    job().connect({transport->address()});
    transport->connect(0, kIncarnation, job().address(0));
    const dsm::Msg wild{.type = dsm::MsgType::inval, .txn = 1, .base = std::uint64_t{1} << 60, .mask = 1};
    const auto beyond = rt::encode({.home = 0, .incarnation = kIncarnation, .serial = 1}, wild);
    rt::Request forged; // in another node's name
    forged.op = rt::Op::stats;
    forged.caller.node = 1;
    auto cut = rt::encode(forged);
    cut.pop_back();
    std::mt19937_64 random(6);
    auto unknown = random_bytes(random, 72);
    unknown[0] = std::byte{0x77};
    auto damaged = std::as_bytes(std::span(&beyond, 1));
    const std::vector<Bytes> records{{},
                                     unknown,
                                     rt::encode(forged),
                                     cut,
                                     {damaged.begin(), damaged.end()},
                                     {damaged.begin(), damaged.end() - 1},
                                     {static_cast<std::byte>(rt::PeerMsg::reply)},
                                     {static_cast<std::byte>(rt::PeerMsg::bulk), std::byte{9}}};
    const auto unwelcome = records.size() * kRepeats;
    run_and_attack(unwelcome, [&] {
        for (std::size_t i = 0; i < kRepeats; ++i) {
            for (const auto &record : records) {
                transport->send(0, record);
            }
        }
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
        while (std::chrono::steady_clock::now() < until) {
            transport->progress();
        }
    });
    job().shut_down();
    EXPECT_EQ(count("bad_records"), unwelcome);
    EXPECT_EQ(count("dropped_garbage"), 0U);
    expect_one_warning("node 2 sent a record that is no good");
}

INSTANTIATE_TEST_SUITE_P(, Siege, ::testing::Values("ucx", "tcp", "shm"),
                         [](const auto &param) { return std::string(param.param); });

} // namespace
} // namespace siege

// SPDX-License-Identifier: BSD-3-Clause
// What the launcher makes of those who connect to it from outside, whatever they send.
#include "runtime/launcher_gate.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/record.hpp"
#include "runtime/job_proof.hpp"

namespace norma::rt {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

class GateTest : public ::testing::Test {
  protected:
    GateTest()
        : gate_(listen_at({.host = "127.0.0.1", .port = {}}),
                {.size = {.nodes = 3, .founders = 3, .places = 16},
                 .most = 3,
                 .key = "the key",
                 .env = {"NORMA_TRANSPORT=tcp", "NORMA_LOG=info", "HOME=/"},
                 .program = "/bin/app",
                 .cwd = "/tmp"}) {}

    RecordStream visitor() {
        const int fd = begin_to_connect(parse_endpoint(gate_.address()), 0);
        pollfd ready{fd, POLLOUT, 0};
        EXPECT_EQ(::poll(&ready, 1, 5000), 1);
        return {fd, kMaxLaunchBytes};
    }

    static launch::Join good() {
        return {.wire = rpc::kWireVersion, .number = fresh_number(), .node = 0, .host = "there", .settings = {}};
    }

    // What a visitor gets for an answer; nothing if it is closed without one.
    std::optional<launch::Record> answer(RecordStream &stream) {
        Bytes record;
        for (int turn = 0; turn < 500; ++turn) {
            serve();
            switch (stream.receive(record)) {
            case RecordStream::Received::record:
                return launch::decode(record);
            case RecordStream::Received::nothing:
                break;
            default:
                return std::nullopt;
            }
            ::usleep(10'000);
        }
        ADD_FAILURE() << "no answer";
        return std::nullopt;
    }
    template <class T> std::optional<T> answer_of(RecordStream &stream) {
        const auto record = answer(stream);
        return record && std::holds_alternative<T>(*record) ? std::optional(std::get<T>(*record)) : std::nullopt;
    }
    // Says all that a joiner says, and leaves the judgement to be read; the challenge, if there was one.
    std::optional<launch::Challenge> introduce(RecordStream &stream, const launch::Join &join,
                                               std::string_view key = "the key") {
        EXPECT_TRUE(stream.send(launch::encode(join)));
        const auto challenge = answer_of<launch::Challenge>(stream);
        if (challenge) {
            EXPECT_TRUE(stream.send(launch::encode(launch::Proof{proof_of_joiner(key, join, *challenge)})));
        }
        return challenge;
    }
    std::string refusal(const launch::Join &join, std::string_view key = "the key") {
        auto stream = visitor();
        introduce(stream, join, key);
        const auto refused = answer_of<launch::Refused>(stream);
        return refused ? refused->why : "not refused";
    }
    void serve() {
        const auto free_place = [this](unsigned wanted) -> std::optional<unsigned> {
            const auto next = unsigned(guests_.size()) + 1;
            return next > 2 || (wanted != 0 && wanted != next) ? std::nullopt : std::optional(next);
        };
        turned_away_ = gate_.serve(free_place, [this](unsigned node, Gate::Guest guest) {
            EXPECT_EQ(node, guests_.size() + 1);
            guests_.push_back(std::move(guest));
        }) || turned_away_;
    }

    Gate gate_;
    std::vector<Gate::Guest> guests_;
    bool turned_away_ = false; // somebody who knows the key
};

TEST_F(GateTest, AdmitsWhoKnowsTheKeyWhileThereIsAPlace) {
    for (const std::uint16_t node : {1, 2}) {
        auto stream = visitor();
        const auto join = good();
        const auto challenge = introduce(stream, join);
        const auto welcome = answer_of<launch::Welcome>(stream);
        ASSERT_TRUE(challenge && welcome);
        EXPECT_TRUE(is_same(welcome->proof, proof_of_launcher("the key", join, *challenge, *welcome)));
        EXPECT_EQ(*welcome, (launch::Welcome{.proof = welcome->proof,
                                             .node = node,
                                             .nodes = 3,
                                             .founders = 3,
                                             .places = 16,
                                             .settings = {"NORMA_TRANSPORT=tcp", "NORMA_LOG=info"},
                                             .program = "/bin/app",
                                             .cwd = "/tmp"}));
    }
    EXPECT_EQ(guests_.at(0).name.substr(0, 17), "there, 127.0.0.1:");
    EXPECT_EQ(refusal(good()), "the job has all its 3 nodes");
}

TEST_F(GateTest, RefusalsNameTheReason) {
    auto join = good();
    join.wire = 77;
    EXPECT_EQ(refusal(join), fmt::format("its node server speaks version 77, the job's version {}", rpc::kWireVersion));
    join = {
        .version = 9, .wire = 1, .number = {}, .node = 0, .host = "what comes then is not looked at", .settings = {}};
    auto other = visitor();
    EXPECT_TRUE(other.send(launch::encode(join)));
    const auto refused = answer_of<launch::Refused>(other);
    EXPECT_EQ(refused ? refused->why : "",
              fmt::format("its norma speaks version 9 of joining, the launcher's version {}", kJoinVersion));
    join = good();
    join.settings = {"NORMA_TRANSPORT=tcp", "NORMA_STACK_SIZE=9M"};
    EXPECT_EQ(refusal(join), "NORMA_STACK_SIZE=9M there, but NORMA_STACK_SIZE=8M in this job");
    join.settings = {"NORMA_TELEPATHY=yes"};
    EXPECT_EQ(refusal(join), "NORMA_TELEPATHY is not known to the launcher");
    EXPECT_TRUE(guests_.empty());
}

TEST_F(GateTest, WhoDoesNotKnowTheKeyLearnsNothingElse) {
    auto join = good();
    join.wire = 77;
    join.settings = {"NORMA_TELEPATHY=yes"};
    for (const auto *key : {"the kez", "", "the key ", "THE KEY"}) {
        EXPECT_EQ(refusal(join, key), "wrong job key");
    }
    EXPECT_TRUE(guests_.empty());
    EXPECT_FALSE(turned_away_);
}

TEST_F(GateTest, AJoinerMayWantAPlaceOfItsOwn) {
    auto join = good();
    join.node = 2;
    EXPECT_EQ(refusal(join), "the job has no place 2 that is free");
    EXPECT_TRUE(turned_away_);
    join.node = 1;
    auto stream = visitor();
    introduce(stream, join);
    const auto welcome = answer_of<launch::Welcome>(stream);
    ASSERT_TRUE(welcome.has_value());
    EXPECT_EQ(welcome->node, 1);
}

// What somebody has heard of another's joining is of no use to him.
TEST_F(GateTest, WhatWasHeardIsNoProof) {
    auto first = visitor();
    const auto join = good();
    const auto challenge = introduce(first, join);
    ASSERT_TRUE(challenge && answer_of<launch::Welcome>(first));
    auto second = visitor();
    EXPECT_TRUE(second.send(launch::encode(join)));
    const auto fresh = answer_of<launch::Challenge>(second);
    ASSERT_TRUE(fresh && fresh->number != challenge->number);
    EXPECT_TRUE(second.send(launch::encode(launch::Proof{proof_of_joiner("the key", join, *challenge)})));
    const auto refused = answer_of<launch::Refused>(second);
    EXPECT_EQ(refused ? refused->why : "", "wrong job key");
    EXPECT_EQ(guests_.size(), 1U);
}

TEST_F(GateTest, AProofIsForWhatWasSaidAndForOneSide) {
    const auto join = good();
    const launch::Challenge challenge{.number = fresh_number()};
    const auto proof = proof_of_joiner("the key", join, challenge);
    auto elsewhere = join;
    elsewhere.host = "elsewhere";
    EXPECT_FALSE(is_same(proof, proof_of_joiner("the key", elsewhere, challenge)));
    const launch::Welcome welcome{
        .proof = {}, .node = 1, .nodes = 2, .settings = {}, .program = "/bin/app", .cwd = "/"};
    const auto answer = proof_of_launcher("the key", join, challenge, welcome);
    EXPECT_FALSE(is_same(proof, answer));
    auto other = welcome;
    other.program = "/bin/sh";
    EXPECT_FALSE(is_same(answer, proof_of_launcher("the key", join, challenge, other)));
    other = welcome;
    other.proof = answer;
    EXPECT_TRUE(is_same(answer, proof_of_launcher("the key", join, challenge, other)));
}

TEST_F(GateTest, AnIntroductionMayComeByteByByte) {
    auto stream = visitor();
    const auto join = good();
    const auto record = launch::encode(join);
    Bytes bytes(4);
    bytes[0] = static_cast<std::byte>(record.size());
    bytes.insert(bytes.end(), record.begin(), record.end());
    for (const auto byte : bytes) {
        EXPECT_TRUE(guests_.empty());
        ASSERT_EQ(::send(stream.fd(), &byte, 1, 0), 1);
        serve();
    }
    const auto challenge = answer_of<launch::Challenge>(stream);
    ASSERT_TRUE(challenge.has_value());
    EXPECT_TRUE(stream.send(launch::encode(launch::Proof{proof_of_joiner("the key", join, *challenge)})));
    EXPECT_TRUE(answer_of<launch::Welcome>(stream).has_value());
    EXPECT_EQ(guests_.size(), 1U);
}

TEST_F(GateTest, WhatNoJoinerSaysIsClosedWithoutAnAnswer) {
    const auto join = launch::encode(good());
    auto other_magic = join;
    other_magic[1] ^= std::byte{1};
    auto cut = join;
    cut.pop_back();
    for (const auto &record : {other_magic, cut, launch::encode(launch::Shutdown{}), launch::encode(launch::Proof{}),
                               Bytes(kMaxJoinBytes + 1)}) {
        auto stream = visitor();
        EXPECT_TRUE(stream.send(record));
        EXPECT_FALSE(answer(stream).has_value());
    }
    auto twice = visitor();
    EXPECT_TRUE(twice.send(join));
    EXPECT_TRUE(answer_of<launch::Challenge>(twice).has_value());
    EXPECT_TRUE(twice.send(join));
    EXPECT_FALSE(answer(twice).has_value());
    auto nothing = visitor();
    const std::uint32_t no_length = 0;
    ASSERT_EQ(::send(nothing.fd(), &no_length, sizeof no_length, 0), 4);
    EXPECT_FALSE(answer(nothing).has_value());
    EXPECT_TRUE(guests_.empty());
}

TEST_F(GateTest, ACrowdThatSaysNothingKeepsNobodyOutForLong) {
    std::vector<RecordStream> crowd;
    for (int i = 0; i < 80; ++i) {
        crowd.push_back(visitor());
        serve();
    }
    Bytes none;
    EXPECT_EQ(crowd.front().receive(none), RecordStream::Received::nothing);
    EXPECT_EQ(crowd.back().receive(none), RecordStream::Received::closed) << "it was one too many";
    ASSERT_TRUE(gate_.deadline().has_value());
    EXPECT_LT(*gate_.deadline() - Gate::Clock::now(), 11s);
    std::vector<pollfd> fds;
    gate_.add_to(fds);
    EXPECT_EQ(fds.size(), 65U);
    crowd.clear();
    serve();
    EXPECT_FALSE(gate_.deadline().has_value());
}

TEST_F(GateTest, AHostThatVanishesIsMissed) {
    const auto stream = visitor();
    const auto option = [&](int level, int name) {
        int value = -1;
        socklen_t size = sizeof value;
        ::getsockopt(stream.fd(), level, name, &value, &size);
        return value;
    };
    EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 15'000);
}

TEST(Endpoint, IsReadAndWritten) {
    for (const auto *text : {"192.0.2.1:4000", "host:1", "[::1]:65535", "host"}) {
        EXPECT_EQ(format_endpoint(parse_endpoint(text)), text);
    }
    for (const auto *text : {"", ":4000", "host:", "host:0", "host:65536", "host:4o", "::1:4000", "[::1", "[]:1",
                             "[::1]4000", "host:-1", "host: 1"}) {
        EXPECT_THROW(parse_endpoint(text), std::invalid_argument) << text;
    }
}

TEST(Addresses, OfAListenerAreWhereItCanBeReached) {
    const int listener = listen_anywhere();
    const auto found = addresses_of(listener);
    ASSERT_FALSE(found.empty());
    EXPECT_TRUE(std::ranges::is_sorted(found, {}, is_loopback)) << "others' hosts first";
    for (const auto &endpoint : found) {
        EXPECT_EQ(endpoint.port, local_endpoint(listener).port);
        const int fd = begin_to_connect(endpoint, 0);
        pollfd ready{fd, POLLOUT, 0};
        EXPECT_EQ(::poll(&ready, 1, 5000), 1) << format_endpoint(endpoint);
        EXPECT_EQ(connect_outcome(fd), 0) << format_endpoint(endpoint);
        ::close(fd);
    }
    ::close(listener);
    const int local = listen_at({.host = "127.0.0.1", .port = {}});
    EXPECT_EQ(addresses_of(local).size(), 1U);
    EXPECT_EQ(addresses_of(local).front().host, "127.0.0.1");
    ::close(local);
}

TEST(JobSettings, TheLauncherHasTheLastWordWhereAllMustAgree) {
    const Environment job{"NORMA_TRANSPORT=tcp", "NORMA_LOG=info",     "NORMA_MEMORY=1G",
                          "NORMA_JOB_KEY=k",     "NORMA_HOST_NODES=2", "PATH=/bin"};
    const Environment host{"NORMA_LOG=debug", "NORMA_JOB_KEY=k", "HOME=/home"};
    EXPECT_EQ(settings_for_joiners(job), (Environment{"NORMA_TRANSPORT=tcp", "NORMA_LOG=info", "NORMA_MEMORY=1G"}));
    EXPECT_EQ(settings_to_agree_on(host), Environment{});
    EXPECT_EQ(joined_environment(host, settings_for_joiners(job)),
              (Environment{"NORMA_LOG=debug", "HOME=/home", "NORMA_HOST_NODES=1", "UCX_NET_DEVICES=all",
                           "NORMA_TRANSPORT=tcp", "NORMA_MEMORY=1G"}));
    const auto careful = joined_environment({"UCX_NET_DEVICES=eth1", "NORMA_HOST_NODES=2"}, {});
    EXPECT_EQ(careful, (Environment{"UCX_NET_DEVICES=eth1", "NORMA_HOST_NODES=2"})) << "what the user has said stays";
    EXPECT_EQ(disagreement({}, {"NORMA_TRANSPORT=ucx"}), std::nullopt) << "the default, said aloud";
    EXPECT_TRUE(disagreement({}, {"NORMA_TRANSPORT=tcp"}).has_value());
}

} // namespace
} // namespace norma::rt

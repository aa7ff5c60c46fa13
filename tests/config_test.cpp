// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/config.hpp"
#include "runtime/values.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

namespace {

using namespace norma::rt;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// An environment made of the given entries, as load_config() takes it.
class Environment {
  public:
    Environment(std::initializer_list<const char *> entries) : entries_(entries) { entries_.push_back(nullptr); }
    operator const char * const *() const { return entries_.data(); }

  private:
    std::vector<const char *> entries_;
};

std::string mistake(std::initializer_list<const char *> entries) {
    const auto mistakes = config_mistakes(Environment(entries));
    EXPECT_EQ(mistakes.size(), 1u) << testing::PrintToString(mistakes);
    return mistakes.empty() ? "" : mistakes.front();
}

TEST(Config, AnEmptyEnvironmentGivesTheDefaults) {
    const Config config = load_config(Environment{});
    EXPECT_EQ(config.transport, "ucx");
    EXPECT_EQ(config.wait, WaitMode::adaptive);
    EXPECT_EQ(config.spin, 50us);
    EXPECT_EQ(config.call_timeout, 10s);
    EXPECT_EQ(config.stack_size, 8u << 20);
    EXPECT_EQ(config.window_base, 0x200000000000u);
    EXPECT_EQ(config.window_size, 16ull << 40);
    EXPECT_EQ(config.memory, 0u);
    EXPECT_EQ(config.prefetch, 64u);
    EXPECT_EQ(config.bind, BindMode::cores);
    EXPECT_EQ(config.log, LogLevel::warn);
    EXPECT_EQ(config.uffd, UffdMode::automatic);
    EXPECT_EQ(config.task_fd, -1);
}

TEST(Config, EveryVariableReachesItsField) {
    const Config config = load_config(Environment{
        "NORMA_TRANSPORT=shm", "NORMA_WAIT=block", "NORMA_SPIN=7ms", "NORMA_CALL_TIMEOUT=250ms", "NORMA_STACK_SIZE=64K",
        "NORMA_LEASE=9s", "NORMA_WINDOW_BASE=0x300000000000", "NORMA_WINDOW_SIZE=2T", "NORMA_MEMORY=3G",
        "NORMA_PREFETCH=0", "NORMA_BIND=none", "NORMA_LOG=debug", "NORMA_UFFD=user", "NORMA_TASK_FD=12"});
    EXPECT_EQ(config.transport, "shm");
    EXPECT_EQ(config.wait, WaitMode::block);
    EXPECT_EQ(config.spin, 7ms);
    EXPECT_EQ(config.call_timeout, 250ms);
    EXPECT_EQ(config.lease, 9s);
    EXPECT_EQ(config.stack_size, 64u << 10);
    EXPECT_EQ(config.window_base, 0x300000000000u);
    EXPECT_EQ(config.window_size, 2ull << 40);
    EXPECT_EQ(config.memory, 3ull << 30);
    EXPECT_EQ(config.prefetch, 0u);
    EXPECT_EQ(config.bind, BindMode::none);
    EXPECT_EQ(config.log, LogLevel::debug);
    EXPECT_EQ(config.uffd, UffdMode::user);
    EXPECT_EQ(config.task_fd, 12);
}

TEST(Config, OtherVariablesAreNotLookedAt) {
    EXPECT_THAT(config_mistakes(Environment{"PATH=/bin", "NORMAL=1", "XNORMA_WAIT=no", "NORMA"}), IsEmpty());
}

TEST(Config, AWrongValueIsNamedWithWhatIsAllowed) {
    EXPECT_EQ(mistake({"NORMA_WAIT=sleep"}), "NORMA_WAIT=sleep: it must be one of: adaptive spin block");
    EXPECT_EQ(mistake({"NORMA_SPIN=2s"}),
              "NORMA_SPIN=2s: it must be a time from 0us to 1s: a whole number with us, ms or s");
    EXPECT_EQ(mistake({"NORMA_STACK_SIZE=4K"}),
              "NORMA_STACK_SIZE=4K: it must be a size from 64K to 1T: a whole number, with K, M, G or T if need be");
    EXPECT_EQ(mistake({"NORMA_PREFETCH=65"}), "NORMA_PREFETCH=65: it must be a whole number from 0 to 64");
    EXPECT_THAT(mistake({"NORMA_WINDOW_BASE=4096"}), HasSubstr("an address from 0x200000 to 0x7fff00000000"));
    EXPECT_THAT(mistake({"NORMA_LOG="}), HasSubstr("NORMA_LOG=: it must be one of: error warn info debug"));
}

TEST(Config, TheWindowMustBeAlignedAndFit) {
    EXPECT_THAT(mistake({"NORMA_WINDOW_BASE=0x200000001000"}), HasSubstr("multiple of 2 MiB"));
    EXPECT_THAT(mistake({"NORMA_WINDOW_BASE=0x7f0000000000"}), HasSubstr("would end above"));
}

TEST(Config, AnUnknownVariableIsNamedWithTheNearest) {
    EXPECT_EQ(mistake({"NORMA_TRASNPORT=tcp"}),
              "NORMA_TRASNPORT: there is no such variable; did you mean NORMA_TRANSPORT?");
    EXPECT_EQ(mistake({"NORMA_FRUIT_BASKET=1"}),
              "NORMA_FRUIT_BASKET: there is no such variable; `norma info` lists those there are");
}

TEST(Config, AllMistakesAreReportedAtOnce) {
    const Environment environment{"NORMA_WAIT=x", "NORMA_SPIM=1s"};
    EXPECT_THAT(config_mistakes(environment), ElementsAre(HasSubstr("NORMA_WAIT=x"), HasSubstr("NORMA_SPIM")));
    try {
        load_config(environment);
        FAIL() << "no error";
    } catch (const ConfigError &error) {
        EXPECT_THAT(error.what(), HasSubstr("NORMA_WAIT=x: it must be one of"));
        EXPECT_THAT(error.what(), HasSubstr("\nNORMA_SPIM"));
    }
}

TEST(Config, TheTableIsInOrder) {
    std::set<std::string_view> names;
    for (const Variable &variable : variables()) {
        EXPECT_TRUE(names.insert(variable.name).second) << variable.name << " stands twice";
        EXPECT_TRUE(variable.name.starts_with("NORMA_")) << variable.name;
        EXPECT_FALSE(variable.meaning.empty()) << variable.name;
        EXPECT_NE(variable.store, nullptr) << variable.name;
        const std::string entry = std::string(variable.name) + "=" + std::string(variable.fallback);
        EXPECT_THAT(config_mistakes(Environment{entry.c_str()}), IsEmpty());
    }
}

TEST(Values, Bytes) {
    EXPECT_EQ(parse_bytes("0"), 0);
    EXPECT_EQ(parse_bytes("123"), 123);
    EXPECT_EQ(parse_bytes("2K"), 2048);
    EXPECT_EQ(parse_bytes("16T"), std::int64_t{16} << 40);
    for (const char *wrong :
         {"", "K", "-1", "1.5G", "1k", "1KB", " 1", "1 ", "0x10", "9223372036854775808", "8388608T"}) {
        EXPECT_EQ(parse_bytes(wrong), std::nullopt) << wrong;
    }
    EXPECT_EQ(format_bytes(0), "0");
    EXPECT_EQ(format_bytes(8 << 20), "8M");
    EXPECT_EQ(format_bytes((8 << 20) + 1), "8388609");
}

TEST(Values, Time) {
    EXPECT_EQ(parse_time("0"), 0);
    EXPECT_EQ(parse_time("50us"), 50'000);
    EXPECT_EQ(parse_time("10ms"), 10'000'000);
    EXPECT_EQ(parse_time("2s"), 2'000'000'000);
    for (const char *wrong : {"", "1", "s", "-1s", "1.5s", "1m", "5us ", "99999999999s"}) {
        EXPECT_EQ(parse_time(wrong), std::nullopt) << wrong;
    }
    EXPECT_EQ(format_time(50us), "50us");
    EXPECT_EQ(format_time(2s), "2s");
    EXPECT_EQ(format_time(1500ms), "1500ms");
    EXPECT_EQ(format_time(0s), "0us");
}

TEST(Values, IntegersAddressesAndBooleans) {
    EXPECT_EQ(parse_integer("-1"), -1);
    EXPECT_EQ(parse_integer("+1"), std::nullopt);
    EXPECT_EQ(parse_integer("1x"), std::nullopt);
    EXPECT_EQ(parse_address("0x2000"), 0x2000);
    EXPECT_EQ(parse_address("2000"), std::nullopt);
    EXPECT_EQ(parse_address("0x"), std::nullopt);
    EXPECT_EQ(parse_address("0x-1"), std::nullopt);
    EXPECT_EQ(parse_boolean("yes"), 1);
    EXPECT_EQ(parse_boolean("0"), 0);
    EXPECT_EQ(parse_boolean("maybe"), std::nullopt);
}

TEST(Values, ChoicesAreWholeWords) {
    EXPECT_EQ(parse_choice("a", "a|bc|d"), 0);
    EXPECT_EQ(parse_choice("bc", "a|bc|d"), 1);
    EXPECT_EQ(parse_choice("d", "a|bc|d"), 2);
    EXPECT_EQ(parse_choice("b", "a|bc|d"), std::nullopt);
    EXPECT_EQ(parse_choice("", "a|bc|d"), std::nullopt);
    EXPECT_EQ(parse_choice("a|bc", "a|bc|d"), std::nullopt);
}

TEST(Values, EditDistance) {
    EXPECT_EQ(edit_distance("", ""), 0u);
    EXPECT_EQ(edit_distance("abc", "abc"), 0u);
    EXPECT_EQ(edit_distance("", "abc"), 3u);
    EXPECT_EQ(edit_distance("abc", "abd"), 1u);
    EXPECT_EQ(edit_distance("abcd", "acbd"), 1u);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Log, OneLinePerEventAtOrAboveTheLevel) {
    set_log_name("node 1");
    set_log_level(LogLevel::warn);
    testing::internal::CaptureStderr();
    log_warning("{} pages", 3);
    log_info("not shown");
    set_log_name("");
    log_error("plain");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "norma[node 1]: warning: 3 pages\nnorma: error: plain\n");
}

} // namespace

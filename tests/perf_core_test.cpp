// SPDX-License-Identifier: BSD-3-Clause
// `norma perf` without a job: options, statistics, JSON.
#include <algorithm>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/perf/options.hpp"
#include "bench/perf/plot.hpp"
#include "bench/perf/report.hpp"
#include "bench/perf/stats.hpp"

namespace {

using namespace norma::bench;
using ::testing::EndsWith;
using ::testing::HasSubstr;

RawSettings given(const std::string &test, const std::string &size = "") {
    RawSettings raw;
    raw.test = test;
    raw.size = size;
    return raw;
}

RawSettings swept(const std::string &test) {
    auto raw = given(test);
    raw.sweep = true;
    return raw;
}

RawSettings plotted(RawSettings raw, const std::string &file) {
    raw.plot = file;
    return raw;
}

std::string mistake(const RawSettings &raw, unsigned nodes = 2) {
    try {
        settings(raw, nodes);
        return "none";
    } catch (const WrongOption &error) {
        return error.what();
    }
}

TEST(PerfStats, PercentilesAreSamples) {
    std::vector<double> samples(1000);
    std::iota(samples.rbegin(), samples.rend(), 1.0);
    const auto summary = summarize(samples);
    EXPECT_EQ(summary.min, 1);
    EXPECT_EQ(summary.median, 500);
    EXPECT_EQ(summary.avg, 500.5);
    EXPECT_EQ(summary.p99, 990);
    EXPECT_EQ(summary.p999, 999);
    EXPECT_EQ(summary.max, 1000);
}

TEST(PerfStats, OneSampleIsEverything) {
    const auto summary = summarize({7});
    for (const double value : {summary.min, summary.median, summary.avg, summary.p99, summary.p999, summary.max}) {
        EXPECT_EQ(value, 7);
    }
}

TEST(PerfOptions, SizesHaveUnitsAndBounds) {
    EXPECT_EQ(settings(given("stream_read", "128M"), 2).size, 128U << 20);
    EXPECT_EQ(settings(given("clone", "8G"), 2).size, 8ULL << 30);
    EXPECT_FALSE(settings(given("stream_read"), 2).size.has_value());
    EXPECT_THAT(mistake(given("stream_read", "0")), HasSubstr("-s 0:"));
    EXPECT_THAT(mistake(given("stream_read", "9G")), HasSubstr("from 1M to 8G"));
    EXPECT_THAT(mistake(given("stream_read", "1048577")), HasSubstr("whole pages"));
    EXPECT_THAT(mistake(given("stream_read", "-1")), HasSubstr("-s -1:"));
    EXPECT_THAT(mistake(given("stream_read", "many")), HasSubstr("many"));
    EXPECT_THAT(mistake(given("fault_read", "4096")), HasSubstr("fixed"));
    EXPECT_THAT(mistake(given("all", "64M")), HasSubstr("one test"));
}

TEST(PerfOptions, UnknownTestsAndTooFewNodesAreNamed) {
    EXPECT_THAT(mistake(given("fault_raed")), HasSubstr("'fault_raed'"));
    EXPECT_THAT(mistake(given("fault_read"), 1), HasSubstr("-N 1: at least 2 nodes"));
}

TEST(PerfOptions, AllIsEveryTestOfTheProgramThatIsNoWholeOne) {
    const auto whole = std::ranges::count_if(tests(), &TestInfo::whole_program);
    const auto chosen = chosen_tests(settings(given("all"), 2));
    EXPECT_EQ(std::ranges::count_if(chosen, &TestInfo::whole_program), 0);
    EXPECT_EQ(chosen.size() + static_cast<std::size_t>(whole), tests().size());
    const auto alone = chosen_tests(settings(given("migrate"), 2));
    ASSERT_EQ(alone.size(), 1U);
    EXPECT_TRUE(alone[0].whole_program);
}

TEST(PerfOptions, CountsReplaceTheTestsOwn) {
    auto raw = given("barrier");
    raw.iterations = 17;
    raw.warmup = 3;
    const auto chosen = chosen_tests(settings(raw, 2));
    ASSERT_EQ(chosen.size(), 1U);
    EXPECT_EQ(chosen[0].iterations, 17U);
    EXPECT_EQ(chosen[0].warmup, 3U);
}

TEST(PerfOptions, ASweepIsEveryPowerOfTwoUpToTheTestsMaximum) {
    const auto sizes = chosen_tests(settings(swept("get_lat"), 2));
    ASSERT_EQ(sizes.size(), 24U);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        EXPECT_EQ(sizes[i].size, std::uint64_t{8} << i);
    }
    EXPECT_EQ(sizes.back().size, 64U << 20);
    EXPECT_EQ(chosen_tests(settings(swept("am_lat"), 2)).back().size, 256U << 10);
    EXPECT_EQ(chosen_tests(settings(swept("stream_read"), 2)).front().size, 1U << 20);
    EXPECT_EQ(chosen_tests(settings(swept("stream_read"), 2)).back().size, 1U << 30);
}

TEST(PerfOptions, ASweepRepeatsLargeSizesLessOften) {
    const auto sizes = chosen_tests(settings(swept("get_lat"), 2));
    EXPECT_EQ(sizes.front().iterations, 2000U);
    EXPECT_EQ(sizes.front().warmup, 200U);
    EXPECT_EQ(sizes.back().iterations, 5U);
    EXPECT_EQ(sizes.back().warmup, 1U);
    auto raw = swept("get_lat");
    raw.iterations = 3;
    raw.warmup = 0;
    for (const auto &one : chosen_tests(settings(raw, 2))) {
        EXPECT_EQ(one.iterations, 3U);
        EXPECT_EQ(one.warmup, 0U);
    }
}

TEST(PerfOptions, AllSizesOfAllTestsIncludesThoseWithoutASize) {
    const auto chosen = chosen_tests(settings(swept("all"), 2));
    const auto count = [&](std::string_view name) {
        return std::count_if(chosen.begin(), chosen.end(), [&](const auto &test) { return test.name == name; });
    };
    EXPECT_EQ(count("barrier"), 1);
    EXPECT_EQ(count("am_bw"), 16);
}

TEST(PerfOptions, WhatCannotBeSweptOrDrawnIsNamed) {
    EXPECT_THAT(mistake(swept("fault_read")), HasSubstr("-a: the size of fault_read is fixed"));
    auto both = swept("clone");
    both.size = "4K";
    EXPECT_THAT(mistake(both), HasSubstr("-s 4K: with -a"));
    EXPECT_THAT(mistake(plotted(given("am_lat"), "x.png")), HasSubstr("--plot x.png: what is drawn"));
    EXPECT_THAT(mistake(plotted(swept("all"), "x.png")), HasSubstr("--plot x.png: what is drawn"));
    EXPECT_THAT(mistake(plotted(swept("am_lat"), "x.gif")), HasSubstr("--plot x.gif:"));
    EXPECT_EQ(mistake(plotted(swept("am_lat"), "x.png")), "none");
}

const Setting kSetting{"tcp", "spin", "6.1.0", "abc\"def", 2, {}};

TEST(PerfReport, BothWaysCountTwice) {
    EXPECT_EQ(bandwidth_row("bibw", 1000, {2}, 1, 2).mb_per_s, 1000);
    EXPECT_EQ(bandwidth_row("bibw", 1000, {2}, 1, 2).ratio(), 2);
}

TEST(PerfReport, CsvHasTheSameFields) {
    const auto csv =
        to_csv(kSetting, {latency_row("fault_read", 4096, {10, 12, 14}, 6), bandwidth_row("am_bw", 1000, {2})});
    EXPECT_EQ(csv, "test,transport,wait,nodes,size,iterations,min_us,median_us,avg_us,p99_us,p999_us,max_us,mb_per_s,"
                   "floor_us,ratio_to_floor,kernel,commit\n"
                   "fault_read,tcp,spin,2,4096,3,10.000,12.000,12.000,14.000,14.000,14.000,,6.000,2.000,6.1.0,"
                   "\"abc\"\"def\"\n"
                   "am_bw,tcp,spin,2,1000,1,2.000,2.000,2.000,2.000,2.000,2.000,500.000,,,6.1.0,\"abc\"\"def\"\n");
}

TEST(PerfPlot, DrawsMedianAndFloorBySize) {
    const auto script =
        plot_script(kSetting, {latency_row("get_lat", 8, {4}, 2), latency_row("get_lat", 16, {5}, 2.5)}, "it's.png");
    EXPECT_THAT(script, HasSubstr("set output 'it''s.png'\n"));
    EXPECT_THAT(script, HasSubstr("'get_lat over tcp, 2 nodes, wait spin'"));
    EXPECT_THAT(script, HasSubstr("set ylabel 'microseconds'"));
    EXPECT_THAT(script, EndsWith("8 4.000\n16 5.000\ne\n8 2.000\n16 2.500\ne\n"));
}

TEST(PerfPlot, DrawsBandwidthWhereThereIsOne) {
    const auto script = plot_script(kSetting, {bandwidth_row("am_bw", 1000, {2}, 1)}, "x.png");
    EXPECT_THAT(script, HasSubstr("set ylabel 'MB/s'"));
    EXPECT_THAT(script, EndsWith("1000 500.000\ne\n1000 1000.000\ne\n"));
}

TEST(PerfReport, JsonHasExactlyTheseFields) {
    const auto json =
        to_json(kSetting, {latency_row("fault_read", 4096, {10, 12, 14}, 6), bandwidth_row("am_bw", 1000, {2})});
    EXPECT_EQ(json, "[\n"
                    R"({"test": "fault_read", "transport": "tcp", "wait": "spin", "nodes": 2, "size": 4096, )"
                    R"("iterations": 3, "min_us": 10.000, "median_us": 12.000, "avg_us": 12.000, "p99_us": 14.000, )"
                    R"("p999_us": 14.000, "max_us": 14.000, "mb_per_s": null, "floor_us": 6.000, )"
                    R"("ratio_to_floor": 2.000, "kernel": "6.1.0", "commit": "abc\"def"},)"
                    "\n"
                    R"({"test": "am_bw", "transport": "tcp", "wait": "spin", "nodes": 2, "size": 1000, )"
                    R"("iterations": 1, "min_us": 2.000, "median_us": 2.000, "avg_us": 2.000, "p99_us": 2.000, )"
                    R"("p999_us": 2.000, "max_us": 2.000, "mb_per_s": 500.000, "floor_us": null, )"
                    R"("ratio_to_floor": null, "kernel": "6.1.0", "commit": "abc\"def"})"
                    "\n]\n");
}

} // namespace

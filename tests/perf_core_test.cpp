// SPDX-License-Identifier: BSD-3-Clause
// `norma perf` without a job: options, statistics, JSON.
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/perf/options.hpp"
#include "bench/perf/report.hpp"
#include "bench/perf/stats.hpp"

namespace {

using namespace norma::bench;
using ::testing::HasSubstr;

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
    EXPECT_EQ(settings({"stream_read", "128M", "", {}, {}}, 2).size, 128U << 20);
    EXPECT_EQ(settings({"clone", "8G", "", {}, {}}, 2).size, 8ULL << 30);
    EXPECT_FALSE(settings({"stream_read", "", "", {}, {}}, 2).size.has_value());
    EXPECT_THAT(mistake({"stream_read", "0", "", {}, {}}), HasSubstr("-s 0:"));
    EXPECT_THAT(mistake({"stream_read", "9G", "", {}, {}}), HasSubstr("from 1M to 8G"));
    EXPECT_THAT(mistake({"stream_read", "1048577", "", {}, {}}), HasSubstr("whole pages"));
    EXPECT_THAT(mistake({"stream_read", "-1", "", {}, {}}), HasSubstr("-s -1:"));
    EXPECT_THAT(mistake({"stream_read", "many", "", {}, {}}), HasSubstr("many"));
    EXPECT_THAT(mistake({"fault_read", "4096", "", {}, {}}), HasSubstr("fixed"));
    EXPECT_THAT(mistake({"all", "64M", "", {}, {}}), HasSubstr("one test"));
}

TEST(PerfOptions, UnknownTestsAndTooFewNodesAreNamed) {
    EXPECT_THAT(mistake({"fault_raed", "", "", {}, {}}), HasSubstr("'fault_raed'"));
    EXPECT_THAT(mistake({"fault_read", "", "", {}, {}}, 1), HasSubstr("-N 1: at least 2 nodes"));
}

TEST(PerfOptions, AllIsEveryTest) {
    EXPECT_EQ(chosen_tests(settings({"all", "", "", {}, {}}, 2)).size(), tests().size());
}

TEST(PerfOptions, CountsReplaceTheTestsOwn) {
    const auto chosen = chosen_tests(settings({"barrier", "", "", 17, 3}, 2));
    ASSERT_EQ(chosen.size(), 1U);
    EXPECT_EQ(chosen[0].iterations, 17U);
    EXPECT_EQ(chosen[0].warmup, 3U);
}

TEST(PerfReport, JsonHasExactlyTheseFields) {
    const Setting setting{"tcp", "spin", "6.1.0", "abc\"def", 2, {}};
    const auto json =
        to_json(setting, {latency_row("fault_read", 4096, {10, 12, 14}, 6), bandwidth_row("am_bw", 1000, {2})});
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

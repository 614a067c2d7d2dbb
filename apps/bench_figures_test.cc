// Medians and their intervals, against values worked out by hand.
#include "apps/bench_figures.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace gantry {
namespace {

TEST(Median, MiddleOrMeanOfTheMiddleTwo) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({4, 1, 2, 100}), 3);
}

TEST(MedianInterval, FewValuesGiveTheirRangeAndSayWhatItCovers) {
  EXPECT_EQ(median_interval({}).count, 0U);
  const MedianInterval one = median_interval({3});
  EXPECT_EQ(one.low, 3);
  EXPECT_EQ(one.high, 3);
  EXPECT_EQ(one.coverage, 0);
  const MedianInterval five = median_interval({5, 4, 3, 2, 1});
  EXPECT_EQ(five.low, 1);
  EXPECT_EQ(five.high, 5);
  EXPECT_DOUBLE_EQ(five.coverage, 0.9375);  // 1 - 2 / 2^5
}

TEST(MedianInterval, ManyValuesAreCutToNinetyFivePerCent) {
  // n = 6: the range covers 1 - 2/64. n = 9: leaving out one at each end, 1 - 2 * 10/512.
  EXPECT_DOUBLE_EQ(median_interval({1, 2, 3, 4, 5, 6}).coverage, 0.96875);
  const MedianInterval nine = median_interval({9, 8, 7, 6, 5, 4, 3, 2, 1});
  EXPECT_EQ(nine.median, 5);
  EXPECT_EQ(nine.low, 2);
  EXPECT_EQ(nine.high, 8);
  EXPECT_DOUBLE_EQ(nine.coverage, 0.9609375);
}

TEST(MedianInterval, HoldsTheTrueMedianAsOftenAsItSays) {
  // Of the uniform distribution on [0, 1), whose median is 1/2.
  Rng rng(5);
  int held = 0;
  constexpr int kTrials = 2000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values;
    for (int i = 0; i < 11; ++i) {
      values.push_back(static_cast<double>(rng.below(1 << 20)) / (1 << 20));
    }
    const MedianInterval got = median_interval(values);
    held += got.low <= 0.5 && 0.5 <= got.high ? 1 : 0;
  }
  EXPECT_GT(held, kTrials * 95 / 100);
  EXPECT_LT(held, kTrials);  // an interval that always holds it would be too wide
}

TEST(RatioInterval, PairsNotMedians) {
  // Both drift by the same factor: the ratio stands still.
  const std::vector<double> a = {2, 4, 8, 16}, b = {1, 2, 4, 8};
  const MedianInterval ratio = ratio_interval(a, b);
  EXPECT_EQ(ratio.low, 2);
  EXPECT_EQ(ratio.median, 2);
  EXPECT_EQ(ratio.high, 2);
  const std::vector<double> with_zero = {0, 2, 4, 8};
  EXPECT_EQ(ratio_interval(a, with_zero).count, 3U);
  EXPECT_EQ(ratio_interval(a, {}).count, 0U);
}

TEST(OverlapShare, WhatIsHiddenOfWhatMoved) {
  EXPECT_DOUBLE_EQ(overlap_share(10, 4), 0.6);
  EXPECT_EQ(overlap_share(10, 0), 1);
  EXPECT_EQ(overlap_share(10, 12), 0);  // waiting for the first byte is longer than moving it
  EXPECT_EQ(overlap_share(0, 0), 1);
}

}  // namespace
}  // namespace gantry

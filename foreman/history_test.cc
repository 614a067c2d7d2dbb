// What is learnt from loads, and that a wrong figure does not stay.
#include "foreman/history.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

const Bytes kTotal = GiB(16);
const WallTime kNow{Millis(1'000'000'000'000)};

LoadSeen load(Bytes predicted, Bytes measured, LoadEnd end = LoadEnd::kUnloaded) {
  LoadSeen seen;
  seen.at = kNow;
  seen.end = end;
  seen.bytes = {{"cpu", predicted, measured}};
  return seen;
}

TEST(History, WordsOfEnds) {
  for (const LoadEnd end : {LoadEnd::kLoaded, LoadEnd::kUnloaded, LoadEnd::kDied, LoadEnd::kGrew}) {
    EXPECT_EQ(parse_load_end(load_end_name(end)), end);
  }
  EXPECT_EQ(parse_load_end("?"), LoadEnd::kLoaded);
}

TEST(History, ErrorsAreRelativeToThePrediction) {
  EXPECT_DOUBLE_EQ(*load(MiB(100), MiB(110)).bytes[0].error(), 110.0 / 100 - 1);
  EXPECT_FALSE((LoadBytes{"cpu", MiB(1), std::nullopt}.error()));
  EXPECT_FALSE((LoadBytes{"cpu", {}, MiB(1)}.error()));
}

TEST(History, SoMuchIsNoGrowth) {
  EXPECT_EQ(growth_limit(MiB(100)), MiB(116));  // 16 MiB where 3 % are less
  EXPECT_EQ(growth_limit(MiB(1000)), MiB(1030));
  EXPECT_EQ(growth_limit(Bytes{UINT64_MAX}), Bytes{UINT64_MAX});
}

TEST(History, TheHighestOfTheRecentLoadsCounts) {
  const std::vector<LoadSeen> loads = {load(MiB(100), MiB(110)), load(MiB(100), MiB(130)),
                                       load(MiB(100), MiB(90))};
  const auto learnt = learn(loads, kNow, kTotal);
  ASSERT_TRUE(learnt);
  EXPECT_EQ(learnt->need, MiB(130));
  EXPECT_EQ(learnt->excess, MiB(30));
  EXPECT_EQ(learnt->sure_need, MiB(110));
  EXPECT_EQ(learnt->sure_excess, MiB(10));
  EXPECT_EQ(learnt->loads, 3U);
}

TEST(History, WhatWasAddedIsNotAnErrorOnceMore) {
  LoadSeen corrected = load(MiB(130), MiB(128));
  corrected.corrected = MiB(30);
  EXPECT_EQ(learn({&corrected, 1}, kNow, kTotal)->excess, MiB(28));
}

TEST(History, LiesAreLeftOut) {
  LoadSeen unseen = load(MiB(100), {});
  unseen.bytes[0].measured.reset();
  LoadSeen elsewhere = load(MiB(100), MiB(900));
  elsewhere.bytes[0].device = "gpu0";
  LoadSeen old = load(MiB(100), MiB(900));
  old.at = kNow - kLoadsLearntAge - Millis(1);
  const std::vector<LoadSeen> lies = {load(MiB(100), {}), load(MiB(100), kTotal + Bytes{1}),
                                      load(MiB(100), MiB(900), LoadEnd::kDied), unseen, elsewhere,
                                      old};
  EXPECT_FALSE(learn(lies, kNow, kTotal));
  EXPECT_FALSE(learn({}, kNow, kTotal));
}

TEST(History, AWrongFigurePassesAfterSoManyLoads) {
  std::vector<LoadSeen> loads = {load(MiB(100), GiB(8))};
  EXPECT_EQ(learn(loads, kNow, kTotal)->sure_need, Bytes{});  // alone it refuses nothing
  for (size_t n = 1; n < kLoadsLearnt; ++n) {
    loads.insert(loads.begin(), load(MiB(100), MiB(100)));
    EXPECT_EQ(learn(loads, kNow, kTotal)->need, GiB(8));
    EXPECT_EQ(learn(loads, kNow, kTotal)->sure_need, MiB(100));
  }
  loads.insert(loads.begin(), load(MiB(100), MiB(100)));
  EXPECT_EQ(learn(loads, kNow, kTotal)->need, MiB(100));
}

TEST(History, AStoppedWorkerCountsDoubleUntilOneShowsWhatIsEnough) {
  std::vector<LoadSeen> loads = {load(MiB(100), MiB(120), LoadEnd::kGrew)};
  EXPECT_EQ(learn(loads, kNow, kTotal)->need, MiB(240));
  EXPECT_EQ(learn(loads, kNow, kTotal)->excess, MiB(40));
  EXPECT_EQ(learn(loads, kNow, kTotal)->loads, 0U);
  loads.insert(loads.begin(), load(MiB(240), MiB(150)));
  EXPECT_EQ(learn(loads, kNow, kTotal)->need, MiB(150));
}

TEST(History, TheMarginIsAnEighthAndNeverNothing) {
  EXPECT_EQ(with_margin(MiB(800)), MiB(900));
  EXPECT_EQ(with_margin(MiB(8)), MiB(24));
}

}  // namespace
}  // namespace gantry

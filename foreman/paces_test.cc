// What is known of models' speed, and modes: kept over restarts, recent ones first, bounded.
#include <gtest/gtest.h>

#include "base/limits.h"
#include "foreman/store_bench.h"

namespace gantry {
namespace {

class PacesTest : public StoreBench {
 protected:
  void use(double sound_s, double work_s, bool alone = true, int64_t ms = 1) {
    ASSERT_TRUE(store_->add_pace({"print", "m", "cpu", sound_s, work_s, at(ms)}, alone));
  }
  double factor() {
    const std::optional<HeardPace> pace = *store_->pace("print", "cpu");
    return pace ? pace->factor() : -1;
  }
};

TEST_F(PacesTest, AFigureForEachFileAndDevice) {
  EXPECT_EQ(factor(), -1);
  use(10, 4);
  EXPECT_DOUBLE_EQ(factor(), 0.4);
  EXPECT_FALSE(*store_->pace("print", "gpu0"));
  EXPECT_FALSE(*store_->pace("other print", "cpu"));
  reopen();
  EXPECT_DOUBLE_EQ(factor(), 0.4);
  EXPECT_EQ((*store_->pace("print", "cpu"))->model, "m");
  EXPECT_EQ((*store_->pace("print", "cpu"))->at, at(1));
}

TEST_F(PacesTest, LaterAndLongerUsesCountMore) {
  use(10, 10);
  use(10, 1);
  EXPECT_DOUBLE_EQ(factor(), (0.8 * 10 + 1) / (0.8 * 10 + 10));
  use(0.1, 1);
  EXPECT_LT(factor(), 0.6) << "a word says little";
  for (int i = 0; i < 20; ++i) use(10, 1);
  EXPECT_NEAR(factor(), 0.1, 0.01) << "what was long ago fades";
}

TEST_F(PacesTest, ADayOfSoundIsSoonForgotten) {
  use(86'400, 86'400);
  EXPECT_DOUBLE_EQ(factor(), 1);
  use(600, 60);
  EXPECT_DOUBLE_EQ(factor(), (0.8 * 600 + 60) / (0.8 * 600 + 600));
}

TEST_F(PacesTest, WhatOthersSlowedDownCountsUntilMoreIsKnown) {
  use(10, 9, false);
  EXPECT_DOUBLE_EQ(factor(), 0.9);
  use(10, 7, false);
  EXPECT_DOUBLE_EQ(factor(), (0.8 * 9 + 7) / 18);
  use(10, 2);
  EXPECT_DOUBLE_EQ(factor(), 0.2) << "this one had the machine for itself";
  use(10, 9, false);
  EXPECT_DOUBLE_EQ(factor(), 0.2);
}

TEST_F(PacesTest, WhatSaysNothingIsNotKept) {
  use(0, 1);
  use(-1, 1);
  EXPECT_EQ(factor(), -1);
}

TEST_F(PacesTest, TheOldestGo) {
  use(1, 1, true, 0);
  for (uint32_t i = 1; i < kPacesKept; ++i) {
    ASSERT_TRUE(store_->add_pace({std::to_string(i), "m", "cpu", 1, 1, at(i)}, true));
  }
  EXPECT_EQ(factor(), 1);
  ASSERT_TRUE(store_->add_pace({"one more", "m", "cpu", 1, 1, at(kPacesKept)}, true));
  EXPECT_EQ(factor(), -1);
  EXPECT_TRUE(*store_->pace("1", "cpu"));
}

TEST_F(PacesTest, ModesAreKeptUntilTakenBack) {
  EXPECT_TRUE(store_->modes()->empty());
  ASSERT_TRUE(store_->set_mode("ear", "speed"));
  ASSERT_TRUE(store_->set_mode("eye", "accuracy"));
  ASSERT_TRUE(store_->set_mode("ear", "balanced"));
  reopen();
  EXPECT_EQ(*store_->modes(),
            (std::map<std::string, std::string>{{"ear", "balanced"}, {"eye", "accuracy"}}));
  ASSERT_TRUE(store_->set_mode("ear", ""));
  ASSERT_TRUE(store_->set_mode("ear", ""));
  EXPECT_EQ(store_->modes()->size(), 1U);
}

}  // namespace
}  // namespace gantry

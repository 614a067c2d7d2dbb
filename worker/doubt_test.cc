// Each rule at its limit and beyond.
#include "worker/doubt.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

const Evidence kGood{.avg_logprob = -0.1, .no_speech = 0.01, .letters = 12, .voice = Millis(1000),
                     .tokens = 4, .gain = 2.0};

TEST(Doubt, WhatTheModelItselfIsNotSureOf) {
  EXPECT_FALSE(is_doubtful(kGood));
  Evidence unsure = kGood;
  unsure.avg_logprob = kLogprobMin;
  EXPECT_FALSE(is_doubtful(unsure));
  unsure.avg_logprob = kLogprobMin - 0.001;
  EXPECT_TRUE(is_doubtful(unsure));
  Evidence nobody = kGood;
  nobody.no_speech = kNoSpeechMax;
  EXPECT_FALSE(is_doubtful(nobody));
  nobody.no_speech = kNoSpeechMax + 0.001;
  EXPECT_TRUE(is_doubtful(nobody));
}

TEST(Doubt, MoreThanAnybodySays) {
  Evidence fast = kGood;
  fast.letters = 25;
  EXPECT_FALSE(is_doubtful(fast));
  fast.letters = 26;
  EXPECT_TRUE(is_doubtful(fast));
  fast.voice = Millis(1100);
  EXPECT_FALSE(is_doubtful(fast));
  fast.voice = Millis(0);
  EXPECT_TRUE(is_doubtful(fast));
  fast.letters = 0;  // a sound written as "..."
  EXPECT_FALSE(is_doubtful(fast));
}

TEST(Doubt, WhatAnotherOrderOfTheSoundGivesAsWell) {
  Evidence same = kGood;
  same.gain = kGainMin;
  EXPECT_FALSE(is_doubtful(same));
  same.gain = kGainMin - 0.001;
  EXPECT_TRUE(is_doubtful(same));
  same.tokens = kGainTokens - 1;
  EXPECT_FALSE(is_doubtful(same));
  same.tokens = kGainTokens;
  same.gain.reset();
  EXPECT_FALSE(is_doubtful(same));
}

TEST(Doubt, IsNotAskedWhereItIsDecided) {
  Evidence open = kGood;
  open.gain.reset();
  EXPECT_TRUE(asks_gain(open));
  open.tokens = kGainTokens - 1;
  EXPECT_FALSE(asks_gain(open));
  open.tokens = 40;
  open.avg_logprob = -2;
  EXPECT_FALSE(asks_gain(open));
}

}  // namespace
}  // namespace gantry

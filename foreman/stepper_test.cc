// Steps down under pressure and up again, on a clock that the test moves.
#include "foreman/stepper.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace gantry {
namespace {

constexpr Millis kAfter{10'000};
constexpr Millis kCalm = Stepper::kCalmTimes * kAfter;
const Strain kHigh{.high = true, .why = "test"};
const Strain kQuiet{.calm = true};
const Strain kBetween{};

class StepperTest : public testing::Test {
 protected:
  // Looks every second for so long; how often the level changed.
  int look(const Strain& strain, Millis time, uint32_t deepest = 2) {
    int changes = 0;
    for (const Millis end = now_ + time; now_ < end;) {
      now_ += Millis(1'000);
      changes += stepper_.see(now_, strain, deepest) ? 1 : 0;
    }
    return changes;
  }
  Stepper stepper_{kAfter};
  Millis now_{0};
};

TEST_F(StepperTest, DownWhenItPressesLongEnough) {
  EXPECT_EQ(look(kHigh, kAfter), 0);
  EXPECT_EQ(look(kHigh, Millis(1'000)), 1);
  EXPECT_EQ(stepper_.level(), 1U);
  EXPECT_EQ(look(kHigh, 10 * kAfter), 1) << "no further than there are models";
  EXPECT_EQ(stepper_.level(), 2U);
}

TEST_F(StepperTest, APauseBeginsAnew) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(look(kHigh, kAfter - Millis(1'000)), 0);
    EXPECT_EQ(look(i % 2 == 0 ? kBetween : kQuiet, Millis(1'000)), 0);
  }
}

TEST_F(StepperTest, AWaitThatLastedAlreadyCounts) {
  Strain waited = kHigh;
  waited.lasting = kAfter;
  EXPECT_TRUE(stepper_.see(Millis(5), waited, 2));
  EXPECT_FALSE(stepper_.see(Millis(6), waited, 2)) << "one step at a time";
  EXPECT_TRUE(stepper_.see(Millis(5) + kAfter, waited, 2));
}

TEST_F(StepperTest, UpOneByOneAndSlower) {
  look(kHigh, 3 * kAfter);
  ASSERT_EQ(stepper_.level(), 2U);
  EXPECT_EQ(look(kBetween, 100 * kCalm), 0) << "less pressure is not yet calm";
  EXPECT_EQ(look(kQuiet, kCalm), 0);
  EXPECT_EQ(look(kQuiet, Millis(1'000)), 1);
  EXPECT_EQ(stepper_.level(), 1U);
  EXPECT_EQ(look(kQuiet, 3 * kCalm), 1);
  EXPECT_EQ(stepper_.level(), 0U);
}

TEST_F(StepperTest, AWayUpThatDoesNotHoldIsTriedLessAndLess) {
  std::vector<int64_t> calm_needed;
  for (int round = 0; round < 8; ++round) {
    while (stepper_.level() == 0) look(kHigh, Millis(1'000));
    const Millis begun = now_;
    while (stepper_.level() == 1) look(kQuiet, Millis(1'000));
    calm_needed.push_back((now_ - begun) / kAfter);
  }
  EXPECT_EQ(calm_needed, (std::vector<int64_t>{4, 8, 16, 32, 64, 64, 64, 64}));
  look(kQuiet, 100 * kCalm);  // this one held
  while (stepper_.level() == 0) look(kHigh, Millis(1'000));
  const Millis begun = now_;
  while (stepper_.level() == 1) look(kQuiet, Millis(1'000));
  EXPECT_EQ((now_ - begun) / kAfter, 4);
}

TEST_F(StepperTest, NobodyKnowsWhatWasWhileNobodyLooked) {
  EXPECT_FALSE(stepper_.see(Millis(0), kHigh, 2));
  EXPECT_FALSE(stepper_.see(Millis(3'600'000), kHigh, 2)) << "asleep for an hour";
  EXPECT_FALSE(stepper_.see(Millis(3'605'000), kHigh, 2));
  EXPECT_TRUE(stepper_.see(Millis(3'610'000), kHigh, 2));
}

TEST_F(StepperTest, FewerModelsFewerLevelsAndNoneWhereItIsSwitchedOff) {
  look(kHigh, 3 * kAfter);
  ASSERT_EQ(stepper_.level(), 2U);
  EXPECT_TRUE(stepper_.see(now_ += Millis(1), kBetween, 1));
  EXPECT_EQ(stepper_.level(), 1U);
  Stepper off(Millis(0));
  for (int s = 0; s < 100; ++s) EXPECT_FALSE(off.see(Millis(s * 1'000), kHigh, 2));
}

// Whatever presses whenever: changes keep their distance, a way up has its calm behind it, and in
// any time there are no more ways up and down again than that allows.
TEST_F(StepperTest, NoTraceMakesItFlap) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Rng rng(seed);
    Stepper stepper(kAfter);
    Millis now{0}, last_change{-1'000'000}, calm_from{0};
    int ups = 0;
    bool calm = false;
    for (int i = 0; i < 3'000; ++i) {
      // Moods last from one look to minutes.
      static constexpr uint64_t kLengths[] = {1, 3, 12, 60, 300};
      const uint64_t mood = rng.below(3), length = 1 + rng.below(kLengths[rng.below(5)]);
      const Strain strain = mood == 0 ? kHigh : mood == 1 ? kQuiet : kBetween;
      if (strain.calm && !calm) calm_from = now + Millis(1'000);
      calm = strain.calm;
      for (uint64_t s = 0; s < length; ++s) {
        now += Millis(1'000);
        const uint32_t before = stepper.level();
        if (!stepper.see(now, strain, 3)) {
          ASSERT_EQ(stepper.level(), before);
          continue;
        }
        ASSERT_GE(now - last_change, kAfter);
        ASSERT_EQ(std::max(before, stepper.level()) - std::min(before, stepper.level()), 1U);
        if (stepper.level() < before) {
          ++ups;
          ASSERT_TRUE(strain.calm);
          ASSERT_GE(now - std::max(calm_from, last_change), kCalm);
        } else {
          ASSERT_TRUE(strain.high);
        }
        last_change = now;
      }
    }
    ASSERT_LE(ups * kCalm, now);
  }
}

TEST(Strain, EachSignHasItsWords) {
  const auto of = [](const Signs& signs) { return strain_of(signs, kAfter); };
  EXPECT_TRUE(of({}).calm);
  EXPECT_FALSE(of({}).high);
  Strain strain = of({.waiting = true, .busy = Millis(12'000)});
  EXPECT_TRUE(strain.high && !strain.calm);
  EXPECT_EQ(strain.lasting, Millis(12'000));
  EXPECT_EQ(strain.why, "a request has waited 12 s in line");
  strain = of({.waiting = true, .busy = Millis(9'999)});
  EXPECT_FALSE(strain.high || strain.calm) << "between the two";
  EXPECT_EQ(of({.starved = Millis(1)}).why, "other programs hold the memory");
  EXPECT_EQ(of({.device = "gpu0", .throttled = true}).why, "gpu0 is throttled by heat");
  EXPECT_EQ(of({.temperature_c = 95}).why, "the processor is at 95 C");
  strain = of({.temperature_c = 90});
  EXPECT_FALSE(strain.high || strain.calm);
  EXPECT_TRUE(of({.temperature_c = 85}).calm);
  EXPECT_EQ(of({.stalled = 30}).why, "programs wait for memory 30 % of the time");
  strain = of({.stalled = 10});
  EXPECT_FALSE(strain.high || strain.calm);
  EXPECT_TRUE(of({.stalled = 5}).calm);
  EXPECT_FALSE(of({.room_above = false}).calm);
  EXPECT_FALSE(of({.room_above = false}).high);
}

}  // namespace
}  // namespace gantry

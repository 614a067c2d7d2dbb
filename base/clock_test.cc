// Clocks and their text.
#include "base/clock.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Clock, FakeMovesOnlyWhenTold) {
  FakeClock clock;
  EXPECT_EQ(clock.steady().count(), 0);
  clock.advance(Millis(1500));
  EXPECT_EQ(clock.steady().count(), 1500);
  EXPECT_EQ(clock.wall().time_since_epoch().count(), 1500);
}

TEST(Clock, RealNeverGoesBack) {
  RealClock clock;
  const Millis a = clock.steady();
  const Millis b = clock.steady();
  EXPECT_LE(a, b);
}

TEST(Clock, TextIsUtcWithMillis) {
  EXPECT_EQ(format_time(WallTime(Millis(0))), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_time(WallTime(Millis(1769850904123))), "2026-01-31T09:15:04.123Z");
}

}  // namespace
}  // namespace gantry

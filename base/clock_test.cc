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

TEST(ParseTime, ReadsWhatIsWrittenAndOtherZones) {
  const WallTime time(Millis(1'769'850'904'123));
  EXPECT_EQ(parse_time(format_time(time)), time);
  EXPECT_EQ(parse_time("1970-01-01T00:00Z"), WallTime{});
  EXPECT_EQ(parse_time("1970-01-01T02:30:01+02:30"), WallTime(Millis(1000)));
  EXPECT_EQ(parse_time("1970-01-01T00:00:01.5-01:00"), WallTime(Millis(3'601'500)));
  EXPECT_EQ(parse_time("2024-02-29T00:00Z"), WallTime(Millis(1'709'164'800'000)));
}

TEST(ParseTime, RefusesTheRest) {
  for (const char* text :
       {"", "2026", "2026-01-31", "2026-01-31T", "2026-01-31T22", "2026-01-31T22:00",
        "2026-01-31T22:00:00", "2026-01-31T22:00:00.Z", "2026-13-01T00:00Z", "2026-02-29T00:00Z",
        "2026-01-31T24:00Z", "2026-01-31T22:60Z", "2026-01-31 22:00Z", "1969-12-31T23:59Z",
        "1970-01-01T00:00+01:00", "2026-01-31T22:00+1:00", "2026-01-31T22:00Zx", "-026-01-31T22Z",
        "99999-01-31T22:00Z"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

}  // namespace
}  // namespace gantry

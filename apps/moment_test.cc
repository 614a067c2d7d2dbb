// Times from the command line.
#include "apps/moment.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const WallTime kNow = *parse_time("2026-03-01T12:00:00Z");

TEST(ParseMoment, FromNow) {
  EXPECT_EQ(*parse_moment("+90s", kNow), kNow + std::chrono::seconds(90));
  EXPECT_EQ(*parse_moment("+90m", kNow), kNow + minutes(90));
  EXPECT_EQ(*parse_moment("+12h", kNow), kNow + hours(12));
  EXPECT_EQ(*parse_moment("+3660d", kNow), kNow + hours(24 * 3660));
}

TEST(ParseMoment, TheNextTimeOfDay) {
  for (int hour = 0; hour < 24; ++hour) {
    const std::string text = (hour < 10 ? "0" : "") + std::to_string(hour) + ":30";
    const WallTime time = *parse_moment(text, kNow);
    EXPECT_GT(time, kNow) << text;
    EXPECT_LE(time, kNow + hours(25)) << text;  // clocks may be put back that night
  }
}

TEST(ParseMoment, WholeTimes) {
  EXPECT_EQ(*parse_moment("2026-03-01T13:00+01:00", kNow), kNow);
}

TEST(ParseMoment, RefusesTheRest) {
  for (const char* text : {"", "+", "+m", "+1", "+1w", "+-1m", "+3661d", "+99999999999999999999s",
                           "24:00", "12:60", "1:00", "12:0", "12-00", "noon", "90m"}) {
    EXPECT_EQ(parse_moment(text, kNow).error().code, Code::kUsage) << text;
  }
}

}  // namespace
}  // namespace gantry

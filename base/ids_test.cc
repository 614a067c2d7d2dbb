// Ids: ordered by time, safe as file names.
#include "base/ids.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Ids, SortByTimeAndDiffer) {
  FakeClock clock;
  clock.advance(Millis(1'700'000'000'000));
  Rng rng(3);
  const std::string a = make_id(clock, rng);
  const std::string b = make_id(clock, rng);
  clock.advance(Millis(1));
  const std::string c = make_id(clock, rng);
  EXPECT_NE(a, b);
  EXPECT_LT(a, c);
  EXPECT_LT(b, c);
  EXPECT_EQ(a.size(), kIdLength);
  EXPECT_TRUE(is_id(a));
}

TEST(Ids, OnlyIdsAreIds) {
  EXPECT_FALSE(is_id(""));
  EXPECT_FALSE(is_id("../../../../etc/pass"));
  EXPECT_FALSE(is_id("0123456789abcdefghi"));    // 19
  EXPECT_FALSE(is_id("0123456789abcdefghjkm"));  // 21
  EXPECT_FALSE(is_id("0123456789ABCDEFGHJK"));
}

}  // namespace
}  // namespace gantry

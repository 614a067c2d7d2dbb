// Random numbers: repeatable by seed, within bounds.
#include "base/rng.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Rng, SameSeedSameNumbers) {
  Rng a(7), b(7), c(8);
  const uint64_t first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
}

TEST(Rng, StaysBelowItsBound) {
  Rng rng(1);
  bool seen[5] = {};
  for (int i = 0; i < 1000; ++i) {
    const uint64_t n = rng.below(5);
    ASSERT_LT(n, 5U);
    seen[n] = true;
  }
  for (bool each : seen) EXPECT_TRUE(each);
  EXPECT_EQ(rng.below(0), 0U);
}

TEST(Rng, SystemSeedsDiffer) { EXPECT_NE(Rng::from_system().next(), Rng::from_system().next()); }

}  // namespace
}  // namespace gantry

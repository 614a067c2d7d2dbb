// Open after three failures in a row, one try after the rest.
#include "cloud/breaker.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Breaker, OpensAfterFailuresInARow) {
  Breaker breaker;
  Millis now{0};
  for (int i = 0; i < kBreakerFailures - 1; ++i) breaker.ended(false, now);
  EXPECT_FALSE(breaker.wait(now));
  breaker.ended(true, now);  // the row is broken
  for (int i = 0; i < kBreakerFailures; ++i) {
    EXPECT_FALSE(breaker.wait(now)) << i;
    breaker.ended(false, now);
  }
  EXPECT_TRUE(breaker.open(now));
  EXPECT_EQ(*breaker.wait(now + Millis(1'000)), kBreakerRest - Millis(1'000));
}

TEST(Breaker, LetsOneTryAfterTheRest) {
  Breaker breaker;
  for (int i = 0; i < kBreakerFailures; ++i) breaker.ended(false, Millis(0));
  const Millis later = kBreakerRest;
  EXPECT_FALSE(breaker.wait(later)) << "one may try";
  EXPECT_TRUE(breaker.wait(later)) << "the others wait for what becomes of it";
  breaker.ended(false, later);
  EXPECT_TRUE(breaker.wait(later + Millis(1)));
  EXPECT_FALSE(breaker.wait(later + kBreakerRest));
  breaker.ended(true, later + kBreakerRest);
  EXPECT_FALSE(breaker.wait(later + kBreakerRest));
  EXPECT_FALSE(breaker.open(later + kBreakerRest));
}

}  // namespace
}  // namespace gantry

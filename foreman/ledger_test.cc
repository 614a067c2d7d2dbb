// The ledger under random sequences, against a plain list kept by the test.
#include "foreman/ledger.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace gantry {
namespace {

Bytes sum_on(const std::map<int64_t, Shares>& held, const std::string& device) {
  Bytes sum;
  for (const auto& [token, shares] : held) sum += on_device(shares, device);
  return sum;
}

TEST(Ledger, GrantsUpToTheBudgetAndNotAByteMore) {
  Ledger ledger({{"cpu", Bytes{100}}});
  EXPECT_TRUE(ledger.grant(1, {{"cpu", Bytes{60}}}));
  EXPECT_TRUE(ledger.has_room({{"cpu", Bytes{40}}}));
  EXPECT_FALSE(ledger.has_room({{"cpu", Bytes{41}}}));
  const Result<void> over = ledger.grant(2, {{"cpu", Bytes{41}}});
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, Code::kDoesNotFit);
  EXPECT_EQ(ledger.booked("cpu"), Bytes{60});
  EXPECT_TRUE(ledger.grant(2, {{"cpu", Bytes{40}}}));
  EXPECT_TRUE(ledger.release(1));
  EXPECT_EQ(ledger.booked("cpu"), Bytes{40});
}

TEST(Ledger, ATokenIsGrantedOnceAndReleasedOnce) {
  Ledger ledger({{"cpu", Bytes{100}}});
  ASSERT_TRUE(ledger.grant(1, {{"cpu", Bytes{10}}}));
  EXPECT_EQ(ledger.grant(1, {{"cpu", Bytes{10}}}).error().code, Code::kConflict);
  ASSERT_TRUE(ledger.release(1));
  EXPECT_EQ(ledger.release(1).error().code, Code::kConflict);
  EXPECT_EQ(ledger.booked("cpu"), Bytes{0});
}

TEST(Ledger, SharesOfOneDeviceAddUpAndCannotWrap) {
  Ledger ledger({{"cpu", Bytes{100}}, {"gpu0", Bytes{10}}});
  EXPECT_FALSE(ledger.could_hold({{"cpu", Bytes{60}}, {"cpu", Bytes{60}}}));
  EXPECT_FALSE(ledger.could_hold({{"cpu", Bytes{UINT64_MAX}}, {"cpu", Bytes{UINT64_MAX}}}));
  EXPECT_FALSE(ledger.could_hold({{"gpu1", Bytes{1}}}));
  EXPECT_TRUE(ledger.could_hold({{"cpu", Bytes{100}}, {"gpu0", Bytes{10}}}));
  EXPECT_FALSE(ledger.grant(1, {{"cpu", Bytes{1}}, {"gpu0", Bytes{11}}}));
  EXPECT_EQ(ledger.booked("cpu"), Bytes{0});  // all or nothing
}

TEST(Ledger, ThoseWhoAreNeverBesideEachOtherAreNot) {
  const Shares seeing = {{"gpu0", Bytes{10}, {"vision"}, {"language"}}, {"cpu", Bytes{1}}};
  const Shares talking = {{"gpu0", Bytes{10}, {"language"}, {"vision"}}, {"cpu", Bytes{1}}};
  const Shares third = {{"gpu0", Bytes{10}}}, whole = {{"gpu0", Bytes{5}, {}, {}, true}};
  Ledger ledger({{"cpu", Bytes{100}}, {"gpu0", Bytes{100}}, {"gpu1", Bytes{100}}});
  ASSERT_TRUE(ledger.grant(1, seeing));
  EXPECT_TRUE(ledger.could_hold(talking));
  EXPECT_FALSE(ledger.has_room(talking));
  EXPECT_EQ(ledger.grant(2, talking).error().code, Code::kDoesNotFit);
  EXPECT_TRUE(ledger.has_room(third));
  EXPECT_TRUE(ledger.has_room({{"gpu1", Bytes{10}, {"language"}, {"vision"}}}));
  EXPECT_FALSE(ledger.has_room(whole));
  ASSERT_TRUE(ledger.release(1));
  ASSERT_TRUE(ledger.grant(2, talking));
  ASSERT_TRUE(ledger.grant(3, third));
  EXPECT_FALSE(ledger.has_room(seeing));
  ASSERT_TRUE(ledger.release(2));
  ASSERT_TRUE(ledger.release(3));
  ASSERT_TRUE(ledger.grant(4, whole));
  EXPECT_FALSE(ledger.has_room(third));
  EXPECT_TRUE(ledger.has_room({{"gpu0", Bytes{0}}, {"cpu", Bytes{1}}}));
  EXPECT_EQ(ledger.held("gpu0").size(), 1U);
}

TEST(Ledger, WhatOthersLeaseIsNotThere) {
  Ledger ledger({{"gpu0", Bytes{100}}});
  ledger.set_elsewhere("gpu0", Bytes{70});  // without a ceiling it is the system's free bytes alone
  EXPECT_EQ(ledger.room("gpu0"), Bytes{100});
  ledger.set_ceiling("gpu0", Bytes{120});
  EXPECT_EQ(ledger.room("gpu0"), Bytes{50});
  ASSERT_TRUE(ledger.grant(1, {{"gpu0", Bytes{50}}}));
  EXPECT_EQ(ledger.room("gpu0"), Bytes{0});
  ledger.set_elsewhere("gpu0", Bytes{90});  // more than there is: nothing is taken back
  EXPECT_EQ(ledger.room("gpu0"), Bytes{0});
  EXPECT_TRUE(ledger.verify());
  EXPECT_TRUE(ledger.could_hold({{"gpu0", Bytes{100}}}));
  ledger.set_elsewhere("gpu0", Bytes{0});
  EXPECT_EQ(ledger.room("gpu0"), Bytes{50});  // the budget's
}

TEST(Ledger, RandomSequencesNeverExceedTheBudget) {
  const uint64_t seed = Rng::from_system().next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  for (int round = 0; round < 200; ++round) {
    const Bytes cpu{rng.below(1000)}, gpu{rng.below(500)};
    Ledger ledger({{"cpu", cpu}, {"gpu0", gpu}});
    std::map<int64_t, Shares> held;
    for (int64_t step = 0; step < 100; ++step) {
      if (rng.below(3) > 0) {
        Shares want = {{"cpu", Bytes{rng.below(400)}}};
        if (rng.below(2) > 0) want.push_back({"gpu0", Bytes{rng.below(200)}});
        const bool fits = sum_on(held, "cpu") + on_device(want, "cpu") <= cpu &&
                          sum_on(held, "gpu0") + on_device(want, "gpu0") <= gpu;
        ASSERT_EQ(ledger.grant(step, want).has_value(), fits);
        if (fits) held[step] = want;
      } else if (!held.empty()) {
        auto victim = std::next(held.begin(), static_cast<long>(rng.below(held.size())));
        ASSERT_TRUE(ledger.release(victim->first));
        held.erase(victim);
      }
      ASSERT_EQ(ledger.booked("cpu"), sum_on(held, "cpu"));
      ASSERT_EQ(ledger.booked("gpu0"), sum_on(held, "gpu0"));
      ASSERT_LE(ledger.booked("cpu"), cpu);
      ASSERT_TRUE(ledger.verify());
    }
  }
}

}  // namespace
}  // namespace gantry

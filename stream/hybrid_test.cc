// Shares that end together, and none where the CPU cannot keep up.
#include "stream/hybrid.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gantry {
namespace {

size_t count(const std::vector<bool>& some) {
  return static_cast<size_t>(std::count(some.begin(), some.end(), true));
}

TEST(Balance, LearnsWithAFewPieces) {
  const Balance balance;
  const auto cpu = balance.on_cpu(1, std::vector<bool>(64, true));
  EXPECT_EQ(count(cpu), 8u);
}

TEST(Balance, BothEndTogether) {
  Balance balance;
  balance.measured_link(100, 100);
  balance.measured_cpu(1, 100, 300);  // three times slower: a quarter of the bytes
  EXPECT_DOUBLE_EQ(balance.cpu_share(1), 0.25);
  const auto cpu = balance.on_cpu(1, std::vector<bool>(100, true));
  EXPECT_EQ(count(cpu), 25u);
  size_t gap = 0, longest = 0;
  for (const bool here : cpu) {
    gap = here ? 0 : gap + 1;
    longest = std::max(longest, gap);
  }
  EXPECT_LE(longest, 4u) << "not spread evenly";
}

TEST(Balance, BatchSizesAreKnownApart) {
  Balance balance;
  balance.measured_link(100, 100);
  balance.measured_cpu(1, 100, 100);
  balance.measured_cpu(16, 100, 10'000);
  EXPECT_DOUBLE_EQ(balance.cpu_share(1), 0.5);
  EXPECT_EQ(balance.cpu_share(16), 0);
  EXPECT_EQ(balance.cpu_share(9), 0);  // the same class
  EXPECT_GT(balance.cpu_share(8), 0);  // unknown: learning
}

TEST(Balance, LargeBatchesAreTheDevices) {
  Balance balance;
  EXPECT_GT(balance.cpu_share(kHybridBatchMax), 0);
  EXPECT_EQ(balance.cpu_share(kHybridBatchMax + 1), 0);
  EXPECT_EQ(count(balance.on_cpu(512, std::vector<bool>(10, true))), 0u);
}

TEST(Balance, OnlyWhatIsEligible) {
  Balance balance;
  balance.measured_link(1, 1'000'000);
  balance.measured_cpu(1, 1'000'000, 1);
  std::vector<bool> eligible(10, false);
  eligible[3] = eligible[7] = true;
  const auto cpu = balance.on_cpu(1, eligible);
  for (size_t i = 0; i < cpu.size(); i++) EXPECT_TRUE(!cpu[i] || eligible[i]);
  EXPECT_GE(count(cpu), 1u);
}

TEST(Balance, FollowsWhatIsMeasured) {
  Balance balance;
  balance.measured_link(100, 100);
  balance.measured_cpu(1, 100, 100);
  for (int i = 0; i < 50; i++) balance.measured_cpu(1, 100, 900);
  EXPECT_NEAR(balance.cpu_share(1), 0.1, 0.01);
}

}  // namespace
}  // namespace gantry

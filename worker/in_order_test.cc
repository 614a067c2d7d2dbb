// Order, errors and how far anybody gets ahead, with threads that finish in any order.
#include "worker/in_order.h"

#include <gtest/gtest.h>

#include <set>

namespace gantry {
namespace {

using Numbers = InOrder<int>;

TEST(InOrder, ResultsComeInTheOrderOfItems) {
  for (const size_t lanes : {1U, 2U, 3U, 8U}) {
    std::vector<int> got;
    std::mutex mutex;
    std::set<size_t> seen;
    const Result<void> done = Numbers::run(
        lanes, 100,
        [&](size_t lane, size_t item, const std::atomic<bool>&) -> Result<int> {
          EXPECT_LT(lane, lanes);
          if (item % 7 == lane) std::this_thread::yield();
          const std::lock_guard lock(mutex);
          EXPECT_TRUE(seen.insert(item).second) << item;
          return static_cast<int>(item * item);
        },
        [&](size_t item, int value) {
          EXPECT_EQ(item, got.size());
          got.push_back(value);
        });
    EXPECT_TRUE(done);
    ASSERT_EQ(got.size(), 100U);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], static_cast<int>(i * i));
  }
}

TEST(InOrder, NothingIsDoneWhereNothingIs) {
  EXPECT_TRUE(Numbers::run(
      3, 0, [](size_t, size_t, const std::atomic<bool>&) -> Result<int> { return 1; },
      [](size_t, int) { FAIL(); }));
}

TEST(InOrder, TheFirstErrorInOrderEndsIt) {
  std::vector<size_t> taken;
  std::atomic<size_t> most{0};
  const Result<void> done = Numbers::run(
      3, 1000,
      [&](size_t, size_t item, const std::atomic<bool>& stop) -> Result<int> {
        most = std::max(most.load(), item);
        while (item == 5 && most < 6 && !stop) std::this_thread::yield();  // not the first to fail
        if (stop) return fail(Code::kCancelled, "stopped");
        if (item >= 5) return fail(Code::kCorrupt, std::to_string(item));
        return 0;
      },
      [&](size_t item, int) { taken.push_back(item); });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "5");
  EXPECT_EQ(taken, (std::vector<size_t>{0, 1, 2, 3, 4}));
  EXPECT_LT(most, 1000U);
}

TEST(InOrder, NobodyGetsFurtherAheadThanTheLimit) {
  std::atomic<size_t> most{0}, taken{0};
  std::atomic<bool> over{false};
  const Result<void> done = Numbers::run(
      2, 60,
      [&](size_t, size_t item, const std::atomic<bool>&) -> Result<int> {
        while (item == 0 && most < kAheadOfOrder) std::this_thread::yield();
        most = std::max(most.load(), item);
        // The taker may be one item further than this thread knows.
        if (item > taken + 2 * kAheadOfOrder + 1) over = true;
        return 0;
      },
      [&](size_t item, int) {
        if (item == 0) {
          EXPECT_LE(most, 2 * kAheadOfOrder);
        }
        taken = item;
      });
  EXPECT_TRUE(done);
  EXPECT_FALSE(over);
}

}  // namespace
}  // namespace gantry

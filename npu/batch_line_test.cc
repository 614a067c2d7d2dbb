// Batches, their limits, and callers that leave.
#include "npu/batch_line.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

struct Sum {
  int group = 0, value = 0;
  int* out = nullptr;
};

class BatchLineTest : public ::testing::Test {
 protected:
  BatchRules<Sum> rules(size_t queue_max) {
    return {.queue_max = queue_max,
            .name = "adder",
            .noun = "sums",
            .rows = 3,
            .together = [](const Sum& a, const Sum& b) { return a.group == b.group; },
            .take = [](size_t same) { return same; },
            .compute = [this](std::span<Sum> batch) { return add(batch); }};
  }
  Result<void> add(std::span<Sum> batch) {
    ++entered;
    while (held) std::this_thread::yield();
    ++batches;
    largest = std::max<size_t>(largest, batch.size());
    for (Sum& sum : batch) {
      if (sum.group != batch[0].group) mixed = true;
      if (sum.value < 0) return fail(Code::kWorkerFailed, "below zero");
      *sum.out = sum.value + 1;
    }
    return {};
  }

  std::atomic<bool> gone{false}, held{false}, mixed{false};
  std::atomic<size_t> largest{0};
  std::atomic<int> batches{0}, entered{0};
};

TEST_F(BatchLineTest, EachGetsItsOwnAndNoBatchIsMixedOrTooLarge) {
  BatchLine<Sum> line(rules(100));
  std::vector<int> out(20);
  std::vector<Sum> sums;
  for (int i = 0; i < 20; ++i) sums.push_back({i % 2, i, &out[static_cast<size_t>(i)]});
  ASSERT_TRUE(line.run(sums, gone));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], i + 1);
  EXPECT_FALSE(mixed);
  EXPECT_EQ(largest, 3U);
  EXPECT_EQ(batches, 8);  // of ten and ten, three at a time
  EXPECT_EQ(line.queued(), 0U);
}

TEST_F(BatchLineTest, AFailureIsItsCallersAlone) {
  BatchLine<Sum> line(rules(100));
  int out = 0;
  const auto failed = line.run({{0, -1, &out}}, gone);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "below zero");
  EXPECT_TRUE(line.run({{0, 1, &out}}, gone));
  EXPECT_TRUE(line.run({}, gone));
}

TEST_F(BatchLineTest, TheLineHasAnEnd) {
  BatchLine<Sum> line(rules(2));
  std::vector<int> out(3);
  EXPECT_TRUE(line.run({{0, 1, &out[0]}, {0, 1, &out[1]}}, gone));
  const auto full = line.run({{0, 1, &out[0]}, {0, 1, &out[1]}, {0, 1, &out[2]}}, gone);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::kBusy);
  EXPECT_NE(full.error().message.find("0 sums wait, at most 2"), std::string::npos);
}

TEST_F(BatchLineTest, WhoLeavesIsNotWaitedForInLine) {
  held = true;
  BatchLine<Sum> line(rules(10));
  int first = 0, second = 0;
  std::thread one([&] { EXPECT_TRUE(line.run({{0, 1, &first}}, std::atomic<bool>{false})); });
  while (entered == 0) std::this_thread::yield();  // it is being computed
  std::thread two([&] {
    EXPECT_EQ(line.run({{1, 1, &second}}, gone).error().code, Code::kCancelled);
  });
  while (line.queued() == 0) std::this_thread::yield();
  gone = true;
  two.join();
  EXPECT_EQ(second, 0);
  held = false;
  one.join();
  EXPECT_EQ(first, 2);
}

}  // namespace
}  // namespace gantry

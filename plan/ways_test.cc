// All ways of one model: which there are, and that their bytes are those of needs_of().
#include "plan/ways.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "plan/example.h"
#include "plan/need.h"

namespace gantry {
namespace {

Ways ways_on(const Machine& machine, const Wish& wish, uint32_t turn = 0) {
  return ways_of(machine, rooms_of(machine, {}).value(), wish, {Prefer::kSpeed, turn, false});
}

Wish small_wish(uint32_t layers = 6) {
  Wish wish = wish_for("m", llama_card({256, layers, 4, 4, 512, 1000, 1024}));
  wish.stream.streaming = Streaming::kNever;
  return wish;
}

TEST(Ways, EverySplitOfLayers) {
  const Machine machine = machine_with(GiB(8), {GiB(4), GiB(4), GiB(4)});
  const Ways ways = ways_on(machine, small_wish());
  std::set<std::vector<std::pair<std::string, uint32_t>>> seen;
  for (const Option& option : ways.options) {
    std::vector<std::pair<std::string, uint32_t>> key;
    uint32_t sum = 0;
    for (const Split& split : option.choice.splits) {
      key.emplace_back(split.device, split.layers);
      sum += split.layers;
    }
    EXPECT_EQ(sum, option.choice.resident);
    EXPECT_TRUE(seen.insert(key).second);  // none twice
  }
  // The CPU; 1 to 6 layers on each card; pairs (10 with layers on the CPU, 5 without); all three.
  EXPECT_EQ(seen.size(), 1U + 3 * 6 + 3 * (10 + 5) + 20U);
  for (uint32_t a = 1; a < 6; ++a) EXPECT_TRUE(seen.contains({{"gpu0", a}, {"gpu2", 6 - a}}));
}

TEST(Ways, BytesOfSplitsAreThoseOfTheFormula) {
  const uint64_t seed = 5;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  const Machine machine = machine_with(GiB(64), {GiB(24), GiB(24), GiB(24)});
  size_t checked = 0;
  for (int i = 0; i < 20; ++i) {
    const auto layers = static_cast<uint32_t>(1 + rng.below(40));
    Wish wish = wish_for("m", llama_card({256, layers, 4, 4, 512, 1000, 1024}));
    wish.parallel = 1 + uint32_t(rng.below(3));
    if (rng.below(2) == 0) wish.mmproj = llama_card({128, 2, 4, 4, 256, 16, 16});
    if (rng.below(2) == 0) wish.encoder_on_cpu = true;
    wish.stream.streaming = Streaming::kNever;
    for (const Option& option : ways_on(machine, wish).options) {
      const std::vector<Need> needs = needs_of(wish, option.choice.splits, {});
      ASSERT_EQ(needs.size(), option.choice.needs.size());
      for (size_t n = 0; n < needs.size(); ++n) {
        EXPECT_EQ(needs[n].device, option.choice.needs[n].device);
        EXPECT_EQ(needs[n].weights, option.choice.needs[n].weights);
        EXPECT_EQ(needs[n].kv, option.choice.needs[n].kv);
        EXPECT_EQ(needs[n].compute, option.choice.needs[n].compute);
        EXPECT_EQ(needs[n].overhead, option.choice.needs[n].overhead);
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 1000U);
}

TEST(Ways, OnlyWhereTheUserWants) {
  const Machine machine = machine_with(GiB(8), {GiB(4), GiB(4)});
  Wish wish = small_wish();
  wish.device = "cpu";
  EXPECT_EQ(ways_on(machine, wish).options.size(), 1U);
  wish.device = "gpu1";
  const Ways fixed = ways_on(machine, wish);
  ASSERT_EQ(fixed.options.size(), 1U);  // all of it, there
  EXPECT_EQ(fixed.options[0].choice.device, "gpu1");
  EXPECT_EQ(fixed.options[0].choice.resident, 6U);
  wish.device.clear();
  wish.levers.cpu = false;
  for (const Option& option : ways_on(machine, wish).options) {
    EXPECT_EQ(option.choice.resident, 6U);
  }
}

TEST(Ways, ACapIsOfOneModelOnEachAccelerator) {
  const Machine machine = machine_with(GiB(64), {GiB(24)});
  Wish wish = wish_for("m", llama_card(kSevenB));
  wish.cap = Budget{std::nullopt, 0.25};
  const Ways ways = ways_on(machine, wish);
  EXPECT_GT(ways.options.size(), 5U);
  for (const Option& option : ways.options) {
    for (const Need& need : option.choice.needs) {
      EXPECT_LE(need.total(), need.device == "gpu0" ? GiB(6) : GiB(64));
    }
  }
}

TEST(Ways, WordsOnShortageAreKeptForLater) {
  const Machine machine = machine_with(GiB(8), {MiB(400)});
  Wish wish = small_wish();
  wish.shortage = {Shortage::kCpu, Shortage::kCloud};
  for (const Option& option : ways_on(machine, wish, 0).options) {
    EXPECT_EQ(option.choice.resident, 6U);
    EXPECT_EQ(option.penalty, 0);
  }
  const Ways later = ways_on(machine, wish, 1);
  EXPECT_GT(later.options.size(), 1U);
  EXPECT_TRUE(std::ranges::none_of(later.options, &Option::cloud));
  const Ways last = ways_on(machine, wish, 2);
  ASSERT_TRUE(last.options.back().cloud);
  EXPECT_TRUE(last.options.back().choice.needs.empty());
  EXPECT_GT(last.options.back().penalty, later.options.back().penalty);
}

TEST(Ways, NoneDependsOnWhatOthersLeave) {
  // With more memory every way is still there.
  Wish wish = wish_for("m", llama_card({1024, 9, 8, 8, 2048, 32000, 4096}));
  const Ways less = ways_on(machine_with(GiB(2), {MiB(700), MiB(500)}), wish);
  const Ways more = ways_on(machine_with(GiB(16), {GiB(8), GiB(8)}), wish);
  EXPECT_GT(less.options.size(), 5U);
  EXPECT_GT(more.options.size(), less.options.size());
  double best_less = 1e300, best_more = 1e300;
  for (const Option& option : less.options) best_less = std::min(best_less, option.use);
  for (const Option& option : more.options) best_more = std::min(best_more, option.use);
  EXPECT_LE(best_more, best_less);
}

TEST(Ways, WithoutAnyTheNearestIsKept) {
  const Ways ways = ways_on(machine_with(MiB(20), {MiB(100)}), small_wish());
  EXPECT_TRUE(ways.options.empty());
  ASSERT_TRUE(ways.least);
  EXPECT_FALSE(ways.least->choice.needs.empty());
}

}  // namespace
}  // namespace gantry

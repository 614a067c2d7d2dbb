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

// Whatever changes the graph or where something lies.
Wish random_wish(Rng& rng) {
  const auto layers = static_cast<uint32_t>(1 + rng.below(40));
  const auto kv_heads = static_cast<uint32_t>(1U << rng.below(3));
  Wish wish = wish_for("m", llama_card({256, layers, 4, kv_heads, 512, 1000, 8192}));
  ModelCard& card = *wish.card;
  if (rng.below(3) == 0) {  // tied
    card.weight_bytes -= card.bytes_in(Part::kOutput);
    card.groups.pop_back();
  }
  if (rng.below(4) == 0) {  // every third layer sees everything
    card.architecture = "gemma3";
    for (size_t i = 0; i < card.kv.size(); ++i) card.kv[i].window = i % 3 == 2 ? 0 : 512;
  }
  if (rng.below(6) == 0) card.kv.clear();
  if (rng.below(4) == 0) wish.mmproj = llama_card({128, 2, 4, 4, 256, 16, 16});
  if (wish.mmproj) wish.mmproj->patch_size = 14, wish.mmproj->image_size = 224;
  wish.encoder_on_cpu = rng.below(2) == 0;
  wish.context = static_cast<uint32_t>(1 + rng.below(8192));
  wish.parallel = 1 + uint32_t(rng.below(3));
  wish.ubatch = 64U << rng.below(6);
  wish.flash_attention = rng.below(2) == 0;
  if (rng.below(3) == 0) wish.cache_k = wish.cache_v = CacheType::kQ8_0;
  wish.embeddings = rng.below(6) == 0;
  wish.stream.streaming = Streaming::kNever;
  wish.levers.smaller_batch = rng.below(3) == 0;
  if (rng.below(3) == 0) wish.levers.caches = {CacheType::kQ4_0};
  return wish;
}

TEST(Ways, BytesOfSplitsAreThoseOfTheFormula) {
  const uint64_t seed = 5;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  size_t checked = 0, all_resident = 0, settings = 0;
  for (int i = 0; i < 60; ++i) {
    const Wish wish = random_wish(rng);
    std::vector<Bytes> cards(1 + rng.below(4));
    for (Bytes& card : cards) card = MiB(400 + rng.below(2000));
    const Machine machine = machine_with(MiB(300 + rng.below(4000)), cards);
    const Ways ways = ways_of(machine, rooms_of(machine, {}).value(), wish,
                              {Prefer::kSpeed, static_cast<uint32_t>(rng.below(2)), true});
    settings += ways.settings.size();
    for (const Option& option : ways.options) {
      ASSERT_EQ(option.choice.needs,
                needs_of(ways.settings[option.setting].wish, option.choice.splits, {}))
          << i << " " << option.choice.device << " " << option.choice.resident;
      ++checked;
      all_resident += option.choice.resident == layers_of(wish);
    }
  }
  EXPECT_GT(checked, 5000U);
  EXPECT_GT(all_resident, 1000U);
  EXPECT_GT(settings, 70U);
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

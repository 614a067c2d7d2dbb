// Tests of what is counted for a pass.
#include "plan/speed_work.h"

#include <gtest/gtest.h>

#include "plan/need.h"

namespace gantry {
namespace {

ModelCard moe_card() {
  ModelCard card;
  card.architecture = "qwen3moe";
  card.quantisation = "Q4_0";
  card.layers = 2;
  card.embd = 256;
  card.heads = 8;
  card.ffn = 128;
  card.vocab = 1000;
  card.experts = 16;
  card.experts_used = 4;
  card.context_trained = 4096;
  card.kv.assign(2, {128, 128, 0, 64, 64});
  for (int layer = 0; layer < 2; ++layer) {
    TensorGroup group{Part::kLayer, layer, Bytes{18 * 1000 + 34 * 100}, Bytes{18 * 1000}, 3};
    group.types = {{"Q8_0", 34 * 100}};
    group.expert_types = {{"Q4_0", 18 * 1000}};
    card.groups.push_back(group);
  }
  card.groups.push_back({Part::kEmbedding, -1, Bytes{34 * 500}, {}, 1});
  card.groups.push_back({Part::kOutput, -1, Bytes{34 * 500}, {}, 1});
  return card;
}

Wish wish_of(ModelCard card) {
  Wish wish;
  wish.name = "m";
  wish.card = std::move(card);
  return wish;
}

TEST(SpeedWork, BitsOfATypeAreItsBlocks) {
  EXPECT_EQ(bits_of("F16"), 16);
  EXPECT_EQ(bits_of("Q8_0"), 8.5);
  EXPECT_EQ(bits_of("Q4_K"), 4.5);
  EXPECT_EQ(bits_of("nothing"), 16);
  EXPECT_EQ(elements_of("Q4_0", 18), 32);
}

TEST(SpeedWork, MatricesAreSummedByTypeAndKind) {
  const Wish wish = wish_of(moe_card());
  const PartWork work = work_of(wish, {kHost, false, 0, 2, true});
  ASSERT_EQ(work.layers.size(), 2U);
  EXPECT_EQ(work.layers[0].type, "Q8_0");
  EXPECT_EQ(work.layers[0].bytes, 2 * 34 * 100);
  EXPECT_EQ(work.layers[0].weights, 2 * 32 * 100);
  EXPECT_FALSE(work.layers[0].experts);
  EXPECT_TRUE(work.layers[1].experts);
  EXPECT_EQ(work.layers[1].used, 0.25);
  EXPECT_EQ(work.layers[1].weights, 2 * 32 * 1000);
  ASSERT_EQ(work.output.size(), 1U);
  EXPECT_EQ(work.output[0].type, "Q4_0");  // nothing said: the card's own
  EXPECT_EQ(work.score_width, 2 * 8 * (64 + 64));
  EXPECT_EQ(work.cache_bytes, 2 * 2 * 128 * 2);
}

TEST(SpeedWork, PartsOfAModelAddUpToIt) {
  const Wish wish = wish_of(moe_card());
  const PartWork whole = work_of(wish, {kHost, false, 0, 2, true});
  const PartWork first = work_of(wish, {kHost, false, 0, 1, false});
  const PartWork last = work_of(wish, {kHost, false, 1, 1, true});
  EXPECT_EQ(first.layers[0].bytes + last.layers[0].bytes, whole.layers[0].bytes);
  EXPECT_EQ(first.steps + last.steps, whole.steps);
  EXPECT_EQ(first.cache_bytes + last.cache_bytes, whole.cache_bytes);
  EXPECT_TRUE(first.output.empty());
  EXPECT_EQ(first.activations + last.activations, whole.activations);
}

TEST(SpeedWork, WindowedLayersAreApart) {
  ModelCard card = moe_card();
  card.kv[0].window = 512;
  const PartWork work = work_of(wish_of(card), {kHost, false, 0, 2, true});
  EXPECT_EQ(work.score_width, 8 * (64 + 64));
  ASSERT_EQ(work.windows.size(), 1U);
  EXPECT_EQ(work.windows[0].first, 512U);
}

TEST(SpeedWork, PartsFollowThePlacement) {
  const Wish wish = wish_of(moe_card());
  Choice choice;
  EXPECT_EQ(parts_of(wish, choice).size(), 1U);
  EXPECT_FALSE(parts_of(wish, choice)[0].plain);
  choice.device = "gpu0";
  choice.resident = 1;
  const auto split = parts_of(wish, choice);
  ASSERT_EQ(split.size(), 2U);
  EXPECT_EQ(split[0].device, kHost);
  EXPECT_TRUE(split[0].plain);
  EXPECT_FALSE(split[0].output);
  EXPECT_EQ(split[1].device, "gpu0");
  EXPECT_EQ(split[1].first, 1U);
  EXPECT_TRUE(split[1].output);
  choice.resident = 2;
  choice.splits = {{"gpu1", 1}, {"gpu0", 1}};
  const auto cards = parts_of(wish, choice);
  ASSERT_EQ(cards.size(), 2U);
  EXPECT_EQ(cards[0].device, "gpu1");
  EXPECT_EQ(cards[1].first, 1U);
  choice.stream.emplace().device = kHost;
  const auto streamed = parts_of(wish, choice);
  ASSERT_EQ(streamed.size(), 1U);
  EXPECT_TRUE(streamed[0].plain);
}

}  // namespace
}  // namespace gantry

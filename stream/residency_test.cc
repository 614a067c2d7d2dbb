// What stays and what streams, to the byte.
#include "stream/residency.h"

#include <gtest/gtest.h>

#include <numeric>

namespace gantry {
namespace {

constexpr uint64_t kMatrix = 1 << 20;

ResidencyAsk dense(uint32_t layers, uint64_t room) {
  ResidencyAsk ask;
  ask.layers = layers;
  ask.room = room;
  for (uint32_t i = 0; i < layers; i++) {
    for (int j = 0; j < 4; j++) ask.weights.push_back({"w", i, kMatrix, false});
    ask.weights.push_back({"norm", i, 4096, false});
  }
  ask.weights.push_back({"output", layers, kMatrix, false});
  return ask;
}

uint64_t total(const ResidencyAsk& ask) {
  uint64_t bytes = 0;
  for (const auto& weight : ask.weights) bytes += weight.bytes;
  return bytes;
}

uint64_t held(const Residency& out) { return out.resident_bytes + out.ring + out.experts; }

TEST(Residency, WhatFitsIsLeftWhole) {
  ResidencyAsk ask = dense(8, 0);
  ask.room = total(ask);
  const auto fits = choose_residency(ask);
  ASSERT_TRUE(fits);
  EXPECT_TRUE(fits->whole);
  ask.room--;
  const auto streams = choose_residency(ask);
  ASSERT_TRUE(streams);
  EXPECT_FALSE(streams->whole);
  EXPECT_LE(held(*streams), ask.room);
}

TEST(Residency, NeverOverTheRoomAndNothingSpareLeft) {
  for (uint64_t room = 3 * kMatrix; room < 30 * kMatrix; room += kMatrix / 3) {
    ResidencyAsk ask = dense(8, room);
    const auto out = choose_residency(ask);
    ASSERT_TRUE(out);
    EXPECT_LE(held(*out), room);
    EXPECT_LT(room - held(*out), kMatrix) << "one more matrix would have fitted";
  }
}

TEST(Residency, TheSmallestRoomIsNamed) {
  ResidencyAsk ask = dense(4, kMatrix + 4 * 4096);
  EXPECT_TRUE(choose_residency(ask));
  ask.room--;
  const auto refused = choose_residency(ask);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  EXPECT_NE(refused.error().message.find("needs 2MiB"), std::string::npos)
      << refused.error().message;
}

TEST(Residency, LayersAreCountedAndSmallWeightsStay) {
  for (const auto order : {LayerOrder::kTail, LayerOrder::kInterleave}) {
    ResidencyAsk ask = dense(28, UINT64_MAX);
    ask.order = order;
    ask.resident_layers = 12;
    const auto out = choose_residency(ask);
    ASSERT_TRUE(out);
    uint32_t resident = 0;
    for (size_t i = 0; i < ask.weights.size(); i++) {
      if (ask.weights[i].bytes < kSmallWeight || ask.weights[i].layer == 28) {
        EXPECT_TRUE(out->resident[i]);
      } else if (out->resident[i]) {
        resident++;
      }
    }
    EXPECT_EQ(resident, 12u * 4);
    EXPECT_GT(out->ring, 0u);
  }
}

TEST(Residency, PlacementOrders) {
  EXPECT_EQ(residency_order(4, LayerOrder::kTail, 2), (std::vector<uint32_t>{3, 2, 1, 0}));
  const auto spread = residency_order(8, LayerOrder::kInterleave, 4);
  EXPECT_EQ(std::vector<uint32_t>(spread.begin(), spread.begin() + 4),
            (std::vector<uint32_t>{1, 3, 5, 7}));
  for (uint32_t layers = 1; layers < 40; layers++) {
    for (uint32_t wanted = 0; wanted <= layers; wanted++) {
      auto all = residency_order(layers, LayerOrder::kInterleave, wanted);
      std::sort(all.begin(), all.end());
      std::vector<uint32_t> every(layers);
      std::iota(every.begin(), every.end(), 0u);
      EXPECT_EQ(all, every);
    }
  }
}

TEST(Residency, CachesComeBeforeWeights) {
  ResidencyAsk ask = dense(8, 0);
  for (uint32_t i = 0; i < 8; i++) ask.weights.push_back({"cache", i, kMatrix, false, true});
  ask.room = 5 * kMatrix + 8 * kMatrix;  // output, ring, small ones; caches
  const auto out = choose_residency(ask);
  ASSERT_TRUE(out);
  for (size_t i = 0; i < ask.weights.size(); i++) {
    EXPECT_TRUE(!ask.weights[i].cache || out->resident[i]);
  }
  EXPECT_LE(held(*out), ask.room);
}

TEST(Residency, TellsWhenItCouldNotDoAsAsked) {
  ResidencyAsk ask = dense(8, UINT64_MAX);
  ask.resident_layers = 4;
  EXPECT_TRUE(choose_residency(ask)->as_asked);
  ask.room = 10 * kMatrix;
  EXPECT_FALSE(choose_residency(ask)->as_asked);
}

TEST(Residency, ExpertsGetWhatDenseWeightsLeave) {
  ResidencyAsk ask = dense(4, 0);
  for (uint32_t i = 0; i < 4; i++) ask.weights.push_back({"exps", i, 16 * kMatrix, true});
  ask.experts_least = 16 * kMatrix;
  const uint64_t dense_bytes = total(ask) - 64 * kMatrix;
  ask.room = dense_bytes + 30 * kMatrix;
  const auto out = choose_residency(ask);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->ring, 0u);
  EXPECT_EQ(out->experts, 30 * kMatrix);
  ask.room = dense_bytes + 15 * kMatrix;  // now dense weights stream, so that a layer's experts fit
  const auto tight = choose_residency(ask);
  ASSERT_TRUE(tight);
  EXPECT_GE(tight->experts, 16 * kMatrix);
  EXPECT_GT(tight->ring, 0u);
  EXPECT_LE(held(*tight), ask.room);
}

}  // namespace
}  // namespace gantry

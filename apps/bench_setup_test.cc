// Configurations from text, and the preset table of a made-up model.
#include "apps/bench_setup.h"

#include <gtest/gtest.h>

#include <numeric>

namespace gantry {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST(ParseSetup, NamesThatPeopleKnow) {
  const auto balanced = parse_setup("balanced");
  ASSERT_TRUE(balanced);
  EXPECT_TRUE(balanced->stream);
  EXPECT_EQ(stream_environment(*balanced), (Pairs{{"GANTRY_STREAM_PRESET", "balanced"}}));
  const auto plain = parse_setup("no-offload");
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->stream);
  EXPECT_EQ(plain->gpu_layers, -1);
  EXPECT_TRUE(stream_environment(*plain).empty());
  const auto mapped = parse_setup("mmap");
  ASSERT_TRUE(mapped);
  EXPECT_FALSE(mapped->stream);
  EXPECT_EQ(mapped->gpu_layers, 0);
  EXPECT_EQ(mapped->load_mode, "mmap");
  EXPECT_TRUE(parse_setup("auto"));
  EXPECT_TRUE(parse_setup("consumer"));  // an alias
}

TEST(ParseSetup, SettingsInAnyNumber) {
  const auto setup = parse_setup("resident=8,placement=tail,ring=64MiB,repack=1");
  ASSERT_TRUE(setup);
  EXPECT_TRUE(setup->stream);
  EXPECT_TRUE(setup->repack);
  EXPECT_EQ(setup->name, "resident=8,placement=tail,ring=64MiB,repack=1");
  EXPECT_EQ(stream_environment(*setup), (Pairs{{"GANTRY_STREAM_RESIDENT", "8"},
                                               {"GANTRY_STREAM_PLACEMENT", "tail"},
                                               {"GANTRY_STREAM_RING", "64MiB"}}));
  const auto split = parse_setup("ngl=10");
  ASSERT_TRUE(split);
  EXPECT_FALSE(split->stream);
  EXPECT_EQ(split->gpu_layers, 10);
}

TEST(ParseSetup, WhatIsNoneIsRefusedWithWhatThereIs) {
  for (const char* bad : {"", "fast", "resident", "resident=", "resident=many", "resident=-2",
                          "resident=513", "colour=red", "resident=8,,ring=1MiB", "repack=2",
                          "ngl=4,resident=8", "balanced,resident=4"}) {
    const auto setup = parse_setup(bad);
    ASSERT_FALSE(setup) << bad;
    EXPECT_EQ(setup.error().code, Code::kUsage) << bad;
    EXPECT_FALSE(setup.error().remedy.empty()) << bad;
  }
  EXPECT_TRUE(parse_setup("resident=512"));
}

ModelCard card_of(uint32_t layers, uint64_t layer_mib, uint64_t output_mib) {
  ModelCard card;
  card.layers = layers;
  card.groups.push_back({Part::kEmbedding, -1, MiB(7), {}, 1});
  for (uint32_t i = 0; i < layers; ++i) {
    card.groups.push_back({Part::kLayer, static_cast<int>(i), MiB(layer_mib), {}, 9});
  }
  if (output_mib > 0) card.groups.push_back({Part::kOutput, -1, MiB(output_mib), {}, 2});
  return card;
}

TEST(PresetTable, LayersOfTwentyEightAndTheirBytes) {
  const auto rows = preset_table(card_of(28, 100, 50), Spread::kTail, MiB(10));
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), 6U);
  const std::vector<uint32_t> want = {28, 20, 16, 12, 8, 4};
  for (size_t i = 0; i < want.size(); ++i) {
    const PresetRow& row = (*rows)[i];
    EXPECT_EQ(row.resident_layers, want[i]) << row.preset;
    EXPECT_EQ(row.resident, MiB(want[i] * 100 + 50)) << row.preset;
    EXPECT_EQ(row.streamed, MiB((28 - want[i]) * 100)) << row.preset;
    EXPECT_EQ(row.total, row.resident + row.ring + MiB(10)) << row.preset;
  }
  EXPECT_EQ((*rows)[0].preset, "baseline");
  EXPECT_EQ((*rows)[0].ring.n, 0U);
  EXPECT_EQ((*rows)[3].preset, "balanced");
  EXPECT_GT((*rows)[3].ring.n, 0U);
}

TEST(PresetTable, ScalesWithDepthAndCountsATiedOutput) {
  const auto rows = preset_table(card_of(56, 10, 0), Spread::kInterleave, {});
  ASSERT_TRUE(rows);
  EXPECT_EQ((*rows)[3].resident_layers, 24U);
  EXPECT_EQ((*rows)[3].resident, MiB(240 + 7));  // the embedding is the output matrix
  EXPECT_FALSE(preset_table(card_of(0, 1, 1), Spread::kTail, {}));
}

TEST(PredictedDecode, TheSlowerOfReadingAndArriving) {
  PresetRow row;
  row.resident = {1000};
  row.streamed = {500};
  EXPECT_DOUBLE_EQ(*predicted_decode(row, 15'000, 1'000), 2);       // 0.1 s, 0.5 s
  EXPECT_DOUBLE_EQ(*predicted_decode(row, 1'500, 1'000'000), 1);    // memory is the limit
  EXPECT_FALSE(predicted_decode(row, 15'000, std::nullopt));
  EXPECT_FALSE(predicted_decode(row, std::nullopt, 1'000));
  row.streamed = {};
  EXPECT_DOUBLE_EQ(*predicted_decode(row, 1'000, std::nullopt), 1);  // nothing has to arrive
}

}  // namespace
}  // namespace gantry

// Which group each name belongs to.
#include "model/groups.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Groups, PlacesNames) {
  EXPECT_EQ(gguf_place("token_embd.weight").part, Part::kEmbedding);
  EXPECT_EQ(gguf_place("output_norm.weight").part, Part::kOutput);
  EXPECT_EQ(gguf_place("v.blk.3.ln1.weight").part, Part::kEncoder);
  EXPECT_EQ(gguf_place("mm.0.weight").part, Part::kProjector);
  EXPECT_EQ(gguf_place("rope_freqs.weight").part, Part::kOther);
  const TensorPlace layer = gguf_place("blk.12.ffn_up.weight");
  EXPECT_EQ(layer.part, Part::kLayer);
  EXPECT_EQ(layer.layer, 12);
  EXPECT_FALSE(layer.expert);
  EXPECT_TRUE(gguf_place("blk.0.ffn_up_exps.weight").expert);
  EXPECT_TRUE(gguf_place("blk.0.ffn_up.7.weight").expert);
  EXPECT_EQ(whisper_place("decoder.blocks.5.mlp.0.weight").layer, 5);
  EXPECT_EQ(whisper_place("encoder.conv1.weight").part, Part::kEncoder);
}

TEST(Groups, AddUp) {
  CardGroups groups;
  groups.add({Part::kLayer, 1, false}, 8, 32, 34);
  groups.add({Part::kLayer, 0, false}, 8, 64, 68);
  groups.add({Part::kLayer, 0, true}, 0, 10, 40);
  ModelCard card;
  groups.finish(&card);
  ASSERT_EQ(card.groups.size(), 2U);
  EXPECT_EQ(card.groups[0].layer, 0);
  EXPECT_EQ(card.groups[0].bytes, Bytes{108});
  EXPECT_EQ(card.groups[0].expert_bytes, Bytes{40});
  EXPECT_EQ(card.groups[0].sizes, std::vector<uint64_t>{68});
  EXPECT_EQ(card.groups[0].expert_sizes, std::vector<uint64_t>{40});
  EXPECT_EQ(card.parameters, 106U);
  EXPECT_EQ(card.weight_bytes, Bytes{142});
  EXPECT_EQ(card.quantisation, "Q8_0");
}

TEST(Groups, WhatSeveralDevicesCanHaveSlicesOf) {
  CardGroups groups;
  groups.add(gguf_place("blk.0.attn_q.weight"), 12, 512, 288, 256);
  groups.add(gguf_place("blk.0.attn_output.weight"), 12, 512, 288, 512);
  groups.add(gguf_place("blk.0.attn_norm.weight"), 0, 256, 1024, 256);
  groups.add(gguf_place("blk.0.ffn_down_exps.weight"), 8, 64, 68, 32);
  groups.add(gguf_place("output_norm.weight"), 0, 256, 1024, 256);
  groups.add(gguf_place("output.weight"), 8, 2560, 2720, 256);
  ModelCard card;
  groups.finish(&card);
  ASSERT_EQ(card.groups.size(), 2U);
  const TensorGroup& layer = card.groups[0];
  EXPECT_EQ(layer.heads.bytes, 576U);
  EXPECT_EQ(layer.heads.row, 512U);
  EXPECT_EQ(layer.heads.block, 256U);
  EXPECT_EQ(layer.width.bytes, 68U);
  EXPECT_EQ(layer.width.row, 32U);
  EXPECT_EQ(layer.width.block, 32U);
  EXPECT_EQ(layer.bytes, Bytes{1024 + 576 + 68});
  EXPECT_EQ(card.groups[1].width.bytes, 2720U);
  EXPECT_EQ(card.groups[1].width.row, 10U);  // words
}

TEST(Groups, WhisperCachesFollowFromItsNumbers) {
  ModelCard card;
  whisper_geometry({51865, 1500, 1280, 20, 32, 448, 1280, 20, 32, 80}, &card);
  EXPECT_EQ(card.kv.size(), 32U);
  EXPECT_EQ(card.kv[0].k_head, 64U);
  // 1,536 cells of keys and values for 32 layers and one pair of scratch, in F16.
  EXPECT_EQ(card.state_bytes, Bytes{2ULL * 2 * 1536 * 1280 * 33});
}

}  // namespace
}  // namespace gantry

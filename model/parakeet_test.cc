// Projectors that llama.cpp serves as Parakeet, and those at which it would end itself.
#include "model/parakeet.h"

#include <gtest/gtest.h>

#include "model/forge.h"

namespace gantry {
namespace {

constexpr const char* kShare = "clip.audio.subsampling_factor";
constexpr const char* kTaps = "clip.audio.conv_kernel_size";

GgufForge forge_parakeet() {
  GgufForge forge = forge_projector();
  forge.set("clip.has_audio_encoder", GgufType::kBool, uint8_t{1});
  forge.set("clip.audio.projector_type", std::string_view("parakeet"));
  forge.set("clip.audio.block_count", 3).set("clip.audio.embedding_length", 48);
  forge.set("clip.audio.feed_forward_length", 96).set("clip.audio.attention.head_count", 6);
  forge.set("clip.audio.num_mel_bins", 80).set(kShare, 8).set(kTaps, 9);
  forge.tensor("a.mel_filters", {257, 80}).tensor("a.window", {400});
  forge.tensor("a.conv1d.0.weight", {3, 3, 1, 24});
  for (const char* name : {"mm.model.mlp.0.weight", "mm.model.mlp.3.weight",
                           "mm.a.norm_pre.weight", "mm.a.mlp.2.weight"}) {
    forge.tensor(name, {48});
  }
  forge.set("clip.vision.projector_type", std::string_view("nemotron_v2_vl"));
  forge.tensor("v.class_embd", {32, 10}).tensor("mm.model.mlp.1.weight", {128, 96});
  return forge.tensor("mm.a.mlp.1.weight", {48, 112});
}

Result<ModelCard> card_of(const GgufForge& forge) {
  const std::string file = forge.bytes();
  return read_card(as_bytes(file));
}

TEST(Parakeet, ItsWidthsAreItsOwnBesideAnEncoderOfPictures) {
  const Result<ModelCard> card = card_of(forge_parakeet());
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->audio_projector, "parakeet");
  EXPECT_EQ(card->audio_layers, 3U);
  EXPECT_EQ(card->audio_mels, 80U);
  EXPECT_EQ(card->audio_channels, 24U);
  EXPECT_EQ(card->audio.embd, 48U);
  EXPECT_EQ(card->audio.heads, 6U);
  EXPECT_EQ(card->audio.ffn, 96U);
  EXPECT_EQ(card->audio.taps, 9U);
  EXPECT_EQ(card->audio.inner, 112U);
  // v.patch_embd of 16 bits, v.class_embd, and three matrices of the projection.
  EXPECT_EQ(card->audio.shared, Bytes(14 * 14 * 3 * 32 * 2 + 4 * (320 + 48 + 128 * 96 + 48)));
  EXPECT_EQ(card->embd, 32U);
  EXPECT_EQ(card->vision.registers, 10U);
  EXPECT_EQ(card->vision.inner, 96U);
}

TEST(Parakeet, WhatTheEngineWouldDieOfIsRefused) {
  const auto refuse = [](const GgufForge& forge, const char* says,
                         Code code = Code::kUnsupported) {
    const Result<ModelCard> card = card_of(forge);
    ASSERT_FALSE(card) << says;
    EXPECT_EQ(card.error().code, code) << says;
    EXPECT_NE(card.error().message.find(says), std::string::npos) << card.error().message;
    EXPECT_NE(card.error().remedy.find("--mmproj"), std::string::npos) << card.error().remedy;
  };
  refuse(forge_parakeet().set(kShare, 4), "one step in time of 4, not of 8");
  refuse(forge_parakeet().without(kShare), "one step in time of 0");
  refuse(forge_parakeet().set(kTaps, 8), "over 8 steps");
  refuse(forge_parakeet().without(kTaps), "over 0 steps");
  EXPECT_TRUE(card_of(forge_parakeet().set(kTaps, 1'023)));
  refuse(forge_parakeet().set(kTaps, 1'025), "over 1025 steps", Code::kTooLarge);
  refuse(forge_parakeet().set("clip.audio.num_mel_bins", 128), "20560 numbers in a.mel_filters");
  for (const char* name :
       {"a.mel_filters", "a.window", "a.conv1d.0.weight", "mm.model.mlp.0.weight",
        "mm.model.mlp.1.weight", "mm.model.mlp.3.weight", "mm.a.norm_pre.weight",
        "mm.a.mlp.1.weight", "mm.a.mlp.2.weight"}) {
    GgufForge forge = forge_parakeet();
    std::erase_if(forge.tensors, [&](const ForgedTensor& t) { return t.name == name; });
    refuse(forge, name);
  }
}

}  // namespace
}  // namespace gantry

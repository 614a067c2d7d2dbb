// Which layers keep which cache, by architecture; expected numbers are worked out by hand from the
// metadata that each test sets.
#include "model/geometry.h"

#include <gtest/gtest.h>

#include "model/forge.h"

namespace gantry {
namespace {

Result<ModelCard> card_of(const GgufForge& forge) { return read_card(as_bytes(forge.bytes())); }

std::vector<uint32_t> windows(const ModelCard& card) {
  std::vector<uint32_t> out;
  for (const LayerKv& layer : card.kv) out.push_back(layer.window);
  return out;
}

std::vector<uint32_t> k_widths(const ModelCard& card) {
  std::vector<uint32_t> out;
  for (const LayerKv& layer : card.kv) out.push_back(layer.k_width);
  return out;
}

using Numbers = std::vector<uint32_t>;

TEST(Geometry, GroupedQueriesAndDefaults) {
  const Result<ModelCard> card = card_of(forge_language());
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->architecture, "llama");
  EXPECT_EQ(card->layers, 2U);
  EXPECT_EQ(card->embd, 64U);
  EXPECT_EQ(card->heads, 4U);
  EXPECT_EQ(card->heads_kv, 2U);
  EXPECT_EQ(card->ffn, 128U);
  EXPECT_EQ(card->vocab, 32U);
  EXPECT_EQ(card->context_trained, 512U);
  EXPECT_EQ(k_widths(*card), (Numbers{32, 32}));  // 2 heads of 64 / 4
  EXPECT_EQ(windows(*card), (Numbers{0, 0}));
  EXPECT_EQ(card->state_bytes.n, 0U);
  EXPECT_FALSE(card->has_chat_template);
}

TEST(Geometry, ExplicitHeadSizesAndHeadsPerLayer) {
  GgufForge forge = forge_language();
  forge.set("llama.attention.key_length", 24).set("llama.attention.value_length", 40);
  forge.list<uint32_t>("llama.attention.head_count_kv", GgufType::kU32, {3, 1});
  forge.set("tokenizer.chat_template", std::string_view("{{ x }}"));
  const Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(k_widths(*card), (Numbers{72, 24}));
  EXPECT_EQ(card->kv[0].v_width, 120U);
  EXPECT_EQ(card->heads_kv, 3U);
  EXPECT_TRUE(card->has_chat_template);
}

TEST(Geometry, WithoutKvHeadsEveryHeadHasItsOwn) {
  const Result<ModelCard> card =
      card_of(forge_language().without("llama.attention.head_count_kv"));
  ASSERT_TRUE(card);
  EXPECT_EQ(k_widths(*card), (Numbers{64, 64}));
}

TEST(Geometry, Gemma2AlternatesAndHasAWindowByItself) {
  const Result<ModelCard> card = card_of(forge_language("gemma2", 1, 4));
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(windows(*card), (Numbers{4096, 0, 4096, 0}));
}

TEST(Geometry, Gemma3HasOneFullLayerInSixAndOtherHeadsInWindows) {
  GgufForge forge = forge_language("gemma3", 1, 7);
  EXPECT_EQ(windows(*card_of(forge)), (Numbers{0, 0, 0, 0, 0, 0, 0}));
  forge.set("gemma3.attention.sliding_window", 512);
  forge.set("gemma3.attention.key_length", 16).set("gemma3.attention.key_length_swa", 8);
  const Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(windows(*card), (Numbers{512, 512, 512, 512, 512, 0, 512}));
  EXPECT_EQ(k_widths(*card), (Numbers{16, 16, 16, 16, 16, 32, 16}));
}

TEST(Geometry, PatternsInTheFileGoBefore) {
  GgufForge forge = forge_language("gemma3", 1, 3);
  forge.set("gemma3.attention.sliding_window", 512);
  forge.set("gemma3.attention.sliding_window_pattern", 2);
  EXPECT_EQ(windows(*card_of(forge)), (Numbers{512, 0, 512}));
  forge.list<uint8_t>("gemma3.attention.sliding_window_pattern", GgufType::kBool, {0, 1, 1});
  EXPECT_EQ(windows(*card_of(forge)), (Numbers{0, 512, 512}));
}

TEST(Geometry, Llama4ChunksUnlessToldNotTo) {
  GgufForge forge = forge_language("llama4", 1, 4);
  EXPECT_EQ(windows(*card_of(forge)), (Numbers{8192, 8192, 8192, 0}));
  forge.set("llama4.attention.sliding_window", 0);
  EXPECT_EQ(windows(*card_of(forge)), (Numbers{0, 0, 0, 0}));
}

TEST(Geometry, FullLayersFirst) {
  GgufForge forge = forge_language("cohere2moe", 1, 5);
  forge.set("cohere2moe.attention.sliding_window", 64);
  EXPECT_EQ(windows(*card_of(forge)), (Numbers{0, 64, 64, 64, 0}));
}

TEST(Geometry, WindowsThatTheRuntimeIgnoresAreIgnored) {
  GgufForge forge = forge_language("phi3");
  forge.set("phi3.attention.sliding_window", 2047);
  EXPECT_EQ(windows(*card_of(forge)), (Numbers{0, 0}));
}

TEST(Geometry, LatentAttentionKeepsOneKeyAndNoValue) {
  GgufForge forge = forge_language("deepseek2");
  forge.set("deepseek2.attention.head_count_kv", 1);
  forge.set("deepseek2.attention.kv_lora_rank", 48).set("deepseek2.rope.dimension_count", 16);
  forge.set("deepseek2.attention.key_length_mla", 24);
  forge.set("deepseek2.attention.value_length_mla", 16);
  Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(k_widths(*card), (Numbers{64, 64}));  // rank + rope
  EXPECT_EQ(card->kv[0].v_width, 0U);
  forge.set("deepseek2.attention.key_length", 64);
  forge.set("deepseek2.attention.value_length", 48);
  EXPECT_EQ(card_of(forge)->kv_bytes_per_token(CacheType::kF16, CacheType::kF16).n,
            card->kv_bytes_per_token(CacheType::kF16, CacheType::kF16).n);
}

TEST(Geometry, RecurrentModelsKeepAStateInsteadOfACache) {
  GgufForge forge = forge_language("mamba");
  forge.set("mamba.ssm.conv_kernel", 4).set("mamba.ssm.inner_size", 128);
  forge.set("mamba.ssm.state_size", 16).without("mamba.attention.head_count");
  const Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(k_widths(*card), (Numbers{0, 0}));
  EXPECT_EQ(card->state_bytes.n, 2U * 4 * (3 * 128 + 16 * 128));
  EXPECT_EQ(card->kv_bytes(4096, CacheType::kF16, CacheType::kF16).n, 0U);
}

TEST(Geometry, HybridLayersWithoutKvHeadsRecur) {
  GgufForge forge = forge_language("jamba", 1, 3);
  forge.list<uint32_t>("jamba.attention.head_count_kv", GgufType::kU32, {0, 2, 0});
  forge.set("jamba.ssm.conv_kernel", 4).set("jamba.ssm.inner_size", 128);
  forge.set("jamba.ssm.state_size", 16);
  const Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(k_widths(*card), (Numbers{0, 32, 0}));
  EXPECT_EQ(card->state_bytes.n, 2U * 4 * (3 * 128 + 16 * 128));
}

TEST(Geometry, IntervalHybridsAttendInEveryFourthLayer) {
  GgufForge forge = forge_language("qwen3next", 1, 5);
  forge.set("qwen3next.ssm.conv_kernel", 4).set("qwen3next.ssm.inner_size", 64);
  forge.set("qwen3next.ssm.state_size", 8).set("qwen3next.ssm.group_count", 2);
  Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(k_widths(*card), (Numbers{0, 0, 0, 32, 0}));
  EXPECT_EQ(card->state_bytes.n, 4U * 4 * (3 * (64 + 2 * 2 * 8) + 8 * 64));
  forge.list<uint8_t>("qwen3next.attention.recurrent_layers", GgufType::kBool, {1, 0, 1, 0, 0});
  EXPECT_EQ(k_widths(*card_of(forge)), (Numbers{0, 32, 0, 32, 32}));
}

TEST(Geometry, FalconH1DoesBothInEveryLayer) {
  GgufForge forge = forge_language("falcon-h1");
  forge.set("falcon-h1.ssm.conv_kernel", 4).set("falcon-h1.ssm.inner_size", 64);
  forge.set("falcon-h1.ssm.state_size", 8).set("falcon-h1.ssm.group_count", 1);
  const Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(k_widths(*card), (Numbers{32, 32}));
  EXPECT_EQ(card->state_bytes.n, 2U * 4 * (3 * (64 + 2 * 8) + 8 * 64));
}

TEST(Geometry, LayersThatReuseACacheHaveNone) {
  GgufForge forge = forge_language("gemma4", 1, 4);
  forge.set("gemma4.attention.shared_kv_layers", 2);
  EXPECT_EQ(k_widths(*card_of(forge)), (Numbers{32, 32, 0, 0}));
}

TEST(Geometry, LayersThatPredictAheadKeepNoCacheOfTheTrunk) {
  GgufForge forge = forge_language("glm4moe", 1, 3);
  forge.set("glm4moe.nextn_predict_layers", 1);
  EXPECT_EQ(k_widths(*card_of(forge)), (Numbers{32, 32, 0}));
}

TEST(Geometry, EncodersKeepNothing) {
  for (const char* name : {"bert", "nomic-bert", "gemma-embedding", "modern-bert"}) {
    const Result<ModelCard> card = card_of(forge_language(name));
    ASSERT_TRUE(card) << card.error().message;
    EXPECT_TRUE(card->kv.empty()) << name;
  }
}

TEST(Geometry, ProjectorHasAnEncoderAndPictures) {
  const Result<ModelCard> card = card_of(forge_projector());
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->layers, 2U);
  EXPECT_EQ(card->embd, 32U);
  EXPECT_EQ(card->image_size, 28U);
  EXPECT_EQ(card->patch_size, 14U);
  EXPECT_TRUE(card->kv.empty());
}

TEST(Geometry, EncodersAreToldApart) {
  GgufForge forge = forge_projector();
  forge.set("clip.projector_type", std::string_view("qwen2.5vl_merger"));
  forge.set("clip.vision.n_wa_pattern", 8);
  forge.set("clip.vision.feed_forward_length", 0);  // as an older converter wrote it
  forge.tensor("v.blk.0.ffn_up.weight", {64, 32}, 1);
  const Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_TRUE(card->vision.is_qwen());
  EXPECT_EQ(card->vision.full_every, 8U);
  EXPECT_EQ(card->ffn, 64U);
  EXPECT_TRUE(card->vision.deepstack.empty());
  forge.set("clip.vision.n_wa_pattern", kLayersMax + 1);
  EXPECT_EQ(card_of(forge).error().code, Code::kTooLarge);
  const Result<ModelCard> plain = card_of(forge_projector());
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->vision.is_qwen());
}

TEST(Geometry, AnEncoderOfSoundSaysWhatItHears) {
  GgufForge forge;
  forge.set("general.architecture", std::string_view("clip"));
  forge.set("clip.has_audio_encoder", GgufType::kBool, uint8_t{1});
  forge.set("clip.projector_type", std::string_view("qwen3a"));
  forge.set("clip.audio.block_count", 3);
  forge.set("clip.audio.embedding_length", 32);
  forge.set("clip.audio.feed_forward_length", 64);
  forge.set("clip.audio.attention.head_count", 2);
  forge.set("clip.audio.num_mel_bins", 128);
  forge.tensor("a.conv2d.1.weight", {3, 3, 1, 48}, 1);
  const Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->layers, 3U);
  EXPECT_EQ(card->audio_layers, 3U);
  EXPECT_EQ(card->audio_projector, "qwen3a");
  EXPECT_EQ(card->audio_mels, 128U);
  EXPECT_EQ(card->audio_channels, 48U);
  EXPECT_EQ(card->audio.embd, 32U);
  EXPECT_EQ(card->audio.heads, 2U);
  EXPECT_EQ(card->audio.ffn, 64U);
  EXPECT_EQ(card->image_size, 0U);
  forge.set("clip.audio.projector_type", std::string_view("voxtral"));
  EXPECT_EQ(card_of(forge)->audio_projector, "voxtral");
  forge.set("clip.audio.num_mel_bins", 1U << 20);
  EXPECT_EQ(card_of(forge).error().code, Code::kTooLarge);
  EXPECT_EQ(card_of(forge_projector())->audio_projector, "");
}

TEST(Geometry, HostileNamesAreCleaned) {
  GgufForge forge = forge_language();
  forge.set("general.name", std::string_view("evil\x1b[2J\n"));
  EXPECT_EQ(card_of(forge)->name, "evil?[2J?");
}

TEST(Geometry, LimitsHoldAtN) {
  GgufForge forge = forge_language("llama", 1, kLayersMax);
  EXPECT_TRUE(card_of(forge));
  forge = forge_language();
  forge.set("llama.context_length", kContextMax).set("llama.embedding_length", kEmbdMax);
  EXPECT_TRUE(card_of(forge));
  forge.set("llama.attention.head_count_kv", 1).set("llama.attention.key_length", kEmbdMax);
  forge.set("llama.attention.head_count_kv", kKvWidthMax / kEmbdMax);
  EXPECT_TRUE(card_of(forge));
  forge.set("llama.attention.head_count_kv", kKvWidthMax / kEmbdMax + 1);
  EXPECT_EQ(card_of(forge).error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace gantry

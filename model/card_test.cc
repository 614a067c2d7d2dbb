// Cards: groups and cache arithmetic.
#include "model/card.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/os.h"
#include "model/forge.h"
#include "model/forge_whisper.h"

namespace gantry {
namespace {

Result<ModelCard> card_of(const GgufForge& forge) { return read_card(as_bytes(forge.bytes())); }

TEST(Card, GroupsTensorsByPart) {
  GgufForge forge = forge_language();
  forge.tensor("output.weight", {64, 32}, 1).tensor("rope_freqs.weight", {8});
  forge.tensor("blk.1.ffn_up_exps.weight", {64, 16, 4}, 1);
  forge.tensor("blk.1.ffn_gate.3.weight", {64, 16}, 1);
  forge.tensor("blk.1.ffn_up_shexp.weight", {64, 16}, 1);
  const Result<ModelCard> card = card_of(forge);
  ASSERT_TRUE(card) << card.error().message;
  ASSERT_EQ(card->groups.size(), 5U);
  EXPECT_EQ(card->groups[0].part, Part::kEmbedding);
  EXPECT_EQ(card->groups[0].bytes.n, 64U * 32 * 2);
  EXPECT_EQ(card->groups[1].layer, 0);
  EXPECT_EQ(card->groups[1].tensors, 5U);
  EXPECT_EQ(card->groups[2].layer, 1);
  EXPECT_EQ(card->groups[2].expert_bytes.n, (64U * 16 * 4 + 64 * 16) * 2);
  EXPECT_EQ(card->groups[3].part, Part::kOutput);
  EXPECT_EQ(card->groups[4].part, Part::kOther);
  Bytes sum;
  for (const TensorGroup& group : card->groups) sum += group.bytes;
  EXPECT_EQ(sum, card->weight_bytes);
  EXPECT_EQ(card->bytes_in(Part::kLayer), card->groups[1].bytes + card->groups[2].bytes);
  EXPECT_EQ(card->quantisation, "F16");
  EXPECT_LT(card->weight_bytes, card->file_bytes);
}

TEST(Card, ProjectorsHaveAnEncoderAndAProjector) {
  const Result<ModelCard> card = card_of(forge_projector());
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->bytes_in(Part::kEncoder).n, 2U * (14 * 14 * 3 * 32 + 2 * 32 * 32));
  EXPECT_EQ(card->bytes_in(Part::kProjector).n, 2U * 32 * 64);
}

TEST(Card, WhisperHasTextLayersAndACrossCache) {
  const Result<ModelCard> card = read_card(as_bytes(forge_whisper(8, 2, 3).bytes()));
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->format, ModelFormat::kWhisper);
  EXPECT_EQ(card->quantisation, "Q8_0");
  EXPECT_EQ(card->layers, 3U);
  EXPECT_EQ(card->audio_layers, 2U);
  EXPECT_EQ(card->audio_mels, 4U);
  EXPECT_EQ(card->bytes_in(Part::kOutput).n, 2U * 32 * 4);
  EXPECT_EQ(card->kv_bytes(5, CacheType::kF16, CacheType::kF16).n, 256U * 3 * 2 * 32 * 2);
  EXPECT_EQ(card->state_bytes.n, 2U * 2 * 256 * (3 * 32 + 32));
  EXPECT_EQ(card->check_cache(CacheType::kQ8_0, CacheType::kQ8_0).error().code,
            Code::kUnsupported);
}

TEST(Card, CacheRowsAreWholeBlocks) {
  EXPECT_EQ(cache_row_bytes(CacheType::kF32, 64).n, 256U);
  EXPECT_EQ(cache_row_bytes(CacheType::kF16, 64).n, 128U);
  EXPECT_EQ(cache_row_bytes(CacheType::kBf16, 64).n, 128U);
  EXPECT_EQ(cache_row_bytes(CacheType::kQ8_0, 64).n, 68U);
  EXPECT_EQ(cache_row_bytes(CacheType::kQ5_1, 64).n, 48U);
  EXPECT_EQ(cache_row_bytes(CacheType::kQ5_0, 64).n, 44U);
  EXPECT_EQ(cache_row_bytes(CacheType::kQ4_1, 64).n, 40U);
  EXPECT_EQ(cache_row_bytes(CacheType::kQ4_0, 64).n, 36U);
  EXPECT_EQ(cache_row_bytes(CacheType::kQ8_0, 65).n, 102U);
  EXPECT_EQ(cache_row_bytes(CacheType::kQ8_0, 0).n, 0U);
}

TEST(Card, CachesRespectWindowsAndRoundUp) {
  ModelCard card;
  card.kv = {{64, 32, 0, 32, 32}, {64, 32, 100, 32, 32}};
  const auto kF16 = CacheType::kF16;
  EXPECT_EQ(card.kv_bytes_per_token(kF16, kF16).n, 2U * 192);
  EXPECT_EQ(card.kv_bytes(256, kF16, kF16).n, 2U * 256 * 192);
  EXPECT_EQ(card.kv_bytes(257, kF16, kF16).n, 2U * 512 * 192);
  // The window holds 100 + 512 tokens, rounded up to 768.
  EXPECT_EQ(card.kv_bytes(8192, kF16, kF16).n, (8192U + 768) * 192);
  EXPECT_EQ(card.kv_bytes(8192, kF16, kF16, {64, 4}).n, (8192U + 512) * 192);
  EXPECT_EQ(card.kv_bytes(8192, CacheType::kQ8_0, CacheType::kQ4_0).n, (8192U + 768) * (68 + 18));
  card.kv = {{kKvWidthMax, kKvWidthMax, UINT32_MAX, 1, 1}};
  EXPECT_EQ(card.kv_bytes(UINT32_MAX, CacheType::kF32, CacheType::kF32).n,
            (uint64_t{1} << 32) * (uint64_t{1} << 27));
}

TEST(Card, QuantisedCachesNeedHeadsOfWholeBlocks) {
  ModelCard card;
  card.kv = {{0, 0, 0, 0, 0}, {96, 96, 0, 48, 64}};
  EXPECT_TRUE(card.check_cache(CacheType::kF16, CacheType::kQ4_0));
  const Result<void> fits = card.check_cache(CacheType::kQ8_0, CacheType::kF16);
  ASSERT_FALSE(fits);
  EXPECT_EQ(fits.error().code, Code::kUnsupported);
  EXPECT_EQ(fits.error().remedy, "use f16 for the K cache");
}

TEST(Card, CacheTypeNamesGoBothWays) {
  for (const CacheType type : kCacheTypes) {
    EXPECT_EQ(parse_cache_type(cache_type_name(type)).value(), type);
  }
  EXPECT_EQ(parse_cache_type("q8").error().code, Code::kUsage);
  EXPECT_EQ(parse_cache_type("").error().code, Code::kUsage);
}

// The micro models that the project ships, where they are there.
TEST(Card, ReadsTheModelsBesideTheProject) {
  size_t found = 0;
  for (const char* folder : {GANTRY_SOURCE_DIR "/models", GANTRY_SOURCE_DIR "/../shared/data"}) {
    const std::unique_ptr<Os> os = make_real_os();
    for (const std::string& name : os->list(folder).value_or(std::vector<std::string>{})) {
      const bool whisper = name.starts_with("micro-en") && name.ends_with(".bin") &&
                           name.find("openvino") == std::string::npos;
      if (!name.ends_with(".gguf") && !whisper) continue;
      const auto mapped = os->map_file(join_path(folder, name));
      ASSERT_TRUE(mapped) << mapped.error().message;
      const Result<ModelCard> card = read_card((*mapped)->bytes());
      ASSERT_TRUE(card) << name << ": " << card.error().message;
      EXPECT_GT(card->weight_bytes.n, 0U);
      EXPECT_GT(card->layers, 0U);
      ++found;
    }
  }
  if (found == 0) GTEST_SKIP() << "no models here";
}

}  // namespace
}  // namespace gantry

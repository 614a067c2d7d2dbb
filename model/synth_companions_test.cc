// Adapters and projectors for a model in memory.
#include "model/synth_companions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "model/card.h"

namespace gantry {
namespace {

// A model's file without its weights: enough for companions.
std::string base_file(const std::string& shape) {
  SynthWish wish;
  wish.shape = shape;
  const Result<SynthModel> model = synth_model(wish);
  EXPECT_TRUE(model);
  std::string file = model->head;
  file.resize(model->bytes);
  return file;
}

TEST(Lora, EveryMatrixOfALayerHasAPair) {
  const std::string file = base_file("llama");
  const Result<Gguf> base = read_gguf(std::as_bytes(std::span(file)));
  ASSERT_TRUE(base);
  const Result<SynthModel> lora = synth_lora(*base, 8, 1);
  ASSERT_TRUE(lora);
  EXPECT_EQ(lora->tensors.size(), 4U * 7 * 2);
  EXPECT_EQ(lora->layers, 4U);
  const auto find = [&](std::string_view name) {
    return std::ranges::find(lora->tensors, name, &SynthTensor::name)->shape;
  };
  EXPECT_EQ(find("blk.0.ffn_down.weight.lora_a"), (std::vector<uint64_t>{512, 8}));
  EXPECT_EQ(find("blk.0.ffn_down.weight.lora_b"), (std::vector<uint64_t>{8, 256}));
}

TEST(Lora, ExpertsAndRoutersAreLeftAlone) {
  const std::string file = base_file("qwen3moe");
  const Result<Gguf> base = read_gguf(std::as_bytes(std::span(file)));
  ASSERT_TRUE(base);
  const Result<SynthModel> lora = synth_lora(*base, 8, 1);
  ASSERT_TRUE(lora);
  EXPECT_EQ(lora->tensors.size(), 4U * 4 * 2);
}

TEST(Lora, RankHasLimits) {
  const std::string file = base_file("llama");
  const Result<Gguf> base = read_gguf(std::as_bytes(std::span(file)));
  ASSERT_TRUE(base);
  EXPECT_TRUE(synth_lora(*base, 1, 1));
  EXPECT_TRUE(synth_lora(*base, kSynthRankMax, 1));
  EXPECT_EQ(synth_lora(*base, 0, 1).error().code, Code::kUsage);
  EXPECT_EQ(synth_lora(*base, kSynthRankMax + 1, 1).error().code, Code::kTooLarge);
}

TEST(Projector, EndsInTheModelsWidth) {
  const std::string file = base_file("llama");
  const Result<Gguf> base = read_gguf(std::as_bytes(std::span(file)));
  ASSERT_TRUE(base);
  const Result<SynthModel> projector = synth_projector(*base, 3, 1);
  ASSERT_TRUE(projector);
  std::string whole = projector->head;
  whole.resize(projector->bytes);
  const Result<ModelCard> card = read_card(std::as_bytes(std::span(whole)));
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->architecture, "clip");
  EXPECT_EQ(card->layers, 3U);
  EXPECT_EQ(projector->tensors.back().shape, (std::vector<uint64_t>{256}));
  EXPECT_EQ(synth_projector(*base, 1, 1).error().code, Code::kUsage);
  EXPECT_EQ(synth_projector(*base, kLayersMax + 1, 1).error().code, Code::kTooLarge);

  // No companion of a companion.
  const Result<Gguf> clip = read_gguf(std::as_bytes(std::span(whole)));
  ASSERT_TRUE(clip);
  EXPECT_EQ(synth_lora(*clip, 8, 1).error().code, Code::kUnsupported);
  EXPECT_EQ(synth_projector(*clip, 3, 1).error().code, Code::kUnsupported);
}

TEST(Projector, KindsAreToldApartInTheFile) {
  const std::string file = base_file("llama");
  const Result<Gguf> base = read_gguf(std::as_bytes(std::span(file)));
  ASSERT_TRUE(base);
  for (const std::string_view kind : synth_projectors()) {
    SynthEncoder shape;
    shape.projector = kind;
    const Result<SynthModel> projector = synth_projector(*base, 8, 1, shape);
    ASSERT_TRUE(projector) << kind;
    std::string whole = projector->head;
    whole.resize(projector->bytes);
    const Result<ModelCard> card = read_card(std::as_bytes(std::span(whole)));
    ASSERT_TRUE(card) << card.error().message;
    const VisionStyle& style = card->vision;
    EXPECT_EQ(style.projector, kind);
    EXPECT_EQ(style.norm_before, kind == "mlp");
    EXPECT_EQ(style.norm_behind, kind != "mlp");
    EXPECT_EQ(style.full_every, kind == "qwen2.5vl_merger" ? 8U : 0U);
    const bool stacked = kind == "qwen3vl_merger";
    EXPECT_EQ(style.deepstack, stacked ? (std::vector<uint32_t>{2, 4, 6})
                                       : std::vector<uint32_t>{});
  }
  EXPECT_EQ(synth_projector(*base, 8, 1, {.projector = "eye"}).error().code, Code::kUsage);
}

TEST(Lora, ModelsWithoutMatricesAreRefused) {
  const std::string file = base_file("mamba");
  const Result<Gguf> base = read_gguf(std::as_bytes(std::span(file)));
  ASSERT_TRUE(base);
  EXPECT_EQ(synth_lora(*base, 8, 1).error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace gantry

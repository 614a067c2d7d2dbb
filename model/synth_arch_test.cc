// What the architectures' files hold, by name.
#include "model/synth_arch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace gantry {
namespace {

SynthModel model_of(const std::string& shape, const std::string& quant = "Q8_0") {
  SynthWish wish;
  wish.shape = shape;
  wish.quant = quant;
  Result<SynthModel> model = synth_model(wish);
  EXPECT_TRUE(model) << model.error().message;
  return model.value_or(SynthModel{});
}

const SynthTensor* find(const SynthModel& model, std::string_view name) {
  const auto found = std::ranges::find(model.tensors, name, &SynthTensor::name);
  return found == model.tensors.end() ? nullptr : &*found;
}

TEST(Architecture, EveryShapeHasOne) {
  for (const SynthShape& shape : synth_shapes()) {
    const SynthModel model = model_of(std::string(shape.name));
    EXPECT_EQ(model.layers, shape.layers);
    EXPECT_NE(find(model, "token_embd.weight"), nullptr);
    EXPECT_EQ(find(model, "output.weight") != nullptr,
              !shape.tied && shape.architecture != "bert") << shape.name;
  }
}

TEST(Architecture, ExpertsLieInOneTensor) {
  const SynthModel model = model_of("30b-a3b");
  const SynthTensor* down = find(model, "blk.47.ffn_down_exps.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->shape, (std::vector<uint64_t>{768, 2048, 128}));
  EXPECT_EQ(find(model, "blk.0.ffn_gate_inp.weight")->type, 0U);
  EXPECT_EQ(find(model, "blk.0.attn_q.weight")->shape, (std::vector<uint64_t>{2048, 4096}));
}

TEST(Architecture, HybridsMixLayers) {
  for (const char* shape : {"jamba", "granitehybrid", "lfm2"}) {
    const SynthModel model = model_of(shape);
    EXPECT_EQ(find(model, "blk.0.attn_q.weight"), nullptr);
    EXPECT_NE(find(model, "blk.3.attn_q.weight"), nullptr);
  }
}

TEST(Architecture, MixesFavourTheOutputAndHalfOfTheLayers) {
  const SynthModel model = model_of("7b", "Q4_K_M");
  EXPECT_EQ(find(model, "output.weight")->type, 14U);
  EXPECT_EQ(find(model, "token_embd.weight")->type, 12U);
  EXPECT_EQ(find(model, "blk.0.attn_q.weight")->type, 12U);
  uint32_t larger = 0;
  for (uint32_t layer = 0; layer < 32; ++layer) {
    const std::string block = "blk." + std::to_string(layer);
    larger += find(model, block + ".ffn_down.weight")->type == 14 ? 1U : 0U;
    EXPECT_EQ(find(model, block + ".ffn_down.weight")->type,
              find(model, block + ".attn_v.weight")->type);
  }
  EXPECT_EQ(larger, 16U);
}

TEST(Architecture, MatricesKeepUnitVariance) {
  for (const SynthTensor& tensor : model_of("llama").tensors) {
    if (tensor.shape.size() < 2) continue;
    EXPECT_DOUBLE_EQ(tensor.spread, 1 / std::sqrt(static_cast<double>(tensor.shape[0])));
  }
}

TEST(Architecture, UnknownOnesAreToldApart) {
  const SynthShape shape{.name = "x", .architecture = "x", .about = ""};
  SynthDraft draft(shape, *synth_quant("F16"));
  EXPECT_FALSE(draft_architecture(&draft));
  EXPECT_EQ(synth_quant("Q9"), nullptr);
}

}  // namespace
}  // namespace gantry

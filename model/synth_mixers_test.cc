// States: which layers keep one, and its tensors' sizes.
#include "model/synth_mixers.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gantry {
namespace {

struct Drafted {
  std::vector<uint32_t> kv_heads;
  std::vector<SynthTensor> tensors;

  std::vector<uint64_t> shape(const std::string& name) const {
    const auto found = std::ranges::find(tensors, "blk.0." + name, &SynthTensor::name);
    return found == tensors.end() ? std::vector<uint64_t>{} : found->shape;
  }
};

Drafted drafted(std::string_view architecture, uint32_t layers, uint32_t embd = 256) {
  const SynthShape size{.name = architecture, .architecture = architecture, .about = "",
                        .layers = layers, .embd = embd, .head_size = 64};
  SynthDraft draft(size, *synth_quant("Q8_0"));
  Drafted out;
  out.kv_heads = draft_mixer_keys(&draft);
  draft_mixer(&draft);
  out.tensors = draft.tensors;
  return out;
}

TEST(Mixers, HybridsAttendInEveryFourthLayerAndTheLast) {
  EXPECT_EQ(drafted("jamba", 6).kv_heads, (std::vector<uint32_t>{0, 0, 0, 2, 0, 2}));
  EXPECT_EQ(drafted("lfm2", 1).kv_heads, (std::vector<uint32_t>{2}));
  EXPECT_EQ(drafted("mamba", 2).kv_heads, (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(drafted("llama", 2).kv_heads, (std::vector<uint32_t>{2, 2}));
}

TEST(Mixers, Mamba) {
  const Drafted mamba = drafted("mamba", 1, 250);
  EXPECT_EQ(mamba.shape("ssm_in.weight"), (std::vector<uint64_t>{250, 1000}));
  EXPECT_EQ(mamba.shape("ssm_x.weight"), (std::vector<uint64_t>{500, 16 + 32}));
  EXPECT_EQ(mamba.shape("ssm_dt.weight"), (std::vector<uint64_t>{16, 500}));
  EXPECT_TRUE(mamba.shape("ssm_dt_norm.weight").empty());
  EXPECT_EQ(drafted("jamba", 1).shape("ssm_dt_norm.weight"), (std::vector<uint64_t>{16}));
}

TEST(Mixers, Mamba2) {
  const Drafted mamba = drafted("mamba2", 1);
  EXPECT_EQ(mamba.shape("ssm_in.weight"), (std::vector<uint64_t>{256, 512 + 512 + 128 + 8}));
  EXPECT_EQ(mamba.shape("ssm_a"), (std::vector<uint64_t>{1, 8}));
}

TEST(Mixers, ShortConvolution) {
  const Drafted lfm = drafted("lfm2", 1);
  EXPECT_EQ(lfm.shape("shortconv.in_proj.weight"), (std::vector<uint64_t>{256, 768}));
  EXPECT_EQ(lfm.shape("shortconv.conv.weight"), (std::vector<uint64_t>{3, 256}));
}

}  // namespace
}  // namespace gantry

// The mixes, matrix by matrix. That they add up to published files is catalogue_cards_test.cc's.
#include "model/quantize.h"

#include <gtest/gtest.h>

#include "model/tensor_type.h"

namespace gantry {
namespace {

constexpr QuantizedModel kSevenB = {32, 32, 32, 0, false};
constexpr QuantizedModel kGrouped = {32, 32, 8, 0, false};
constexpr QuantizedModel kMixtral = {32, 32, 8, 8, false};
constexpr QuantizedModel kTied = {28, 24, 8, 0, true};

std::string type(Mix mix, const QuantizedModel& model, std::string_view name,
                 uint64_t width = 4096) {
  return std::string(tensor_type(quantized_type(mix, model, name, width))->name);
}

TEST(Quantize, NamesGoBothWays) {
  for (const Mix mix : mixes()) EXPECT_EQ(parse_mix(mix_name(mix)), mix);
  EXPECT_EQ(parse_mix("q4_k_m"), Mix::kQ4_K_M);
  EXPECT_EQ(parse_mix("fp16"), Mix::kF16);
  EXPECT_FALSE(parse_mix("Q4_K"));
  EXPECT_FALSE(parse_mix(""));
  EXPECT_EQ(mixes().size(), 19U);
}

TEST(Quantize, Q4KMGivesHalfOfTheLayersMore) {
  uint32_t more = 0;
  for (uint32_t i = 0; i < 32; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    more += type(Mix::kQ4_K_M, kSevenB, block + "ffn_down.weight", 11008) == "Q6_K";
    EXPECT_EQ(type(Mix::kQ4_K_M, kSevenB, block + "attn_v.weight"),
              type(Mix::kQ4_K_M, kSevenB, block + "ffn_down.weight", 11008));
    EXPECT_EQ(type(Mix::kQ4_K_M, kSevenB, block + "ffn_up.weight"), "Q4_K");
  }
  EXPECT_EQ(more, 16U);
  EXPECT_EQ(type(Mix::kQ4_K_M, kSevenB, "output.weight"), "Q6_K");
  EXPECT_EQ(type(Mix::kQ4_K_M, kSevenB, "token_embd.weight"), "Q4_K");
  EXPECT_EQ(type(Mix::kQ4_K_M, kTied, "token_embd.weight"), "Q6_K");
}

TEST(Quantize, OtherMixesHaveRulesOfTheirOwn) {
  EXPECT_EQ(type(Mix::kQ3_K_M, kSevenB, "blk.1.attn_v.weight"), "Q5_K");
  EXPECT_EQ(type(Mix::kQ3_K_M, kSevenB, "blk.2.attn_v.weight"), "Q4_K");
  EXPECT_EQ(type(Mix::kQ3_K_M, kSevenB, "blk.2.ffn_down.weight"), "Q4_K");
  EXPECT_EQ(type(Mix::kQ2_K, kSevenB, "blk.9.attn_v.weight"), "Q3_K");
  EXPECT_EQ(type(Mix::kQ2_K, kGrouped, "blk.9.attn_v.weight"), "Q4_K");
  EXPECT_EQ(type(Mix::kQ4_K_S, kGrouped, "blk.3.attn_qkv.weight"), "Q5_K");
  EXPECT_EQ(type(Mix::kQ4_K_S, kGrouped, "blk.4.attn_qkv.weight"), "Q4_K");
  EXPECT_EQ(type(Mix::kQ8_0, kGrouped, "output.weight"), "Q8_0");
  EXPECT_EQ(type(Mix::kF16, kGrouped, "output.weight"), "F16");
}

TEST(Quantize, EightExpertsLeaveAttentionMore) {
  EXPECT_EQ(type(Mix::kQ4_K_M, kMixtral, "blk.9.attn_v.weight"), "Q8_0");
  EXPECT_EQ(type(Mix::kQ4_K_M, kMixtral, "blk.9.attn_k.weight"), "Q8_0");
  EXPECT_EQ(type(Mix::kQ4_K_M, kMixtral, "blk.9.attn_output.weight"), "Q5_K");
  EXPECT_EQ(type(Mix::kQ6_K, kMixtral, "blk.9.attn_output.weight"), "Q6_K");
  const QuantizedModel large{80, 64, 8, 0, false};
  EXPECT_EQ(type(Mix::kQ4_K_M, large, "blk.12.attn_v.weight"), "Q6_K");  // the second of three
  EXPECT_EQ(type(Mix::kQ4_K_M, large, "blk.13.attn_v.weight"), "Q5_K");
}

TEST(Quantize, RowsThatDoNotDivideGetAnotherType) {
  EXPECT_EQ(type(Mix::kQ4_K_M, kGrouped, "blk.9.attn_q.weight", 896), "Q5_0");
  EXPECT_EQ(type(Mix::kQ5_K_M, kGrouped, "blk.9.attn_q.weight", 896), "Q5_1");
  EXPECT_EQ(type(Mix::kQ6_K, kGrouped, "blk.9.attn_q.weight", 896), "Q8_0");
  EXPECT_EQ(type(Mix::kQ2_K, kGrouped, "blk.9.attn_q.weight", 896), "Q4_0");
  EXPECT_EQ(type(Mix::kIq4Xs, kGrouped, "blk.9.attn_q.weight", 896), "IQ4_NL");
  EXPECT_EQ(type(Mix::kQ4_K_M, kTied, "token_embd.weight", 896), "Q8_0");
  EXPECT_EQ(type(Mix::kQ8_0, kGrouped, "blk.9.attn_q.weight", 900), "F16");
}

}  // namespace
}  // namespace gantry

// Graphs that are no text encoders, and shapes.
#include "npu/encoder.h"

#include <gtest/gtest.h>

#include <openvino/opsets/opset13.hpp>

namespace gantry {
namespace {

namespace op = ov::opset13;

// Each token's number as a vector of two; with `type` and `rank` as asked.
std::shared_ptr<ov::Model> graph(const std::string& input, ov::element::Type type, int64_t width) {
  auto ids = std::make_shared<op::Parameter>(type, ov::PartialShape{-1, -1});
  ids->get_output_tensor(0).set_names({input});
  const auto last = op::Constant::create(ov::element::i64, {1}, {2});
  const auto numbers = std::make_shared<op::Unsqueeze>(
      std::make_shared<op::Convert>(ids, ov::element::f32), last);
  const auto ones = op::Constant::create(ov::element::f32, {static_cast<size_t>(width)}, {1.F});
  const auto out = std::make_shared<op::Multiply>(numbers, ones);
  return std::make_shared<ov::Model>(ov::OutputVector{out}, ov::ParameterVector{ids});
}

class EncoderTest : public ::testing::Test {
 protected:
  void SetUp() override { core = std::move(*OvCore::open(*os, {})); }
  Result<std::unique_ptr<Encoder>> open(const std::shared_ptr<ov::Model>& model,
                                        bool fixed = false) {
    EncoderOptions options{{{"CPU"}, fixed}};
    options.normalize = false;
    return Encoder::open(*core, clock, model, options);
  }
  std::unique_ptr<Os> os = make_real_os();
  RealClock clock;
  std::unique_ptr<OvCore> core;
};

TEST_F(EncoderTest, PaddingDoesNotCount) {
  const Tokens a{{3, 5}, false}, b{{7}, false};
  const std::vector<const Tokens*> texts = {&a, &b};
  for (const bool fixed : {false, true}) {
    auto encoder = open(graph("input_ids", ov::element::i64, 2), fixed);
    ASSERT_TRUE(encoder) << describe(encoder.error());
    EXPECT_EQ((*encoder)->width(), 2U);
    const auto out = (*encoder)->run(texts, 4, 8);
    ASSERT_TRUE(out) << describe(out.error());
    ASSERT_EQ(out->size(), 2U);
    EXPECT_EQ((*out)[0], (std::vector<float>{4, 4}));
    EXPECT_EQ((*out)[1], (std::vector<float>{7, 7}));
    EXPECT_EQ((*encoder)->fixed(), fixed);
    EXPECT_EQ((*encoder)->device(), "CPU");
  }
}

TEST_F(EncoderTest, GraphsThatAreNoEncoders) {
  const auto input = open(graph("pixel_values", ov::element::i64, 2));
  ASSERT_FALSE(input);
  EXPECT_NE(input.error().message.find("pixel_values"), std::string::npos);
  EXPECT_EQ(open(graph("input_ids", ov::element::i32, 2)).error().code, Code::kUnsupported);
  auto ids = std::make_shared<op::Parameter>(ov::element::i64, ov::PartialShape{-1, -1});
  ids->get_output_tensor(0).set_names({"input_ids"});
  const auto flat = std::make_shared<op::Convert>(ids, ov::element::f32);
  const auto output = open(std::make_shared<ov::Model>(ov::OutputVector{flat},
                                                       ov::ParameterVector{ids}));
  ASSERT_FALSE(output);
  EXPECT_NE(output.error().message.find("no output"), std::string::npos);
}

}  // namespace
}  // namespace gantry

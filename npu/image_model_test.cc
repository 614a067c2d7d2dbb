// Small graphs made here, against arithmetic done here.
#include "npu/image_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <openvino/opsets/opset13.hpp>

namespace gantry {
namespace {

namespace op = ov::opset13;

constexpr size_t kSide = 4, kClasses = 2;
// (channels, classes)
const std::vector<float> kWeights = {1, -1, 0.5F, 2, -2, 0.25F};

class ImageModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    core = std::move(*OvCore::open(*os, {.threads = 1}));
    std::string name = "/tmp/gantry-eye-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir = name;
    write("preprocessor_config.json",
          R"({"do_resize": true, "size": {"height": 4, "width": 4}, "resample": 2,
              "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})");
  }
  void TearDown() override { std::filesystem::remove_all(dir); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(dir + "/" + name) << text;
  }
  void classifier() const {
    write("config.json", R"({"architectures": ["XForImageClassification"],
                             "id2label": {"0": "cat", "1": "dog"}})");
  }

  // Means of the channels, as logits or as they are: (batch, 3, 4, 4) or (batch, 4, 4, 3).
  void graph(ov::PartialShape input, bool logits) const {
    const bool last = input[3].is_static() && input[3].get_length() == 3;
    auto in = std::make_shared<op::Parameter>(ov::element::f32, input);
    in->get_output_tensor(0).set_names({"pixel_values"});
    const auto axes = op::Constant::create(
        ov::element::i64, {2},
        last ? std::vector<int64_t>{1, 2} : std::vector<int64_t>{2, 3});
    std::shared_ptr<ov::Node> out = in;
    if (logits) {
      out = std::make_shared<op::MatMul>(
          std::make_shared<op::ReduceMean>(in, axes, false),
          op::Constant::create(ov::element::f32, {3, kClasses}, kWeights));
    } else {
      out = std::make_shared<op::Multiply>(
          in, op::Constant::create(ov::element::f32, {1}, {2.F}));
    }
    ov::serialize(std::make_shared<ov::Model>(ov::OutputVector{out}, ov::ParameterVector{in}),
                  dir + "/openvino_model.xml", dir + "/openvino_model.bin");
  }

  Result<std::unique_ptr<ImageModel>> open(bool fixed = false) {
    ImageOptions options;
    options.name = "eye";
    options.dir = dir;
    options.chain = {"NPU", "CPU"};
    options.fixed_on_cpu = fixed;
    options.faulty = [this](const std::string& device) { return device == broken; };
    return ImageModel::open(*os, *core, clock, options);
  }
  Code refusal() {
    const auto model = open();
    EXPECT_FALSE(model);
    return model ? Code::kInternal : model.error().code;
  }

  // A picture of one colour, 5 by 7.
  static std::vector<std::byte> coloured(uint8_t red, uint8_t green, uint8_t blue) {
    std::vector<std::byte> out;
    for (int i = 0; i < 35; ++i) {
      for (const uint8_t value : {red, green, blue}) out.push_back(std::byte(value));
    }
    return out;
  }
  static float normal(uint8_t value) { return (static_cast<float>(value) / 255 - 0.5F) / 0.5F; }

  std::vector<std::vector<float>> see(ImageModel& model,
                                      const std::vector<std::array<uint8_t, 3>>& colours) {
    std::vector<std::vector<float>> inputs;
    for (const auto& [r, g, b] : colours) {
      const auto rgb = coloured(r, g, b);
      auto input = model.prepare({5, 7, rgb});
      EXPECT_TRUE(input) << (input ? "" : describe(input.error()));
      inputs.push_back(std::move(*input));
    }
    auto out = model.run(std::move(inputs), stay);
    EXPECT_TRUE(out) << (out ? "" : describe(out.error()));
    return out ? std::move(*out) : std::vector<std::vector<float>>{};
  }

  std::unique_ptr<Os> os = make_real_os();
  RealClock clock;
  std::unique_ptr<OvCore> core;
  std::string dir, broken;
  std::atomic<bool> stay{false};
  const std::vector<std::array<uint8_t, 3>> colours_ = {
      {255, 0, 10}, {3, 200, 77}, {128, 127, 0}, {9, 9, 9}, {255, 255, 0}, {1, 2, 3},
      {40, 50, 60}, {70, 80, 90}, {90, 10, 250}, {0, 0, 255}};
};

TEST_F(ImageModelTest, ClassesOfAnyLayoutAndBatch) {
  classifier();
  for (const ov::PartialShape& shape :
       {ov::PartialShape{-1, 3, kSide, kSide}, ov::PartialShape{-1, kSide, kSide, 3},
        ov::PartialShape{1, 3, kSide, kSide}, ov::PartialShape{4, 3, kSide, kSide},
        ov::PartialShape{-1, 3, -1, -1}}) {
    for (const bool fixed : {false, true}) {
      graph(shape, true);
      const auto model = open(fixed);
      ASSERT_TRUE(model) << describe(model.error());
      const auto scores = see(**model, colours_);
      ASSERT_EQ(scores.size(), colours_.size());
      for (size_t i = 0; i < scores.size(); ++i) {
        float logits[kClasses] = {};
        for (size_t c = 0; c < 3; ++c) {
          for (size_t k = 0; k < kClasses; ++k) {
            logits[k] += normal(colours_[i][c]) * kWeights[c * kClasses + k];
          }
        }
        const float first = 1 / (1 + std::exp(logits[1] - logits[0]));
        EXPECT_NEAR(scores[i][0], first, 1e-4) << i;
        EXPECT_NEAR(scores[i][0] + scores[i][1], 1, 1e-5);
        const auto classes = (*model)->classes(scores[i], 5);
        ASSERT_EQ(classes.size(), 2U);
        EXPECT_EQ(classes[0].label, first > 0.5F ? "cat" : "dog");
        EXPECT_GE(classes[0].score, classes[1].score);
      }
      EXPECT_EQ((*model)->status().pictures, colours_.size());
      EXPECT_EQ((*model)->status().device, "CPU");
    }
  }
}

TEST_F(ImageModelTest, StatesAreAveragedAndOfLengthOne) {
  graph({-1, 3, kSide, kSide}, false);
  const auto model = open();
  ASSERT_TRUE(model) << describe(model.error());
  EXPECT_FALSE((*model)->status().classifies);
  EXPECT_EQ((*model)->status().width, 3U);
  const auto vectors = see(**model, colours_);
  for (size_t i = 0; i < vectors.size(); ++i) {
    float length = 0;
    for (const uint8_t value : colours_[i]) length += normal(value) * normal(value);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(vectors[i][c], normal(colours_[i][c]) / std::sqrt(length), 1e-4);
    }
  }
}

TEST_F(ImageModelTest, ADeviceThatFailsIsLeft) {
  classifier();
  graph({-1, 3, kSide, kSide}, true);
  const auto model = open();
  ASSERT_TRUE(model);
  broken = "CPU";
  auto input = (*model)->prepare({5, 7, coloured(1, 2, 3)});
  EXPECT_EQ((*model)->run({*input}, stay).error().code, Code::kUnavailable);
  broken.clear();
}

TEST_F(ImageModelTest, WhatIsNoPictureModel) {
  graph({-1, 4, kSide, kSide}, false);
  EXPECT_EQ(refusal(), Code::kUnsupported) << "four colours";
  graph({-1, 3, 8, 8}, false);
  EXPECT_EQ(refusal(), Code::kCorrupt) << "another size than the folder says";
  graph({-1, 3, kSide, kSide}, false);
  classifier();
  EXPECT_EQ(refusal(), Code::kUnsupported) << "no scores";
  graph({-1, 3, kSide, kSide}, true);
  write("config.json", R"({"id2label": {"0": "cat", "1": "dog", "2": "bee"}})");
  EXPECT_EQ(refusal(), Code::kCorrupt) << "three labels for two classes";
  write("openvino_model.xml", "<net/>");
  EXPECT_EQ(refusal(), Code::kCorrupt);
}

TEST_F(ImageModelTest, PicturesThatDoNotFit) {
  write("preprocessor_config.json",
        R"({"do_resize": false, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]})");
  graph({-1, 3, kSide, kSide}, false);
  const auto model = open();
  ASSERT_TRUE(model) << describe(model.error());
  EXPECT_EQ((*model)->prepare({5, 7, coloured(1, 2, 3)}).error().code, Code::kUsage);
  const std::vector<std::byte> small(4 * 4 * 3);
  EXPECT_TRUE((*model)->prepare({4, 4, small}));
}

}  // namespace
}  // namespace gantry

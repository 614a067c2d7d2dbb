// Image processors as Hugging Face writes them, and what is wrong with others.
#include "npu/image_folder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/fake_os.h"

namespace gantry {
namespace {

using nlohmann::json;

class ImageFolderTest : public ::testing::Test {
 protected:
  void SetUp() override { os.files["/m/openvino_model.xml"] = "<net/>"; }
  Result<ImageFolder> read() {
    os.files["/m/preprocessor_config.json"] = steps.dump();
    os.files["/m/config.json"] = config.dump();
    return read_image_folder(os, "/m");
  }
  Code refusal() {
    const auto got = read();
    EXPECT_FALSE(got);
    return got ? Code::kInternal : got.error().code;
  }

  FakeOs os;
  json steps = {{"size", {{"height", 32}, {"width", 24}}},
                {"resample", 2},
                {"image_mean", {0.5, 0.4, 0.3}},
                {"image_std", {0.2, 0.2, 0.1}}};
  json config = json::object();
};

TEST_F(ImageFolderTest, AVisionTransformers) {
  config = {{"architectures", {"ViTForImageClassification"}},
            {"id2label", {{"0", "cat"}, {"1", "dog"}}}};
  const auto folder = read();
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ(folder->steps.resize, (ImageSize{24, 32}));
  EXPECT_FALSE(folder->steps.crop);
  EXPECT_EQ(folder->steps.resample, Resample::kBilinear);
  EXPECT_FLOAT_EQ(folder->steps.scale, 1.0F / 255);
  EXPECT_FLOAT_EQ(folder->steps.mean[2], 0.3F);
  EXPECT_TRUE(folder->classifies);
  EXPECT_EQ(folder->labels, (std::vector<std::string>{"cat", "dog"}));
  steps["size"] = 224;
  EXPECT_EQ(read()->steps.resize, (ImageSize{224, 224}));
}

TEST_F(ImageFolderTest, Clips) {
  steps = {{"size", {{"shortest_edge", 224}}}, {"crop_size", {{"height", 224}, {"width", 224}}},
           {"do_center_crop", true}, {"resample", 3}, {"rescale_factor", 0.5},
           {"image_mean", {0, 0, 0}}, {"image_std", {1, 1, 1}}};
  config = {{"architectures", {"CLIPVisionModelWithProjection"}},
            {"id2label", {{"0", "LABEL_0"}}}};
  const auto folder = read();
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ(folder->steps.shortest_edge, 224U);
  EXPECT_EQ(folder->steps.crop, (ImageSize{224, 224}));
  EXPECT_EQ(folder->steps.scale, 0.5F);
  EXPECT_FALSE(folder->classifies);
  steps["size"] = steps["crop_size"] = 96;  // as older ones have it
  EXPECT_EQ(read()->steps.shortest_edge, 96U);
}

TEST_F(ImageFolderTest, ConvNexts) {
  steps["size"] = {{"shortest_edge", 224}};
  steps["crop_pct"] = 0.875;
  EXPECT_EQ(read()->steps.shortest_edge, 256U);
  EXPECT_EQ(read()->steps.crop, (ImageSize{224, 224}));
  steps["size"] = {{"shortest_edge", 384}};
  EXPECT_EQ(read()->steps.resize, (ImageSize{384, 384}));
  EXPECT_FALSE(read()->steps.crop);
}

TEST_F(ImageFolderTest, StepsMayBeLeftOut) {
  steps = {{"do_resize", false}, {"do_rescale", false}, {"do_normalize", false}};
  const auto folder = read();
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_FALSE(folder->steps.resize);
  EXPECT_EQ(folder->steps.scale, 1);
  config = {{"id2label", {{"0", "cat"}}}};
  EXPECT_TRUE(read()->classifies) << "labels, and no architecture";
}

TEST_F(ImageFolderTest, WhatIsWrongIsNamed) {
  const json good = steps;
  for (const auto& [key, value] :
       {std::pair{"size", json(0)}, {"size", json(1025)}, {"size", json("224")},
        {"image_mean", json({1, 2})}, {"image_std", json({1, 0, 1})}, {"image_std", json()},
        {"rescale_factor", json("1/255")}}) {
    steps = good;
    steps[key] = value;
    const auto got = read();
    ASSERT_FALSE(got) << key << value;
    EXPECT_EQ(got.error().code, Code::kCorrupt) << key;
    EXPECT_NE(got.error().message.find(key), std::string::npos) << got.error().message;
  }
  steps = good;
  steps["size"] = 1024;
  EXPECT_TRUE(read());
  steps["size"] = {{"longest_edge", 224}};
  EXPECT_EQ(refusal(), Code::kUnsupported);
  steps = good;
  steps["resample"] = 0;
  EXPECT_EQ(refusal(), Code::kUnsupported);
  steps = good;
  steps["do_center_crop"] = true;
  EXPECT_EQ(refusal(), Code::kCorrupt);
  steps = good;
  config = {{"id2label", {{"0", "a"}, {"2", "b"}}}};
  EXPECT_EQ(refusal(), Code::kCorrupt);
  config = json::array();
  EXPECT_EQ(refusal(), Code::kCorrupt);
  config = json::object();
  os.files.erase("/m/openvino_model.xml");
  EXPECT_EQ(refusal(), Code::kNotFound);
}

TEST_F(ImageFolderTest, ATokenizerMakesItATextModel) {
  EXPECT_FALSE(is_image_folder(os, "/m"));
  ASSERT_TRUE(read());
  EXPECT_TRUE(is_image_folder(os, "/m"));
  os.files["/m/openvino_tokenizer.xml"] = "";
  EXPECT_FALSE(is_image_folder(os, "/m"));
}

}  // namespace
}  // namespace gantry

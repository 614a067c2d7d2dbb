// The shipped model on the real OpenVINO: what is computed together equals what is computed alone.
#include "npu/embed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "npu/test_model.h"

namespace gantry {
namespace {

class EmbedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = OvCore::open(*os, {.threads = 1});
    ASSERT_TRUE(opened) << describe(opened.error());
    core = std::move(*opened);
  }
  std::unique_ptr<EmbedModel> open(const EmbedOptions& options) {
    auto model = EmbedModel::open(*os, *core, clock, options);
    EXPECT_TRUE(model) << (model ? "" : describe(model.error()));
    return model ? std::move(*model) : nullptr;
  }
  std::vector<Embedding> embed(EmbedModel& model, const std::vector<std::string>& texts) {
    auto out = model.embed(texts, stay);
    EXPECT_TRUE(out) << (out ? "" : describe(out.error()));
    return out ? *out : std::vector<Embedding>{};
  }
  static float difference(const std::vector<float>& a, const std::vector<float>& b) {
    float most = a.size() == b.size() ? 0.F : 1e9F;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      most = std::max(most, std::abs(a[i] - b[i]));
    }
    return most;
  }

  std::unique_ptr<Os> os = make_real_os();
  RealClock clock;
  std::atomic<bool> stay{false};
  std::unique_ptr<OvCore> core;
};

TEST_F(EmbedTest, TogetherAsAloneInAnyShape) {
  const auto texts = sentences(40);
  const auto model = open(shipped_embed());
  EmbedOptions fixed_options = shipped_embed();
  fixed_options.fixed_on_cpu = true;
  const auto fixed = open(fixed_options);
  const auto together = embed(*model, texts), padded = embed(*fixed, texts);
  ASSERT_EQ(together.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto alone = embed(*model, {texts[i]});
    EXPECT_LT(difference(alone[0].values, together[i].values), 1e-5F) << i;
    EXPECT_LT(difference(alone[0].values, padded[i].values), 1e-5F) << i;
    double squares = 0;
    for (float x : alone[0].values) squares += x * x;
    EXPECT_NEAR(squares, 1, 1e-5);
  }
  EXPECT_GT(difference(together[0].values, together[30].values), 0.01F);
  const EmbedStatus status = model->status();
  EXPECT_EQ(status.texts, 80U);
  EXPECT_LT(status.batches, 80U);
  EXPECT_GE(status.padded, status.tokens);
  EXPECT_EQ(status.tokens_max, 128U);
  EXPECT_EQ(status.width, 96U);
  EXPECT_EQ(status.pooling, Pooling::kMean);
}

TEST_F(EmbedTest, SaysWhichDeviceAnswers) {
  if (core->devices().size() > 1) GTEST_SKIP() << "this machine has more than a CPU";
  const EmbedStatus status = open(shipped_embed())->status();
  EXPECT_EQ(status.device, "CPU");
  ASSERT_EQ(status.refused.size(), 2U);
  EXPECT_EQ(status.refused[0].device, "NPU");
  EmbedOptions npu_only = shipped_embed();
  npu_only.chain = {"NPU"};
  const auto refused = EmbedModel::open(*os, *core, clock, npu_only);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
}

TEST_F(EmbedTest, TooLongIsCutAndSaid) {
  const auto model = open(shipped_embed());
  std::string fits, over;
  for (int i = 0; i < 126; ++i) fits += "x ";  // [CLS] and [SEP] besides
  over = fits + "x";
  const auto out = embed(*model, {fits, over});
  EXPECT_EQ(out[0].tokens, 128U);
  EXPECT_FALSE(out[0].truncated);
  EXPECT_EQ(out[1].tokens, 128U);
  EXPECT_TRUE(out[1].truncated);
  EXPECT_LT(difference(out[0].values, out[1].values), 1e-5F);
}

TEST_F(EmbedTest, ManyCallersGetTheirOwn) {
  const auto model = open(shipped_embed());
  const auto texts = sentences(16);
  const auto alone = embed(*model, texts);
  std::vector<std::thread> callers;
  std::vector<float> worst(8, 1e9F);
  for (size_t c = 0; c < worst.size(); ++c) {
    callers.emplace_back([&, c] {
      float most = 0;
      for (size_t i = 0; i < texts.size(); ++i) {
        const size_t at = (i + c) % texts.size();
        const auto out = model->embed(std::vector{texts[at]}, stay);
        most = std::max(most, out ? difference((*out)[0].values, alone[at].values) : 1e9F);
      }
      worst[c] = most;
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (float most : worst) EXPECT_LT(most, 1e-5F);
}

TEST_F(EmbedTest, TheLineHasAnEnd) {
  EmbedOptions options = shipped_embed();
  options.queue_max = 4;
  const auto model = open(options);
  EXPECT_EQ(embed(*model, sentences(4)).size(), 4U);
  const auto over = model->embed(sentences(5), stay);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, Code::kBusy);
}

TEST_F(EmbedTest, ACallerMayLeave) {
  const auto model = open(shipped_embed());
  std::atomic<bool> gone{true};
  const auto left = model->embed(sentences(2000), gone);
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, Code::kCancelled);
  EXPECT_EQ(embed(*model, {"still there"}).size(), 1U);
}

// The second device of the chain is the same CPU: the way down is the real one.
TEST_F(EmbedTest, ADeviceThatFailsIsLeftAndTriedAgain) {
  EmbedOptions options = shipped_embed();
  options.chain = {"CPU", "CPU"};
  FakeClock fake;
  std::atomic<int> faults{1};
  options.faulty = [&](const std::string&) { return faults.fetch_sub(1) > 0; };
  const auto opened = EmbedModel::open(*os, *core, fake, options);
  ASSERT_TRUE(opened) << describe(opened.error());
  EmbedModel& model = **opened;
  const auto sound = open(shipped_embed());
  const auto expected = embed(*sound, {"open the door"});
  EXPECT_LT(difference(embed(model, {"open the door"})[0].values, expected[0].values), 1e-5F);
  ASSERT_EQ(model.status().refused.size(), 1U);
  EXPECT_NE(model.status().refused[0].cause.find("injected"), std::string::npos);
  faults = 1;  // the last one too
  const auto none = model.embed(std::vector<std::string>{"open"}, stay);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kUnavailable);
  fake.advance(kDeviceRest);
  faults = 0;
  EXPECT_EQ(embed(model, {"open"}).size(), 1U);
  EXPECT_TRUE(model.status().refused.empty());
}

// A folder as sentence-transformers has it, with what PyTorch computed of the same weights.
// GANTRY_EMBED_FOLDER names another one to check, with a pytorch.json likewise.
TEST_F(EmbedTest, EqualsPyTorch) {
  const char* other = std::getenv("GANTRY_EMBED_FOLDER");
  const std::string folder =
      other != nullptr ? other : std::string(GANTRY_TESTDATA_DIR) + "/tiny-bert";
  auto with_text = OvCore::open(*os, {.extension = GANTRY_OPENVINO_TOKENIZERS});
  ASSERT_TRUE(with_text) << describe(with_text.error());
  std::ifstream in(folder + "/pytorch.json");
  const auto cases = nlohmann::json::parse(in)["cases"];
  for (const bool fixed : {false, true}) {
    EmbedOptions options{"folder", folder, {"CPU"}, fixed};
    const auto model = EmbedModel::open(*os, **with_text, clock, options);
    ASSERT_TRUE(model) << describe(model.error());
    for (const auto& one : cases) {
      const auto out = embed(**model, {one["text"].get<std::string>()});
      EXPECT_EQ(out[0].tokens, one["tokens"].get<uint32_t>());
      const float worst = difference(out[0].values, one["embedding"].get<std::vector<float>>());
      EXPECT_LT(worst, 1e-3F);
    }
    EXPECT_EQ((*model)->status().pooling, Pooling::kCls);
  }
}

TEST_F(EmbedTest, WhatIsNoModel) {
  EmbedOptions options = shipped_embed();
  options.path = std::string(GANTRY_MODELS_DIR) + "/micro-minutes.gguf";
  auto refused = EmbedModel::open(*os, *core, clock, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  options.path = std::string(GANTRY_MODELS_DIR) + "/none.gguf";
  EXPECT_EQ(EmbedModel::open(*os, *core, clock, options).error().code, Code::kNotFound);
  options.path = GANTRY_MODELS_DIR;
  EXPECT_EQ(EmbedModel::open(*os, *core, clock, options).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace gantry

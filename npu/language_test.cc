// The shipped language model behind a real llama-server.
#include "npu/language.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

namespace gantry {
namespace {

class LanguageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/gantry-npu-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir = name;
    context.run_dir = context.log_dir = dir;
    context.engine_dir = GANTRY_ENGINE_DIR;
  }
  void TearDown() override { std::filesystem::remove_all(dir); }

  std::unique_ptr<LanguageModel> open(uint32_t prompt_max) {
    auto model = LanguageModel::open(*os, context, {"small", file, prompt_max});
    EXPECT_TRUE(model) << (model ? "" : describe(model.error()));
    return model ? std::move(*model) : nullptr;
  }
  static Question question(const std::string& prompt) {
    Question out;
    out.prompt = prompt;
    out.answer_tokens = 12;
    out.sampling = {{"temperature", 0}};
    return out;
  }

  std::unique_ptr<Os> os = make_real_os();
  std::string dir, file = std::string(GANTRY_MODELS_DIR) + "/micro-minutes.gguf";
  WorkerContext context;
  http::Cancel gone{false};
};

TEST_F(LanguageTest, AnswersWholeAndInPiecesAndAfterAKill) {
  const auto model = open(64);
  EXPECT_FALSE(model->status().loaded);
  const auto whole = model->answer(question("Hello."), gone, nullptr);
  ASSERT_TRUE(whole) << describe(whole.error());
  EXPECT_FALSE(whole->text.empty());
  EXPECT_GT(whole->prompt_tokens, 0U);
  std::string pieces;
  const auto streamed = model->answer(question("Hello."), gone, [&](std::string_view piece) {
    pieces += piece;
    return true;
  });
  ASSERT_TRUE(streamed) << describe(streamed.error());
  EXPECT_EQ(pieces, whole->text);
  EXPECT_EQ(streamed->text, whole->text);
  EXPECT_EQ(streamed->tokens, whole->tokens);

  const LanguageStatus before = model->status();
  ASSERT_TRUE(before.loaded);
  ASSERT_EQ(::kill(before.pid, SIGKILL), 0);
  const auto again = model->answer(question("Hello."), gone, nullptr);
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_EQ(again->text, whole->text);
  EXPECT_EQ(model->status().restarts, 1U);
  EXPECT_NE(model->status().pid, before.pid);

  std::string longer;
  for (int i = 0; i < 64; ++i) longer += "hello ";
  const auto refused = model->answer(question(longer), gone, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kTooLarge);
  EXPECT_NE(refused.error().message.find("at most 64"), std::string::npos);
}

TEST_F(LanguageTest, FilesThatGenerateNothing) {
  file = std::string(GANTRY_MODELS_DIR) + "/micro-embed-en.gguf";
  EXPECT_EQ(LanguageModel::open(*os, context, {"x", file}).error().code, Code::kUnsupported);
  file = std::string(GANTRY_MODELS_DIR) + "/micro-asr.bin";
  EXPECT_EQ(LanguageModel::open(*os, context, {"x", file}).error().code, Code::kUnsupported);
  EXPECT_EQ(LanguageModel::open(*os, context, {"x", dir + "/none"}).error().code,
            Code::kNotFound);
}

TEST_F(LanguageTest, ThePromptLimitLeavesRoomForAnAnswer) {
  const LanguageStatus status = open(100'000)->status();
  EXPECT_EQ(status.prompt_max, status.context - 1);
  EXPECT_EQ(open(64)->status().prompt_max, 64U);
}

}  // namespace
}  // namespace gantry

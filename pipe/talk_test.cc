// A turn of a conversation: order of stages, what is said when, and what each failure becomes.
#include "pipe/talk.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "pipe/fake_job.h"

namespace gantry {
namespace {

class TalkTest : public testing::Test {
 protected:
  TalkTest() {
    foreman_.known = {{.name = "espeak", .kind = "voice"}};
    foreman_.worker.heard = {{Millis(0), Millis(900), "turn on the light"}};
    foreman_.worker.answer = [this](const nlohmann::json& body) {
      asked_ = body;
      return chat_events(answer_);
    };
  }

  Result<nlohmann::json> run(const std::string& params = "{}") {
    context_ = std::make_unique<FakeJobContext>(
        foreman_, JobSpec{.kind = "talk", .params = params, .files = {"/q.wav"}});
    context_->kept = kept_;
    Result<std::string> page = make_talk(foreman_.os)->run(*context_);
    kept_ = context_->kept;
    if (!page) return fail(page.error());
    return nlohmann::json::parse(*page);
  }

  Result<void> check(const std::string& params, std::vector<std::string> files = {"/q.wav"}) {
    return make_talk(foreman_.os)->check({.kind = "talk", .params = params, .files = files});
  }

  std::string answer_ = "It is on. Shall I do more? Say so";
  FakeForemanForPipes foreman_;
  std::unique_ptr<FakeJobContext> context_;
  std::map<std::string, std::string> kept_;
  nlohmann::json asked_;
};

TEST_F(TalkTest, TheAnswerIsSpokenSentenceBySentence) {
  const auto page = run(R"({"language":"big"})");
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ((*page)["question"], "turn on the light");
  EXPECT_EQ((*page)["answer"], answer_);
  ASSERT_EQ(foreman_.worker.said.size(), 3U);
  EXPECT_EQ(foreman_.worker.said[0].text, "It is on.");
  EXPECT_EQ(foreman_.worker.said[2].text, "Say so");
  EXPECT_EQ(foreman_.opened, (std::vector<std::string>{"micro-asr", "big", "espeak"}));
  EXPECT_EQ((*page)["sentences"], 3);
  EXPECT_EQ(asked_["messages"].size(), 2U);
  const auto& seconds = (*page)["seconds"];
  EXPECT_LE(seconds["transcript"], seconds["first_token"]);
  EXPECT_LE(seconds["first_sound"], seconds["total"]);
  const auto wav = base64_bytes((*page)["wav"].get<std::string>());
  ASSERT_TRUE(wav);
  EXPECT_EQ(wav->size(), 44 + 2 * (answer_.size() - 2));
  EXPECT_EQ((*page)["steps"].size(), 4U);
}

TEST_F(TalkTest, InTurnTheVoiceComesLast) {
  const auto page = run(R"({"in_turn":true})");
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ((*page)["together"], false);
  EXPECT_EQ(foreman_.open_most, 1);
  EXPECT_EQ(foreman_.worker.said.size(), 3U);
}

TEST_F(TalkTest, WhatWasThoughtIsNotThoughtAgain) {
  ASSERT_TRUE(run());
  foreman_.opened.clear();
  foreman_.worker.said.clear();
  ASSERT_TRUE(run());
  EXPECT_EQ(foreman_.opened, std::vector<std::string>{"espeak"});
  EXPECT_EQ(foreman_.worker.said.size(), 3U);
}

TEST_F(TalkTest, EachFailureIsAnError) {
  foreman_.worker.heard.clear();
  EXPECT_EQ(run().error().code, Code::kUsage);
  foreman_.worker.heard = {{Millis(0), Millis(900), "turn on the light"}};
  kept_.clear();
  answer_ = "...";
  EXPECT_EQ(run().error().code, Code::kWorkerFailed);
  kept_.clear();
  answer_ = "One. Two. Three.";
  foreman_.worker.speaks_most = 1;
  EXPECT_EQ(run().error().code, Code::kWorkerFailed);
  kept_.clear();
  foreman_.refuse["micro-minutes"] = Error{Code::kDoesNotFit, "too large"};
  EXPECT_EQ(run().error().code, Code::kDoesNotFit);
  foreman_.known.clear();
  EXPECT_EQ(run().error().code, Code::kNotFound);
}

TEST_F(TalkTest, OrdersAreCheckedBeforeAnyWork) {
  EXPECT_TRUE(check(R"({"voice":"en-gb","tokens_max":20})"));
  EXPECT_FALSE(check("{}", {}));
  EXPECT_FALSE(check("{}", {"/a.wav", "/b.wav"}));
  for (const char* params : {R"({"in_turn":1})", R"({"tokens_max":0})", R"({"loud":true})",
                             R"({"voice":7})"}) {
    EXPECT_FALSE(check(params)) << params;
  }
}

}  // namespace
}  // namespace gantry

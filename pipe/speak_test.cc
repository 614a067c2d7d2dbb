// Sentences, voices, checkpoints and the way down.
#include "pipe/speak.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pipe/fake_job.h"
#include "pipe/pcm.h"

namespace gantry {
namespace {

ModelStatus voice(const std::string& name) {
  ModelStatus status;
  status.name = name;
  status.kind = "voice";
  return status;
}

class SpeakTest : public testing::Test {
 protected:
  SpeakTest() { foreman_.known = {voice("amy"), voice("espeak"), voice("joe")}; }

  Result<std::string> run(const nlohmann::json& params,
                          std::map<std::string, std::string> kept = {}) {
    context_ = std::make_unique<FakeJobContext>(
        foreman_, JobSpec{.kind = "speak", .params = params.dump(), .files = {}});
    context_->kept = std::move(kept);
    return make_speak(foreman_.os)->run(*context_);
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> out;
    for (const Utterance& said : foreman_.worker.said) out.push_back(said.text);
    return out;
  }

  FakeForemanForPipes foreman_;
  std::unique_ptr<FakeJobContext> context_;
};

TEST_F(SpeakTest, SentencesOfOneVoiceInOneWav) {
  const auto wav = run({{"text", "One. Two."}, {"model", "joe"}, {"voice", "v"}, {"speed", 2}});
  ASSERT_TRUE(wav) << wav.error().message;
  EXPECT_EQ(*wav, wav_head(8'000, 16) + std::string(16, 's'));
  EXPECT_EQ(texts(), (std::vector<std::string>{"One.", "Two."}));
  EXPECT_EQ(foreman_.worker.said[0].voice, "v");
  EXPECT_EQ(foreman_.worker.said[0].speed, 2);
  EXPECT_EQ(foreman_.opened, std::vector<std::string>{"joe"});
  EXPECT_FALSE(context_->went_back);
}

TEST_F(SpeakTest, WhatIsKeptIsNotSaidAgainAndTheResultIsTheSame) {
  const nlohmann::json params = {{"text", "One. Two. Three."}};
  const auto whole = run(params);
  ASSERT_TRUE(whole);
  foreman_.worker.said.clear();
  foreman_.worker.speaks_most = 2;  // dies in mid-text
  const auto broken = run(params);
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Code::kWorkerFailed);
  const auto kept = context_->kept;
  foreman_.worker.said.clear();
  foreman_.worker.speaks_most = 100;
  const auto resumed = run(params, kept);
  ASSERT_TRUE(resumed);
  EXPECT_EQ(*resumed, *whole);
  EXPECT_EQ(texts(), std::vector<std::string>{"Three."});
}

TEST_F(SpeakTest, WhereNoneIsNamedTheNextVoiceTakesOverBeforeTheFirstWord) {
  foreman_.refuse = {{"amy", {Code::kDoesNotFit, "too large"}},
                     {"joe", {Code::kWorkerFailed, "died"}}};
  ASSERT_TRUE(run({{"text", "Hello."}}));
  EXPECT_EQ(foreman_.opened, std::vector<std::string>{"espeak"});
  EXPECT_EQ(context_->kept["voice"], "espeak");
  const auto named = run({{"text", "Hello."}, {"model", "amy"}});
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().code, Code::kDoesNotFit);
  foreman_.known = {};
  const auto none = run({{"text", "Hello."}});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kNotFound);
}

TEST_F(SpeakTest, AScriptHasAVoiceForEachAndAPauseBetween) {
  const auto wav = run({{"text", "a: One.\nb: Two. Three.\na: Four.\n"}, {"script", true},
                        {"model", "amy"}, {"voices", "b=joe:7"}});
  ASSERT_TRUE(wav) << wav.error().message;
  EXPECT_EQ(wav->size(), kWavHeadBytes + 2 * (4 + 4 + 6 + 5) + 2 * 4'800U);
  EXPECT_EQ(foreman_.opened, (std::vector<std::string>{"amy", "joe", "amy"}));
  EXPECT_EQ(foreman_.worker.said[0].voice, "0");
  EXPECT_EQ(foreman_.worker.said[1].voice, "7");
  EXPECT_EQ(foreman_.open_most, 1);  // no two models at once
}

TEST_F(SpeakTest, WrongOrdersAreRefusedAtTheDoor) {
  const auto executor = make_speak(foreman_.os);
  const auto code = [&](const nlohmann::json& params, std::vector<std::string> files = {}) {
    const auto checked = executor->check({.params = params.dump(), .files = std::move(files)});
    return checked ? Code::kInternal : checked.error().code;
  };
  EXPECT_EQ(code({{"text", "x"}}), Code::kInternal);
  EXPECT_EQ(code(nlohmann::json::object(), {"/a.txt"}), Code::kInternal);
  EXPECT_EQ(code(nlohmann::json::object()), Code::kUsage);
  EXPECT_EQ(code({{"text", "x"}}, {"/a.txt"}), Code::kUsage);
  EXPECT_EQ(code({{"text", "..."}}), Code::kUsage);
  EXPECT_EQ(code({{"text", std::string(20'001, 'x')}}), Code::kTooLarge);
  EXPECT_EQ(code({{"text", "x"}, {"speed", 4.1}}), Code::kUsage);
  EXPECT_EQ(code({{"text", "x"}, {"speed", 4}}), Code::kInternal);
  EXPECT_EQ(code({{"text", "x"}, {"script", 1}}), Code::kUsage);
  EXPECT_EQ(code({{"text", "x"}, {"script", true}}), Code::kUsage);
  EXPECT_EQ(code({{"text", "a: x"}, {"script", true}, {"voices", "a"}}), Code::kUsage);
}

TEST_F(SpeakTest, AFileOfText) {
  foreman_.os.files["/talk.txt"] = "Hello there.";
  FakeJobContext context(foreman_, {.kind = "speak", .params = "{}", .files = {"/talk.txt"}});
  ASSERT_TRUE(make_speak(foreman_.os)->run(context));
  EXPECT_EQ(texts(), std::vector<std::string>{"Hello there."});
}

}  // namespace
}  // namespace gantry

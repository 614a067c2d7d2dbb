// gantry-voice's loop with the real engine.
#include "voice/serve_voice.h"

#include <gtest/gtest.h>

#include "voice/serve_test.h"

namespace gantry {
namespace {

std::string model(const std::string& name) { return std::string(GANTRY_VOICE_MODELS) + "/" + name; }

TEST(ServeVoice, AVoiceSpeaksAndDoesNothingElse) {
  const VoiceOptions options{
      .engine = "vits",
      .values = {{"model", model("tones.onnx")}, {"tokens", model("tones.txt")}}};
  const auto answers = answers_of(
      [&](int in, int out) { return serve_voice(options, in, out); },
      {SpeechCall{.wav = "/x.wav", .speakers = SpeakerWish{2}},
       SpeechCall{.utterance = Utterance{"hello"}}});
  ASSERT_EQ(answers.size(), 4U);
  EXPECT_EQ(std::get<SpeechReady>(answers[0]).rate, 16'000U);
  EXPECT_EQ(code_in(answers[1]), Code::kUnsupported);
  EXPECT_EQ(std::get<SpeechProgress>(answers[2]).pcm.size(), 5 * 960 * 2U);
  EXPECT_EQ(std::get<SpeechDone>(answers[3]).audio, Millis(300));
}

TEST(ServeVoice, ADetectorFindsSpeechAndDoesNothingElse) {
  const VoiceOptions options{.engine = "silero", .values = {{"model", GANTRY_SILERO}}};
  const auto answers = answers_of(
      [&](int in, int out) { return serve_voice(options, in, out); },
      {SpeechCall{.wav = "/x.wav"},
       SpeechCall{.wav = std::string(GANTRY_TESTDATA_DIR) + "/stop_the_radio.wav",
                  .speakers = SpeakerWish{}}});
  ASSERT_GE(answers.size(), 4U);
  EXPECT_EQ(code_in(answers[1]), Code::kUnsupported);
  EXPECT_EQ(std::get<SpeechDone>(answers.back()).audio, Millis(1'449));
  size_t turns = 0;
  for (const SpeechAnswer& answer : answers) {
    const auto* progress = std::get_if<SpeechProgress>(&answer);
    if (progress != nullptr && progress->turn) ++turns;
  }
  EXPECT_EQ(turns, 1U);
}

TEST(ServeVoice, WhatCannotBeLoadedIsOneErrorLine) {
  const VoiceOptions options{.engine = "vits",
                             .values = {{"model", "/no/such.onnx"}, {"tokens", "/dev/null"}}};
  const auto answers =
      answers_of([&](int in, int out) { return serve_voice(options, in, out); }, {});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(code_in(answers[0]), Code::kNotFound);
}

}  // namespace
}  // namespace gantry

// gantry-espeak's loop with the real program.
#include "voice/serve_espeak.h"

#include <gtest/gtest.h>

#include "voice/espeak.h"
#include "voice/serve_test.h"

namespace gantry {
namespace {

TEST(ServeEspeak, SpeaksRefusesAndGoesOn) {
  if (!espeak_voices()) GTEST_SKIP() << "espeak-ng is not installed";
  const auto serve = [](int in, int out) { return serve_espeak({{"anna", "en-us+f3"}}, in, out); };
  const auto answers = answers_of(
      serve, {SpeechCall{.utterance = Utterance{"hello", "nobody"}},
              SpeechCall{.wav = "/tmp/x.wav"},
              SpeechCall{.utterance = Utterance{"hello", "anna"}}});
  ASSERT_GE(answers.size(), 5U);
  EXPECT_EQ(std::get<SpeechReady>(answers[0]).rate, kEspeakRate);
  EXPECT_EQ(code_in(answers[1]), Code::kNotFound);
  EXPECT_NE(std::get<Error>(answers[1]).remedy.find("anna, "), std::string::npos);
  EXPECT_EQ(code_in(answers[2]), Code::kUnsupported);
  EXPECT_FALSE(std::get<SpeechProgress>(answers[3]).pcm.empty());
  EXPECT_GT(std::get<SpeechDone>(answers.back()).audio, Millis(200));
}

}  // namespace
}  // namespace gantry

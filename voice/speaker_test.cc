// The real engine with a VITS that has no weights (lab/voice).
#include "voice/speaker.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

const std::atomic<bool> kNever{false};

std::string model(const std::string& name) { return std::string(GANTRY_VOICE_MODELS) + "/" + name; }

VoiceOptions tones() {
  return {.engine = "vits",
          .values = {{"model", model("tones.onnx")}, {"tokens", model("tones.txt")}},
          .voices = {{"bob", "1"}}};
}

Result<std::string> spoken(Speaker& speaker, const Utterance& utterance) {
  std::string pcm;
  const Result<void> done =
      speaker.speak(utterance, kNever, [&pcm](std::string_view piece) { pcm += piece; });
  if (!done) return fail(done.error());
  return pcm;
}

TEST(Speaker, EachCharacterSoundsEachVoiceItsOwnWay) {
  const Result<std::unique_ptr<Speaker>> speaker = load_speaker(tones());
  ASSERT_TRUE(speaker) << speaker.error().message;
  EXPECT_EQ((*speaker)->rate(), 16'000U);
  const Result<std::string> first = spoken(**speaker, {"hello", "0", 1});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->size(), 5 * 960 * 2U);  // the recipe's figure
  EXPECT_EQ(*first, *spoken(**speaker, {"hello", "0", 1}));
  const Result<std::string> second = spoken(**speaker, {"hello", "bob", 1});
  EXPECT_EQ(second->size(), first->size());
  EXPECT_NE(*second, *first);
  EXPECT_EQ(*spoken(**speaker, {"hello", "", 1}), *second);  // the first of the voices' names
  EXPECT_EQ(spoken(**speaker, {"hello", "0", 2})->size(), first->size() / 2);
}

TEST(Speaker, AVoiceThatItDoesNotHave) {
  const Result<std::unique_ptr<Speaker>> speaker = load_speaker(tones());
  ASSERT_TRUE(speaker);
  for (const char* voice : {"2", "-1", "anna", "0x", "99999999999"}) {
    const Result<std::string> none = spoken(**speaker, {"hello", voice, 1});
    ASSERT_FALSE(none) << voice;
    EXPECT_EQ(none.error().code, Code::kNotFound);
    EXPECT_NE(none.error().remedy.find("bob"), std::string::npos);
  }
}

TEST(Speaker, ACancelStopsIt) {
  const Result<std::unique_ptr<Speaker>> speaker = load_speaker(tones());
  ASSERT_TRUE(speaker);
  std::atomic<bool> cancel{true};
  const Result<void> done =
      (*speaker)->speak({"hello", "0", 1}, cancel, [](std::string_view) { FAIL(); });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kCancelled);
}

}  // namespace
}  // namespace gantry

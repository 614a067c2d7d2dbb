// The real espeak-ng, where it is installed.
#include "voice/espeak.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

const std::atomic<bool> kNever{false};

bool installed() { return espeak_voices().has_value(); }

Result<std::string> spoken(const Utterance& utterance) {
  std::string pcm;
  const Result<void> done = espeak_speak(utterance, kNever, [&pcm](std::string_view piece) {
    pcm += piece;
    return true;
  });
  if (!done) return fail(done.error());
  return pcm;
}

TEST(Espeak, ColumnsOfItsTable) {
  const auto names = espeak_column(
      "Pty Language       Age/Gender VoiceName          File                 Other Languages\n"
      " 5  af              --/M      Afrikaans          gmw/af               \n"
      " 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)\n\n", 1);
  EXPECT_EQ(names, (std::set<std::string, std::less<>>{"af", "en-us"}));
  EXPECT_TRUE(espeak_column("", 1).empty());
  EXPECT_TRUE(espeak_column("title\nshort\n", 4).empty());
}

TEST(Espeak, KnowsItsVoicesAndVariants) {
  if (!installed()) GTEST_SKIP() << "espeak-ng is not installed";
  const Result<EspeakVoices> voices = espeak_voices();
  EXPECT_TRUE(voices->has("en-us"));
  EXPECT_TRUE(voices->has("en-us+f3"));
  for (const char* none : {"", "xx", "en-us+", "en-us+nobody", "../en", "-w"}) {
    EXPECT_FALSE(voices->has(none)) << none;
  }
}

TEST(Espeak, SpeaksWholeSamplesTheSameEachTimeAndFasterIsShorter) {
  if (!installed()) GTEST_SKIP() << "espeak-ng is not installed";
  const Result<std::string> once = spoken({"turn on the kitchen light", "en-us", 1});
  ASSERT_TRUE(once) << once.error().message;
  EXPECT_EQ(once->size() % 2, 0U);
  EXPECT_GT(once->size(), kEspeakRate);  // half a second at least
  EXPECT_FALSE(once->starts_with("RIFF"));
  EXPECT_EQ(*once, *spoken({"turn on the kitchen light", "en-us", 1}));
  EXPECT_LT(spoken({"turn on the kitchen light", "en-us", 2})->size(), once->size());
}

TEST(Espeak, WhatLooksLikeAFlagOrAShellIsSpoken) {
  if (!installed()) GTEST_SKIP() << "espeak-ng is not installed";
  for (const char* text : {"--help", "$(touch /tmp/no) ; `id`", "<speak>", "-f /etc/passwd"}) {
    EXPECT_TRUE(spoken({text, "en-us", 1})) << text;
  }
}

TEST(Espeak, CancelledBeforeAndWhile) {
  if (!installed()) GTEST_SKIP() << "espeak-ng is not installed";
  const std::atomic<bool> cancelled{true};
  const Result<void> before =
      espeak_speak({"hello", "en-us", 1}, cancelled, [](std::string_view) { return true; });
  ASSERT_FALSE(before);
  EXPECT_EQ(before.error().code, Code::kCancelled);
  const Result<void> during =
      espeak_speak({"hello", "en-us", 1}, kNever, [](std::string_view) { return false; });
  ASSERT_FALSE(during);
  EXPECT_EQ(during.error().code, Code::kCancelled);
}

TEST(Espeak, PhonemesAreOneLineWithItsLastMark) {
  if (!installed()) GTEST_SKIP() << "espeak-ng is not installed";
  const Result<std::string> ipa = espeak_phonemes("Hello, you there!", "en-us");
  ASSERT_TRUE(ipa);
  EXPECT_EQ(ipa->find('\n'), std::string::npos);
  EXPECT_TRUE(ipa->ends_with('!'));
  EXPECT_NE(ipa->find("həl"), std::string::npos) << *ipa;
}

}  // namespace
}  // namespace gantry

// Sentences over utterances.
#include "voice/sentences.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace gantry {
namespace {

// An utterance from one frame to another.
Piece said(uint32_t voice, uint32_t hush) { return {voice, hush, voice, hush}; }

TEST(Sentences, EndAtThePausesNearTheirLetters) {
  const std::vector<Piece> voices = {said(10, 110), said(150, 250), said(300, 400)};
  const auto found = place_sentences("It is noon now. Is it so late? We must go at once.", voices);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].text, "It is noon now.");
  EXPECT_EQ(found[0].start, frame_time(10));
  EXPECT_EQ(found[0].end, frame_time(110));
  EXPECT_EQ(found[1].text, "Is it so late?");
  EXPECT_EQ(found[1].start, frame_time(150));
  EXPECT_EQ(found[1].end, frame_time(250));
  EXPECT_EQ(found[2].text, "We must go at once.");
  EXPECT_EQ(found[2].start, frame_time(300));
  EXPECT_EQ(found[2].end, frame_time(400));
}

TEST(Sentences, WithoutAPauseLettersDecide) {
  const auto found = place_sentences("One two. One two.", std::vector{said(0, 180)});
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].end, frame_time(90));
  EXPECT_EQ(found[1].start, frame_time(90));
  EXPECT_EQ(found[1].end, frame_time(180));
}

TEST(Sentences, APauseWithinASentenceIsPartOfIt) {
  const std::vector<Piece> voices = {said(0, 100), said(120, 400)};
  const auto found = place_sentences("Well, this is one long sentence", voices);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].start, Millis(0));
  EXPECT_EQ(found[0].end, frame_time(400));
}

TEST(Sentences, AWordAloneWaitsForMore) {
  const auto found = place_sentences("Mr. Smith is here. Dr. No.", std::vector{said(0, 100)});
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].text, "Mr. Smith is here.");
  EXPECT_EQ(found[1].text, "Dr. No.");
  EXPECT_EQ(place_sentences("3.14 is 3.14", std::vector{said(0, 100)}).size(), 1U);
  EXPECT_TRUE(place_sentences("", std::vector{said(0, 100)}).empty());
}

TEST(Sentences, LoseNothingAndNeverRunBackwards) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    Rng rng(seed);
    std::vector<Piece> voices;
    uint32_t at = 0;
    for (uint64_t i = 1 + rng.below(8); i > 0; --i) {
      at += static_cast<uint32_t>(15 + rng.below(40));
      const auto hush = static_cast<uint32_t>(at + 1 + rng.below(300));
      voices.push_back(said(at, hush));
      at = hush;
    }
    std::string text = "a";
    for (uint64_t i = rng.below(200); i > 0; --i) text += "a. ? !b"[rng.below(7)];
    text += "z";
    std::string whole;
    Millis last = frame_time(voices.front().voice);
    for (const Segment& segment : place_sentences(text, voices)) {
      EXPECT_LE(last, segment.start) << seed;
      EXPECT_LE(segment.start, segment.end) << seed;
      EXPECT_LE(segment.end, frame_time(voices.back().hush)) << seed;
      last = segment.end;
      whole += (whole.empty() ? "" : " ") + segment.text;
    }
    EXPECT_EQ(whole, text) << seed;
    EXPECT_EQ(last, frame_time(voices.back().hush)) << seed;
  }
}

}  // namespace
}  // namespace gantry

// Cutting: utterances are found whole, in order, within the window, whatever the noise.
#include "worker/silence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace gantry {
namespace {

constexpr uint8_t kQuiet = 70;   // -65 dBFS
constexpr uint8_t kSpeech = 150;  // -25 dBFS

using Levels = std::vector<uint8_t>;

Levels& say(Levels& levels, uint32_t frames, uint8_t level) {
  levels.insert(levels.end(), frames, level);
  return levels;
}

std::vector<Piece> cut(const Levels& levels, int window_ms = 3800, bool join = false) {
  return cut_speech(levels, {.window = Millis(window_ms), .join = Millis(join ? window_ms : 0)});
}

TEST(Silence, NothingInNothing) {
  EXPECT_TRUE(cut({}).empty());
  EXPECT_TRUE(cut(Levels(5000, 0)).empty());
  EXPECT_TRUE(cut(Levels(5000, kQuiet)).empty());
}

TEST(Silence, ADetectorsWordStandsInThePlaceOfLoudness) {
  const Levels loud(500, kSpeech);
  const std::vector<SpeechSpan> speech = {
      {Millis(1'010), Millis(2'990)},  // to whole frames, outwards
      {Millis(3'200), Millis(3'990)},  // within a pause: the same utterance
      {Millis(4'500), Millis(4'540)},  // a click
      {Millis(6'000), Millis(99'000)},
      {Millis(7'000), Millis(8'000)}};
  const auto cut_by = [&](const Levels& levels, std::span<const SpeechSpan> told) {
    return cut_speech(levels, {.window = Millis(3'800), .speech = told});
  };
  const std::vector<Piece> pieces = cut_by(loud, speech);
  ASSERT_GE(pieces.size(), 2U);
  EXPECT_EQ(pieces[0], (Piece{40, 210, 50, 200}));
  EXPECT_EQ(pieces[1].voice, 300U);
  EXPECT_EQ(pieces.back().hush, 500U);
  EXPECT_TRUE(cut_by(loud, {}).empty());
  EXPECT_TRUE(cut_by({}, speech).empty());
  const Hearing hearing{"a.wav", Millis(0), speech};
  EXPECT_EQ(cut_speech(loud, cut_options(hearing, Millis(3'800), Millis(0))), pieces);
  EXPECT_FALSE(cut_options({"a.wav"}, Millis(3'800), Millis(3'800)).speech);
}

TEST(Silence, SteadyNoiseIsNoSpeech) {
  Rng rng(1);
  for (const int base : {40, 90, 130}) {
    Levels levels;
    for (int i = 0; i < 3000; ++i) levels.push_back(static_cast<uint8_t>(base + rng.below(3)));
    EXPECT_TRUE(cut(levels).empty()) << base;
  }
}

TEST(Silence, UtterancesAreFoundWithMargins) {
  Levels levels;
  say(levels, 50, kQuiet);
  say(levels, 60, kSpeech);
  say(levels, 40, kQuiet);
  say(levels, 70, kSpeech);
  say(levels, 50, kQuiet);
  const std::vector<Piece> pieces = cut(levels);
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0], (Piece{40, 120, 50, 110}));
  EXPECT_EQ(pieces[1], (Piece{140, 230, 150, 220}));
}

TEST(Silence, ShortPausesAreWithinAnUtteranceClicksAreNone) {
  Levels levels;
  say(levels, 50, kQuiet);
  say(levels, 20, kSpeech);
  say(levels, 14, kQuiet);  // one frame short of a pause
  say(levels, 20, kSpeech);
  say(levels, 60, kQuiet);
  say(levels, 3, kSpeech);  // a click
  say(levels, 50, kQuiet);
  const std::vector<Piece> pieces = cut(levels);
  ASSERT_EQ(pieces.size(), 1U);
  EXPECT_EQ(pieces[0].voice, 50U);
  EXPECT_EQ(pieces[0].hush, 104U);
  Levels longer;
  say(say(say(say(say(longer, 50, kQuiet), 20, kSpeech), 15, kQuiet), 20, kSpeech), 50, kQuiet);
  EXPECT_EQ(cut(longer).size(), 2U);
}

TEST(Silence, AQuietSpeakerIsHeardBesideALoudOne) {
  Levels levels;
  say(levels, 50, kQuiet);
  say(levels, 100, 170);
  say(levels, 50, kQuiet);
  say(levels, 100, 125);  // 22 dB below
  say(levels, 50, kQuiet);
  EXPECT_EQ(cut(levels).size(), 2U);
}

TEST(Silence, TheFloorFollowsTheRoom) {
  Levels levels;
  say(levels, 1000, 20);   // a silent room,
  say(levels, 60, kSpeech);
  say(levels, 1000, 20);
  say(levels, 1500, 110);  // then a fan at -45 dBFS
  say(levels, 60, 160);
  say(levels, 1500, 110);
  const std::vector<Piece> pieces = cut(levels);
  ASSERT_GE(pieces.size(), 2U);
  EXPECT_EQ(pieces.front().voice, 1000U);
  EXPECT_EQ(pieces.back().voice, 3560U);
}

TEST(Silence, LongSpeechIsCutAtItsQuietestPlace) {
  Levels levels(500, kSpeech);
  for (int i = 148; i < 153; ++i) levels[static_cast<size_t>(i)] = kSpeech - 20;
  levels.insert(levels.end(), 100, kQuiet);
  const std::vector<Piece> pieces = cut(levels, 3800);
  ASSERT_GE(pieces.size(), 3U);
  EXPECT_EQ(pieces[0].end, 150U);
  EXPECT_EQ(pieces[1].begin, 150U);
}

TEST(Silence, JoiningFillsLongWindows) {
  Levels levels;
  for (int i = 0; i < 10; ++i) say(say(levels, 50, kQuiet), 100, kSpeech);
  say(levels, 50, kQuiet);
  EXPECT_EQ(cut(levels, 28'000, false).size(), 10U);
  const std::vector<Piece> joined = cut(levels, 28'000, true);
  ASSERT_EQ(joined.size(), 2U);
  EXPECT_EQ(joined[0].voice, 50U);
  EXPECT_EQ(joined[1].hush, 1500U);
}

// Whatever the loudness does: in order, no overlap, within the window, nothing lost that is loud.
TEST(Silence, PropertiesHoldOnRandomLoudness) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Rng rng(seed);
    Levels levels;
    while (levels.size() < 2000) {
      const bool loud = rng.below(2) == 0;
      const uint64_t run = 1 + rng.below(loud ? 400 : 60);
      for (uint64_t i = 0; i < run; ++i) {
        levels.push_back(static_cast<uint8_t>((loud ? 120 : 30) + rng.below(60)));
      }
    }
    const bool join = rng.below(2) == 0;
    const auto window = static_cast<int>(200 + rng.below(30'000));
    uint32_t last = 0;
    for (const Piece& p : cut(levels, window, join)) {
      EXPECT_LE(last, p.begin);
      EXPECT_LE(p.begin, p.voice);
      EXPECT_LE(p.voice, p.hush);
      EXPECT_LE(p.hush, p.end);
      EXPECT_LT(p.begin, p.end);
      EXPECT_LE(p.end, levels.size());
      EXPECT_LE(frame_time(p.end - p.begin), Millis(window)) << seed;
      last = p.end;
    }
  }
}

TEST(Silence, WhatWasHeardIsSkippedByItsTime) {
  const std::vector<Piece> pieces = {{10, 40, 20, 30}, {40, 90, 50, 80}, {95, 120, 100, 110}};
  const auto skip = [&pieces](int64_t ms) {
    std::vector<Piece> rest = pieces;
    const size_t first = skip_heard(&rest, Millis(ms));
    rest.erase(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(first));
    return rest;
  };
  EXPECT_EQ(skip(0), pieces);
  EXPECT_EQ(skip(200), pieces);
  EXPECT_EQ(skip(800), std::vector<Piece>(pieces.begin() + 1, pieces.end()));
  EXPECT_EQ(skip(1'900), std::vector<Piece>(pieces.begin() + 2, pieces.end()));
  EXPECT_TRUE(skip(2'400).empty());
  EXPECT_TRUE(skip(INT64_MAX).empty());
  // Of another model's cutting: what is left of the piece.
  EXPECT_EQ(skip(1'200).front(), (Piece{60, 90, 60, 80}));
  EXPECT_EQ(skip(1'700).front(), (Piece{85, 90, 85, 85}));
}

TEST(Silence, FrameLevels) {
  EXPECT_EQ(frame_level({}), 0);
  EXPECT_EQ(frame_level(std::vector<int16_t>(320, 0)), 0);
  EXPECT_EQ(frame_level(std::vector<int16_t>(320, 20'000)), 0);  // an offset is no sound
  std::vector<int16_t> square(320, 32'767);
  for (size_t i = 0; i < square.size(); i += 2) square[i] = -32'768;
  EXPECT_EQ(frame_level(square), 200);
  std::vector<int16_t> sine(320);
  for (size_t i = 0; i < sine.size(); ++i) {
    sine[i] = static_cast<int16_t>(3276.8 * std::sin(static_cast<double>(i) * 0.19635));
  }
  EXPECT_EQ(frame_level(sine), 154);  // a tenth of full scale: -23 dBFS
}

}  // namespace
}  // namespace gantry

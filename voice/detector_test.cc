// The real network on sounds that are speech and sounds that are none.
#include "voice/detector.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "worker/test_bench.h"
#include "worker/wav.h"

namespace gantry {
namespace {

using Samples = std::vector<int16_t>;

class Detecting : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = load_detector({.engine = "silero", .values = {{"model", GANTRY_SILERO}}});
    ASSERT_TRUE(loaded);
    silero_ = std::move(*loaded);
    auto wav = WavFile::open(test_data("stop_the_radio.wav"));  // 1.4 s, begins after 0.1 s
    ASSERT_TRUE(wav);
    speech_ = *wav->read(0, wav->info().samples);
  }

  Result<std::vector<SpeechSpan>> detect(const Samples& samples,
                                      std::optional<double> threshold = {}) {
    std::vector<SpeechSpan> found;
    const auto tell = [&](const SpeechProgress& progress) {
      EXPECT_GE(progress.fraction, 0);
      if (progress.turn) found.push_back({progress.turn->start, progress.turn->end});
    };
    const auto wav = folder_.write("in.wav", wav_bytes(samples));
    const auto done = silero_->detect(wav, threshold, cancel_, tell);
    if (!done) return fail(done.error());
    EXPECT_EQ(done->audio.count(), static_cast<int64_t>(samples.size()) * 1000 / 16'000);
    return found;
  }
  static void hush(double seconds, Samples* out) {
    out->insert(out->end(), static_cast<size_t>(seconds * 16'000), 0);
  }
  void speak(Samples* out) const { out->insert(out->end(), speech_.begin(), speech_.end()); }

  const TestFolder folder_;
  std::atomic<bool> cancel_{false};
  std::unique_ptr<Detector> silero_;
  Samples speech_;
};

TEST_F(Detecting, SpeechIsFoundWhereItIs) {
  Samples samples;
  hush(2, &samples);
  speak(&samples);
  hush(3, &samples);
  speak(&samples);
  const auto found = detect(samples);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2U);
  for (const auto& [stretch, at] : {std::pair{found->at(0), 2'000}, {found->at(1), 6'449}}) {
    EXPECT_GE(stretch.start.count(), at - 40);
    EXPECT_LE(stretch.start.count(), at + 400);
    EXPECT_GE(stretch.end.count(), at + 1'000);
    EXPECT_LE(stretch.end.count(), at + 1'520);
  }
}

TEST_F(Detecting, NoiseTonesAndClicksAreNoSpeech) {
  Rng rng(1);
  Samples noise, tone, clicks(16'000 * 4);
  for (int i = 0; i < 16'000 * 4; ++i) {
    noise.push_back(static_cast<int16_t>(static_cast<int>(rng.below(8'000)) - 4'000));
    tone.push_back(static_cast<int16_t>(9'000 * std::sin(2 * M_PI * 440 * i / 16'000)));
    if (i % 8'000 < 40) clicks[static_cast<size_t>(i)] = i % 2 == 0 ? 30'000 : -30'000;
  }
  for (const Samples& sound : {noise, tone, clicks, Samples(16'000 * 4), Samples()}) {
    const auto found = detect(sound);
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->empty()) << found->size();
  }
}

// As long as its buffer and longer, without a pause: nothing is lost where samples are dropped.
TEST_F(Detecting, SpeechWithoutAPauseIsOneStretchHoweverLong) {
  Samples samples;
  const Samples core(speech_.begin() + 5'000, speech_.begin() + 19'000);
  while (samples.size() < 16'000 * 60) samples.insert(samples.end(), core.begin(), core.end());
  const auto found = detect(samples);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1U);
  EXPECT_LE(found->at(0).start, Millis(500));
  EXPECT_GE(found->at(0).end, Millis(59'500));
}

TEST_F(Detecting, TheSameRecordingGivesTheSameWhateverCameBefore) {
  Samples samples, other(16'000 * 3 + 77, 900);
  for (int i = 0; i < 5; ++i) {
    speak(&samples);
    hush(0.2 * i, &samples);
  }
  const auto first = detect(samples);
  ASSERT_TRUE(first);
  ASSERT_FALSE(first->empty());
  ASSERT_TRUE(detect(other));
  EXPECT_EQ(*detect(samples), *first);
}

TEST_F(Detecting, AThresholdIsAProbability) {
  EXPECT_EQ(detect(speech_, 0.0).error().code, Code::kUsage);
  EXPECT_EQ(detect(speech_, 1.5).error().code, Code::kUsage);
  EXPECT_FALSE(detect(speech_, 0.2)->empty());
  EXPECT_TRUE(detect(speech_, 0.99999)->empty());
}

TEST_F(Detecting, EndsWhenItIsCalledOff) {
  cancel_ = true;
  EXPECT_EQ(detect(speech_).error().code, Code::kCancelled);
}

TEST(Detector, WhatIsMissingIsNamed) {
  EXPECT_EQ(load_detector({.engine = "silero"}).error().code, Code::kUsage);
  EXPECT_EQ(load_detector({.engine = "silero", .values = {{"model", "/no/such"}}}).error().code,
            Code::kNotFound);
}

}  // namespace
}  // namespace gantry

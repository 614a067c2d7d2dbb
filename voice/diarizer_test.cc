// The real engine with models that have no weights (lab/voice): structure, not accuracy.
#include "voice/diarizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "worker/test_bench.h"

namespace gantry {
namespace {

std::string model(const std::string& name) { return std::string(GANTRY_VOICE_MODELS) + "/" + name; }

VoiceOptions options() {
  return {.engine = "pyannote",
          .values = {{"model", model("seg_energy.onnx")}, {"embedding", model("spk_stats.onnx")}}};
}

// Two seconds of a buzz with its overtones.
void add_buzz(double hertz, std::vector<int16_t>* out) {
  for (int i = 0; i < 2 * 16'000; ++i) {
    double sum = 0;
    for (int k = 1; k <= 8; ++k) sum += std::sin(2 * M_PI * hertz * k * i / 16'000) / k;
    out->push_back(static_cast<int16_t>(6'000 * sum));
  }
}
void add_silence(std::vector<int16_t>* out) { out->resize(out->size() + 16'000); }

// The stand-in hears one speaker in each window of ten seconds, so who it is says nothing here.
TEST(Diarizer, TurnsBeginAndEndWhereSoundDoes) {
  const TestFolder folder;
  std::vector<int16_t> samples;
  for (const double hertz : {110.0, 450.0, 110.0}) {
    add_silence(&samples);
    add_buzz(hertz, &samples);
  }
  add_silence(&samples);
  const std::string wav = folder.write("two.wav", wav_bytes(samples));
  const Result<std::unique_ptr<Diarizer>> diarizer = load_diarizer(options());
  ASSERT_TRUE(diarizer) << diarizer.error().message;
  double last = 0;
  const auto turns = (*diarizer)->diarize(wav, {.speakers = 2}, [&](double f) { last = f; });
  ASSERT_TRUE(turns) << turns.error().message;
  EXPECT_EQ(last, 1);
  ASSERT_EQ(turns->size(), 3U);
  EXPECT_EQ((*turns)[0].speaker, 0U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_LT((*turns)[i].speaker, 2U) << i;
    const double begin = 1'000.0 + 3'000.0 * static_cast<double>(i);
    EXPECT_NEAR(static_cast<double>((*turns)[i].start.count()), begin, 150) << i;
    EXPECT_NEAR(static_cast<double>((*turns)[i].end.count()), begin + 2'000, 150) << i;
  }
}

TEST(Diarizer, LongRecordingsAreLookedAtInLargerSteps) {
  const auto minutes = [](int64_t n) { return Millis(n * 60'000); };
  EXPECT_FLOAT_EQ(window_shift(Millis(0)), 0.1F);
  EXPECT_FLOAT_EQ(window_shift(minutes(30)), 0.1F);
  EXPECT_FLOAT_EQ(window_shift(minutes(30) + Millis(1)), 0.2F);
  EXPECT_FLOAT_EQ(window_shift(minutes(60)), 0.2F);
  EXPECT_FLOAT_EQ(window_shift(kDiarizeMax), 0.4F);
  for (int64_t n = 1; n <= 120; ++n) {
    EXPECT_LE(static_cast<float>(n * 60) / (10 * window_shift(minutes(n))), 1'800.5F) << n;
  }
}

// Steps as for two hours: turns are where they were.
TEST(Diarizer, LargerStepsFindTheSameTurns) {
  const TestFolder folder;
  std::vector<int16_t> samples;
  for (int i = 0; i < 12; ++i) {
    add_silence(&samples);
    add_buzz(i % 2 == 0 ? 110 : 450, &samples);
  }
  const std::string wav = folder.write("long.wav", wav_bytes(samples));
  std::vector<std::vector<SpeakerTurn>> all;
  for (const char* shift : {"0.1", "0.4"}) {
    VoiceOptions chosen = options();
    chosen.values["window_shift_ratio"] = shift;
    const Result<std::unique_ptr<Diarizer>> diarizer = load_diarizer(chosen);
    ASSERT_TRUE(diarizer) << diarizer.error().message;
    const auto turns = (*diarizer)->diarize(wav, {.speakers = 1}, [](double) {});
    ASSERT_TRUE(turns) << turns.error().message;
    EXPECT_EQ(turns->size(), 12U) << shift;
    all.push_back(*turns);
  }
  ASSERT_EQ(all[0].size(), all[1].size());
  for (size_t i = 0; i < all[0].size(); ++i) {
    EXPECT_NEAR(static_cast<double>(all[0][i].start.count()),
                static_cast<double>(all[1][i].start.count()), 200) << i;
  }
}

TEST(Diarizer, AStepIsAPartOfAWindow) {
  for (const char* shift : {"0", "-0.1", "1.5"}) {
    VoiceOptions chosen = options();
    chosen.values["window_shift_ratio"] = shift;
    const Result<std::unique_ptr<Diarizer>> diarizer = load_diarizer(chosen);
    ASSERT_FALSE(diarizer) << shift;
    EXPECT_EQ(diarizer.error().code, Code::kUsage) << shift;
  }
}

TEST(Diarizer, SilenceHasNoSpeakersAndAMissingFileIsAnError) {
  const TestFolder folder;
  const std::string wav = folder.write("none.wav", wav_bytes(std::vector<int16_t>(32'000)));
  const Result<std::unique_ptr<Diarizer>> diarizer = load_diarizer(options());
  ASSERT_TRUE(diarizer);
  const auto turns = (*diarizer)->diarize(wav, {.speakers = 2}, [](double) {});
  ASSERT_TRUE(turns);
  EXPECT_TRUE(turns->empty());
  EXPECT_FALSE((*diarizer)->diarize(folder.file("no.wav"), {}, [](double) {}));
}

TEST(Diarizer, NumbersAreGivenInTheOrderOfTheirFirstWords) {
  std::vector<SpeakerTurn> turns = {{Millis(5), Millis(6), 0}, {Millis(1), Millis(2), 7},
                                    {Millis(3), Millis(4), 0}, {Millis(1), Millis(9), 3}};
  renumber(&turns);
  EXPECT_EQ(turns, (std::vector<SpeakerTurn>{{Millis(1), Millis(2), 0},
                                             {Millis(1), Millis(9), 1},
                                             {Millis(3), Millis(4), 2},
                                             {Millis(5), Millis(6), 2}}));
}

}  // namespace
}  // namespace gantry

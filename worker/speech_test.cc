// Recognition with the micro model: what was said, when, and nothing where nothing was said.
#include "worker/speech.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "worker/test_bench.h"
#include "worker/wav.h"

namespace gantry {
namespace {

class SpeechTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!exists(model_file("micro-asr.bin")) || !exists(GANTRY_ENGINE_DIR)) {
      GTEST_SKIP() << "the micro model or the engines are not there";
    }
    auto loaded = load_recogniser({.model = model_file("micro-asr.bin"),
                                   .engine_dir = GANTRY_ENGINE_DIR});
    ASSERT_TRUE(loaded) << loaded.error().message;
    recogniser_ = std::move(*loaded);
  }
  std::vector<int16_t> sound(const std::string& name) {
    Result<WavFile> wav = WavFile::open(test_data(name));
    if (!wav) return {};
    return *wav->read(0, wav->info().samples);
  }
  std::vector<Segment> hear(const std::vector<int16_t>& samples) {
    std::vector<Segment> segments;
    const Result<SpeechDone> done = recogniser_->transcribe(
        folder_.write("a.wav", wav_bytes(samples)), cancel_, [&](const SpeechProgress& p) {
          if (p.segment) segments.push_back(*p.segment);
        });
    EXPECT_TRUE(done) << done.error().message;
    return segments;
  }

  TestFolder folder_;
  std::atomic<bool> cancel_{false};
  std::unique_ptr<Recogniser> recogniser_;
};

TEST_F(SpeechTest, FindsEveryUtteranceInOrderWithItsTime) {
  const std::vector<int16_t> one = sound("stop_the_radio.wav");
  const std::vector<int16_t> two = sound("close_the_garage_door.wav");
  std::vector<int16_t> samples;
  std::vector<size_t> starts;
  for (int i = 0; i < 3; ++i) {
    for (const std::vector<int16_t>* part : {&one, &two}) {
      samples.insert(samples.end(), 12'000, 0);
      starts.push_back(samples.size());
      samples.insert(samples.end(), part->begin(), part->end());
    }
  }
  const std::vector<Segment> segments = hear(samples);
  ASSERT_EQ(segments.size(), 6U);
  for (size_t i = 0; i < segments.size(); ++i) {
    EXPECT_EQ(segments[i].text, i % 2 == 0 ? "stop the radio" : "close the garage door") << i;
    EXPECT_GE(segments[i].start, Millis(starts[i] / 16 - 20));
    EXPECT_LT(segments[i].start, segments[i].end);
    EXPECT_LE(segments[i].end, Millis((starts[i] + (i % 2 == 0 ? one : two).size()) / 16 + 20));
    EXPECT_GT(segments[i].confidence, 0.5);
    EXPECT_LE(segments[i].confidence, 1.0);
  }
  // The same sound gives the same answer.
  const std::vector<Segment> again = hear(samples);
  ASSERT_EQ(again.size(), segments.size());
  for (size_t i = 0; i < again.size(); ++i) {
    EXPECT_EQ(again[i].text, segments[i].text);
    EXPECT_EQ(again[i].confidence, segments[i].confidence);
  }
}

TEST_F(SpeechTest, SilenceAndNoiseGiveNoText) {
  EXPECT_TRUE(hear({}).empty());
  EXPECT_TRUE(hear(std::vector<int16_t>(160'000)).empty());
  Rng rng(1);
  std::vector<int16_t> hiss(160'000);
  for (int16_t& s : hiss) s = static_cast<int16_t>(static_cast<int>(rng.below(600)) - 300);
  EXPECT_TRUE(hear(hiss).empty());
}

TEST_F(SpeechTest, ACancelEndsIt) {
  cancel_ = true;
  const auto got = recogniser_->transcribe(test_data("stop_the_radio.wav"), cancel_, nullptr);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kCancelled);
}

TEST_F(SpeechTest, TheWindowIsTheModelsOrLess) {
  EXPECT_EQ(recogniser_->window(), Millis(3800));
  auto narrow = load_recogniser({.model = model_file("micro-asr.bin"),
                                 .engine_dir = GANTRY_ENGINE_DIR,
                                 .window = Millis(2000)});
  ASSERT_TRUE(narrow);
  EXPECT_EQ((*narrow)->window(), Millis(2000));
}

TEST(LoadRecogniser, BadModelsAreRefusedBeforeTheEngineSeesThem) {
  const TestFolder folder;
  const auto code = [](SpeechOptions options) {
    options.engine_dir = GANTRY_ENGINE_DIR;
    const auto got = load_recogniser(options);
    return got ? Code::kInternal : got.error().code;
  };
  EXPECT_EQ(code({.model = folder.file("none.bin")}), Code::kNotFound);
  EXPECT_EQ(code({.model = folder.write("bad.bin", "lmggxxxxxxxx")}), Code::kTooLarge);
  if (!exists(model_file("micro-asr.bin"))) GTEST_SKIP() << "the micro models are not there";
  EXPECT_EQ(code({.model = model_file("micro-minutes.gguf")}), Code::kUnsupported);
  EXPECT_EQ(code({.model = model_file("micro-asr.bin"), .language = "klingon"}), Code::kUsage);
  const std::string whole = slurp(model_file("micro-asr.bin"));
  EXPECT_EQ(code({.model = folder.write("cut.bin", whole.substr(0, whole.size() - 1000))}),
            Code::kCorrupt);
}

TEST(LoadRecogniser, MissingEnginesAreNamed) {
  if (!exists(model_file("micro-asr.bin"))) GTEST_SKIP() << "the micro models are not there";
  const TestFolder folder;
  const auto got =
      load_recogniser({.model = model_file("micro-asr.bin"), .engine_dir = folder.path()});
  if (got) GTEST_SKIP() << "another test of this process has loaded a backend";
  EXPECT_NE(got.error().message.find(folder.path()), std::string::npos);
}

}  // namespace
}  // namespace gantry

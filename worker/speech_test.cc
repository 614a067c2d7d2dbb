// Recognition with the micro model: what was said, when, and nothing where nothing was said.
#include "worker/speech.h"

#include <gtest/gtest.h>

#include <array>

#include "base/rng.h"
#include "worker/encoder_test_bench.h"
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
  std::vector<Segment> hear(const std::vector<int16_t>& samples, Millis from = Millis(0)) {
    std::vector<Segment> segments;
    heard_.clear();
    const Hearing hearing{folder_.write("a.wav", wav_bytes(samples)), from};
    const Result<SpeechDone> done =
        recogniser_->transcribe(hearing, cancel_, [&](const SpeechProgress& p) {
          if (!p.segment) return;
          segments.push_back(*p.segment);
          heard_.push_back(p.heard);
        });
    EXPECT_TRUE(done) << done.error().message;
    return segments;
  }

  TestFolder folder_;
  std::atomic<bool> cancel_{false};
  std::unique_ptr<Recogniser> recogniser_;
  std::vector<Millis> heard_;  // of each segment
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

TEST_F(SpeechTest, WordsAndWhatTheModelSaysOfItself) {
  const std::vector<Segment> segments = hear(sound("close_the_garage_door.wav"));
  ASSERT_EQ(segments.size(), 1U);
  const Segment& all = segments[0];
  std::string joined;
  Millis last = all.start;
  for (const Word& word : all.words) {
    joined += (joined.empty() ? "" : " ") + word.text;
    EXPECT_GE(word.start, last);
    EXPECT_GT(word.end, word.start);
    EXPECT_GT(word.probability, 0.5);
    last = word.end;
  }
  EXPECT_EQ(joined, all.text);
  EXPECT_EQ(last, all.end);
  ASSERT_TRUE(all.avg_logprob && all.no_speech);
  EXPECT_LE(*all.avg_logprob, 0);
  EXPECT_GT(*all.avg_logprob, -0.5);
  EXPECT_LT(*all.no_speech, 0.1);
  EXPECT_FALSE(all.low_confidence);
}

// A sentence cut down to a fifth of a second: nobody speaks so fast.
TEST_F(SpeechTest, WhatNobodyCanHaveSaidIsFlagged) {
  const std::vector<int16_t> whole = sound("close_the_garage_door.wav");
  std::vector<int16_t> sliver(8'000);
  sliver.insert(sliver.end(), whole.begin() + 8'000, whole.begin() + 11'200);
  sliver.insert(sliver.end(), 8'000, 0);
  const std::vector<Segment> segments = hear(sliver);
  ASSERT_EQ(segments.size(), 1U);  // the model knows no shorter sentence
  EXPECT_TRUE(segments[0].low_confidence) << segments[0].text;
}

bool same(const Segment& a, const Segment& b) {
  return a.start == b.start && a.end == b.end && a.text == b.text &&
         a.confidence == b.confidence && a.words == b.words && a.avg_logprob == b.avg_logprob &&
         a.no_speech == b.no_speech && a.low_confidence == b.low_confidence;
}

// From each piece on, one after the other and three at once: the rest of what the whole gives.
TEST_F(SpeechTest, GoesOnBehindWhatWasHeardBefore) {
  std::vector<int16_t> samples;
  for (int i = 0; i < 6; ++i) {
    samples.insert(samples.end(), 12'000, 0);
    const std::vector<int16_t> part =
        sound(i % 2 == 0 ? "stop_the_radio.wav" : "close_the_garage_door.wav");
    samples.insert(samples.end(), part.begin(), part.end());
  }
  const std::vector<Segment> whole = hear(samples);
  ASSERT_EQ(whole.size(), 6U);
  const std::vector<Millis> begins = heard_;
  for (const int parallel : {1, 3}) {
    auto loaded = load_recogniser({.model = model_file("micro-asr.bin"),
                                   .engine_dir = GANTRY_ENGINE_DIR,
                                   .parallel = parallel});
    ASSERT_TRUE(loaded) << loaded.error().message;
    recogniser_ = std::move(*loaded);
    for (size_t first = 0; first < whole.size(); ++first) {
      EXPECT_LE(begins[first], whole[first].start);
      if (first > 0) {
        EXPECT_GE(begins[first], whole[first - 1].end);
      }
      const std::vector<Segment> rest = hear(samples, begins[first]);
      ASSERT_EQ(rest.size(), whole.size() - first);
      for (size_t i = 0; i < rest.size(); ++i) EXPECT_TRUE(same(rest[i], whole[first + i])) << i;
    }
    EXPECT_TRUE(hear(samples, Millis(3'600'000)).empty());
  }
}

TEST_F(SpeechTest, SeveralPiecesAtOnceGiveTheSameBytesInTheSameOrder) {
  std::vector<int16_t> samples;
  for (int i = 0; i < 10; ++i) {
    samples.insert(samples.end(), 12'000, 0);
    const std::vector<int16_t> part =
        sound(i % 3 == 0 ? "stop_the_radio.wav" : "close_the_garage_door.wav");
    samples.insert(samples.end(), part.begin(), part.end());
  }
  const std::vector<Segment> alone = hear(samples);
  ASSERT_EQ(alone.size(), 10U);
  for (const int parallel : {2, 3, 16}) {
    auto loaded = load_recogniser({.model = model_file("micro-asr.bin"),
                                   .engine_dir = GANTRY_ENGINE_DIR,
                                   .parallel = parallel});
    ASSERT_TRUE(loaded) << loaded.error().message;
    recogniser_ = std::move(*loaded);
    const std::vector<Segment> together = hear(samples);
    ASSERT_EQ(together.size(), alone.size()) << parallel;
    for (size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(same(alone[i], together[i])) << i;
  }
  cancel_ = true;
  const auto got = recogniser_->transcribe({folder_.file("a.wav")}, cancel_, nullptr);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kCancelled);
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
  const auto got = recogniser_->transcribe({test_data("stop_the_radio.wav")}, cancel_, nullptr);
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

// Six pieces, each with words of its own.
class SpeechEncoderTest : public EncoderTest {
 protected:
  void SetUp() override {
    EncoderTest::SetUp();
    if (IsSkipped()) return;
    converted();
    std::vector<int16_t> samples;
    for (int i = 0; i < 6; ++i) {
      Result<WavFile> wav = WavFile::open(
          test_data(i % 2 == 0 ? "stop_the_radio.wav" : "close_the_garage_door.wav"));
      ASSERT_TRUE(wav);
      const Result<std::vector<int16_t>> part = wav->read(0, wav->info().samples);
      samples.insert(samples.end(), 12'000, 0);
      samples.insert(samples.end(), part->begin(), part->end());
    }
    wav_ = folder_.write("a.wav", wav_bytes(samples));
  }
  struct Heard {
    std::vector<Segment> segments;
    SpeechDone done;
  };
  Heard hear(const std::string& first) {
    auto loaded = load_recogniser({.model = model_, .engine_dir = GANTRY_ENGINE_DIR,
                                   .encoder = options(first)});
    EXPECT_TRUE(loaded) << loaded.error().message;
    return hear(**loaded);
  }
  Heard hear(Recogniser& recogniser) {
    Heard heard;
    const std::atomic<bool> never{false};
    auto done = recogniser.transcribe({wav_}, never, [&heard](const SpeechProgress& p) {
      if (p.segment) heard.segments.push_back(*p.segment);
    });
    EXPECT_TRUE(done) << done.error().message;
    if (done) heard.done = *done;
    return heard;
  }
  std::string wav_;
};

TEST_F(SpeechEncoderTest, SaysTheSameWordsAsGgmlsEncoder) {
  const Heard ggml = hear("none"), openvino = hear("cpu");
  ASSERT_EQ(ggml.segments.size(), 6U);
  ASSERT_EQ(openvino.segments.size(), 6U);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(openvino.segments[i].text, ggml.segments[i].text);
    EXPECT_EQ(openvino.segments[i].start, ggml.segments[i].start);
    EXPECT_EQ(openvino.segments[i].end, ggml.segments[i].end);
    EXPECT_EQ(openvino.segments[i].encoder, "CPU");
    EXPECT_EQ(ggml.segments[i].encoder, "");
  }
  EXPECT_TRUE(openvino.done.encoder_changes.empty());
}

// Each way to fail, one of them at each piece: pieces before it are the first device's, those from
// it on are bit for bit what the fallback device gives, and the record names both.
TEST_F(SpeechEncoderTest, ALostEncoderCostsNothingButTheDevice) {
  const Heard ggml = hear("none");
  Heard whole;
  {
    const Faults none("");
    whole = hear("cpu");
  }
  // The piece of each call: "close the garage door" is long enough to be heard backwards too.
  constexpr std::array<size_t, 9> kPieces = {0, 1, 1, 2, 3, 3, 4, 5, 5};
  for (const std::string kind : {"throw", "nan", "inf", "hang"}) {
    for (size_t call = 1; call <= (kind == "throw" ? kPieces.size() : 2); ++call) {
      const size_t k = kPieces[call - 1] + 1;
      const std::string fault = ":" + std::to_string(call) + "=" + kind;
      const Faults faults(("CPU" + fault).c_str());
      const Heard heard = hear("cpu");
      ASSERT_EQ(heard.segments.size(), 6U) << fault;
      for (size_t i = 0; i < 6; ++i) {
        const bool before = i + 1 < k;
        const Segment& want = before ? whole.segments[i] : ggml.segments[i];
        EXPECT_EQ(heard.segments[i].text, want.text) << fault;
        EXPECT_EQ(heard.segments[i].confidence, want.confidence) << fault << " " << i;
        EXPECT_EQ(heard.segments[i].encoder, before ? "CPU" : "ggml") << fault;
      }
      ASSERT_EQ(heard.done.encoder_changes.size(), 1U) << fault;
      const EncoderChange& change = heard.done.encoder_changes[0];
      EXPECT_EQ(change.from + ">" + change.to, "CPU>ggml");
      EXPECT_FALSE(change.cause.empty());
      EXPECT_LE(change.at, heard.segments[k - 1].start);
    }
  }
}

// Which piece meets the failure is chance then; what each device did is not.
TEST_F(SpeechEncoderTest, PiecesAtOnceLoseADeviceTogether) {
  Heard npu, gpu;
  {
    const Faults none("");
    npu = hear("npu");
    gpu = hear("gpu");
  }
  for (const int call : {1, 4, 9}) {
    const Faults faults(("NPU:" + std::to_string(call) + "=throw").c_str());
    auto loaded = load_recogniser({.model = model_, .engine_dir = GANTRY_ENGINE_DIR,
                                   .parallel = 3, .encoder = options("npu")});
    ASSERT_TRUE(loaded) << loaded.error().message;
    const Heard heard = hear(**loaded);
    ASSERT_EQ(heard.segments.size(), 6U);
    size_t fallen = 0;
    for (size_t i = 0; i < 6; ++i) {
      const bool fell = heard.segments[i].encoder == "GPU";
      fallen += fell;
      const Segment& want = (fell ? gpu : npu).segments[i];
      EXPECT_EQ(heard.segments[i].encoder, want.encoder);
      EXPECT_EQ(heard.segments[i].text, want.text);
      EXPECT_EQ(heard.segments[i].confidence, want.confidence);
    }
    EXPECT_GE(fallen, 1U) << call;
    ASSERT_EQ(heard.done.encoder_changes.size(), 1U);
    EXPECT_EQ(heard.done.encoder_changes[0].to, "GPU");
  }
}

TEST_F(SpeechEncoderTest, TheNextRecordingTriesTheDeviceAgain) {
  const Faults faults("NPU:11=throw");
  EncoderOptions tired = options("npu");
  tired.rest = Millis(0);
  auto loaded = load_recogniser({.model = model_, .engine_dir = GANTRY_ENGINE_DIR,
                                 .encoder = tired});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ((*loaded)->encoder(), "NPU");
  EXPECT_TRUE(hear(**loaded).done.encoder_changes.empty());
  const Heard second = hear(**loaded);  // the eleventh encode is its second
  ASSERT_EQ(second.segments.size(), 6U);
  EXPECT_EQ(second.segments[0].encoder, "NPU");
  EXPECT_EQ(second.segments[1].encoder, "GPU");
  EXPECT_EQ(second.segments[5].encoder, "GPU");
  const Heard third = hear(**loaded);
  EXPECT_EQ(third.segments[0].encoder, "NPU");
  EXPECT_TRUE(third.done.encoder_changes.empty());
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

// The real engines with models that hear words in tones (lab/voice): structure, not accuracy.
#include "voice/listener.h"

#include <gtest/gtest.h>

#include "voice/tone_words.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

struct Engine {
  const char* name;
  VoiceOptions options;
};

std::vector<Engine> engines() {
  return {{"paraformer", tone_listener("paraformer")},
          {"streaming-paraformer", tone_listener("streaming-paraformer")},
          {"sense-voice", tone_listener("sense-voice")},
          {"moonshine", tone_listener("moonshine")}};
}

class Listening : public testing::Test {
 protected:
  Result<std::vector<Segment>> listen(Listener& listener, const std::vector<int16_t>& samples,
                                      Millis from = Millis(0)) {
    std::vector<Segment> segments;
    fraction_ = 0;
    const Hearing hearing{folder_.write("in.wav", wav_bytes(samples)), from};
    const Result<SpeechDone> done =
        listener.listen(hearing, cancel_, [&](const SpeechProgress& p) {
          EXPECT_GE(p.fraction, fraction_);
          fraction_ = p.fraction;
          heard_ = p.heard;
          if (p.segment) segments.push_back(*p.segment);
        });
    if (!done) return fail(done.error());
    EXPECT_EQ(done->audio.count(), static_cast<int64_t>(samples.size()) * 1000 / 16'000);
    return segments;
  }

  const TestFolder folder_;
  std::atomic<bool> cancel_{false};
  double fraction_ = 0;
  Millis heard_{0};  // of the last line
};

TEST_F(Listening, EachEngineWritesWhatIsSaidAndWhen) {
  std::vector<int16_t> samples;
  add_hush(1, &samples);
  add_words("please turn on the kitchen light", &samples);
  add_hush(2, &samples);
  const double second = static_cast<double>(samples.size()) / 16'000;
  add_words("turn off the radio", &samples);
  add_hush(1, &samples);
  for (const Engine& engine : engines()) {
    const auto listener = load_listener(engine.options);
    ASSERT_TRUE(listener) << engine.name << listener.error().message;
    const auto heard = listen(**listener, samples);
    ASSERT_TRUE(heard) << engine.name << heard.error().message;
    ASSERT_EQ(heard->size(), 2U) << engine.name;
    EXPECT_EQ((*heard)[0].text, "please turn on the kitchen light") << engine.name;
    EXPECT_EQ((*heard)[1].text, "turn off the radio") << engine.name;
    EXPECT_NEAR(static_cast<double>((*heard)[0].start.count()), 1'000, 150) << engine.name;
    EXPECT_NEAR(static_cast<double>((*heard)[1].start.count()), 1'000 * second, 150)
        << engine.name;
    EXPECT_LT((*heard)[0].end, (*heard)[1].start) << engine.name;
    const auto rest = listen(**listener, samples, heard_);
    ASSERT_TRUE(rest) << engine.name << rest.error().message;
    ASSERT_EQ(rest->size(), 1U) << engine.name;
    EXPECT_EQ(rest->front().text, "turn off the radio") << engine.name;
    EXPECT_EQ(rest->front().start, (*heard)[1].start) << engine.name;
  }
}

// Joins what fits its window, and times it by the model.
TEST_F(Listening, AWhisperHearsAParagraphAtOnce) {
  const auto listener = load_listener(tone_listener("whisper"));
  ASSERT_TRUE(listener) << listener.error().message;
  std::vector<int16_t> samples;
  add_hush(1, &samples);
  add_words("please turn on the kitchen light", &samples);
  add_hush(2, &samples);
  add_words("turn off the radio", &samples);
  const double end = static_cast<double>(samples.size()) / 16;
  add_hush(1, &samples);
  const auto heard = listen(**listener, samples);
  ASSERT_TRUE(heard) << heard.error().message;
  ASSERT_EQ(heard->size(), 1U);
  EXPECT_EQ(heard->front().text, "please turn on the kitchen light turn off the radio");
  EXPECT_NEAR(static_cast<double>(heard->front().start.count()), 1'000, 150);
  EXPECT_NEAR(static_cast<double>(heard->front().end.count()), end, 150);
}

TEST_F(Listening, SilenceSaysNothingAndAnEndIsObeyed) {
  for (const Engine& engine : engines()) {
    const auto listener = load_listener(engine.options);
    ASSERT_TRUE(listener) << engine.name;
    const auto nothing = listen(**listener, std::vector<int16_t>(32'000));
    ASSERT_TRUE(nothing) << engine.name;
    EXPECT_TRUE(nothing->empty()) << engine.name;
    cancel_ = true;
    EXPECT_EQ(listen(**listener, std::vector<int16_t>(32'000)).error().code, Code::kCancelled);
    cancel_ = false;
    EXPECT_FALSE((*listener)->listen({folder_.file("none.wav")}, cancel_, [](const auto&) {}));
  }
}

TEST_F(Listening, MarksStandBetweenTheWords) {
  VoiceOptions options = tone_listener("paraformer");
  options.values["punctuation"] = std::string(GANTRY_VOICE_MODELS) + "/marks.onnx";
  const auto listener = load_listener(options);
  ASSERT_TRUE(listener) << listener.error().message;
  std::vector<int16_t> samples;
  add_words("please turn off the radio", &samples);
  add_hush(1, &samples);
  const auto heard = listen(**listener, samples);
  ASSERT_TRUE(heard) << heard.error().message;
  ASSERT_EQ(heard->size(), 1U);
  EXPECT_EQ(heard->front().text, "please\uff0cturn off the radio\u3002");
}

TEST_F(Listening, AFileThatIsMissingIsNamed) {
  VoiceOptions options = tone_listener("paraformer");
  options.values["denoise"] = "/no/such.onnx";
  EXPECT_EQ(load_listener(options).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace gantry

// What each engine gives on its own; the denoiser is a real one where there is one.
#include "voice/sherpa_ears.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <sstream>

#include "voice/tone_words.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

std::vector<float> words(const std::string& text) {
  std::vector<int16_t> samples;
  add_hush(0.3, &samples);
  add_words(text, &samples);
  add_hush(0.5, &samples);
  std::vector<float> out;
  for (const int16_t s : samples) out.push_back(static_cast<float>(s) / 32768.0F);
  return out;
}

// As its authors publish it, with what lab/voice/add_properties.py adds.
std::string gtcrn() {
  std::ifstream file(std::string(GANTRY_VOICE_MODELS) + "/../../../shared/data/gtcrn_simple.onnx",
                     std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  std::string out = bytes.str();
  if (out.empty()) return out;
  const auto field = [](char tag, const std::string& content) {  // all are short
    return std::string{tag, static_cast<char>(content.size())} + content;
  };
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"model_type", "gtcrn"},
                                                        {"sample_rate", "16000"},
                                                        {"version", "1"},
                                                        {"n_fft", "512"},
                                                        {"hop_length", "256"},
                                                        {"window_length", "512"},
                                                        {"window_type", "hann_sqrt"},
                                                        {"conv_cache_shape", "2,1,16,16,33"},
                                                        {"tra_cache_shape", "2,3,1,1,16"},
                                                        {"inter_cache_shape", "2,1,33,16"}}) {
    out += field(0x72, field(0x0A, key) + field(0x12, value));
  }
  return out;
}

TEST(SherpaEars, APartIsWhatWasSaid) {
  for (const char* engine : {"paraformer", "streaming-paraformer", "sense-voice", "whisper",
                             "moonshine"}) {
    const auto ears = load_ears(tone_listener(engine));
    ASSERT_TRUE(ears) << engine << ears.error().message;
    for (const char* text : {"turn on the radio", "light", "please turn off the kitchen light"}) {
      const auto parts = (*ears)->hear(words(text));
      ASSERT_TRUE(parts) << parts.error().message;
      ASSERT_EQ(parts->size(), 1U) << engine;
      EXPECT_EQ(parts->front().text, text) << engine;
      EXPECT_EQ(parts->front().confidence, 1) << engine;  // these tell none
    }
    // The stand-ins of these two look for the loudest place, and silence has one as well.
    if (engine == std::string("whisper") || engine == std::string("moonshine")) continue;
    const auto hush = (*ears)->hear(std::vector<float>(16'000));
    ASSERT_TRUE(hush);
    EXPECT_TRUE(hush->empty()) << engine;
  }
}

// Version 2, with weights that were trained: a person reads Beckett.
TEST(SherpaEars, MoonshineHearsEnglish) {
  const std::string share = GANTRY_MOONSHINE, folder = share + "/moonshine-tiny-en/";
  const auto ears =
      load_ears({.engine = "moonshine",
                 .values = {{"encoder", folder + "encoder_model.ort"},
                            {"merged_decoder", folder + "decoder_model_merged.ort"},
                            {"tokens", folder + "tokens.txt"}}});
  ASSERT_TRUE(ears) << ears.error().message;
  const std::string wav = slurp(share + "/beckett.wav");
  const auto* samples = reinterpret_cast<const int16_t*>(wav.data() + 44);
  std::vector<float> sound;
  for (size_t i = 0; i < (wav.size() - 44) / 2; ++i) {
    sound.push_back(static_cast<float>(samples[i]) / 32768.0F);
  }
  const auto parts = (*ears)->hear(sound);
  ASSERT_TRUE(parts) << parts.error().message;
  ASSERT_EQ(parts->size(), 1U);
  for (const char* words : {"tried", "no matter", "try again", "fail again", "fail better"}) {
    EXPECT_NE(parts->front().text.find(words), std::string::npos) << parts->front().text;
  }
  const auto hush = (*ears)->hear(std::vector<float>(16'000));
  ASSERT_TRUE(hush);
  EXPECT_TRUE(hush->empty() || hush->front().text.size() < 20);
}

TEST(SherpaEars, NoiseBetweenWordsIsLess) {
  const TestFolder folder;
  const std::string bytes = gtcrn();
  if (bytes.empty()) GTEST_SKIP() << "gtcrn_simple.onnx is not beside this checkout";
  VoiceOptions options = tone_listener("paraformer");
  options.values["denoise"] = folder.write("gtcrn.onnx", bytes);
  const auto denoiser = load_denoiser(options);
  ASSERT_TRUE(denoiser) << denoiser.error().message;
  std::vector<float> noise;
  for (uint32_t i = 0, state = 1; i < 48'000; ++i) {
    state = state * 1'664'525U + 1'013'904'223U;
    noise.push_back((static_cast<float>(state >> 8) / 16'777'216.0F - 0.5F) * 0.2F);
  }
  const auto clean = (*denoiser)->clean(noise);
  ASSERT_TRUE(clean) << clean.error().message;
  EXPECT_NEAR(static_cast<double>(clean->size()), 48'000, 1'024);
  const auto power = [](const std::vector<float>& samples) {
    return std::inner_product(samples.begin(), samples.end(), samples.begin(), 0.0);
  };
  EXPECT_LT(power(*clean), power(noise) / 10);
}

TEST(SherpaEars, PunctuationChangesNoWord) {
  VoiceOptions options;
  options.values["punctuation"] = std::string(GANTRY_VOICE_MODELS) + "/marks.onnx";
  const auto marks = load_punctuation(options);
  ASSERT_TRUE(marks) << marks.error().message;
  EXPECT_EQ((*marks)->mark("please turn on the light"), "please\uff0cturn on the light\u3002");
}

}  // namespace
}  // namespace gantry

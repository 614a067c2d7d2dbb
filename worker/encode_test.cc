// What is encoded is decoded again: rate, length and the sound itself.
#include "worker/encode.h"

#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>
#include <numbers>
#include <sstream>

#include "base/base64.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

// A rising tone that swells, with a pause: nothing that looks like itself elsewhere.
std::vector<int16_t> sound(uint32_t rate, double seconds) {
  std::vector<int16_t> out(static_cast<size_t>(rate * seconds));
  double phase = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const double at = static_cast<double>(i) / rate;
    phase += 2 * std::numbers::pi * (200 + 900 * at) / rate;
    const double swell = at > 0.6 && at < 0.7 ? 0 : 0.5 + 0.3 * std::sin(9 * at);
    out[i] = static_cast<int16_t>(std::lrint(12'000 * swell * std::sin(phase)));
  }
  return out;
}

std::string encoded(SoundFormat format, uint32_t rate, const std::vector<int16_t>& samples) {
  const auto encoder = open_sound_encoder(format, rate);
  EXPECT_TRUE(encoder) << (encoder ? "" : encoder.error().message);
  if (!encoder) return "";
  std::string out;
  constexpr size_t kPiece = 3001;
  for (size_t at = 0; at < samples.size(); at += kPiece) {
    const Result<std::string> made =
        (*encoder)->put(std::span(samples).subspan(at, std::min(kPiece, samples.size() - at)));
    EXPECT_TRUE(made);
    if (made) out += *made;
  }
  EXPECT_FALSE(out.empty()) << "nothing comes before the end";
  return out + (*encoder)->finish().value_or("");
}

struct Decoded {
  int rate = 0, channels = 0;
  std::vector<float> samples;
};

Decoded decoded(const std::string& file) {
  SF_INFO info{};
  SNDFILE* in = sf_open(file.c_str(), SFM_READ, &info);
  EXPECT_NE(in, nullptr) << sf_strerror(nullptr);
  if (in == nullptr) return {};
  Decoded out{info.samplerate, info.channels, {}};
  std::vector<float> block(4096);
  for (sf_count_t got; (got = sf_read_float(in, block.data(), 4096)) > 0;) {
    out.samples.insert(out.samples.end(), block.begin(), block.begin() + got);
  }
  sf_close(in);
  return out;
}

std::vector<float> at_rate(uint32_t from, uint32_t to, const std::vector<float>& in) {
  std::vector<float> out;
  const auto sink = [&out](std::span<const float> made) -> Result<void> {
    out.insert(out.end(), made.begin(), made.end());
    return {};
  };
  Resampler resampler(from, to);
  EXPECT_TRUE(resampler.put(in, sink));
  EXPECT_TRUE(resampler.finish(sink));
  return out;
}

// The best over all shifts: encoders begin with a delay.
double correlation(const std::vector<int16_t>& want, const std::vector<float>& got,
                   size_t shift_max) {
  double best = 0;
  for (size_t shift = 0; shift <= shift_max; ++shift) {
    double both = 0, one = 0, other = 0;
    for (size_t i = 0; i < want.size() && i + shift < got.size(); ++i) {
      both += want[i] * static_cast<double>(got[i + shift]);
      one += static_cast<double>(want[i]) * want[i];
      other += static_cast<double>(got[i + shift]) * got[i + shift];
    }
    best = std::max(best, both / std::sqrt(one * other + 1e-9));
  }
  return best;
}

TEST(Encode, EveryFormatIsTheSameSound) {
  const TestFolder folder;
  for (const SoundFormat format : {SoundFormat::kMp3, SoundFormat::kFlac, SoundFormat::kOpus}) {
    for (const uint32_t rate : {8'000U, 16'000U, 22'050U, 24'000U, 44'100U}) {
      SCOPED_TRACE(std::string(facts_of(format).name) + " " + std::to_string(rate));
      const std::vector<int16_t> samples = sound(rate, 1.5);
      const Decoded got = decoded(folder.write("s", encoded(format, rate, samples)));
      EXPECT_EQ(got.channels, 1);
      const uint32_t stored = encoded_rate(format, rate);
      // Opus plays at 48 kHz, whatever was put in, or at what its head names.
      EXPECT_TRUE(got.rate == static_cast<int>(stored) ||
                  (format == SoundFormat::kOpus && got.rate == 48'000)) << got.rate;
      ASSERT_GT(got.rate, 0);
      const double length = static_cast<double>(got.samples.size()) / got.rate;
      EXPECT_NEAR(length, 1.5, format == SoundFormat::kMp3 ? 0.3 : 0.03);
      EXPECT_GE(length, 1.499);
      const auto back = at_rate(static_cast<uint32_t>(got.rate), rate, got.samples);
      EXPECT_GT(correlation(samples, back, format == SoundFormat::kFlac ? 0 : rate / 5),
                format == SoundFormat::kFlac ? 0.999'999 : 0.99);
    }
  }
}

TEST(Encode, FlacLosesNothing) {
  const TestFolder folder;
  const std::vector<int16_t> samples = sound(22'050, 1);
  const Decoded got = decoded(folder.write("s", encoded(SoundFormat::kFlac, 22'050, samples)));
  ASSERT_EQ(got.samples.size(), samples.size());
  for (size_t i = 0; i < samples.size(); ++i) {
    ASSERT_EQ(std::lrint(got.samples[i] * 32768.0F), samples[i]) << i;
  }
}

TEST(Encode, RatesThatAFormatDoesNotHaveAreRaised) {
  EXPECT_EQ(encoded_rate(SoundFormat::kOpus, 22'050), 24'000U);
  EXPECT_EQ(encoded_rate(SoundFormat::kOpus, 48'001), 48'000U);
  EXPECT_EQ(encoded_rate(SoundFormat::kMp3, 22'050), 22'050U);
  EXPECT_EQ(encoded_rate(SoundFormat::kMp3, 22'051), 24'000U);
  EXPECT_EQ(encoded_rate(SoundFormat::kMp3, 4'000), 8'000U);
  EXPECT_EQ(encoded_rate(SoundFormat::kFlac, 11'111), 11'111U);
}

TEST(Encode, WhatIsNoEncodedFormatIsRefused) {
  for (const SoundFormat format : {SoundFormat::kWav, SoundFormat::kPcm}) {
    const auto encoder = open_sound_encoder(format, 16'000);
    ASSERT_FALSE(encoder);
    EXPECT_EQ(encoder.error().code, Code::kUnsupported);
  }
}

TEST(EncodeLines, ASoundInLines) {
  const std::vector<int16_t> samples = sound(16'000, 0.5);
  const std::string_view pcm(reinterpret_cast<const char*>(samples.data()), 2 * samples.size());
  std::istringstream in("\n" + base64(pcm) + "\n.\n");
  std::ostringstream out;
  EXPECT_TRUE(encode_lines(in, out, "flac", "16000"));
  std::istringstream lines(out.str());
  std::string all, line;
  size_t count = 0;
  for (; std::getline(lines, line); ++count) all += base64_bytes(line).value_or("?");
  EXPECT_EQ(count, 3U);
  EXPECT_EQ(all, encoded(SoundFormat::kFlac, 16'000, samples));
}

TEST(EncodeLines, WrongOnesAreSaid) {
  const auto refused = [](const std::string& lines, const char* format, const char* rate) {
    std::istringstream in(lines);
    std::ostringstream out;
    EXPECT_FALSE(encode_lines(in, out, format, rate));
    EXPECT_TRUE(out.str().starts_with('!') && out.str().ends_with('\n')) << out.str();
  };
  refused("", "aac", "16000");
  refused("", "mp3", "3999");
  refused("", "mp3", "96001");
  refused("", "mp3", "fast");
  refused("", "mp3", "16000x");
  refused("abc\n", "mp3", "16000");
  refused(base64("odd") + "\n", "mp3", "16000");
}

}  // namespace
}  // namespace gantry

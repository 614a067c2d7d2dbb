// The small decoder: length, pitch and level through every format, and what no recording is.
#include "worker/decode.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "base/os.h"
#include "worker/test_bench.h"
#include "worker/wav.h"

namespace gantry {
namespace {

constexpr double kPitch = 440;  // Hz
constexpr double kLevel = 0.5;  // of full scale

// A wav of any shape, its samples given as bytes.
std::string wav_of(int coding, int channels, uint32_t rate, int bits, const std::string& data,
                   uint64_t declared) {
  const int frame = channels * bits / 8;
  return "RIFF" + little_endian(36 + declared, 4) + "WAVEfmt " + little_endian(16, 4) +
         little_endian(static_cast<uint64_t>(coding), 2) +
         little_endian(static_cast<uint64_t>(channels), 2) + little_endian(rate, 4) +
         little_endian(rate * static_cast<uint64_t>(frame), 4) +
         little_endian(static_cast<uint64_t>(frame), 2) +
         little_endian(static_cast<uint64_t>(bits), 2) + "data" + little_endian(declared, 4) +
         data;
}

std::string sample(double x, int coding, int bits) {
  if (coding == 3) {
    const auto value = static_cast<float>(x);
    uint32_t raw = 0;
    std::memcpy(&raw, &value, sizeof raw);
    return little_endian(raw, 4);
  }
  if (bits == 8) return little_endian(static_cast<uint64_t>(std::lrint(128 + x * 127)), 1);
  const double scale = std::ldexp(1.0, bits - 1) - 1;
  return little_endian(static_cast<uint64_t>(std::lrint(x * scale)), bits / 8);
}

std::string tone_wav(int coding, int channels, uint32_t rate, int bits, size_t frames) {
  std::string data;
  for (size_t i = 0; i < frames; ++i) {
    const double at = static_cast<double>(i) / rate;
    const double x = kLevel * std::sin(2 * std::numbers::pi * kPitch * at);
    for (int c = 0; c < channels; ++c) data += sample(x, coding, bits);
  }
  return wav_of(coding, channels, rate, bits, data, data.size());
}

class Decode : public testing::Test {
 protected:
  Result<Millis> decode(const std::string& file) { return decode_file(file, wav_); }

  // `file` is the tone, `ms` long give or take `slack`; the wav is one that recognition takes.
  void is_tone(const std::string& file, int64_t ms, int64_t slack) {
    SCOPED_TRACE(file);
    const Result<Millis> got = decode(file);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_NEAR(static_cast<double>(got->count()), static_cast<double>(ms),
                static_cast<double>(slack));
    Result<WavFile> wav = WavFile::open(wav_);
    ASSERT_TRUE(wav) << wav.error().message;
    EXPECT_EQ(wav->info().duration(), *got);
    // One second from the middle: filters and codecs take a while at the ends.
    const auto sound = *wav->read(wav->info().samples / 2 - 8'000, 16'000);
    ASSERT_EQ(sound.size(), 16'000U);
    int crossings = 0;
    double power = 0;
    for (size_t i = 1; i < sound.size(); ++i) {
      if ((sound[i - 1] < 0) != (sound[i] < 0)) ++crossings;
      power += static_cast<double>(sound[i]) * sound[i];
    }
    EXPECT_NEAR(crossings, 2 * kPitch, 3);
    const double level = std::sqrt(2 * power / static_cast<double>(sound.size())) / 32768;
    EXPECT_NEAR(level / kLevel, 1, 0.06);  // LAME takes 5 % off
  }

  std::string converted(const std::string& name) {
    const std::string source = folder_.write("tone.wav", tone_wav(1, 2, 44'100, 16, 132'300));
    const std::unique_ptr<Os> os = make_real_os();
    const auto process = os->spawn({.argv = {"ffmpeg", "-nostdin", "-v", "error", "-i",
                                             "file:" + source, "file:" + folder_.file(name)}});
    EXPECT_TRUE(process && (*process)->wait(Millis(60'000))->ok());
    return folder_.file(name);
  }

  Code refusal(const std::string& bytes) {
    const Result<Millis> got = decode(folder_.write("bad", bytes));
    EXPECT_FALSE(got);
    if (got) return Code::kInternal;
    EXPECT_FALSE(got.error().remedy.empty());
    return got.error().code;
  }

  TestFolder folder_;
  std::string wav_ = folder_.file("out.wav");
};

TEST_F(Decode, WavsOfEveryShapeKeepLengthPitchAndLevel) {
  struct Shape {
    int coding, channels;
    uint32_t rate;
    int bits;
  };
  for (const Shape& shape : {Shape{1, 1, 16'000, 16}, Shape{1, 2, 44'100, 16},
                             Shape{1, 1, 8'000, 8}, Shape{1, 2, 48'000, 24},
                             Shape{1, 1, 22'050, 32}, Shape{3, 2, 44'100, 32},
                             Shape{1, 6, 96'000, 16}, Shape{1, 1, 11'111, 16}}) {
    const std::string bytes =
        tone_wav(shape.coding, shape.channels, shape.rate, shape.bits, shape.rate * 3);
    is_tone(folder_.write("t" + std::to_string(shape.rate) + ".wav", bytes), 3000, 1);
  }
}

TEST_F(Decode, SixteenBitsAtTheRightRateAreCopied) {
  std::vector<int16_t> samples;
  for (int i = -32'768; i <= 32'767; i += 7) samples.push_back(static_cast<int16_t>(i));
  const std::string bytes = wav_bytes(samples);
  ASSERT_TRUE(decode(folder_.write("a.wav", bytes)));
  EXPECT_EQ(slurp(wav_), bytes);
}

TEST_F(Decode, CompressedOnes) {
  if (!exists("/usr/bin/ffmpeg")) GTEST_SKIP() << "ffmpeg is not installed";
  is_tone(converted("a.flac"), 3000, 1);
  is_tone(converted("a.aiff"), 3000, 1);
  is_tone(converted("a.ogg"), 3000, 1);
  is_tone(converted("a.opus"), 3000, 30);
  is_tone(converted("a.mp3"), 3000, 60);
}

TEST_F(Decode, WhatIsCutShortGivesWhatIsThere) {
  if (!exists("/usr/bin/ffmpeg")) GTEST_SKIP() << "ffmpeg is not installed";
  for (const char* name : {"tone.wav", "b.flac", "b.ogg", "b.opus", "b.mp3"}) {
    SCOPED_TRACE(name);
    const std::string whole = slurp(name[0] == 't' ? folder_.write("tone.wav", tone_wav(
        1, 2, 44'100, 16, 132'300)) : converted(name));
    const Result<Millis> half = decode(folder_.write("half", whole.substr(0, whole.size() / 2)));
    if (!half) {  // one page of ogg may be all of it
      EXPECT_EQ(half.error().code, Code::kUnsupported) << half.error().message;
      EXPECT_TRUE(std::string(name).find(".o") != std::string::npos);
      continue;
    }
    EXPECT_GT(*half, Millis(500));
    EXPECT_LT(*half, Millis(2500));
  }
}

TEST_F(Decode, AnUnfinishedWavIsRead) {
  const std::string data(32'000, '\1');
  for (const uint64_t declared : {uint64_t{0xFFFFFFFF}, uint64_t{0x7FFFFFFF}}) {
    const auto got = decode(folder_.write("a.wav", wav_of(1, 1, 16'000, 16, data, declared)));
    ASSERT_TRUE(got) << declared << got.error().message;
    EXPECT_EQ(*got, Millis(1000));
  }
  // Nothing declared and much there: another decoder may believe its eyes.
  EXPECT_EQ(refusal(wav_of(1, 1, 16'000, 16, data, 0)), Code::kUnsupported);
  EXPECT_EQ(refusal(wav_of(1, 1, 16'000, 16, "", 0)), Code::kCorrupt);
}

TEST_F(Decode, WhatIsNotForItIsLeftToAnother) {
  const std::string list = "#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n";
  for (const std::string& bytes :
       {std::string(), std::string("RIFF"), std::string(9'000, '\0'), list,
        std::string("ffconcat version 1.0\nfile 'a.wav'\n"), std::string("RIFF....AVI LIST...."),
        std::string("\0\0\0\x20" "ftypM4A ................", 28), std::string(100, '\xFF'),
        std::string("fLaC") + std::string(100, '\xFF'), std::string("OggS") + std::string(99, 'x'),
        "ID3" + std::string(99, '\x7F'), "\xFF\xFB\x90" + std::string(99, '\0')}) {
    const Code code = refusal(bytes);
    EXPECT_TRUE(code == Code::kUnsupported || code == Code::kCorrupt)
        << code_name(code) << ": " << bytes.substr(0, 20);
  }
}

TEST_F(Decode, HostileHeadersAreRefused) {
  const std::string data(64, '\1');
  for (const uint32_t rate : {0U, 1U, 999U, 768'001U, 0xFFFFFFFFU}) {
    EXPECT_EQ(refusal(wav_of(1, 1, rate, 16, data, 64)), Code::kUnsupported) << rate;
  }
  for (const int channels : {0, 65, 1024, 65'535}) {
    EXPECT_EQ(refusal(wav_of(1, channels, 16'000, 16, data, 64)), Code::kUnsupported) << channels;
  }
  EXPECT_EQ(refusal(wav_of(1, 1, 16'000, 16, "", 0)), Code::kCorrupt);
  EXPECT_EQ(refusal(wav_of(1, 1, 16'000, 16, "", 0xFFFFFFFF)), Code::kCorrupt);
}

TEST_F(Decode, EveryCutAndEveryBrokenByteOfAHeadEnds) {
  const std::string whole = tone_wav(1, 2, 44'100, 16, 200);
  for (size_t at = 0; at < 60; ++at) {
    const auto cut = decode(folder_.write("cut", whole.substr(0, at)));
    if (!cut) {
      EXPECT_FALSE(cut.error().remedy.empty()) << at;
    }
    for (const char value : {'\0', '\x7F', '\xFF'}) {
      std::string broken = whole;
      broken[at] = value;
      const auto got = decode(folder_.write("broken", broken));
      if (got) {
        EXPECT_LE(*got, Millis(200)) << at;
      }
    }
  }
}

TEST_F(Decode, NumbersThatAreNoneBecomeSilence) {
  std::string data;
  for (const float value : {NAN, INFINITY, -INFINITY, 1e30F}) {
    uint32_t raw = 0;
    std::memcpy(&raw, &value, sizeof raw);
    for (int i = 0; i < 100; ++i) data += little_endian(raw, 4);
  }
  data += std::string(400, '\0');
  for (const uint32_t rate : {16'000U, 44'100U}) {
    ASSERT_TRUE(decode(folder_.write("n.wav", wav_of(3, 1, rate, 32, data, data.size()))));
  }
  ASSERT_TRUE(decode(folder_.write("n.wav", wav_of(3, 1, 16'000, 32, data, data.size()))));
  const auto sound = *WavFile::open(wav_)->read(0, 500);
  EXPECT_EQ(sound[50], 0);
  EXPECT_EQ(sound[150], 0);
  EXPECT_EQ(sound[350], 32'767);
  EXPECT_EQ(sound[450], 0);
}

TEST_F(Decode, TheLongestAndOneMillisecondMore) {
  const std::string file = folder_.write("a.wav", tone_wav(1, 1, 44'100, 16, 44'100));
  EXPECT_TRUE(decode_file(file, wav_, Millis(1000)));
  const auto got = decode_file(file, wav_, Millis(999));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kTooLarge);
}

TEST_F(Decode, OnlyRegularFilesAndARealDestination) {
  const std::string file = folder_.write("a.wav", tone_wav(1, 1, 16'000, 16, 16'000));
  EXPECT_EQ(decode(folder_.file("none")).error().code, Code::kNotFound);
  EXPECT_EQ(decode(folder_.path()).error().code, Code::kUsage);
  EXPECT_EQ(decode("/dev/zero").error().code, Code::kUsage);
  const std::string pipe = folder_.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(decode(pipe).error().code, Code::kUsage);
  EXPECT_EQ(decode_file(file, "/dev/full").error().code, Code::kDiskFull);
  std::filesystem::create_symlink(folder_.file("elsewhere"), wav_);
  EXPECT_FALSE(decode(file));
  EXPECT_FALSE(exists(folder_.file("elsewhere")));
}

// Half an hour, most of it a hole in the file; the address space is what the program allows itself.
TEST_F(Decode, MemoryDoesNotGrowWithTheRecording) {
  constexpr uint64_t kBytes = 1800ULL * 8000;
  const std::string file = folder_.write("long.wav", wav_of(1, 1, 8'000, 8, "", kBytes));
  std::filesystem::resize_file(file, 44 + kBytes);
  const auto resident = [&](const std::string& input) {
    const std::string program = dir_name(GANTRY_WORKER_EXE) + "/gantry-decode";
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execl(program.c_str(), program.c_str(), input.c_str(), wav_.c_str(), nullptr);
      ::_exit(127);
    }
    int status = 1;
    rusage used{};
    ::wait4(pid, &status, 0, &used);
    EXPECT_EQ(status, 0);
    return used.ru_maxrss;  // KiB
  };
  const long small = resident(folder_.write("s.wav", tone_wav(1, 1, 8'000, 8, 80'000)));
  EXPECT_LT(resident(file), small + 1024);
  EXPECT_EQ(std::filesystem::file_size(wav_), 44 + 1800ULL * 32'000);
}

}  // namespace
}  // namespace gantry

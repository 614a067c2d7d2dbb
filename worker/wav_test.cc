// Wav headers: every cut and every lie is refused, and only those.
#include "worker/wav.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

Result<WavInfo> parse(const std::string& bytes, uint64_t size) {
  return parse_wav(std::as_bytes(std::span(bytes)), Bytes{size});
}
Result<WavInfo> parse(const std::string& bytes) { return parse(bytes, bytes.size()); }

std::string patched(std::string bytes, size_t at, uint64_t value, int width) {
  return bytes.replace(at, static_cast<size_t>(width), little_endian(value, width));
}

const std::string kGood = wav_bytes({1, -2, 3, -4});

TEST(Wav, ReadsItsOwnKind) {
  const Result<WavInfo> info = parse(kGood);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->data_offset, 44U);
  EXPECT_EQ(info->samples, 4U);
  EXPECT_EQ(parse(wav_bytes(std::vector<int16_t>(16'000)))->duration(), Millis(1000));
}

TEST(Wav, EveryTruncationIsRefused) {
  for (size_t n = 0; n < kGood.size(); ++n) {
    const Result<WavInfo> info = parse(kGood.substr(0, n));
    ASSERT_FALSE(info) << n;
    EXPECT_EQ(info.error().code, Code::kCorrupt) << n;
    EXPECT_FALSE(info.error().remedy.empty());
  }
}

TEST(Wav, OtherFormatsAreNamed) {
  EXPECT_EQ(parse(patched(kGood, 22, 2, 2)).error().code, Code::kUnsupported);       // stereo
  EXPECT_EQ(parse(patched(kGood, 24, 44'100, 4)).error().code, Code::kUnsupported);  // rate
  EXPECT_EQ(parse(patched(kGood, 34, 8, 2)).error().code, Code::kUnsupported);       // bits
  EXPECT_EQ(parse(patched(kGood, 20, 3, 2)).error().code, Code::kUnsupported);       // float
  EXPECT_NE(parse(patched(kGood, 24, 44'100, 4)).error().message.find("44100"),
            std::string::npos);
}

TEST(Wav, LyingSizesAreRefused) {
  EXPECT_EQ(parse(patched(kGood, 40, 10, 4)).error().code, Code::kCorrupt);  // beyond the file
  EXPECT_EQ(parse(patched(kGood, 16, 0xFFFFFFFE, 4)).error().code, Code::kCorrupt);
  EXPECT_EQ(parse(patched(kGood, 16, 15, 4)).error().code, Code::kCorrupt);
  // A program that could not seek back leaves all ones: the rest of the file is meant.
  EXPECT_EQ(parse(patched(kGood, 40, 0xFFFFFFFF, 4))->samples, 4U);
}

TEST(Wav, OtherChunksAreSkippedUpToALimit) {
  const std::string list = "LIST" + little_endian(3, 4) + "abc" + std::string(1, '\0');
  EXPECT_EQ(parse(kGood.substr(0, 36) + list + kGood.substr(36))->samples, 4U);
  const std::string huge = "LIST" + little_endian(0x7FFFFFFF, 4);
  EXPECT_EQ(parse(kGood.substr(0, 36) + huge + kGood.substr(36)).error().code, Code::kCorrupt);
  EXPECT_EQ(parse(kGood.substr(0, 12) + kGood.substr(36)).error().code, Code::kCorrupt);
  EXPECT_EQ(parse(kGood.substr(0, 36) + kGood.substr(12)).error().code, Code::kCorrupt);
}

TEST(Wav, TheLongestAndOneMore) {
  const uint64_t samples = static_cast<uint64_t>(kAudioMax.count()) * 16;
  const auto head = [](uint64_t bytes) { return patched(kGood, 40, bytes, 4); };
  EXPECT_EQ(parse(head(samples * 2), 44 + samples * 2)->duration(), kAudioMax);
  const uint64_t more = samples * 2 + 32;  // a millisecond
  EXPECT_EQ(parse(head(more), 44 + more).error().code, Code::kTooLarge);
}

TEST(Wav, FileGivesRanges) {
  const TestFolder folder;
  std::vector<int16_t> samples(1000);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<int16_t>(i);
  Result<WavFile> wav = WavFile::open(folder.write("a.wav", wav_bytes(samples)));
  ASSERT_TRUE(wav);
  EXPECT_EQ(*wav->read(10, 3), (std::vector<int16_t>{10, 11, 12}));
  EXPECT_EQ(wav->read(990, 100)->size(), 10U);
  EXPECT_TRUE(wav->read(5000, 1)->empty());
  EXPECT_EQ(WavFile::open(folder.file("none.wav")).error().code, Code::kNotFound);
  EXPECT_EQ(WavFile::open(folder.write("b.wav", "hello")).error().code, Code::kCorrupt);
}

TEST(Wav, AFileThatShrinksIsAnError) {
  const TestFolder folder;
  const std::string path = folder.write("a.wav", wav_bytes(std::vector<int16_t>(100'000)));
  Result<WavFile> wav = WavFile::open(path);
  ASSERT_TRUE(wav);
  std::filesystem::resize_file(path, 1000);
  EXPECT_FALSE(wav->read(90'000, 100));
}

}  // namespace
}  // namespace gantry

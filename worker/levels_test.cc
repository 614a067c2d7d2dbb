// Loudness of a file, and its pieces.
#include "worker/levels.h"

#include <gtest/gtest.h>

#include "worker/test_bench.h"

namespace gantry {
namespace {

TEST(Levels, AByteAFrameAndTheLastOneMayBeShort) {
  const TestFolder folder;
  std::vector<int16_t> samples(kSampleRate + kFrameSamples / 2);
  for (size_t i = 0; i < kFrameSamples; ++i) samples[i] = i % 2 == 0 ? 9'000 : -9'000;
  auto wav = WavFile::open(folder.write("a.wav", wav_bytes(samples)));
  ASSERT_TRUE(wav);
  std::atomic<bool> cancel{false};
  const auto levels = wav_levels(&*wav, cancel);
  ASSERT_TRUE(levels);
  ASSERT_EQ(levels->size(), 51U);
  EXPECT_GT(levels->front(), 150);
  EXPECT_EQ(levels->back(), 0);
  cancel = true;
  EXPECT_EQ(wav_levels(&*wav, cancel).error().code, Code::kCancelled);
}

TEST(Levels, APieceHasItsOwnSamples) {
  const TestFolder folder;
  std::vector<int16_t> samples(4 * kFrameSamples);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<int16_t>(i);
  auto wav = WavFile::open(folder.write("a.wav", wav_bytes(samples)));
  ASSERT_TRUE(wav);
  const auto piece = piece_samples(&*wav, Piece{1, 3, 1, 3});
  ASSERT_TRUE(piece);
  ASSERT_EQ(piece->size(), 2 * kFrameSamples);
  EXPECT_EQ(piece->front(), static_cast<int16_t>(kFrameSamples));
}

}  // namespace
}  // namespace gantry

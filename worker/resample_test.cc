// Rates: length and pitch stay, in pieces as in one.
#include "worker/resample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace gantry {
namespace {

std::vector<float> tone(uint32_t rate, size_t count) {
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) {
    const double at = static_cast<double>(i) / rate;
    out[i] = static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * 440 * at));
  }
  return out;
}

std::vector<float> resampled(uint32_t from, uint32_t to, const std::vector<float>& in,
                             size_t piece) {
  std::vector<float> out;
  const Resampler::Sink sink = [&out](std::span<const float> made) -> Result<void> {
    out.insert(out.end(), made.begin(), made.end());
    return {};
  };
  Resampler resampler(from, to);
  for (size_t at = 0; at < in.size(); at += piece) {
    EXPECT_TRUE(resampler.put(std::span(in).subspan(at, std::min(piece, in.size() - at)), sink));
  }
  EXPECT_TRUE(resampler.finish(sink));
  return out;
}

TEST(Resample, ATurnOfRatesIsTheSameTone) {
  for (const auto& [from, to] : {std::pair{22'050U, 24'000U}, std::pair{44'100U, 16'000U},
                                 std::pair{8'000U, 48'000U}}) {
    const std::vector<float> made = resampled(from, to, tone(from, from), 1000);
    ASSERT_NEAR(static_cast<double>(made.size()), to, 2);
    const std::vector<float> want = tone(to, to);
    for (size_t i = to / 4; i < to / 4 * 3; ++i) ASSERT_NEAR(made[i], want[i], 1e-3) << i;
  }
}

TEST(Resample, PiecesAreTheWhole) {
  const std::vector<float> in = tone(22'050, 22'050);
  EXPECT_EQ(resampled(22'050, 48'000, in, 7), resampled(22'050, 48'000, in, in.size()));
}

TEST(Resample, OneRateIsACopy) {
  const std::vector<float> in = tone(16'000, 1'000);
  EXPECT_EQ(resampled(16'000, 16'000, in, 33), in);
}

TEST(Resample, WhatTheSinkRefusesEndsIt) {
  Resampler resampler(8'000, 16'000);
  const Resampler::Sink full = [](std::span<const float>) -> Result<void> {
    return fail(Code::kDiskFull, "full", "");
  };
  EXPECT_EQ(resampler.put(tone(8'000, 8'000), full).error().code, Code::kDiskFull);
}

}  // namespace
}  // namespace gantry

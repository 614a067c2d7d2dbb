// Blocks by hand: what a reader makes of the bytes, types whose arithmetic fits a few lines. What
// ggml itself makes of every type is compared in lab/synth.
#include "model/synth_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "model/tensor_type.h"

namespace gantry {
namespace {

double half(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  const double size = exponent == 0 ? std::ldexp(mantissa, -24)
                                    : std::ldexp(1024 + mantissa, exponent - 25);
  return (bits & 0x8000) != 0 ? -size : size;
}

std::vector<std::byte> blocks_of(uint32_t type, double spread, size_t count, uint64_t seed = 1) {
  std::vector<std::byte> out(count * tensor_type(type)->bytes);
  Rng rng(seed);
  RandomBlocks(type, spread).fill(rng, out);
  return out;
}

struct Moments {
  double mean = 0, spread = 0;
};
Moments moments_of(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(values.size());
  return {sum / count, std::sqrt(squares / count)};
}

TEST(HalfOf, RoundsToTheNearestEven) {
  EXPECT_EQ(half_of(0), 0);
  EXPECT_EQ(half_of(1), 0x3c00);
  EXPECT_EQ(half_of(-2), 0xc000);
  EXPECT_EQ(half_of(65504), 0x7bff);
  EXPECT_EQ(half_of(65519), 0x7bff);
  EXPECT_EQ(half_of(65520), 0x7c00);  // infinity
  EXPECT_EQ(half_of(1 + 0x1p-11F), 0x3c00);  // halfway: to the even one
  EXPECT_EQ(half_of(1 + 3 * 0x1p-11F), 0x3c02);
  EXPECT_EQ(half_of(0x1p-14F), 0x0400);  // the smallest normal number
  EXPECT_EQ(half_of(0x1p-14F - 0x1p-25F), 0x0400);
  EXPECT_EQ(half_of(0x1p-24F), 0x0001);
  EXPECT_EQ(half_of(0x1p-25F), 0x0000);
  EXPECT_EQ(half_of(std::numeric_limits<float>::quiet_NaN()) & 0x7fff, 0x7e00);
}

TEST(BfloatOf, RoundsToTheNearestEven) {
  EXPECT_EQ(bfloat_of(1), 0x3f80);
  EXPECT_EQ(bfloat_of(1 + 0x1p-8F), 0x3f80);
  EXPECT_EQ(bfloat_of(1 + 3 * 0x1p-8F), 0x3f82);
  EXPECT_EQ(bfloat_of(std::numeric_limits<float>::max()), 0x7f80);
}

TEST(RandomBlocks, SameSeedSameBytes) {
  for (const uint32_t type : random_block_types()) {
    EXPECT_EQ(blocks_of(type, 0.1, 64), blocks_of(type, 0.1, 64));
    EXPECT_NE(blocks_of(type, 0.1, 64), blocks_of(type, 0.1, 64, 2));
  }
}

TEST(RandomBlocks, FloatsAreNormal) {
  const std::vector<std::byte> raw = blocks_of(0, 0.25, 40'001);
  std::vector<double> values;
  for (size_t at = 0; at < raw.size(); at += 4) {
    float value;
    std::memcpy(&value, raw.data() + at, 4);
    values.push_back(value);
  }
  const Moments moments = moments_of(values);
  EXPECT_NEAR(moments.mean, 0, 0.005);
  EXPECT_NEAR(moments.spread, 0.25, 0.005);
  const auto near = std::count_if(values.begin(), values.end(),
                                  [](double v) { return std::fabs(v) < 0.25; });
  EXPECT_NEAR(static_cast<double>(near) / 40'001, 0.683, 0.01);
}

TEST(RandomBlocks, Q8NeverHoldsItsLowestCode) {
  const std::vector<std::byte> raw = blocks_of(8, 0.1, 2'000);
  std::vector<double> values;
  for (size_t at = 0; at < raw.size(); at += 34) {
    for (size_t i = 2; i < 34; ++i) {
      const auto code = static_cast<int8_t>(raw[at + i]);
      ASSERT_GE(code, -127);
      values.push_back(code * half(&raw[at]));
    }
  }
  EXPECT_NEAR(moments_of(values).spread, 0.1, 0.002);
}

TEST(RandomBlocks, Q4SignsOfScalesEvenOutTheMean) {
  const std::vector<std::byte> raw = blocks_of(2, 1, 4'000);
  std::vector<double> values;
  size_t negative = 0;
  for (size_t at = 0; at < raw.size(); at += 18) {
    const double scale = half(&raw[at]);
    negative += scale < 0 ? 1 : 0;
    for (size_t i = 2; i < 18; ++i) {
      const auto code = static_cast<int>(raw[at + i]);
      values.push_back(((code & 15) - 8) * scale);
      values.push_back(((code >> 4) - 8) * scale);
    }
  }
  EXPECT_NEAR(static_cast<double>(negative), 2'000, 150);
  EXPECT_NEAR(moments_of(values).mean, 0, 0.01);
  EXPECT_NEAR(moments_of(values).spread, 1, 0.01);
}

// The minimum of each part is 7.5 of its scale: codes 0 to 15 lie evenly around zero.
TEST(RandomBlocks, Q4KMinimaFollowTheirScales) {
  const std::vector<std::byte> raw = blocks_of(12, 1, 100);
  for (size_t at = 0; at < raw.size(); at += 144) {
    EXPECT_GT(half(&raw[at]), 0);
    EXPECT_NEAR(half(&raw[at + 2]) / half(&raw[at]), 7.5, 0.01);
    const auto byte = [&](size_t i) { return static_cast<unsigned>(raw[at + 4 + i]); };
    for (size_t j = 0; j < 8; ++j) {
      const unsigned scale = j < 4 ? byte(j) & 63 : (byte(j + 4) & 15) | (byte(j - 4) >> 6 << 4);
      const unsigned least = j < 4 ? byte(j + 4) & 63 : (byte(j + 4) >> 4) | (byte(j) >> 6 << 4);
      EXPECT_EQ(scale, least);
      EXPECT_GE(scale, 32U);
      EXPECT_LE(scale, 63U);
    }
  }
}

TEST(RandomBlocks, Mxfp4PowersMixToTheSpread) {
  const std::vector<std::byte> raw = blocks_of(39, 0.01, 4'000);
  constexpr std::array kValues = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0};
  std::vector<double> values;
  for (size_t at = 0; at < raw.size(); at += 17) {
    const double scale = std::ldexp(1.0, static_cast<int>(raw[at]) - 127);
    for (size_t i = 1; i < 17; ++i) {
      const auto code = static_cast<unsigned>(raw[at + i]);
      values.push_back(scale * kValues[code & 7] * ((code & 8) != 0 ? -1 : 1));
    }
  }
  EXPECT_NEAR(moments_of(values).spread, 0.01, 0.0003);
}

TEST(RandomBlocks, TinySpreadsStayAboveZero) {
  for (const uint32_t type : random_block_types()) {
    // The widest row that synth makes.
    const std::vector<std::byte> raw = blocks_of(type, std::ldexp(1.0, -10), 8);
    EXPECT_NE(raw, std::vector<std::byte>(raw.size()));
    if (type == 14) {
      EXPECT_NE(half(&raw[208]), 0);  // Q6_K: the smallest scales of all
    }
  }
}

}  // namespace
}  // namespace gantry

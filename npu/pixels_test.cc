// Pillow 9.4's own bytes, and what is cut and normalised after.
#include "npu/pixels.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gantry {
namespace {

std::vector<std::byte> pattern(uint32_t width, uint32_t height) {
  std::vector<std::byte> out;
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      for (uint32_t c = 0; c < 3; ++c) {
        out.push_back(std::byte(((x * 37 + y * 59 + c * 91) * 13) % 256));
      }
    }
  }
  return out;
}

TEST(Pixels, ResizedAsPillowDoes) {
  const auto bytes = pattern(7, 5);
  const PixelView view{7, 5, bytes};
  EXPECT_EQ(resized(view, {4, 3}, Resample::kBicubic).rgb,
            (std::vector<uint8_t>{161, 147, 43,  196, 94,  127, 135, 28,  205, 82,  127, 144,
                                  247, 145, 45,  189, 92,  213, 133, 26,  200, 80,  125, 142,
                                  240, 143, 43,  187, 90,  206, 131, 24,  198, 78,  123, 140}));
  const auto bilinear = resized(view, {3, 9}, Resample::kBilinear).rgb;
  const std::vector<uint8_t> first = {138, 132, 35, 163, 66, 150, 97, 91, 159,
                                      168, 132, 53, 163, 66, 170, 97, 91, 159};
  EXPECT_EQ(std::vector<uint8_t>(bilinear.begin(), bilinear.begin() + 18), first);
  const auto lanczos = resized(view, {11, 4}, Resample::kLanczos).rgb;
  const std::vector<uint8_t> start = {49, 161, 65, 121, 149, 51, 236, 125, 26, 216, 104, 39};
  EXPECT_EQ(std::vector<uint8_t>(lanczos.begin(), lanczos.begin() + 12), start);
  EXPECT_EQ(resized(view, {2, 2}, Resample::kBox).rgb,
            (std::vector<uint8_t>{188, 112, 122, 100, 88, 162, 207, 110, 141, 98, 86, 160}));
  const auto same = resized(view, {7, 5}, Resample::kBicubic).rgb;
  EXPECT_TRUE(std::ranges::equal(same, bytes, [](uint8_t a, std::byte b) {
    return std::byte(a) == b;
  }));
}

TEST(Pixels, TheShorterSideDecides) {
  ImageSteps steps;
  steps.shortest_edge = 224;
  EXPECT_EQ(size_after(steps, {640, 480}), (ImageSize{298, 224}));
  EXPECT_EQ(size_after(steps, {480, 640}), (ImageSize{224, 298}));
  EXPECT_EQ(size_after(steps, {100, 100}), (ImageSize{224, 224}));
  steps.crop = ImageSize{200, 100};
  EXPECT_EQ(size_after(steps, {640, 480}), (ImageSize{200, 100}));
  steps = {};
  EXPECT_EQ(size_after(steps, {31, 17}), (ImageSize{31, 17}));
  steps.resize = ImageSize{8, 9};
  EXPECT_EQ(size_after(steps, {31, 17}), (ImageSize{8, 9}));
}

TEST(Pixels, StripsAreRefused) {
  ImageSteps steps;
  steps.shortest_edge = 100;
  EXPECT_TRUE(stays_small(steps, {100, 20'000}));
  EXPECT_FALSE(stays_small(steps, {99, 20'000}));
  EXPECT_FALSE(stays_small(steps, {1, 20'000}));
  steps = {};
  steps.resize = ImageSize{2'000, 10};
  EXPECT_TRUE(stays_small(steps, {1, 20'000}));
  steps.resize = ImageSize{2'001, 10};
  EXPECT_FALSE(stays_small(steps, {1, 20'000}));
}

TEST(Pixels, CutInTheMiddleAndNormalised) {
  const auto bytes = pattern(5, 3);
  ImageSteps steps;
  steps.crop = ImageSize{2, 1};
  steps.scale = 0.5F;
  steps.mean = {1, 2, 3};
  steps.deviation = {2, 4, 8};
  const PixelView view{5, 3, bytes};
  const auto planes = prepared(steps, view, false), pixels = prepared(steps, view, true);
  ASSERT_EQ(planes.size(), 6U);
  for (size_t x = 0; x < 2; ++x) {
    for (size_t c = 0; c < 3; ++c) {
      // (5 - 2) // 2 = 1 from the left, (3 - 1) // 2 = 1 from above
      const auto byte = std::to_integer<int>(bytes[(1 * 5 + 1 + x) * 3 + c]);
      const float want = (static_cast<float>(byte) * 0.5F - steps.mean[c]) / steps.deviation[c];
      EXPECT_FLOAT_EQ(planes[c * 2 + x], want);
      EXPECT_FLOAT_EQ(pixels[x * 3 + c], want);
    }
  }
}

TEST(Pixels, WhatIsSmallerThanTheCutHasABlackEdge) {
  const std::vector<std::byte> white(3, std::byte{255});
  ImageSteps steps;
  steps.crop = ImageSize{4, 1};
  const auto out = prepared(steps, {1, 1, white}, false);
  // (1 - 4) // 2 = -2
  EXPECT_EQ(std::vector<float>(out.begin(), out.begin() + 4), (std::vector<float>{0, 0, 1, 0}));
}

}  // namespace
}  // namespace gantry

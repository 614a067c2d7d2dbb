// Images and rings: places that hold, reads that bring what is needed.
#include "stream/layout.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "stream/reader.h"

namespace gantry {
namespace {

Part in_file(uint64_t offset, uint64_t bytes) { return {{0, offset, nullptr}, bytes, bytes}; }

// Every part lies inside the image, behind a run that brings it, at the file's own place in a page.
void expect_direct_holds(const std::vector<Part>& parts, const Image& image) {
  ASSERT_EQ(image.at.size(), parts.size());
  for (size_t i = 0; i < parts.size(); i++) {
    EXPECT_LE(image.at[i] + parts[i].space, image.bytes);
    EXPECT_EQ(image.at[i] % kReadAlign, parts[i].source.offset % kReadAlign);
    bool brought = false;
    for (const Run& run : image.runs) {
      EXPECT_EQ(run.offset % kReadAlign, 0u);
      EXPECT_EQ(run.bytes % kReadAlign, 0u);
      EXPECT_LE(run.at + run.bytes, image.bytes);
      const uint64_t start = parts[i].source.offset;
      if (run.file == parts[i].source.file && run.offset <= start &&
          start + parts[i].bytes <= run.offset + run.needed) {
        brought = brought || image.at[i] == run.at + start - run.offset;
      }
    }
    EXPECT_TRUE(brought) << "part " << i;
  }
}

TEST(Layout, NeighboursAreOneRun) {
  const std::vector<Part> parts = {in_file(10'000, 5000), in_file(15'000, 100),
                                   in_file(3'000'000, 8)};
  const Image image = lay_direct(parts);
  EXPECT_EQ(image.runs.size(), 2u);
  expect_direct_holds(parts, image);
}

TEST(Layout, AnyPartsHold) {
  Rng rng(7);
  for (int round = 0; round < 200; round++) {
    std::vector<Part> parts;
    uint64_t offset = rng.below(100'000);
    for (uint64_t i = 0; i < 1 + rng.below(12); i++) {
      const uint64_t bytes = 1 + rng.below(300'000);
      parts.push_back(in_file(offset, bytes));
      offset += bytes + rng.below(200'000);
    }
    if (round % 2 == 1) std::swap(parts.front(), parts.back());
    expect_direct_holds(parts, lay_direct(parts));
  }
}

TEST(Layout, StagedPartsAreAlignedAndApart) {
  std::vector<Part> parts = {in_file(33, 100), in_file(133, 7), {{-1, 0, nullptr}, 50, 64}};
  const Image image = lay_staged(parts, 128);
  EXPECT_EQ(image.at, (std::vector<uint64_t>{0, 128, 256}));
  EXPECT_EQ(image.bytes, 384u);
  EXPECT_EQ(image.runs.size(), 1u);
}

TEST(RingPlan, LargestMustFit) {
  EXPECT_EQ(plan_ring({kReadAlign, 3 * kReadAlign}, 3 * kReadAlign - 1).bytes, 0u);
  EXPECT_EQ(plan_ring({kReadAlign, 3 * kReadAlign}, 3 * kReadAlign).bytes, 3 * kReadAlign);
}

TEST(RingPlan, PlacesStayInsideAndUnderTheOffer) {
  Rng rng(11);
  for (int round = 0; round < 100; round++) {
    std::vector<uint64_t> sizes;
    uint64_t largest = 0;
    for (uint64_t i = 0; i < 1 + rng.below(40); i++) {
      sizes.push_back(kReadAlign * (1 + rng.below(50)));
      largest = std::max(largest, sizes.back());
    }
    const uint64_t most = largest + kReadAlign * rng.below(200);
    const RingPlan plan = plan_ring(sizes, most);
    ASSERT_GT(plan.bytes, 0u);
    EXPECT_LE(plan.bytes, most);
    for (size_t i = 0; i < sizes.size(); i++) EXPECT_LE(plan.at[i] + sizes[i], plan.bytes);
  }
}

// Equal pieces in a ring that holds three of them: two can always be ahead of the one in use.
TEST(RingPlan, LooksAheadAsFarAsPlacesAllow) {
  const std::vector<uint64_t> sizes(10, kReadAlign);
  const RingPlan plan = plan_ring(sizes, 3 * kReadAlign);
  uint64_t worst = UINT64_MAX;
  for (size_t i = 0; i < sizes.size(); i++) worst = std::min(worst, lookahead(sizes, plan, i));
  EXPECT_GE(worst, kReadAlign);
}

}  // namespace
}  // namespace gantry

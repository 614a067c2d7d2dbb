// The allocator's and the scheduler's rules, on graphs small enough to work out by hand.
#include "plan/sketch.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

using Dims = Sketch::Dims;
constexpr Dims kRow{1024};  // 4 KiB of F32
constexpr uint64_t kBytes = 4096;

TEST(Sketch, ABufferIsUsedAgainOnceItsResultIsRead) {
  Sketch s;
  Sketch::Id x = s.input(kRow, Sketch::kF32);
  for (int i = 0; i < 10; ++i) x = s.op(kRow, {x});
  s.keep(x);
  s.expand(x);
  EXPECT_EQ(s.reserve({}), std::vector<uint64_t>{2 * kBytes});
}

TEST(Sketch, InPlaceTakesTheOperandsBuffer) {
  Sketch s;
  Sketch::Id x = s.input(kRow, Sketch::kF32);
  for (int i = 0; i < 10; ++i) x = s.in_place(kRow, {x});
  s.keep(x);
  s.expand(x);
  EXPECT_EQ(s.reserve({}), std::vector<uint64_t>{kBytes});
}

TEST(Sketch, ButNotThatOfAViewNorOfWhatIsStillNeeded) {
  Sketch viewed;
  const Sketch::Id x = viewed.input(kRow, Sketch::kF32);
  viewed.expand(viewed.in_place(kRow, {viewed.view(viewed.op(kRow, {x}), kRow)}));
  EXPECT_EQ(viewed.reserve({}), std::vector<uint64_t>{2 * kBytes});  // x is given up before
  Sketch needed;
  const Sketch::Id y = needed.input(kRow, Sketch::kF32);
  const Sketch::Id once = needed.op(kRow, {y});
  needed.expand(needed.op(kRow, {needed.in_place(kRow, {once}), once}));
  EXPECT_EQ(needed.reserve({}), std::vector<uint64_t>{3 * kBytes});
}

TEST(Sketch, WhatIsKeptIsNeverGivenUp) {
  Sketch s;
  const Sketch::Id x = s.input(kRow, Sketch::kF32);
  for (int i = 0; i < 3; ++i) {
    const Sketch::Id out = s.op(kRow, {x});
    s.keep(out);
    s.expand(out);
  }
  EXPECT_EQ(s.reserve({}), std::vector<uint64_t>{4 * kBytes});
}

TEST(Sketch, WeightsAndCachesTakeNoRoomOfTheBuffer) {
  Sketch s;
  const Sketch::Id x = s.input({1024, 64}, Sketch::kF32);
  const Sketch::Id cache = s.cache(0, 1 << 20);
  s.expand(s.store(cache, s.matrix(s.weight(0, 1 << 30), x, 1024), Sketch::kNone));
  EXPECT_EQ(s.reserve({}), std::vector<uint64_t>{2 * 64 * kBytes});
}

TEST(Sketch, ALargeBatchTakesAHostWeightToTheAccelerator) {
  const auto bytes = [](uint64_t tokens, bool offload) {
    Sketch s;
    const Sketch::Id x = s.input({1024, tokens}, Sketch::kF32);
    s.expand(s.matrix(s.weight(1, 1 << 20), x, 1024));
    return s.reserve({.count = 2, .offload = offload});
  };
  // 32 tokens: their copy, the weight's, the result. 31, or where it is forbidden: nothing there.
  EXPECT_EQ(bytes(32, true), (std::vector<uint64_t>{2 * 32 * kBytes + (1 << 20), 32 * kBytes}));
  EXPECT_EQ(bytes(31, true), (std::vector<uint64_t>{0, 2 * 31 * kBytes}));
  EXPECT_EQ(bytes(32, false), (std::vector<uint64_t>{0, 2 * 32 * kBytes}));
}

TEST(Sketch, PipelinedInputsAreThereFourTimes) {
  Sketch s;
  const Sketch::Id x = s.input(kRow, Sketch::kF32);
  s.expand(s.matrix(s.weight(0, 4), x, 1024));
  EXPECT_EQ(s.reserve({.count = 2, .copies = 4}), (std::vector<uint64_t>{5 * kBytes, 4 * kBytes}));
}

TEST(Sketch, AbsurdShapesStayInBounds) {
  EXPECT_EQ((Dims{UINT64_MAX, UINT64_MAX, 3, 4}.count()), kSketchMost);
  EXPECT_EQ((Dims{kSketchMost, 1}.count()), kSketchMost);
  EXPECT_EQ((Dims{UINT64_MAX, 0}.count()), kSketchMost);
  Sketch s;
  s.expand(s.op({UINT64_MAX, 7}, {s.input({1ULL << 40, 1ULL << 40}, 8)}));
  EXPECT_EQ(s.reserve({}), std::vector<uint64_t>{2 * kSketchMost});
}

}  // namespace
}  // namespace gantry

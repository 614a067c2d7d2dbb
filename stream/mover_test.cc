// Tests of the mover: pieces of a real file in a ring, in any order, with faults, on threads.
#include "stream/mover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <future>

#include "base/rng.h"
#include "ggml-backend-impl.h"
#include "stream/test_bench.h"
#include "stream/test_model.h"

namespace gantry {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);
constexpr uint64_t kPage = kReadAlign;

// Pieces of one or two weights, one after another in a file; sizes in pages.
class MoverTest : public testing::TestWithParam<bool> {
 protected:
  MoverTest() : stats_(std::move(*MappedStats::make(""))) { inner_.serial = GetParam(); }

  void lay(const std::vector<uint64_t>& pages) {
    uint64_t offset = 0;
    for (const uint64_t n : pages) {
      const uint64_t bytes = n * kPage - 64;
      for (const uint64_t part : {bytes / 2 / 4 * 4, bytes - bytes / 2 / 4 * 4}) {
        Weight& weight = weights_.emplace_back();
        weight.tensor = ggml_new_tensor_1d(context_.get(), GGML_TYPE_F32,
                                           static_cast<int64_t>(part / 4));
        weight.bytes = part;
        weight.source = {0, offset, nullptr};
        offset += part;
      }
    }
    file_ = std::move(*open_direct(folder_.write("model", patterned(offset))));
  }
  std::vector<Piece> pieces() {
    std::vector<Piece> pieces;
    for (size_t i = 0; i < weights_.size(); i += 2) {
      Piece& piece = pieces.emplace_back();
      for (const size_t j : {i, i + 1}) {
        piece.weights.push_back(&weights_[j]);
        piece.parts.push_back({weights_[j].source, weights_[j].bytes, weights_[j].bytes});
      }
      piece.image = lay_direct(piece.parts);
      piece.layer = static_cast<uint32_t>(i / 2);
      piece.name = "piece " + std::to_string(i / 2);
    }
    return pieces;
  }
  Result<std::unique_ptr<Mover>> make(uint64_t ring_pages, const ReaderOptions& reader = {}) {
    Loader::Options options;
    options.reader = reader;
    auto loader = Loader::make(options, inner_, {&file_}, page(), trace_);
    if (!loader) return fail(loader.error());
    return Mover::make(inner_, pieces(), ring_pages * kPage, std::move(*loader), page(), trace_);
  }
  void expect_there(size_t piece) {
    for (const size_t i : {2 * piece, 2 * piece + 1}) {
      ASSERT_TRUE(holds(static_cast<std::byte*>(weights_[i].clone.data),
                        weights_[i].source.offset, weights_[i].bytes))
          << "piece " << piece;
    }
  }
  void use(Mover& mover, size_t piece) {
    const auto ok = mover.wait(piece);
    ASSERT_TRUE(ok) << describe(ok.error());
    expect_there(piece);
    mover.release(piece);
  }
  StatsPage& page() const { return stats_.page(); }

  TestFolder folder_;
  Inner inner_ = cpu_inner();
  MappedStats stats_;
  Trace trace_{""};
  Context context_ = make_context();
  std::deque<Weight> weights_;
  DirectFile file_;
};

TEST_P(MoverTest, GivesPiecesInOrderRoundAfterRound) {
  lay({3, 1, 4, 1, 5, 9, 2, 6});
  for (const uint64_t ring : {14u, 25u, 60u}) {
    auto mover = make(ring);
    ASSERT_TRUE(mover) << describe(mover.error());
    EXPECT_LE((*mover)->ring_bytes(), ring * kPage);
    for (int round = 0; round < 5; round++) {
      for (size_t piece = 0; piece < 8; piece++) use(**mover, piece);
    }
  }
  EXPECT_EQ(page().skips, 0u);
  EXPECT_EQ(page().errors, 0u);
}

TEST_P(MoverTest, WhatFitsIsMovedOnce) {
  lay({2, 2, 2, 2});
  auto mover = make(40);
  ASSERT_TRUE(mover);
  for (int round = 0; round < 5; round++) {
    for (size_t piece = 0; piece < 4; piece++) use(**mover, piece);
  }
  EXPECT_EQ(page().pieces_loaded, 4u);
  for (size_t i = 0; i < 4; i++) {
    EXPECT_EQ(page().per_layer[i].loaded_bytes, weights_[2 * i].bytes + weights_[2 * i + 1].bytes);
  }
}

TEST_P(MoverTest, TheSmallestRingHoldsTheLargestPiece) {
  lay({1, 5, 2, 3});
  uint64_t largest = 0;
  for (const Piece& piece : pieces()) largest = std::max(largest, piece.image.bytes);
  auto mover = make(largest / kPage);
  ASSERT_TRUE(mover);
  EXPECT_EQ((*mover)->ring_bytes(), largest);
  for (int round = 0; round < 3; round++) {
    for (size_t piece = 0; piece < 4; piece++) use(**mover, piece);
  }
  const auto refused = make(largest / kPage - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
}

TEST_P(MoverTest, GivesPiecesInAnyOrder) {
  lay({3, 1, 4, 1, 5, 9, 2, 6, 5, 3});
  auto mover = make(16);
  ASSERT_TRUE(mover);
  Rng rng(5);
  for (int i = 0; i < 300; i++) use(**mover, rng.below(10));
  EXPECT_GT(page().skips, 0u);
}

TEST_P(MoverTest, APieceInUseStaysWhileOthersMove) {
  lay({2, 2, 2, 2, 2, 2});
  auto mover = make(9);
  ASSERT_TRUE(mover);
  ASSERT_TRUE((*mover)->wait(0));
  ASSERT_TRUE((*mover)->wait(1));
  expect_there(0);
  expect_there(1);
  (*mover)->release(0);
  ASSERT_TRUE((*mover)->wait(2));
  expect_there(1);
  expect_there(2);
}

TEST_P(MoverTest, TakeNeverWaitsAndClonesStayWhereTheyAre) {
  lay({2, 2, 2});
  auto mover = make(20);
  ASSERT_TRUE(mover);
  const void* at = weights_[0].clone.data;
  use(**mover, 0);
  EXPECT_TRUE((*mover)->take(0));
  EXPECT_EQ(weights_[0].clone.data, at);
  expect_there(0);
  (*mover)->release(0);
  mover->reset();
  ReaderOptions never;
  std::atomic<bool> hold = true;
  never.fault = [&](uint64_t, size_t, int64_t answer) {
    while (hold) std::this_thread::yield();
    return answer;
  };
  mover = make(20, never);
  ASSERT_TRUE(mover);
  EXPECT_FALSE((*mover)->take(0));
  hold = false;
  use(**mover, 0);
}

TEST_P(MoverTest, AFailedPieceIsAnErrorOfThatPieceAndComesWhenAskedAgain) {
  lay({2, 2, 2, 2});
  std::atomic<bool> broken = true;
  ReaderOptions reader;
  const uint64_t bad = weights_[4].source.offset / kPage * kPage;  // piece 2
  reader.fault = [&](uint64_t offset, size_t, int64_t answer) -> int64_t {
    return broken && offset == bad ? -EIO : answer;
  };
  auto mover = make(6, reader);
  ASSERT_TRUE(mover);
  for (int round = 0; round < 3; round++) {
    use(**mover, 0);
    use(**mover, 1);
    const auto refused = (*mover)->wait(2);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kIo);
    EXPECT_THAT(refused.error().message, testing::HasSubstr("offset"));
    use(**mover, 3);
  }
  EXPECT_GT(page().errors, 0u);
  broken = false;
  for (int round = 0; round < 3; round++) {
    for (size_t piece = 0; piece < 4; piece++) use(**mover, piece);
  }
}

// A jump needs the place of a piece whose load fails meanwhile: who waits must not be forgotten.
TEST_P(MoverTest, AnotherPiecesFailureDoesNotStopTheOneThatIsWaitedFor) {
  lay({2, 2, 2, 2, 2, 2});
  std::atomic<bool> hold = true;
  std::atomic<int> held = 0;
  ReaderOptions reader;
  const uint64_t bad = weights_[2].source.offset / kPage * kPage;  // piece 1
  reader.fault = [&](uint64_t offset, size_t, int64_t answer) -> int64_t {
    if (offset != bad || !hold) return answer;
    held++;
    while (hold) std::this_thread::yield();
    return -EIO;
  };
  auto mover = make(6, reader);  // two places
  ASSERT_TRUE(mover);
  use(**mover, 0);
  auto jump = std::async(std::launch::async, [&] {
    const auto ok = (*mover)->wait(3);
    return ok.has_value();
  });
  if (!inner_.serial) {
    while (held == 0) std::this_thread::yield();
  }
  // Long enough for the jump to be waiting; if it is not yet, the test is merely easier to pass.
  (void)jump.wait_for(std::chrono::milliseconds(20));
  hold = false;
  if (jump.wait_for(kPatience) != std::future_status::ready) {
    ADD_FAILURE() << "waits for ever";
    std::_Exit(1);
  }
  EXPECT_TRUE(jump.get());
  expect_there(3);
}

TEST_P(MoverTest, ATruncatedFileFailsAndAWholeOneWorksAgain) {
  lay({2, 2, 2, 2});
  auto mover = make(8);
  ASSERT_TRUE(mover);
  use(**mover, 0);
  const auto size = std::filesystem::file_size(file_.path());
  std::filesystem::resize_file(file_.path(), kPage);
  size_t failures = 0;
  for (size_t i = 0; i < 8; i++) {
    const auto ok = (*mover)->wait(i % 4);
    if (ok) {
      (*mover)->release(i % 4);
      continue;
    }
    failures++;
    EXPECT_EQ(ok.error().code, Code::kCorrupt) << describe(ok.error());
  }
  EXPECT_GE(failures, 4u);
  std::filesystem::resize_file(file_.path(), size);
  EXPECT_FALSE((*mover)->wait(3)) << "same size, but written to";
}

TEST_P(MoverTest, GoesWhileLoadsAreUnderWay) {
  lay({4, 4, 4, 4, 4, 4});
  for (int round = 0; round < 20; round++) {
    ReaderOptions reader;
    reader.chunk_bytes = kPage;
    auto mover = make(30, reader);
    ASSERT_TRUE(mover);
    if (round % 2 == 1) use(**mover, static_cast<size_t>(round) % 6);
    mover->reset();
  }
}

TEST_P(MoverTest, TheRingOutlivesTheReadsIntoIt) {
  if (inner_.serial) return;  // nothing is under way between two calls
  lay({4, 4, 4, 4});
  std::atomic<bool> going = false;
  std::atomic<std::byte*> ring = nullptr;
  std::atomic<int> unmapped = 0;
  ReaderOptions reader;
  reader.fault = [&](uint64_t, size_t, int64_t answer) {
    going = true;
    // mincore() of addresses that are not mapped any more says so.
    for (int i = 0; i < 300; i++) {
      unsigned char here = 0;
      if (ring != nullptr && ::mincore(ring, 1, &here) != 0) unmapped++;
      std::this_thread::yield();
    }
    return answer;
  };
  auto mover = make(20, reader);
  ASSERT_TRUE(mover);
  ring = static_cast<std::byte*>(weights_[0].clone.data) -
         reinterpret_cast<uintptr_t>(weights_[0].clone.data) % kPage;
  while (!going) std::this_thread::yield();
  mover->reset();
  EXPECT_EQ(unmapped, 0) << "the kernel may still write into the ring";
}

INSTANTIATE_TEST_SUITE_P(Threads, MoverTest, testing::Bool(), [](const auto& info) {
  return info.param ? "Inline" : "Own";
});

}  // namespace
}  // namespace gantry

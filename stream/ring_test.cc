// The schedule against a disk that finishes in any order and a user that may jump.
#include "stream/ring.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/rng.h"
#include "stream/reader.h"

namespace gantry {
namespace {

Ring ring_of(size_t pieces, size_t places) {
  std::vector<uint64_t> sizes(pieces, kReadAlign);
  RingPlan plan = plan_ring(sizes, places * kReadAlign);
  return Ring(std::move(sizes), std::move(plan));
}

TEST(Ring, LoadsInOrderUntilPlacesAreTaken) {
  Ring ring = ring_of(6, 3);
  std::vector<size_t> asked;
  while (const auto piece = ring.next_load()) asked.push_back(*piece);
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked.front(), 0u);
  for (size_t i = 0; i < asked.size(); i++) EXPECT_EQ(asked[i], i);
  EXPECT_LE(asked.size(), 3u);
}

TEST(Ring, APieceInUseKeepsItsPlace) {
  Ring ring = ring_of(4, 1);
  EXPECT_EQ(ring.next_load(), 0u);
  ring.loaded(0);
  EXPECT_TRUE(ring.acquire(0));
  EXPECT_EQ(ring.next_load(), std::nullopt);
  ring.release(0);
  EXPECT_EQ(ring.next_load(), 1u);
  EXPECT_EQ(ring.evicted(), std::vector<size_t>{0});
}

TEST(Ring, AFailedLoadIsGivenAgain) {
  Ring ring = ring_of(4, 2);
  EXPECT_EQ(ring.next_load(), 0u);
  ring.failed(0);
  EXPECT_FALSE(ring.acquire(0));
  EXPECT_EQ(ring.next_load(), 0u);
}

TEST(Ring, WhatFitsIsLoadedOnce) {
  Ring ring = ring_of(3, 3);
  size_t loads = 0;
  for (int pass = 0; pass < 5; pass++) {
    for (size_t piece = 0; piece < 3; piece++) {
      while (const auto next = ring.next_load()) {
        loads++;
        ring.loaded(*next);
      }
      ASSERT_TRUE(ring.acquire(piece));
      ring.release(piece);
    }
  }
  EXPECT_EQ(loads, 3u);
}

TEST(Ring, SkippedPiecesGiveWay) {
  Ring ring = ring_of(6, 2);
  while (const auto next = ring.next_load()) ring.loaded(*next);
  EXPECT_FALSE(ring.acquire(4));
  EXPECT_EQ(ring.next_load(), 4u);
  ring.loaded(4);
  EXPECT_TRUE(ring.acquire(4));
  EXPECT_EQ(ring.skips(), 1u);
}

TEST(Ring, WhatChangedIsLoadedAgain) {
  Ring ring = ring_of(4, 4);
  EXPECT_EQ(ring.next_load(), 0u);
  ring.invalidate(0);  // on its way, in vain
  ring.loaded(0);
  EXPECT_FALSE(ring.acquire(0));
  EXPECT_EQ(ring.next_load(), 0u);
  ring.loaded(0);
  ring.invalidate(0);
  EXPECT_FALSE(ring.acquire(0));
  EXPECT_EQ(ring.next_load(), 0u);
  ring.loaded(0);
  EXPECT_TRUE(ring.acquire(0));
}

TEST(Ring, OnlyTheOrderIsLoaded) {
  Ring ring = ring_of(6, 6);
  ring.set_order({1, 4});
  std::vector<size_t> asked;
  while (const auto piece = ring.next_load()) asked.push_back(*piece);
  EXPECT_EQ(asked, (std::vector<size_t>{1, 4}));
  EXPECT_FALSE(ring.acquire(2));  // not in the order, wanted all the same
  EXPECT_EQ(ring.next_load(), 2u);
}

// What no order of completion and no jump may break: a piece in use is never overwritten, and
// whoever waits gets it in the end.
TEST(Ring, HoldsUnderAnyOrder) {
  for (uint64_t seed = 1; seed <= 300; seed++) {
    Rng rng(seed);
    std::vector<uint64_t> sizes;
    uint64_t largest = 0;
    for (uint64_t i = 0; i < 2 + rng.below(12); i++) {
      sizes.push_back(kReadAlign * (1 + rng.below(6)));
      largest = std::max(largest, sizes.back());
    }
    const RingPlan plan = plan_ring(sizes, largest + kReadAlign * rng.below(12));
    Ring ring(sizes, plan);
    std::vector<int> owner(plan.bytes / kReadAlign, -1);  // whose bytes each page holds
    std::deque<size_t> loading;
    const auto advance = [&] {
      while (const auto next = ring.next_load()) loading.push_back(*next);
      if (loading.empty()) return;
      const size_t which = rng.below(loading.size());
      const size_t piece = loading[which];
      loading.erase(loading.begin() + static_cast<std::ptrdiff_t>(which));
      if (rng.below(20) == 0) return ring.failed(piece);
      for (uint64_t page = 0; page < sizes[piece] / kReadAlign; page++) {
        owner[plan.at[piece] / kReadAlign + page] = static_cast<int>(piece);
      }
      ring.loaded(piece);
    };
    size_t piece = 0;
    for (int use = 0; use < 200; use++) {
      int patience = 1000;
      while (!ring.acquire(piece) && patience-- > 0) advance();
      ASSERT_GT(patience, 0) << "seed " << seed << " never got piece " << piece;
      for (uint64_t i = 0; i < rng.below(4); i++) advance();
      for (uint64_t page = 0; page < sizes[piece] / kReadAlign; page++) {
        ASSERT_EQ(owner[plan.at[piece] / kReadAlign + page], static_cast<int>(piece))
            << "seed " << seed << ": overwritten while in use";
      }
      ring.release(piece);
      if (rng.below(40) == 0) {
        std::vector<size_t> order;
        for (size_t i = 0; i < sizes.size(); i++) {
          if (rng.below(2) == 0) order.push_back(i);
        }
        ring.set_order(std::move(order));
      }
      piece = rng.below(10) == 0 ? rng.below(sizes.size()) : (piece + 1) % sizes.size();
    }
  }
}

}  // namespace
}  // namespace gantry

// Tests of the pool of handler threads.
#include "http/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace gantry::http {
namespace {

TEST(Pool, RunsEverythingBeforeItEnds) {
  std::atomic<int> ran = 0;
  {
    Pool pool(4);
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(Pool, UsesNoMoreThreadsThanAllowed) {
  std::promise<void> release;
  const std::shared_future<void> gate = release.get_future().share();
  std::atomic<int> waiting = 0;
  std::atomic<int> most = 0;
  std::atomic<int> now = 0;
  Pool pool(3);
  for (int i = 0; i < 10; ++i) {
    pool.post([&] {
      ++waiting;
      int seen = ++now;
      int known = most;
      while (seen > known && !most.compare_exchange_weak(known, seen)) {
      }
      gate.wait();
      --now;
    });
  }
  while (waiting < 3) std::this_thread::yield();
  EXPECT_EQ(pool.threads(), 3u);
  release.set_value();
  while (waiting < 10) std::this_thread::yield();
  EXPECT_EQ(most, 3);
}

}  // namespace
}  // namespace gantry::http

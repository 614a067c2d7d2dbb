// The scheduler with real threads and scripted workers.
#include "foreman/scheduler.h"

#include <gtest/gtest.h>

#include <future>

#include "base/rng.h"
#include "foreman/scheduler_bench.h"

namespace gantry {
namespace {

class SchedulerTest : public SchedulerBench {};

TEST_F(SchedulerTest, LoadsOnceAndLendsAgain) {
  start_takes_ = Millis(1);
  const Loadable a = model("a", 60);
  {
    auto first = open(a);
    EXPECT_EQ(first->model(), "a");
    EXPECT_EQ(first->predicted(), MiB(60));
    EXPECT_EQ(first->measured(), MiB(60));
    EXPECT_GT(first->load_s(), 0);
    EXPECT_EQ(store_->leases()->size(), 1U);
    EXPECT_EQ(store_->leases()->front().pid, first->worker().pid());
  }
  EXPECT_EQ(open(a)->load_s(), 0);
  EXPECT_EQ(host_.starts("a"), 1);
  EXPECT_EQ(scheduler_->booked("cpu"), MiB(60));
}

TEST_F(SchedulerTest, SwapsWhenTheRoomIsNeeded) {
  const Loadable a = model("a", 60), b = model("b", 60);
  open(a);
  open(b);
  EXPECT_EQ(state("a"), "unloaded");
  EXPECT_EQ(state("b"), "ready");
  EXPECT_EQ(host_.peak(), MiB(60));
  const std::vector<LoadSeen> seen = *store_->loads(Store::LoadsOf::kModel, "a", 10);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].end, LoadEnd::kUnloaded);
  ASSERT_EQ(seen[0].bytes.size(), 1U);
  EXPECT_EQ(seen[0].bytes[0].measured, MiB(60));
}

TEST_F(SchedulerTest, TheLeastRecentlyServedModelLeaves) {
  const Loadable a = model("a", 30), b = model("b", 30), c = model("c", 30), d = model("d", 30);
  for (const Loadable& used : {a, b, c, a, d}) open(used);
  EXPECT_EQ(state("b"), "unloaded");
  EXPECT_EQ(state("a"), "ready");
  EXPECT_EQ(state("c"), "ready");
}

TEST_F(SchedulerTest, SlotsLimitSessions) {
  const Loadable a = model("a", 60, 2);
  auto one = open(a), two = open(a);
  auto third = open_later(a);
  EXPECT_EQ(third.wait_for(Millis(50)), std::future_status::timeout);
  one.reset();
  EXPECT_TRUE(third.get());
}

TEST_F(SchedulerTest, AUsedModelIsNotTakenAway) {
  const Loadable a = model("a", 60), b = model("b", 60);
  auto used = open(a);
  auto other = open_later(b);
  EXPECT_EQ(other.wait_for(Millis(50)), std::future_status::timeout);
  EXPECT_TRUE(used->worker().alive());
  used.reset();
  EXPECT_TRUE(other.get());
  EXPECT_EQ(host_.peak(), MiB(60));
}

TEST_F(SchedulerTest, NewerRequestsForAUsedModelDoNotStarveAnOlderOne) {
  const Loadable a = model("a", 60, 2), b = model("b", 60);
  auto used = open(a);
  auto older = open_later(b);
  auto newer = open_later(a);
  EXPECT_EQ(newer.wait_for(Millis(50)), std::future_status::timeout);
  used.reset();
  auto session = older.get();
  ASSERT_TRUE(session);
  EXPECT_EQ(newer.wait_for(Millis(20)), std::future_status::timeout);
  session->reset();
  EXPECT_TRUE(newer.get());
  EXPECT_EQ(host_.starts("a"), 2);
}

TEST_F(SchedulerTest, WhatCanNeverFitIsRefusedAtOnce) {
  const Loadable big = model("big", 101), edge = model("edge", 100);
  const auto refused = scheduler_->open(big, never_, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  open(edge);
  EXPECT_EQ(scheduler_->hold("media", {{{"cpu", MiB(101)}}}, never_, 0).error().code,
            Code::kDoesNotFit);
}

TEST_F(SchedulerTest, CancelWhileWaitingLeavesTheLine) {
  const Loadable a = model("a", 60), b = model("b", 60);
  auto used = open(a);
  http::Cancel cancel{false};
  auto waiting = std::async(std::launch::async, [&] { return scheduler_->open(b, cancel, 0); });
  until([&] { return scheduler_->in_use() == 2; });
  cancel = true;
  EXPECT_EQ(waiting.get().error().code, Code::kCancelled);
  EXPECT_EQ(scheduler_->in_use(), 1U);
  EXPECT_EQ(host_.starts("b"), 0);
}

TEST_F(SchedulerTest, UnloadWaitsForSessions) {
  const Loadable a = model("a", 60, 2);
  EXPECT_EQ(scheduler_->unload("a").error().code, Code::kNotFound);
  auto used = open(a);
  auto unloading = std::async(std::launch::async, [&] { return scheduler_->unload("a"); });
  EXPECT_EQ(unloading.wait_for(Millis(50)), std::future_status::timeout);
  EXPECT_TRUE(used->worker().alive());
  auto next = open_later(a);  // must not slip in
  EXPECT_EQ(next.wait_for(Millis(20)), std::future_status::timeout);
  used.reset();
  EXPECT_TRUE(unloading.get());
  EXPECT_TRUE(next.get());
  EXPECT_EQ(host_.starts("a"), 2);
  EXPECT_TRUE(scheduler_->unload("a"));
  EXPECT_TRUE(scheduler_->unload("a"));
}

// Found by simulation: the list of models grew, and moved, under who waited.
TEST_F(SchedulerTest, UnloadWaitsWhileOtherModelsAreUsedForTheFirstTime) {
  auto using_a = open(model("a", 20));
  auto unloading = std::async(std::launch::async, [&] { return scheduler_->unload("a"); });
  EXPECT_EQ(unloading.wait_for(Millis(50)), std::future_status::timeout);
  for (int i = 0; i < 64; ++i) open(model("other " + std::to_string(i), 1));
  using_a.reset();
  EXPECT_TRUE(unloading.get());
  EXPECT_EQ(state("a"), "unloaded");
}

TEST_F(SchedulerTest, HoldsShareTheBudget) {
  const Loadable a = model("a", 95);
  open(a);
  auto bytes = scheduler_->hold("media", {{{"cpu", MiB(10)}}}, never_, 0);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(state("a"), "unloaded");
  EXPECT_EQ(scheduler_->booked("cpu"), MiB(10));
  EXPECT_TRUE(store_->leases()->empty());  // nobody holds them yet
  ASSERT_TRUE((*bytes)->started(77));
  const std::vector<LeaseRow> rows = *store_->leases();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].model, "media");
  EXPECT_EQ(rows[0].pid, 77);
  bytes->reset();
  EXPECT_EQ(scheduler_->booked("cpu"), Bytes{});
}

TEST_F(SchedulerTest, ShutdownAnswersEverybodyAndLeavesNothing) {
  const Loadable a = model("a", 60), b = model("b", 60);
  auto used = open(a);
  auto waiting = open_later(b);
  scheduler_->shutdown();
  EXPECT_EQ(waiting.get().error().code, Code::kUnavailable);
  EXPECT_EQ(host_.alive(), 0U);
  EXPECT_EQ(scheduler_->open(a, never_, 0).error().code, Code::kUnavailable);
  used.reset();
}

TEST_F(SchedulerTest, OrphansTakeRoom) {
  ASSERT_TRUE(scheduler_->book_orphan(store_->next_token(), {{"cpu", MiB(50)}}));
  FakeScript script;
  const Loadable a = model("a", 60);
  http::Cancel cancel{false};
  auto waiting = std::async(std::launch::async, [&] { return scheduler_->open(a, cancel, 0); });
  EXPECT_EQ(waiting.wait_for(Millis(50)), std::future_status::timeout);
  cancel = true;
  EXPECT_FALSE(waiting.get());
}

// Users who come and go while workers crash: the account of the host must never exceed the budget
// (checked in TearDown) and everybody must be answered.
TEST_F(SchedulerTest, RandomUseNeverExceedsTheBudget) {
  const uint64_t seed = Rng::from_system().next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::vector<Loadable> models;
  for (const uint32_t mib : {20U, 30U, 45U, 60U, 100U}) {
    models.push_back(model("m" + std::to_string(mib), mib, 1 + mib % 3));
    FakeScript script;
    script.memory = MiB(mib);
    script.load = script.release = Millis(mib / 20);
    host_.script(models.back().name, script);
  }
  std::atomic<int> answered{0};
  std::vector<std::thread> users;
  for (uint64_t user = 0; user < 8; ++user) {
    users.emplace_back([&, user] {
      Rng rng(seed + user);
      for (int i = 0; i < 25; ++i) {
        if (rng.below(8) == 0) {
          (void)scheduler_->hold("media", {{{"cpu", MiB(15)}}}, never_, 0);
        } else {
          auto session = scheduler_->open(models[rng.below(models.size())], never_, 0);
          std::this_thread::sleep_for(Millis(rng.below(4)));
          if (rng.below(20) == 0) host_.crash(models[rng.below(models.size())].name);
        }
        ++answered;
      }
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(answered, 8 * 25);
  EXPECT_LE(sampler_->total_peak(), MiB(100));
}

}  // namespace
}  // namespace gantry

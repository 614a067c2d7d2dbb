// The scheduler with real threads and scripted workers.
#include "foreman/scheduler.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>

#include "base/limits.h"
#include "base/rng.h"
#include "foreman/fake_worker.h"

namespace gantry {
namespace {

// Moves when told to, from any thread.
class TestClock final : public Clock {
 public:
  Millis steady() const override { return Millis(now_); }
  WallTime wall() const override { return WallTime(Millis(now_)); }
  void advance(Millis by) { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{0};
};

class SchedulerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "gantry-scheduler-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    dir_ = path;
    store_ = *Store::open(dir_ + "/gantry.db", {});
    sampler_ = std::make_unique<Sampler>(host_, SamplerOptions{Millis(2), MiB(100), {}});
    scheduler_ = std::make_unique<Scheduler>(
        SchedulerOptions{&host_, &clock_, log_.get(), store_.get(), sampler_.get(),
                         host_.factory(), {{"cpu", MiB(100)}}, "boot"});
  }
  void TearDown() override {
    scheduler_.reset();
    EXPECT_EQ(host_.alive(), 0U);
    EXPECT_TRUE(store_->leases()->empty());
    EXPECT_LE(host_.peak(), MiB(100));
    sampler_.reset();
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  Loadable model(const std::string& name, uint64_t mib, uint32_t slots = 1) {
    Loadable loadable;
    loadable.name = loadable.spec.model = loadable.fingerprint = name;
    loadable.device = "cpu";
    loadable.shares = {{"cpu", MiB(mib)}};
    loadable.slots = slots;
    FakeScript script;
    script.memory = MiB(mib);
    host_.script(name, script);
    return loadable;
  }
  std::unique_ptr<Session> open(const Loadable& loadable) {
    Result<std::unique_ptr<Session>> session = scheduler_->open(loadable, never_, 0);
    EXPECT_TRUE(session) << session.error().message;
    return session ? std::move(*session) : nullptr;
  }
  auto open_later(const Loadable& loadable) {
    const uint32_t before = scheduler_->in_use();
    auto later = std::async(std::launch::async,
                            [this, loadable] { return scheduler_->open(loadable, never_, 0); });
    while (scheduler_->in_use() == before) std::this_thread::yield();
    return later;
  }
  std::string state(const std::string& name) {
    for (const ModelStatus& status : scheduler_->models()) {
      if (status.name == name) return status.state;
    }
    return "";
  }
  void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(Millis(1));
    ASSERT_TRUE(condition());
  }

  std::string dir_;
  TestClock clock_;
  FakeHost host_;
  const http::Cancel never_{false};
  std::unique_ptr<Log> log_ = silent_log();
  std::unique_ptr<Store> store_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, LoadsOnceAndLendsAgain) {
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
  EXPECT_EQ(*store_->measured("a"), MiB(60));
}

TEST_F(SchedulerTest, MemoryMustBeBackBeforeItIsGrantedAgain) {
  const Loadable a = model("a", 60), b = model("b", 60);
  FakeScript slow;
  slow.memory = MiB(60);
  slow.release = Millis(60);
  host_.script("a", slow);
  open(a);
  open(b);
  EXPECT_EQ(host_.peak(), MiB(60));  // at no time both
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
  EXPECT_EQ(scheduler_->hold("media", {{"cpu", MiB(101)}}, never_, 0).error().code,
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

TEST_F(SchedulerTest, AWorkerThatDiesWhileLoadingTellsItsLastWords) {
  const Loadable a = model("a", 60);
  FakeScript failing;
  failing.memory = MiB(60);
  failing.fails = true;
  host_.script("a", failing);
  const auto failed = scheduler_->open(a, never_, 0);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kWorkerFailed);
  EXPECT_NE(failed.error().message.find("boom"), std::string::npos);
  until([&] { return scheduler_->booked("cpu") == Bytes{}; });
  EXPECT_TRUE(store_->leases()->empty());
}

TEST_F(SchedulerTest, AModelThatKeepsFailingIsNotTriedInALoop) {
  const Loadable a = model("a", 60);
  FakeScript failing;
  failing.fails = true;
  host_.script("a", failing);
  for (uint32_t i = 0; i < kLoadFailuresMax; ++i) {
    EXPECT_FALSE(scheduler_->open(a, never_, 0));
    clock_.advance(Millis(1000));
  }
  const auto refused = scheduler_->open(a, never_, 0);
  EXPECT_EQ(host_.starts("a"), static_cast<int>(kLoadFailuresMax));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kWorkerFailed);
  EXPECT_NE(refused.error().remedy, "");
  (void)model("a", 60);  // sound again
  clock_.advance(kLoadFailureWindow);
  EXPECT_TRUE(scheduler_->open(a, never_, 0));
}

TEST_F(SchedulerTest, ADeadIdleWorkerIsReplaced) {
  const Loadable a = model("a", 60);
  open(a);
  host_.crash("a");
  auto again = open(a);
  EXPECT_TRUE(again->worker().alive());
  EXPECT_EQ(host_.starts("a"), 2);
}

TEST_F(SchedulerTest, ADeathInUseIsSeenAndTheNextGetsAFreshOne) {
  const Loadable a = model("a", 60);
  auto used = open(a);
  host_.crash("a");
  const Result<void> dead = used->worker().alive();
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().code, Code::kWorkerFailed);
  until([&] { return scheduler_->booked("cpu") == Bytes{}; });  // although it is still lent
  EXPECT_TRUE(store_->leases()->empty());
  auto fresh = open(a);
  EXPECT_TRUE(fresh->worker().alive());
  EXPECT_FALSE(used->worker().alive());
}

TEST_F(SchedulerTest, IdleModelsLeaveAfterTheirTime) {
  Loadable a = model("a", 60), b = model("b", 10);
  a.ttl = Millis(1000);
  open(a);
  open(b);  // no time: stays
  clock_.advance(Millis(999));
  std::this_thread::sleep_for(Millis(120));
  EXPECT_EQ(state("a"), "ready");
  clock_.advance(Millis(1));
  until([&] { return state("a") == "unloaded"; });
  clock_.advance(Millis(1'000'000));
  std::this_thread::sleep_for(Millis(120));
  EXPECT_EQ(state("b"), "ready");
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

TEST_F(SchedulerTest, UnloadEndsAHangingLoad) {
  const Loadable a = model("a", 60);
  FakeScript hanging;
  hanging.memory = MiB(60);
  hanging.hangs = true;
  host_.script("a", hanging);
  http::Cancel cancel{false};
  auto waiting = std::async(std::launch::async, [&] { return scheduler_->open(a, cancel, 0); });
  until([&] { return host_.starts("a") == 1; });
  cancel = true;
  EXPECT_EQ(waiting.get().error().code, Code::kCancelled);
  EXPECT_TRUE(scheduler_->unload("a"));
  EXPECT_EQ(host_.alive(), 0U);
}

TEST_F(SchedulerTest, HoldsShareTheBudget) {
  const Loadable a = model("a", 95);
  open(a);
  auto bytes = scheduler_->hold("media", {{"cpu", MiB(10)}}, never_, 0);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(state("a"), "unloaded");
  EXPECT_EQ(scheduler_->booked("cpu"), MiB(10));
  EXPECT_EQ(store_->leases()->front().model, "media");
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
          (void)scheduler_->hold("media", {{"cpu", MiB(15)}}, never_, 0);
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

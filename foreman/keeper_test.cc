// The life of one worker under its keeper: failing, dying, idling, leaving.
#include <gtest/gtest.h>

#include "base/limits.h"
#include "foreman/scheduler_bench.h"

namespace gantry {
namespace {

class KeeperTest : public SchedulerBench {};

TEST_F(KeeperTest, MemoryMustBeBackBeforeItIsGrantedAgain) {
  const Loadable a = model("a", 60), b = model("b", 60);
  FakeScript slow;
  slow.memory = MiB(60);
  slow.release = Millis(60);
  host_.script("a", slow);
  open(a);
  open(b);
  EXPECT_EQ(host_.peak(), MiB(60));  // at no time both
}

TEST_F(KeeperTest, AWorkerThatDiesWhileLoadingTellsItsLastWords) {
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

TEST_F(KeeperTest, AModelThatKeepsFailingIsNotTriedInALoop) {
  const Loadable a = model("a", 60);
  FakeScript failing;
  failing.fails = true;
  host_.script("a", failing);
  for (uint32_t i = 0; i < kLoadFailuresMax; ++i) {
    EXPECT_FALSE(scheduler_->open(a, never_, 0));
    if (i + 1 < kLoadFailuresMax) clock_.advance(kRestMax);
  }
  const auto refused = scheduler_->open(a, never_, 0);
  EXPECT_EQ(host_.starts("a"), static_cast<int>(kLoadFailuresMax));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kWorkerFailed);
  EXPECT_NE(refused.error().remedy, "");
  (void)model("a", 60);  // sound again
  clock_.advance(kRestMax);
  EXPECT_TRUE(scheduler_->open(a, never_, 0));
}

TEST_F(KeeperTest, ADeadIdleWorkerIsReplaced) {
  const Loadable a = model("a", 60);
  open(a);
  host_.crash("a");
  auto again = open(a);
  EXPECT_TRUE(again->worker().alive());
  EXPECT_EQ(host_.starts("a"), 2);
}

TEST_F(KeeperTest, ADeathInUseIsSeenAndTheNextGetsAFreshOne) {
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

TEST_F(KeeperTest, IdleModelsLeaveAfterTheirTime) {
  Loadable a = model("a", 60), b = model("b", 10);
  a.ttl = Millis(1000);
  open(a);
  open(b);  // no time: stays
  clock_.advance(Millis(999));
  stays_ready("a");
  clock_.advance(Millis(1));
  until([&] { return state("a") == "unloaded"; });
  clock_.advance(Millis(1'000'000));
  stays_ready("b");
}

TEST_F(KeeperTest, UnloadEndsAHangingLoad) {
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

}  // namespace
}  // namespace gantry

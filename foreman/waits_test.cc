// What the scheduler tells of the line in front of some models.
#include <gtest/gtest.h>

#include "foreman/scheduler_bench.h"

namespace gantry {
namespace {

class WaitsTest : public SchedulerBench {};

TEST_F(WaitsTest, WhoeverWaitsForASessionIsSeen) {
  const Loadable a = model("a", 60), b = model("b", 20);
  const std::vector<std::string> names = {"a", "c"};
  EXPECT_FALSE(scheduler_->waits(names).used);
  auto used = open(a);
  LineWaits waits = scheduler_->waits(names);
  EXPECT_TRUE(waits.used);
  EXPECT_FALSE(waits.waiting);
  auto other = open(b);
  EXPECT_FALSE(scheduler_->waits({"c"}).used);
  auto later = open_later(a);
  clock_.advance(Millis(7'000));
  waits = scheduler_->waits(names);
  EXPECT_TRUE(waits.waiting);
  EXPECT_EQ(waits.busy, Millis(7'000));
  EXPECT_EQ(waits.starved, Millis(0));
  EXPECT_FALSE(scheduler_->waits({"b"}).waiting);
  EXPECT_TRUE(scheduler_->waits({"a#device=gpu0"}).waiting) << "whichever way it goes";
  used.reset();
  EXPECT_TRUE(later.get());
  EXPECT_FALSE(scheduler_->waits(names).waiting);
}

TEST_F(WaitsTest, MemoryOfOthersIsToldApart) {
  live_.set("cpu", MiB(10));
  auto later = open_later(model("a", 60));
  until([&] { return scheduler_->waits({"a"}).waiting; });
  clock_.advance(Millis(3'000));
  const LineWaits waits = scheduler_->waits({"a"});
  EXPECT_EQ(waits.busy, Millis(0));
  EXPECT_EQ(waits.starved, Millis(3'000));
  live_.set("cpu", GiB(1));
  EXPECT_TRUE(later.get());
}

TEST_F(WaitsTest, ALoadIsNoPressure) {
  FakeScript slow;
  const Loadable a = model("a", 60);
  slow.hangs = true;
  host_.script("a", slow);
  auto later = open_later(a);
  until([&] { return host_.starts("a") == 1; });
  clock_.advance(Millis(60'000));
  const LineWaits waits = scheduler_->waits({"a"});
  EXPECT_TRUE(waits.used);
  EXPECT_FALSE(waits.waiting);
  EXPECT_EQ(waits.busy, Millis(0));
  host_.crash("a");
  EXPECT_FALSE(later.get());
}

TEST_F(WaitsTest, PatienceEndsAWait) {
  const Loadable a = model("a", 60);
  auto used = open(a);
  std::atomic<bool> patient{true};
  auto later = std::async(std::launch::async, [&] {
    return scheduler_->open(a, never_, 0, false, [&](Millis) { return patient.load(); });
  });
  until([&] { return scheduler_->waits({"a"}).waiting; });
  patient = false;
  EXPECT_EQ(later.get().error().code, Code::kTimeout);
  EXPECT_FALSE(scheduler_->waits({"a"}).waiting);
}

TEST_F(WaitsTest, RoomIsWhatOthersAndOurIdleOnesLeave) {
  const Loadable a = model("a", 60), b = model("b", 40);
  live_.set("cpu", MiB(50));
  EXPECT_FALSE(scheduler_->has_memory(a));
  EXPECT_TRUE(scheduler_->has_memory(b));
  auto used = open(b);
  live_.set("cpu", MiB(30));  // of 70 it has 40
  EXPECT_TRUE(scheduler_->has_memory(b)) << "it is there";
  EXPECT_FALSE(scheduler_->has_memory(a)) << "b is used";
  used.reset();
  EXPECT_TRUE(scheduler_->has_memory(a)) << "b would leave";
}

}  // namespace
}  // namespace gantry

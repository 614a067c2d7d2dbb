// Memory that other programs hold at the moment of loading.
#include <gtest/gtest.h>

#include "foreman/scheduler_bench.h"

namespace gantry {
namespace {

class ShortageTest : public SchedulerBench {
 protected:
  std::string waits(const std::string& name) {
    for (const ModelStatus& status : scheduler_->models()) {
      if (status.name == name) return status.waits;
    }
    return "";
  }
  Loadable with(Loadable loadable, std::vector<Shortage> shortage) {
    loadable.shortage = std::move(shortage);
    const std::lock_guard lock(plans_mutex_);
    plans_[loadable.name] = loadable;
    return loadable;
  }
};

TEST_F(ShortageTest, ItWaitsAndSaysForWhatAndWhoHoldsIt) {
  const Loadable a = model("a", 60);
  live_.set("cpu", MiB(20));
  live_.hold({77, "balloon", MiB(500)});
  auto later = open_later(a);
  until([&] { return !waits("a").empty(); });
  EXPECT_EQ(waits("a"), "waits for 40.0 MiB on cpu that another program holds; balloon (pid 77) "
                        "holds 500.0 MiB");
  EXPECT_EQ(state("a"), "loading");
  EXPECT_EQ(host_.starts("a"), 0);
  live_.set("cpu", MiB(60));  // exactly enough
  auto session = later.get();
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(waits("a"), "");
  EXPECT_EQ(host_.starts("a"), 1);
}

TEST_F(ShortageTest, AByteShortIsShort) {
  const Loadable a = model("a", 60);
  live_.set("cpu", MiB(60) - Bytes{1});
  auto later = open_later(a);
  until([&] { return !waits("a").empty(); });
  live_.set("cpu", MiB(60));
  EXPECT_TRUE(later.get());
}

TEST_F(ShortageTest, TheWaitEndsWithWhoHoldsIt) {
  const Loadable a = model("a", 60);
  live_.set("cpu", MiB(20));
  live_.hold({77, "balloon", MiB(500)});
  auto later = open_later(a);
  until([&] { return !waits("a").empty(); });
  clock_.advance(Millis(60'000));
  const auto refused = later.get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  EXPECT_EQ(refused.error().message, "a needs 60.0 MiB on cpu, other programs leave 20.0 MiB; "
                                     "balloon (pid 77) holds 500.0 MiB");
  EXPECT_EQ(host_.starts("a"), 0);
  until([&] { return scheduler_->booked("cpu") == Bytes{}; });
  live_.set("cpu", GiB(1));
  EXPECT_TRUE(scheduler_->open(a, never_, 0));  // no failure of its own: tried at once
}

TEST_F(ShortageTest, NobodyWaitsForOneWhomNobodyWants) {
  const Loadable a = model("a", 60);
  live_.set("cpu", MiB(20));
  http::Cancel cancel{false};
  auto waiting = std::async(std::launch::async, [&] { return scheduler_->open(a, cancel, 0); });
  until([&] { return !waits("a").empty(); });
  cancel = true;
  EXPECT_EQ(waiting.get().error().code, Code::kCancelled);
  until([&] { return scheduler_->booked("cpu") == Bytes{}; });
  EXPECT_EQ(state("a"), "unloaded");
}

TEST_F(ShortageTest, RefusedWhereTheUserSaysSo) {
  const Loadable a = with(model("a", 60), {Shortage::kRefuse, Shortage::kWait});
  live_.set("cpu", MiB(20));
  EXPECT_EQ(scheduler_->open(a, never_, 0).error().code, Code::kDoesNotFit);
}

TEST_F(ShortageTest, PlannedSmallerWhereTheUserSaysSo) {
  const Loadable a = with(model("a", 60), {Shortage::kShrink, Shortage::kWait});
  Loadable small = a;
  small.shares = {{"cpu", MiB(15)}};
  small.fingerprint = "small";
  smaller_["a"] = small;
  live_.set("cpu", MiB(10));  // not even that: it waits
  FakeScript script;
  script.memory = MiB(15);
  host_.script("a", script);
  auto later = open_later(a);
  until([&] { return !waits("a").empty(); });
  live_.set("cpu", MiB(20));
  auto session = later.get();
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ((*session)->predicted(), MiB(15));
  session->reset();
  open(a);  // the same model as the user knows it: no reason to load it again
  EXPECT_EQ(host_.starts("a"), 1);
}

TEST_F(ShortageTest, OursLeaveBeforeAnybodyIsAskedToWait) {
  const Loadable a = model("a", 40), b = model("b", 40);
  open(a);
  live_.set("cpu", MiB(30));
  auto later = open_later(b);
  until([&] { return state("a") == "unloaded"; });
  live_.set("cpu", MiB(70));  // a's bytes are back
  EXPECT_TRUE(later.get());
}

TEST_F(ShortageTest, WhatIsPromisedToAnotherIsNotFree) {
  const Loadable a = model("a", 50), b = model("b", 40);
  FakeScript lazy;
  lazy.memory = MiB(5);  // it may still take the other 45
  host_.script("a", lazy);
  auto used = open(a);
  live_.set("cpu", MiB(80));
  auto later = open_later(b);
  until([&] { return !waits("b").empty(); });
  live_.set("cpu", MiB(85));
  EXPECT_TRUE(later.get());
}

TEST_F(ShortageTest, AFileReplacedMeanwhileIsPlannedAnew) {
  const Loadable a = model("a", 60);
  Loadable replaced = model("a", 70);
  replaced.asked = replaced.fingerprint = "another file";
  {
    const std::lock_guard lock(plans_mutex_);
    plans_["a"] = replaced;
  }
  auto session = open(a);  // asked for with what was known then
  EXPECT_EQ(session->predicted(), MiB(70));
  EXPECT_EQ(host_.starts("a"), 1);
}

}  // namespace
}  // namespace gantry

// Workers that outgrow their lease, by policy; and what each load leaves in the history.
#include <gtest/gtest.h>

#include "foreman/history.h"
#include "foreman/scheduler_bench.h"

namespace gantry {
namespace {

class GrowthTest : public SchedulerBench {
 protected:
  Loadable growing(const std::string& name, uint64_t mib, Growth growth) {
    Loadable loadable = model(name, mib);
    loadable.growth = growth;
    const std::lock_guard lock(plans_mutex_);
    plans_[name] = loadable;
    return loadable;
  }
  LoadSeen last(const std::string& name) {
    return store_->loads(Store::LoadsOf::kModel, name, 1)->at(0);
  }
  uint64_t grown(const std::string& name) {
    for (const ModelStatus& status : scheduler_->models()) {
      if (status.name == name) return status.grown;
    }
    return 0;
  }
};

TEST_F(GrowthTest, EveryLoadIsRecordedOnceItIsReadyAndWhenItEnds) {
  start_takes_ = Millis(1);
  const Loadable a = model("a", 30);
  {
    auto session = open(a);
    until([&] { return !store_->loads(Store::LoadsOf::kModel, "a", 1)->empty(); });
    EXPECT_EQ(last("a").end, LoadEnd::kLoaded);
    EXPECT_EQ(last("a").bytes.at(0).predicted, MiB(30));
    EXPECT_EQ(last("a").bytes.at(0).measured, MiB(30));
    EXPECT_GT(last("a").load_s, 0);
    session->decoded(30, 2);
    session->decoded(10, 2);
  }
  host_.grow("a", MiB(35));
  auto again = open(a);
  until([&] { return again->measured() == MiB(35); });
  again.reset();
  ASSERT_TRUE(scheduler_->unload("a"));
  EXPECT_EQ(last("a").end, LoadEnd::kUnloaded);
  EXPECT_EQ(last("a").sessions, 2U);
  EXPECT_EQ(last("a").decode, 10.0);
  EXPECT_EQ(last("a").bytes.at(0).measured, MiB(35));
  EXPECT_EQ(store_->loads(Store::LoadsOf::kModel, "a", 9)->size(), 1U);
}

TEST_F(GrowthTest, AFailedLoadLeavesNoFigure) {
  const Loadable a = model("a", 30);
  FakeScript failing;
  failing.fails = true;
  host_.script("a", failing);
  EXPECT_FALSE(scheduler_->open(a, never_, 0));
  EXPECT_TRUE(store_->loads(Store::LoadsOf::kAll, "", 9)->empty());
}

TEST_F(GrowthTest, ADeathIsRecordedAsOne) {
  const Loadable a = model("a", 30);
  auto session = open(a);
  host_.crash("a");
  until([&] { return scheduler_->booked("cpu") == Bytes{}; });
  EXPECT_EQ(last("a").end, LoadEnd::kDied);
}

TEST_F(GrowthTest, DeviceMemoryIsSeenByItsDifference) {
  Loadable a = model("a", 30);
  a.shares.push_back({"gpu0", MiB(50)});
  scheduler_.reset();
  scheduler_ = std::make_unique<Scheduler>(SchedulerOptions{
      &host_, &clock_, log_.get(), store_.get(), sampler_.get(),
      [this](const WorkerSpec& spec) {
        live_.set("gpu0", GiB(1) - MiB(55));
        return host_.factory()(spec);
      },
      {{"cpu", MiB(100)}, {"gpu0", MiB(100)}}, "boot", &live_, {}, Millis(60'000)});
  live_.set("gpu0", GiB(1));
  open(a);
  ASSERT_TRUE(scheduler_->unload("a"));
  const LoadSeen seen = last("a");
  ASSERT_EQ(seen.bytes.size(), 2U);
  EXPECT_EQ(seen.bytes[1].device, "gpu0");
  EXPECT_EQ(seen.bytes[1].measured, MiB(55));
}

TEST_F(GrowthTest, NoiseIsNoGrowth) {
  const Loadable a = growing("a", 60, Growth::kStop);
  auto session = open(a);
  host_.grow("a", growth_limit(MiB(60)));
  stays_ready("a");
  EXPECT_EQ(grown("a"), 0U);
  host_.grow("a", growth_limit(MiB(60)) + KiB(4));
  until([&] { return grown("a") == 1; });
}

TEST_F(GrowthTest, WarnTellsAndBooksWhatItHolds) {
  const Loadable a = growing("a", 40, Growth::kWarn);
  auto session = open(a);
  host_.grow("a", MiB(70));
  until([&] { return scheduler_->booked("cpu") == MiB(70); });
  host_.grow("a", MiB(300));  // no more than there is can be booked
  until([&] { return scheduler_->booked("cpu") == MiB(100); });
  EXPECT_EQ(grown("a"), 1U);
  EXPECT_TRUE(session->worker().alive());
  session.reset();
  ASSERT_TRUE(scheduler_->unload("a"));
  EXPECT_EQ(scheduler_->booked("cpu"), Bytes{});
  EXPECT_EQ(last("a").end, LoadEnd::kUnloaded);
  EXPECT_EQ(last("a").bytes.at(0).measured, MiB(300));
}

TEST_F(GrowthTest, StopEndsItWithBothFigures) {
  const Loadable a = growing("a", 40, Growth::kStop);
  auto session = open(a);
  host_.grow("a", MiB(70));
  until([&] { return scheduler_->booked("cpu") == Bytes{}; });
  const Result<void> ended = session->worker().alive();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Code::kWorkerFailed);
  EXPECT_NE(ended.error().message.find("70.0 MiB"), std::string::npos) << ended.error().message;
  EXPECT_NE(ended.error().message.find("40.0 MiB"), std::string::npos) << ended.error().message;
  EXPECT_EQ(last("a").end, LoadEnd::kGrew);
  EXPECT_EQ(last("a").bytes.at(0).measured, MiB(70));
}

TEST_F(GrowthTest, WhoComesWhileItIsStoppedGetsTheNewPlan) {
  const Loadable a = growing("a", 40, Growth::kStop);
  FakeScript slow;
  slow.memory = MiB(40);
  slow.release = Millis(100);
  host_.script("a", slow);
  auto session = open(a);
  host_.grow("a", MiB(70));
  until([&] { return state("a") == "stopping"; });
  Loadable larger = growing("a", 90, Growth::kStop);
  session.reset();
  EXPECT_EQ(open(larger)->predicted(), MiB(90));
}

TEST_F(GrowthTest, GrowingBeyondTheBudgetIsFinal) {
  const Loadable a = growing("a", 40, Growth::kStop);
  auto session = open(a);
  host_.grow("a", MiB(120));
  until([&] { return scheduler_->booked("cpu") == Bytes{}; });
  const Result<void> ended = session->worker().alive();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Code::kDoesNotFit);
  EXPECT_NE(ended.error().message.find("100.0 MiB"), std::string::npos) << ended.error().message;
}

TEST_F(GrowthTest, ItIsSeenWhileLoadingToo) {
  Loadable a = growing("a", 40, Growth::kStop);
  FakeScript hanging;
  hanging.memory = MiB(80);
  hanging.hangs = true;
  host_.script("a", hanging);
  const auto failed = scheduler_->open(a, never_, 0);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kWorkerFailed);
  EXPECT_NE(failed.error().message.find("its lease is 40.0 MiB"), std::string::npos);
  until([&] { return scheduler_->booked("cpu") == Bytes{}; });
  EXPECT_EQ(last("a").end, LoadEnd::kGrew);
}

TEST_F(GrowthTest, MoveLetsItFinishAndPlansItAnew) {
  const Loadable a = growing("a", 40, Growth::kMove);
  auto session = open(a);
  Loadable larger = growing("a", 90, Growth::kMove);
  larger.fingerprint = "larger";
  {
    const std::lock_guard lock(plans_mutex_);
    plans_["a"] = larger;
  }
  host_.grow("a", MiB(80));
  until([&] { return grown("a") == 1; });
  EXPECT_TRUE(session->worker().alive());
  auto later = open_later(larger);  // takes no new session in the old way
  EXPECT_EQ(later.wait_for(Millis(50)), std::future_status::timeout);
  session.reset();
  auto moved = later.get();
  ASSERT_TRUE(moved) << moved.error().message;
  EXPECT_EQ((*moved)->predicted(), MiB(90));
  EXPECT_EQ(host_.starts("a"), 2);
}

TEST_F(GrowthTest, MoveWhileLoadingServesWhoWaits) {
  const Loadable a = growing("a", 40, Growth::kMove);
  FakeScript large;
  large.memory = MiB(80);
  large.load = Millis(200);
  Loadable larger = growing("a", 90, Growth::kMove);
  host_.script("a", large);
  auto session = open(a);
  ASSERT_TRUE(session);
  EXPECT_EQ(session->predicted(), MiB(90));
  EXPECT_EQ(host_.starts("a"), 2);
}

}  // namespace
}  // namespace gantry

// Models that fall: they rest, leave a device that fails them, and hung workers are ended.
#include <thread>

#include "base/limits.h"
#include "foreman/scheduler_bench.h"

namespace gantry {
namespace {

class FallsTest : public SchedulerBench {
 protected:
  Result<std::unique_ptr<Session>> try_open(const Loadable& model, bool durable = false) {
    return scheduler_->open(model, never_, 0, durable);
  }
  // A load that fails; its keeper has put it away when this returns.
  void fall(const Loadable& model) {
    EXPECT_FALSE(try_open(model));
    until([&] { return !scheduler_->loaded(model.name); });
  }
};

TEST_F(FallsTest, RestsLongerAfterEveryFallAndHearsThatItRests) {
  const Loadable a = model("a", 60);
  FakeScript failing;
  failing.fails = true;
  host_.script("a", failing);
  fall(a);
  fall(a);  // the first rest is none
  // The second is about a second: who asks waits for it.
  std::atomic<bool> answered{false};
  std::thread waiter([&] {
    EXPECT_FALSE(try_open(a));
    answered = true;
  });
  while (scheduler_->in_use() == 0) std::this_thread::sleep_for(Millis(1));
  for (int i = 0; i < 60 && !answered; ++i) std::this_thread::sleep_for(Millis(1));
  EXPECT_FALSE(answered);
  EXPECT_EQ(host_.starts("a"), 2);
  // Behind it nobody waits.
  EXPECT_TRUE(try_open(model("b", 60)));
  ASSERT_TRUE(scheduler_->unload("b"));
  clock_.advance(Millis(1251));
  waiter.join();
  EXPECT_EQ(host_.starts("a"), 3);
  const auto refused = try_open(a);
  EXPECT_EQ(host_.starts("a"), 3);
  EXPECT_NE(refused.error().message.find("failed 3 times in a row"), std::string::npos);
}

TEST_F(FallsTest, AJobWaitsForAShortRest) {
  const Loadable a = model("a", 60);
  FakeScript failing;
  failing.fails = true;
  host_.script("a", failing);
  for (uint32_t i = 0; i < kLoadFailuresMax; ++i) {
    fall(a);
    if (i + 1 < kLoadFailuresMax) clock_.advance(kRestMax);
  }
  EXPECT_FALSE(try_open(a)) << "anybody else is told at once";
  host_.script("a", {});
  std::atomic<bool> opened{false};
  std::thread job([&] { opened = try_open(a, true).has_value(); });
  for (int i = 0; i < 60; ++i) std::this_thread::sleep_for(Millis(1));
  EXPECT_FALSE(opened);
  EXPECT_EQ(host_.starts("a"), static_cast<int>(kLoadFailuresMax));
  clock_.advance(Millis(10'000));
  job.join();
  EXPECT_TRUE(opened);
}

TEST_F(FallsTest, OfALongRestAJobIsToldToo) {
  const Loadable a = model("a", 60);
  FakeScript failing;
  failing.fails = true;
  host_.script("a", failing);
  for (uint32_t i = 0; i < 6; ++i) {  // the sixth rest is 12 s at least
    fall(a);
    if (i < 5) clock_.advance(kRestMax * 2);
  }
  const auto refused = try_open(a, true);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("failed 6 times in a row"), std::string::npos);
}

TEST_F(FallsTest, TenHealthyMinutesForgiveTheFalls) {
  Loadable a = model("a", 60);
  FakeScript failing;
  failing.fails = true;
  host_.script("a", failing);
  for (uint32_t i = 0; i < 2; ++i) fall(a);
  clock_.advance(kRestMax);
  a = model("a", 60);  // sound from here on
  {
    auto session = try_open(a);
    ASSERT_TRUE(session);
    clock_.advance(kHealthyAfter);
    host_.crash("a");
    until([&] { return !scheduler_->models()[0].pid; });
  }
  EXPECT_TRUE(try_open(a)) << "its first fall again: no rest";
}

TEST_F(FallsTest, AWorkerThatDoesNothingForAJobIsEnded) {
  const Loadable a = model("a", 60);
  auto session = try_open(a, true);
  ASSERT_TRUE(session);
  const auto wait = [&] {
    for (int i = 0; i < 70; ++i) {
      clock_.advance(Millis(5'000));
      std::this_thread::sleep_for(Millis(55));  // a keeper's look
    }
  };
  wait();
  EXPECT_TRUE((*session)->worker().alive()) << "it computes";
  host_.stick("a");
  wait();
  const Result<void> dead = (*session)->worker().alive();
  ASSERT_FALSE(dead);
  EXPECT_NE(dead.error().message.find("worker hangs"), std::string::npos);
  session->reset();
  EXPECT_EQ(host_.starts("a"), 1);
}

TEST_F(FallsTest, ADeviceThatFailsAModelIsLeftForAWhile) {
  Loadable a = model("a", 10);
  Loadable on_cpu = a;
  a.shares = {{"cpu", MiB(10)}, {"gpu0", MiB(60)}};
  a.device = "gpu0";
  plans_["a"] = a;
  smaller_["a"] = on_cpu;
  scheduler_.reset();
  scheduler_ = std::make_unique<Scheduler>(SchedulerOptions{
      &host_, &clock_, log_.get(), store_.get(), sampler_.get(), host_.factory(),
      {{"cpu", MiB(100)}, {"gpu0", MiB(100)}}, "boot", &live_,
      [this](const std::string& name, const Shares* rooms) { return replan(name, rooms); },
      Millis(60'000)});
  live_.set("gpu0", GiB(1));
  FakeScript failing;
  failing.fails = true;
  host_.script("a", failing);
  for (uint32_t i = 0; i < 2; ++i) fall(a);
  host_.script("a", {});
  clock_.advance(Millis(2'000));
  auto session = try_open(a);
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ((*session)->device(), "cpu");
  EXPECT_EQ(scheduler_->models()[0].fallbacks, 1U);
  EXPECT_EQ(scheduler_->booked("gpu0"), Bytes{});
  session->reset();
  ASSERT_TRUE(scheduler_->unload("a"));
  clock_.advance(kShunFirst);
  session = try_open(a);
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ((*session)->device(), "gpu0") << "perhaps it works again";
}

TEST_F(FallsTest, AnIdleWorkerIsNotHung) {
  const Loadable a = model("a", 60);
  auto session = try_open(a);  // nobody's job: its user may think for long
  host_.stick("a");
  clock_.advance(std::chrono::hours(1));
  for (int i = 0; i < 150 && (*session)->worker().alive(); ++i) {
    std::this_thread::sleep_for(Millis(1));
  }
  EXPECT_TRUE((*session)->worker().alive());
}

// Found by simulation: it was judged by the time since the machine was started.
TEST_F(FallsTest, AFreshWorkerOfAJobIsNotHungHoweverLateItIs) {
  const Loadable a = model("a", 60);
  clock_.advance(std::chrono::hours(1));
  auto session = try_open(a, true);
  host_.stick("a");
  for (int i = 0; i < 150; ++i) {
    ASSERT_TRUE((*session)->worker().alive());
    std::this_thread::sleep_for(Millis(1));
  }
}

}  // namespace
}  // namespace gantry

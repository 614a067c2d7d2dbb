// Peaks and sums of what processes hold, and the alarm.
#include "foreman/sampler.h"

#include <gtest/gtest.h>

#include "foreman/fake_worker.h"

namespace gantry {
namespace {

class SamplerTest : public testing::Test {
 protected:
  std::unique_ptr<FakeWorker> worker(const std::string& name, Bytes memory) {
    FakeScript script;
    script.memory = memory;
    return std::make_unique<FakeWorker>(host_, name, script);
  }
  void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(Millis(1));
    ASSERT_TRUE(condition());
  }
  RealClock clock_;
  FakeHost host_;
};

TEST_F(SamplerTest, KeepsThePeakOfEachAndOfAll) {
  Sampler sampler(host_, clock_, {Millis(1), MiB(100), {}});
  const auto a = worker("a", MiB(10)), b = worker("b", MiB(20));
  Probe probe_a, probe_b;
  sampler.watch(&probe_a, a->pid());
  EXPECT_EQ(probe_a.peak(), MiB(10));  // at once
  sampler.watch(&probe_b, b->pid());
  host_.grow("a", MiB(50));
  until([&] { return probe_a.now() == MiB(50); });
  host_.grow("a", MiB(5));
  until([&] { return probe_a.now() == MiB(5); });
  EXPECT_EQ(probe_a.peak(), MiB(50));
  EXPECT_EQ(probe_b.peak(), MiB(20));
  EXPECT_EQ(sampler.total(), MiB(25));
  EXPECT_EQ(sampler.total_peak(), MiB(70));
  sampler.forget(&probe_a);
  sampler.forget(&probe_a);
  EXPECT_EQ(sampler.total(), MiB(20));
  host_.crash("b");
  until([&] { return sampler.total() == Bytes{}; });
  sampler.forget(&probe_b);
}

TEST_F(SamplerTest, TheAlarmComesOnceAnExcess) {
  std::atomic<int> alarms{0};
  Sampler sampler(host_, clock_, {Millis(1), MiB(30), [&](Bytes sum, Bytes budget) {
                            EXPECT_GT(sum, budget);
                            ++alarms;
                          }});
  const auto a = worker("a", MiB(30));
  Probe probe;
  sampler.watch(&probe, a->pid());
  EXPECT_EQ(alarms, 0);  // the budget itself may be used
  for (int excess = 1; excess <= 2; ++excess) {
    host_.grow("a", MiB(31));
    until([&] { return probe.now() == MiB(31); });
    host_.grow("a", MiB(1));
    until([&] { return probe.now() == MiB(1); });
    EXPECT_EQ(alarms, excess);
  }
  sampler.forget(&probe);
}

}  // namespace
}  // namespace gantry

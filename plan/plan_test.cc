// Tests of whole plans: alone, together, in turn; and properties over random demands.
#include "plan/plan.h"

#include <gtest/gtest.h>

#include "plan/example.h"
#include "plan/place.h"
#include "plan/test_counts.h"

namespace gantry {
namespace {

Plan planned(const Machine& machine, const Demand& demand) {
  const auto made = plan(machine, demand);
  EXPECT_TRUE(made) << made.error().message;
  if (!made) return {};
  const auto sound = verify(machine, demand, *made);
  EXPECT_TRUE(sound) << sound.error().message;
  return *made;
}

Demand three_models() {
  Demand demand;
  demand.wishes = {wish_for("asr", whisper_card()), wish_for("vision", llama_card(kMicro)),
                   wish_for("minutes", llama_card(kMicro))};
  return demand;
}

TEST(Plan, TogetherInTurnOrNotAtAll) {
  const Machine machine = machine_with(GiB(8));
  Demand demand = three_models();
  for (Wish& wish : demand.wishes) wish.stream.streaming = Streaming::kNever;
  Plan plan = planned(machine, demand);
  EXPECT_TRUE(plan.fits);
  EXPECT_TRUE(plan.together);
  ASSERT_EQ(plan.devices.size(), 1U);
  const DeviceShare& cpu = plan.devices[0];
  EXPECT_EQ(cpu.total, cpu.weights + cpu.kv + cpu.compute + cpu.overhead);
  Bytes peak;
  for (const Placement& model : plan.models) peak = std::max(peak, model.on("cpu"));
  EXPECT_EQ(cpu.peak, cpu.total);

  demand.ram = Budget{cpu.total, std::nullopt};
  EXPECT_TRUE(planned(machine, demand).together);
  demand.ram = Budget{cpu.total - Bytes{1}, std::nullopt};
  EXPECT_FALSE(planned(machine, demand).together);
  EXPECT_TRUE(planned(machine, demand).fits);
  demand.ram = Budget{peak, std::nullopt};
  EXPECT_TRUE(planned(machine, demand).fits);
  demand.ram = Budget{peak - Bytes{1}, std::nullopt};
  EXPECT_FALSE(planned(machine, demand).fits);
}

TEST(Plan, UsageErrors) {
  Demand demand = three_models();
  demand.ram = Budget{Bytes{0}, std::nullopt};
  EXPECT_EQ(plan(machine_with(GiB(1)), demand).error().code, Code::kUsage);
  EXPECT_EQ(plan(machine_with(GiB(1)), {}).error().code, Code::kUsage);
}

TEST(Plan, NotesReachThePlan) {
  Demand demand = three_models();
  demand.ram = Budget{GiB(100), std::nullopt};
  EXPECT_EQ(planned(machine_with(GiB(8)), demand).notes.size(), 1U);
}

TEST(Plan, AMeasuredOverheadTakesTheBuiltInsPlace) {
  Demand demand = three_models();
  demand.wishes[1].measured_overhead = MiB(100);
  EXPECT_EQ(planned(machine_with(GiB(8)), demand).models[1].needs[0].overhead, MiB(100));
}

TEST(Plan, VerifiedOnRandomMachinesAndDemands) {
  const uint64_t seed = 11;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  size_t fitting = 0, together = 0, split = 0, failing = 0, streamed = 0;
  const uint64_t count = cases(250, 3000);
  for (uint64_t i = 0; i < count; ++i) {
    const Machine machine = random_machine(rng);
    const Demand demand = random_demand(rng);
    const auto made = plan(machine, demand);
    if (!made) {  // a quantised cache that the heads do not divide into
      EXPECT_EQ(made.error().code, Code::kUnsupported) << i << " " << made.error().message;
      continue;
    }
    const auto sound = verify(machine, demand, *made);
    ASSERT_TRUE(sound) << i << ": " << sound.error().message;
    fitting += made->fits ? 1 : 0;
    together += made->together ? 1 : 0;
    failing += made->fits ? 0 : 1;
    for (const Placement& model : made->models) {
      split += model.layers.resident > 0 && model.layers.cpu > 0 ? 1 : 0;
      streamed += model.fits_alone && model.stream ? 1 : 0;
    }
  }
  EXPECT_GT(fitting, count / 30);  // the generator reaches every outcome
  EXPECT_GT(together, count / 60);
  EXPECT_GT(failing, count / 30);
  EXPECT_GT(split, count / 60);
  EXPECT_GT(streamed, count / 30);
}

TEST(Plan, MoreMemoryNeverHurts) {
  const uint64_t seed = 12;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  size_t fitting = 0;
  for (int i = 0; i < 300; ++i) {
    Machine machine = random_machine(rng);
    const Demand demand = random_demand(rng);
    Least before, after;
    const auto small = plan_once(machine, demand, &before);
    if (!small || !small->fits) continue;
    ++fitting;
    const Bytes more{rng.below(GiB(8).n)};
    if (rng.below(2) == 0) {
      machine.memory.available += more;
      machine.memory.total += more;
      if (machine.memory.cgroup_limit) *machine.memory.cgroup_limit += more;
    }
    for (Device& device : machine.devices) {
      if (rng.below(2) == 0) continue;
      device.total += more;
      device.free += more;
    }
    const auto large = plan_once(machine, demand, &after);
    ASSERT_TRUE(large);
    EXPECT_TRUE(large->fits) << i;
    EXPECT_LE(after.cost, before.cost * (1 + 1e-9)) << i;
  }
  EXPECT_GT(fitting, 50U);
}

}  // namespace
}  // namespace gantry

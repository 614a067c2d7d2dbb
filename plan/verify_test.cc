// Tests that verify() sees every kind of damage to a plan.
#include <gtest/gtest.h>

#include <functional>

#include "plan/example.h"
#include "plan/plan.h"
#include "plan/test_counts.h"

namespace gantry {
namespace {

struct Case {
  Machine machine;
  Demand demand;
  Plan plan;
};

// One model on the CPU alone, one cut between two devices, one external command.
Case example() {
  Case c;
  c.machine = machine_with(GiB(64), {GiB(8)});
  c.machine.devices[0].bandwidth.memory_bytes_per_s = 2e10;
  Wish command;
  command.name = "command";
  command.engine = EngineKind::kCommand;
  command.declared = GiB(1);
  Wish measured = wish_for("measured", llama_card(kMicro));
  measured.measured_overhead = MiB(50);
  c.demand.wishes = {wish_for("big", llama_card(kSevenB)), wish_for("asr", whisper_card()),
                     command, measured};
  c.plan = plan(c.machine, c.demand).value();
  EXPECT_GT(c.plan.models[0].layers.resident, 0U);
  EXPECT_GT(c.plan.models[0].layers.cpu, 0U);
  return c;
}

TEST(Verify, AcceptsTheRealPlan) {
  const Case c = example();
  const auto sound = verify(c.machine, c.demand, c.plan);
  EXPECT_TRUE(sound) << sound.error().message;
}

// After a change of needs the sums that hang on them are made right again, so that only the needs
// themselves are wrong.
void sum_again(Plan* plan) {
  for (DeviceShare& share : plan->devices) {
    share.weights = share.kv = share.compute = share.overhead = share.peak = {};
    for (const Placement& placement : plan->models) {
      share.peak = std::max(share.peak, placement.on(share.name));
      for (const Need& need : placement.needs) {
        if (need.device != share.name) continue;
        share.weights += need.weights;
        share.kv += need.kv;
        share.compute += need.compute;
        share.overhead += need.overhead;
      }
    }
    share.total = share.weights + share.kv + share.compute + share.overhead;
  }
}

// Takes one kind of bytes from a model, everywhere.
void lose(Plan* plan, size_t model, Bytes Need::*kind) {
  for (Need& need : plan->models[model].needs) need.*kind = {};
  sum_again(plan);
}

TEST(Verify, RejectsEveryDamage) {
  using Damage = std::function<void(Plan*)>;
  const std::vector<std::pair<const char*, Damage>> damages = {
      {"a model is missing", [](Plan* p) { p->models.pop_back(); }},
      {"models swapped", [](Plan* p) { std::swap(p->models[0], p->models[1]); }},
      {"another engine", [](Plan* p) { p->models[0].engine = EngineKind::kMedia; }},
      {"a layer lost", [](Plan* p) { --p->models[0].layers.cpu; }},
      {"a layer too many", [](Plan* p) { ++p->models[0].layers.resident; }},
      {"layers beyond 32 bits", [](Plan* p) { p->models[0].layers.cpu -= 100; }},
      {"a layer streamed",
       [](Plan* p) {
         --p->models[0].layers.cpu;
         ++p->models[0].layers.streamed;
       }},
      {"resident on no accelerator",
       [](Plan* p) {
         --p->models[3].layers.cpu;
         ++p->models[3].layers.resident;
       }},
      {"a byte over the budget",
       [](Plan* p) {
         Need& need = p->models[0].needs[0];
         need.weights += p->devices[0].budget - need.total() + Bytes{1};
         sum_again(p);
       }},
      {"weights lost", [](Plan* p) { lose(p, 1, &Need::weights); }},
      {"cache lost", [](Plan* p) { lose(p, 0, &Need::kv); }},
      {"cache of one model lost", [](Plan* p) { lose(p, 1, &Need::kv); }},
      {"compute lost", [](Plan* p) { lose(p, 0, &Need::compute); }},
      {"overhead lost", [](Plan* p) { lose(p, 1, &Need::overhead); }},
      {"a layer's weights lost",
       [](Plan* p) {
         p->models[0].needs.back().weights -= MiB(300);
         sum_again(p);
       }},
      {"weights on the wrong device",
       [](Plan* p) {
         p->models[0].needs[0].weights += p->models[0].needs[1].weights;
         p->models[0].needs[1].weights = {};
         sum_again(p);
       }},
      {"overhead below the measured", [](Plan* p) { p->models[3].needs.back().overhead = {}; }},
      {"less than declared", [](Plan* p) { p->models[2].needs[0].overhead.n -= 1; }},
      {"no host memory", [](Plan* p) { p->models[1].needs.pop_back(); }},
      {"a device twice", [](Plan* p) { p->models[1].needs.push_back(p->models[1].needs.back()); }},
      {"an unknown device", [](Plan* p) { p->models[0].needs[0].device = "gpu7"; }},
      {"said not to fit", [](Plan* p) { p->models[1].fits_alone = false; }},
      {"the plan said not to fit", [](Plan* p) { p->fits = false; }},
      {"together when it is not", [](Plan* p) { p->together = !p->together; }},
      {"fixes without need", [](Plan* p) { p->fixes.push_back({"-c 1", Bytes{1}}); }},
      {"a sum one too small", [](Plan* p) { p->devices[0].weights.n -= 1; }},
      {"a total one too small", [](Plan* p) { p->devices[1].total.n -= 1; }},
      {"a peak one too small", [](Plan* p) { p->devices[1].peak.n -= 1; }},
      {"a budget one too large", [](Plan* p) { p->devices[1].budget.n += 1; }},
      {"a device missing", [](Plan* p) { p->devices.pop_back(); }},
      {"a device unknown", [](Plan* p) { p->devices[0].name = "gpu7"; }},
      {"more context than trained", [](Plan* p) { p->models[3].context = 1025; }},
      {"no context", [](Plan* p) { p->models[3].context = 0; }},
      {"a negative speed", [](Plan* p) { p->models[1].speed.decode = -1; }},
      {"an endless speed", [](Plan* p) { p->models[1].speed.prefill = 1e308 * 10; }},
  };
  for (const auto& [what, damage] : damages) {
    Case c = example();
    damage(&c.plan);
    const auto sound = verify(c.machine, c.demand, c.plan);
    ASSERT_FALSE(sound) << what;
    EXPECT_EQ(sound.error().code, Code::kInternal) << what;
  }
}

TEST(Verify, RejectsRandomDamageToNeeds) {
  const uint64_t seed = 13;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  const uint64_t count = cases(300, 2000);
  for (uint64_t i = 0; i < count; ++i) {
    Case c;
    c.machine = random_machine(rng);
    c.demand = random_demand(rng);
    auto made = plan(c.machine, c.demand);
    if (!made) continue;
    Placement& model = made->models[rng.below(made->models.size())];
    Need& need = model.needs[rng.below(model.needs.size())];
    Bytes* const fields[] = {&need.weights, &need.kv, &need.compute, &need.overhead};
    Bytes* const field = fields[rng.below(4)];
    // Near a wrap the shares saturate, and one byte more is the same.
    if (need.total().n > UINT64_MAX / 4) continue;
    field->n += rng.below(2) == 0 ? 1 : GiB(1).n;
    EXPECT_FALSE(verify(c.machine, c.demand, *made)) << i;
  }
}

// A pipeline of three stages, of which two are loaded at once.
TEST(Verify, TurnsAreInTheOrderOfTheStages) {
  Demand demand;
  for (const char* name : {"hear", "see", "write", "check"}) {
    demand.wishes.push_back(wish_for(name, llama_card(kMicro)));
  }
  demand.together = {{"write", "check"}};
  demand.ram = Budget{MiB(90), std::nullopt};
  const Machine machine = machine_with(GiB(8));
  const Plan made = plan(machine, demand).value();
  ASSERT_TRUE(verify(machine, demand, made));
  ASSERT_EQ(made.turns.size(), 3U) << plan_text(made);
  EXPECT_EQ(made.turns[0].models, std::vector<std::string>{"hear"});
  EXPECT_EQ(made.turns[1].models, std::vector<std::string>{"see"});
  EXPECT_EQ(made.turns[2].models, (std::vector<std::string>{"write", "check"}));
  const auto rejected = [&](const std::function<void(Plan*)>& damage) {
    Plan plan = made;
    damage(&plan);
    return !verify(machine, demand, plan);
  };
  EXPECT_TRUE(rejected([](Plan* p) { std::swap(p->turns[0], p->turns[1]); }));
  EXPECT_TRUE(rejected([](Plan* p) { p->turns.pop_back(); }));
  EXPECT_TRUE(rejected([](Plan* p) { p->turns.push_back(p->turns[0]); }));
  EXPECT_TRUE(rejected([](Plan* p) { p->turns[0].models.push_back("see"); }));
  EXPECT_TRUE(rejected([](Plan* p) { p->turns[0].models = {"nobody"}; }));
}

TEST(Verify, BudgetsAreRecomputed) {
  Case c = example();
  c.demand.ram = Budget{MiB(100), std::nullopt};
  EXPECT_FALSE(verify(c.machine, c.demand, c.plan));
  c = example();
  c.machine.devices[1].free = GiB(1);
  EXPECT_FALSE(verify(c.machine, c.demand, c.plan));
  c = example();
  c.machine.memory.cgroup_limit = GiB(1);
  EXPECT_FALSE(verify(c.machine, c.demand, c.plan));
}

}  // namespace
}  // namespace gantry

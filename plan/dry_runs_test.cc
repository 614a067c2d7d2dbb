// The engine's word in the planner: taken where it was given, and nowhere else.
#include "plan/dry_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "plan/example.h"
#include "plan/levers.h"
#include "plan/need.h"

namespace gantry {
namespace {

Plan sound_plan(const Machine& machine, const Demand& demand) {
  const Result<Plan> made = plan(machine, demand);
  EXPECT_TRUE(made) << made.error().message;
  const Result<void> sound = verify(machine, demand, *made);
  EXPECT_TRUE(sound) << sound.error().message;
  return *made;
}

// As the formulas say, and `more` of compute on the first device.
DryRun said(const Wish& wish, const Placement& placement, Bytes more) {
  DryRun run = dry_run_for(wish, placement.splits);
  run.needs = placement.needs;
  for (Need& need : run.needs) need.overhead = {};
  run.needs.front().compute += more;
  run.excess = more;
  return run;
}

Demand demand_for(uint32_t layers) {
  Demand demand;
  demand.wishes = {wish_for("m", llama_card({1024, layers, 8, 8, 4096, 1000, 4096}))};
  demand.wishes[0].stream.streaming = Streaming::kNever;
  return demand;
}

TEST(DryRuns, TheEnginesBytesStandInThePlan) {
  const Machine machine = machine_with(GiB(8), {GiB(4)});
  Demand demand = demand_for(6);
  const Plan before = sound_plan(machine, demand);
  demand.wishes[0].dry_runs = {said(demand.wishes[0], before.models[0], MiB(7))};
  const Plan after = sound_plan(machine, demand);
  const Placement& model = after.models[0];
  EXPECT_EQ(model.layers.resident, before.models[0].layers.resident);
  EXPECT_EQ(model.needs[0].total(), before.models[0].needs[0].total() + MiB(7));
  EXPECT_EQ(model.needs[0].overhead, before.models[0].needs[0].overhead);
  EXPECT_EQ(after.devices[0].peak, before.devices[0].peak + MiB(7));
  EXPECT_EQ(model.formula[0].total(), before.models[0].needs[0].total());
  const nlohmann::json json = plan_json(after)["models"][0];
  EXPECT_EQ(json["bytes"], "engine");
  EXPECT_EQ(json["differs_bytes"], int64_t{7} << 20);
  EXPECT_THAT(plan_text(after), testing::HasSubstr("bytes: engine, 7.0 MiB more than by formula"));
  EXPECT_EQ(plan_json(before)["models"][0]["bytes"], "formula");
}

TEST(DryRuns, WhatTheEngineNeedsMoreLeavesFewerLayers) {
  Machine machine = machine_with(GiB(8), {GiB(4)});
  Demand demand = demand_for(24);
  const Plan whole = sound_plan(machine, demand);
  ASSERT_EQ(whole.models[0].layers.resident, 24U);
  // By the formulas it fits to the byte.
  machine.devices[1].total = machine.devices[1].free = whole.models[0].on("gpu0");
  const Plan exact = sound_plan(machine, demand);
  ASSERT_EQ(exact.models[0].layers.resident, 24U);
  demand.wishes[0].dry_runs = {said(demand.wishes[0], exact.models[0], MiB(1))};
  const Plan after = sound_plan(machine, demand);
  EXPECT_TRUE(after.fits);
  EXPECT_LT(after.models[0].layers.resident, 24U);
  EXPECT_TRUE(after.models[0].formula.empty());
  // What the engine was not asked of has what the formula was seen to lack.
  const auto by_formula = needs_of(demand.wishes[0], after.models[0].splits, {});
  EXPECT_EQ(after.models[0].needs[0].compute, by_formula[0].compute + MiB(1));
}

TEST(DryRuns, OtherSettingsAndOtherFilesAreOtherRuns) {
  Wish wish = demand_for(4).wishes[0];
  const std::vector<Split> splits = {{"gpu0", 4}};
  wish.levers.caches = {CacheType::kQ8_0};
  wish.dry_runs = {dry_run_for(wish, splits)};
  EXPECT_EQ(dry_run_of(wish, splits), &wish.dry_runs[0]);
  EXPECT_EQ(dry_run_of(wish, {{"gpu0", 3}}), nullptr);
  EXPECT_EQ(dry_run_of(wish, {{"gpu1", 4}}), nullptr);
  EXPECT_EQ(dry_run_of(wish, {}), nullptr);
  const auto changed = [&](auto change) {
    Wish other = wish;
    change(other);
    return dry_run_of(other, splits);
  };
  EXPECT_EQ(changed([](Wish& w) { w.context = 2048; }), nullptr);
  EXPECT_EQ(changed([](Wish& w) { w.parallel = 2; }), nullptr);
  EXPECT_EQ(changed([](Wish& w) { w.ubatch = 64; }), nullptr);
  EXPECT_EQ(changed([](Wish& w) { w.cache_k = CacheType::kQ8_0; }), nullptr);
  EXPECT_EQ(changed([](Wish& w) { w.cache_v = CacheType::kQ8_0; }), nullptr);
  EXPECT_EQ(changed([](Wish& w) { w.encoder_on_cpu = true; }), nullptr);
  wish.alternatives = {{"other.gguf", *wish.card, {}}};
  for (const Setting& setting : settings_of(wish, true)) {
    EXPECT_EQ(setting.wish.dry_runs.empty(), setting.alternative == "other.gguf");
  }
}

TEST(DryRuns, APlanThatDoesNotSayWhatTheEngineSaidIsRefused) {
  const Machine machine = machine_with(GiB(8), {GiB(4)});
  Demand demand = demand_for(6);
  const Plan formula = sound_plan(machine, demand);
  demand.wishes[0].dry_runs = {said(demand.wishes[0], formula.models[0], MiB(7))};
  EXPECT_FALSE(verify(machine, demand, formula));
  Plan engine = sound_plan(machine, demand);
  Demand unasked = demand;
  unasked.wishes[0].dry_runs.clear();
  EXPECT_FALSE(verify(machine, unasked, engine));
  demand.wishes[0].dry_runs[0].needs[0].kv += Bytes{1};
  EXPECT_FALSE(verify(machine, demand, engine));
}

// Whatever an engine says: a sound plan that is within the budgets, or none that fits.
TEST(DryRuns, AnyAnswerGivesASoundPlan) {
  const uint64_t seed = 77;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  size_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    const Machine machine = random_machine(rng);
    Demand demand = random_demand(rng);
    const Result<Plan> first = plan_once(machine, demand);
    if (!first) continue;
    for (size_t k = 0; k < demand.wishes.size(); ++k) {
      Wish& wish = demand.wishes[k];
      const Placement& placement = first->models[k];
      if (!wish.card || wish.engine != EngineKind::kLlama || placement.stream) continue;
      DryRun run = dry_run_for(wish, placement.splits);
      for (const Need& need : placement.needs) {
        run.needs.push_back({need.device, Bytes{rng.below(GiB(4).n)}, Bytes{rng.below(GiB(1).n)},
                             Bytes{rng.below(GiB(1).n)}, {}});
        run.excess = std::max(run.excess,
                              run.needs.back().total() + need.overhead - need.total());
      }
      wish.dry_runs.push_back(run);
    }
    const Result<Plan> after = plan_once(machine, demand);
    ASSERT_TRUE(after) << after.error().message;
    const Result<void> sound = verify(machine, demand, *after);
    EXPECT_TRUE(sound) << sound.error().message;
    for (const Placement& model : after->models) taken += !model.formula.empty();
  }
  EXPECT_GT(taken, 20U);
}

}  // namespace
}  // namespace gantry

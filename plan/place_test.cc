// Tests of budgets and of where one model goes.
#include "plan/place.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "plan/example.h"
#include "plan/need.h"

namespace gantry {
namespace {

Placement place_on(const Machine& machine, const Wish& wish) {
  Demand demand;
  demand.wishes = {wish};
  const auto made = plan_once(machine, demand);
  EXPECT_TRUE(made) << made.error().message;
  if (!made) return {};
  const auto sound = verify(machine, demand, *made);
  EXPECT_TRUE(sound) << sound.error().message;
  return made->models[0];
}

TEST(Rooms, BudgetsOfAMachine) {
  Machine machine = machine_with(GiB(10), {GiB(8)});
  machine.devices[1].free = GiB(7);
  Demand demand;
  auto rooms = rooms_of(machine, demand);
  ASSERT_TRUE(rooms);
  EXPECT_EQ(budget_of(*rooms, "gpu0"), GiB(7));
  EXPECT_EQ(budget_of(*rooms, kHost), GiB(8));  // 80 %
  demand.ram = Budget{GiB(2), std::nullopt};
  demand.vram = Budget{std::nullopt, 0.5};
  rooms = rooms_of(machine, demand);
  EXPECT_EQ(budget_of(*rooms, "gpu0"), GiB(4));
  EXPECT_EQ(budget_of(*rooms, kHost), GiB(2));
  EXPECT_EQ(budget_of(*rooms, "gpu9"), Bytes{0});
  EXPECT_TRUE((*rooms)[0].note.empty());
}

TEST(Rooms, BeyondTheMachineIsCutWithANote) {
  Machine machine = machine_with(GiB(10), {GiB(8)});
  machine.memory.cgroup_limit = GiB(4);
  machine.memory.cgroup_used = GiB(1);
  Demand demand;
  demand.ram = Budget{GiB(100), std::nullopt};
  const auto rooms = rooms_of(machine, demand);
  ASSERT_TRUE(rooms);
  EXPECT_EQ(rooms->back().budget, GiB(3));
  EXPECT_EQ(rooms->back().note,
            "the budget of 100.0 GiB on cpu is more than the 3.0 GiB to be had there now");
}

TEST(Rooms, ZeroIsRefused) {
  for (const Budget& zero : {Budget{Bytes{0}, std::nullopt}, Budget{std::nullopt, 0.0},
                             Budget{std::nullopt, -1.0}, Budget{}}) {
    Demand demand;
    demand.ram = zero;
    EXPECT_EQ(rooms_of(machine_with(GiB(1)), demand).error().code, Code::kUsage);
    demand.ram.reset();
    demand.vram = zero;
    EXPECT_EQ(rooms_of(machine_with(GiB(1)), demand).error().code, Code::kUsage);
  }
}

TEST(Place, OnTheCpuWhereThereIsNothingElse) {
  const Placement placement = place_on(machine_with(GiB(64)), wish_for("m", llama_card(kSevenB)));
  EXPECT_TRUE(placement.fits_alone);
  EXPECT_EQ(placement.layers.cpu, 32U);
  EXPECT_EQ(placement.layers.gpu_layers_flag(), 0U);
  EXPECT_EQ(placement.why, "all 32 layers on the CPU: there is no accelerator");
  EXPECT_EQ(placement.context, 4096U);
}

TEST(Place, WhollyOrPartlyOnAnAccelerator) {
  const Wish wish = wish_for("m", llama_card(kSevenB));
  const Placement whole = place_on(machine_with(GiB(64), {GiB(8), GiB(24)}), wish);
  EXPECT_EQ(whole.layers.resident, 32U);
  EXPECT_EQ(whole.layers.gpu_layers_flag(), 33U);
  EXPECT_EQ(whole.needs[0].device, "gpu1");
  EXPECT_EQ(whole.why, "all 32 layers on gpu1");
  const Machine small = machine_with(GiB(64), {GiB(8)});
  const Placement part = place_on(small, wish);
  EXPECT_GT(part.layers.resident, 5U);
  EXPECT_LT(part.layers.resident, 32U);
  EXPECT_EQ(part.layers.resident + part.layers.cpu, 32U);
  EXPECT_LE(part.on("gpu0"), GiB(8));
  // One layer more would not have fitted.
  EXPECT_GT(needs_of(wish, "gpu0", part.layers.resident + 1, {})[0].total(), GiB(8));
}

TEST(Place, WhisperIsNeverCut) {
  const Wish wish = wish_for("w", whisper_card());
  EXPECT_EQ(place_on(machine_with(GiB(8), {GiB(1)}), wish).layers.resident, 8U);
  EXPECT_EQ(place_on(machine_with(GiB(8), {MiB(305)}), wish).layers.resident, 0U);
}

TEST(Place, WhatIsMissingIsNamed) {
  const Placement placement = place_on(machine_with(GiB(1)), wish_for("m", llama_card(kSevenB)));
  EXPECT_FALSE(placement.fits_alone);
  EXPECT_TRUE(placement.why.starts_with("does not fit: needs ")) << placement.why;
  EXPECT_NE(placement.why.find("of the 819.2 MiB on cpu"), std::string::npos) << placement.why;
}

TEST(Place, ContextBeyondTrainingIsSaid) {
  Wish wish = wish_for("m", llama_card(kMicro));
  wish.context = 9000;
  const Placement placement = place_on(machine_with(GiB(1)), wish);
  EXPECT_EQ(placement.context, 1024U);
  EXPECT_NE(placement.why.find("context cut to the 1024 tokens"), std::string::npos);
}

TEST(Place, SpeedFromMeasuredBandwidthOnly) {
  Machine machine = machine_with(GiB(64), {GiB(8)});
  const Wish wish = wish_for("m", llama_card(kSevenB));
  EXPECT_EQ(place_on(machine, wish).speed.decode, std::nullopt);
  machine.devices[0].bandwidth.memory_bytes_per_s = 5e10;
  EXPECT_EQ(place_on(machine, wish).speed.decode, std::nullopt);
  machine.devices[1].bandwidth.memory_bytes_per_s = 5e11;
  const auto split = place_on(machine, wish).speed.decode;
  ASSERT_TRUE(split);
  machine.devices.pop_back();
  const auto cpu = place_on(machine, wish).speed.decode;
  ASSERT_TRUE(cpu);
  // The cache is filled to the middle of one use, not to half of the context.
  EXPECT_NEAR(*cpu, 5e10 / touched_per_token(wish, 0).host, 0.02 * *cpu);
  machine.devices[0].bandwidth.memory_bytes_per_s = 1e11;
  EXPECT_NEAR(*place_on(machine, wish).speed.decode, 2 * *cpu, 1e-9);
  EXPECT_GT(*split, *cpu);
}

TEST(CheckDemand, WhatCannotBePlanned) {
  const Wish good = wish_for("m", llama_card(kMicro));
  const auto code_of = [&](auto change) {
    Demand demand;
    demand.wishes = {good};
    change(&demand);
    const auto checked = check_demand(machine_with(GiB(8)), demand);
    return checked ? Code::kInternal : checked.error().code;
  };
  EXPECT_EQ(code_of([](Demand*) {}), Code::kInternal);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes.clear(); }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].name.clear(); }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].card.reset(); }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].parallel = 0; }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].parallel = kSequencesMax; }), Code::kInternal);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].parallel = kSequencesMax + 1; }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].ubatch = 0; }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].ubatch = kUbatchMax + 1; }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].context = kContextMax + 1; }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes.push_back(d->wishes[0]); }), Code::kUsage);
  EXPECT_EQ(code_of([](Demand* d) { d->wishes[0].draft = d->wishes[0].card; }), Code::kInternal);
  EXPECT_EQ(code_of([](Demand* d) {
              d->wishes[0].draft = d->wishes[0].card;
              d->wishes[0].card->state_bytes = MiB(1);
            }),
            Code::kUnsupported);
  EXPECT_EQ(code_of([](Demand* d) {
              d->wishes[0].card->kv[0].k_head = 33;
              d->wishes[0].card->kv[0].k_width = 33;
              d->wishes[0].cache_k = CacheType::kQ8_0;
            }),
            Code::kUnsupported);
}

TEST(CheckDemand, ModelsAtTheLimitAndOneOver) {
  Demand demand;
  for (uint32_t i = 0; i < kModelsMax; ++i) {
    Wish wish;
    wish.engine = EngineKind::kMedia;
    wish.name = "m" + std::to_string(i);
    demand.wishes.push_back(wish);
  }
  EXPECT_TRUE(check_demand(machine_with(GiB(8)), demand));
  demand.wishes.push_back(demand.wishes[0]);
  demand.wishes.back().name = "one more";
  EXPECT_EQ(check_demand(machine_with(GiB(8)), demand).error().code, Code::kUsage);
}

}  // namespace
}  // namespace gantry

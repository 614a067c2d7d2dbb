// Rounds of choosing and asking, on machines with cards.
#include "foreman/engine_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/example.h"
#include "plan/place.h"

namespace gantry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class EnginePlan : public testing::Test {
 protected:
  EnginePlan() {
    demand_.wishes = {wish_for("m", llama_card({1024, 24, 8, 8, 4096, 1000, 4096}))};
    demand_.wishes[0].stream.streaming = Streaming::kNever;
  }
  // Says what the formula says, and `more_` of compute on each accelerator.
  Result<std::vector<Need>> answer(const Wish&, const Placement& placement) {
    asked_.push_back(placement.splits.empty() ? 0 : placement.splits.front().layers);
    if (failure_) return fail(*failure_);
    std::vector<Need> needs = placement.needs;
    for (Need& need : needs) {
      need.overhead = {};
      if (need.device != "cpu") need.compute += more_;
    }
    return needs;
  }
  Plan made() {
    const Result<Plan> plan = plan_asking(
        machine_,
        [this](const Wish& wish, const Placement& placement) { return answer(wish, placement); },
        &demand_);
    EXPECT_TRUE(plan) << plan.error().message;
    const Result<void> sound = verify(machine_, demand_, *plan);
    EXPECT_TRUE(sound) << sound.error().message;
    return *plan;
  }
  void leave(Bytes bytes) { machine_.devices[1].total = machine_.devices[1].free = bytes; }

  Machine machine_ = machine_with(GiB(8), {GiB(4)});
  Demand demand_;
  Bytes more_ = MiB(5);
  std::optional<Error> failure_;
  std::vector<uint32_t> asked_;
};

TEST_F(EnginePlan, AskedOnceWhereItFits) {
  const Plan plan = made();
  EXPECT_THAT(asked_, ElementsAre(24));
  EXPECT_EQ(plan.models[0].needs[0].total(), plan.models[0].formula[0].total() + MiB(5));
  EXPECT_TRUE(plan.notes.empty());
}

TEST_F(EnginePlan, ChosenAgainWhereItDoesNotFit) {
  leave(plan_once(machine_, demand_)->models[0].on("gpu0"));  // to the byte, by formula
  const Plan plan = made();
  EXPECT_TRUE(plan.fits);
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_EQ(asked_[0], 24U);
  EXPECT_LT(asked_[1], 24U);
  EXPECT_EQ(plan.models[0].layers.resident, asked_[1]);
  EXPECT_FALSE(plan.models[0].formula.empty());
}

TEST_F(EnginePlan, TheCpuWhereTheEngineLeavesNoRoomForALayer) {
  more_ = GiB(5);
  const Plan plan = made();
  EXPECT_TRUE(plan.fits);
  EXPECT_THAT(asked_, ElementsAre(24, 0));  // what it lacked is known of all other ways
  EXPECT_EQ(plan.models[0].layers.resident, 0U);
}

TEST_F(EnginePlan, RefusedWithFixesWhereTheEngineLeavesNothing) {
  demand_.wishes[0].device = "gpu0";
  demand_.wishes[0].levers.cpu = false;
  leave(plan_once(machine_, demand_)->models[0].on("gpu0") + MiB(4));
  const Plan plan = made();
  EXPECT_FALSE(plan.fits);
  EXPECT_FALSE(plan.models[0].formula.empty());
  EXPECT_EQ(plan.devices[0].peak - plan.devices[0].budget, MiB(1));
  EXPECT_FALSE(plan.fixes.empty());
}

TEST_F(EnginePlan, WhatTheFormulaRefusesTheEngineMayAllow) {
  demand_.wishes[0].device = "gpu0";
  demand_.wishes[0].levers.cpu = false;
  leave(plan_once(machine_, demand_)->models[0].on("gpu0") - MiB(1));
  ASSERT_FALSE(plan_once(machine_, demand_)->fits);
  const Plan plan = [&] {
    const Result<Plan> asked = plan_asking(
        machine_,
        [](const Wish&, const Placement& placement) -> Result<std::vector<Need>> {
          std::vector<Need> needs = placement.needs;
          for (Need& need : needs) need.overhead = {};
          needs[0].compute -= MiB(2);
          return needs;
        },
        &demand_);
    return *asked;
  }();
  EXPECT_TRUE(plan.fits);
}

TEST_F(EnginePlan, NeverMoreThanItsRounds) {
  // Every answer is more than what was left for it.
  int asked = 0;
  leave(MiB(900));
  const Result<Plan> plan = plan_asking(
      machine_,
      [&](const Wish&, const Placement& placement) -> Result<std::vector<Need>> {
        ++asked;
        std::vector<Need> needs = placement.needs;
        for (Need& need : needs) need.overhead = {};
        if (needs.size() > 1) needs[0].compute += MiB(30 * static_cast<uint64_t>(asked * asked));
        return needs;
      },
      &demand_);
  ASSERT_TRUE(plan);
  EXPECT_LE(asked, kAskRounds);
  EXPECT_GE(asked, 2);
  EXPECT_TRUE(verify(machine_, demand_, *plan));
  EXPECT_TRUE(plan->fits);
}

TEST_F(EnginePlan, AnEngineThatFailsLeavesTheFormulaAndANote) {
  const Result<Plan> formula = plan(machine_, demand_);
  failure_ = Error{Code::kTimeout, "the engine did not say within 20 s"};
  const Plan plan = made();
  EXPECT_EQ(asked_.size(), 1U);
  EXPECT_EQ(plan.models[0].on("gpu0"), formula->models[0].on("gpu0"));
  EXPECT_THAT(plan.notes, ElementsAre("bytes of m by formula: the engine did not say within 20 s"));
  failure_ = Error{Code::kUnsupported, "of the catalogue"};
  EXPECT_TRUE(made().notes.empty());
}

TEST_F(EnginePlan, WhatStreamsIsTheStreamersAccount) {
  demand_.wishes[0].stream = {Streaming::kAlways, 4};
  const Plan plan = made();
  ASSERT_TRUE(plan.models[0].stream);
  EXPECT_TRUE(asked_.empty());
  EXPECT_THAT(plan.notes, ElementsAre("bytes of m by formula: it streams"));
}

TEST_F(EnginePlan, TheWordOnAnAlternativeStaysWithIt) {
  Wish& wish = demand_.wishes[0];
  wish.alternatives = {{"small.gguf", llama_card({256, 4, 4, 4, 512, 1000, 4096}), {}}};
  wish.shortage = {Shortage::kShrink};
  wish.levers.cpu = false;
  leave(MiB(400));
  const Plan plan = made();
  EXPECT_EQ(plan.models[0].alternative, "small.gguf");
  EXPECT_FALSE(plan.models[0].formula.empty());
  EXPECT_EQ(wish.alternatives[0].dry_runs.size(), 1U);
  EXPECT_TRUE(wish.dry_runs.empty());
}

}  // namespace
}  // namespace gantry

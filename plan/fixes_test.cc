// Tests that fixes are enough, small and in order.
#include "plan/fixes.h"

#include <gtest/gtest.h>

#include "plan/example.h"
#include "plan/need.h"
#include "plan/place.h"

namespace gantry {
namespace {

Plan planned(const Machine& machine, const Demand& demand) {
  const auto made = plan(machine, demand);
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : Plan();
}

const Fix* fix_like(const Plan& plan, const std::string& start) {
  for (const Fix& fix : plan.fixes) {
    if (fix.change.starts_with(start)) return &fix;
  }
  return nullptr;
}

// A context of 32768 that is 1 GiB too large for the budget.
class TooLong : public testing::Test {
 protected:
  TooLong() {
    Wish wish = wish_for("m", llama_card(kSevenB));
    wish.context = 32768;
    wish.flash_attention = true;
    wish.stream.streaming = Streaming::kNever;
    demand.wishes = {wish};
    need = needs_of(wish, "", 0, {})[0].total();
    demand.ram = Budget{need - GiB(1), std::nullopt};
  }
  Demand demand;
  Bytes need;
  Machine machine = machine_with(GiB(64));
};

TEST_F(TooLong, EachFixIsEnough) {
  const Plan plan = planned(machine, demand);
  EXPECT_FALSE(plan.fits);
  const Fix* context = fix_like(plan, "-c ");
  ASSERT_NE(context, nullptr);
  Demand shorter = demand;
  shorter.wishes[0].context = static_cast<uint32_t>(std::stoul(context->change.substr(3)));
  EXPECT_TRUE(planned(machine, shorter).fits);
  shorter.wishes[0].context += 256;  // the largest that is enough
  EXPECT_FALSE(planned(machine, shorter).fits);
  EXPECT_GE(context->saves, GiB(1));
  EXPECT_LT(context->saves, GiB(1) + MiB(64));
  ASSERT_NE(fix_like(plan, "-ctk q8_0 -ctv q8_0"), nullptr);
  ASSERT_NE(fix_like(plan, "-ctk q4_0 -ctv q4_0"), nullptr);
  const Fix* budget = fix_like(plan, "--ram-budget ");
  ASSERT_NE(budget, nullptr);
  const std::string mebibytes = std::to_string((need.n + MiB(1).n - 1) / MiB(1).n);
  EXPECT_EQ(budget->change, "--ram-budget " + mebibytes + "MiB");
}

TEST_F(TooLong, SmallestFirst) {
  const Plan plan = planned(machine, demand);
  ASSERT_GE(plan.fixes.size(), 3U);
  for (size_t i = 1; i < plan.fixes.size(); ++i) {
    EXPECT_LE(plan.fixes[i - 1].saves, plan.fixes[i].saves);
  }
}

TEST_F(TooLong, NoBudgetBeyondTheMachine) {
  machine = machine_with(need - GiB(1));
  const Plan plan = planned(machine, demand);
  EXPECT_FALSE(plan.fits);
  EXPECT_EQ(fix_like(plan, "--ram-budget "), nullptr);
  EXPECT_NE(fix_like(plan, "-c "), nullptr);
}

TEST_F(TooLong, SeveralSequencesMayBecomeOne) {
  demand.wishes[0].parallel = 2;
  const Plan plan = planned(machine, demand);
  EXPECT_EQ(fix_like(plan, "--parallel 1"), nullptr);  // would still lack a GiB
  demand.ram = Budget{need, std::nullopt};
  EXPECT_NE(fix_like(planned(machine, demand), "--parallel 1"), nullptr);
}

TEST(Fixes, ContextTogetherWithCachesWhereOneIsNotEnough) {
  Wish wish = wish_for("m", llama_card(kSevenB));
  wish.context = 32768;
  wish.parallel = 4;
  wish.flash_attention = true;
  wish.stream.streaming = Streaming::kNever;
  Demand demand;
  demand.wishes = {wish};
  Wish least = wish;
  least.context = 512;
  demand.ram = Budget{needs_of(least, "", 0, {})[0].total() - MiB(60), std::nullopt};
  const Plan plan = planned(machine_with(GiB(64)), demand);
  EXPECT_EQ(fix_like(plan, "-ctk"), nullptr);
  const Fix* both = fix_like(plan, "-c ");
  ASSERT_NE(both, nullptr);
  EXPECT_NE(both->change.find("-ctk q8_0 -ctv q8_0"), std::string::npos) << both->change;
}

TEST(Fixes, StreamingIsEnoughWhereWeightsAloneAreTooMuch) {
  Demand demand;
  demand.wishes = {wish_for("m", llama_card(kSevenB))};
  EXPECT_TRUE(planned(machine_with(GiB(2)), demand).fits);  // streamed
  demand.wishes[0].stream.streaming = Streaming::kNever;
  const Plan plan = planned(machine_with(GiB(2)), demand);
  EXPECT_FALSE(plan.fits);
  ASSERT_EQ(plan.fixes.size(), 1U);
  EXPECT_EQ(plan.fixes[0].change, "m streamed (no --no-stream)");
  demand.ram = Budget{MiB(100), std::nullopt};  // not even that
  EXPECT_EQ(fix_like(planned(machine_with(MiB(200)), demand), "m streamed"), nullptr);
}

TEST(Fixes, AWordThatIsNotOnTheList) {
  Demand demand;
  demand.wishes = {wish_for("m", llama_card(kSevenB))};
  demand.wishes[0].stream.streaming = Streaming::kNever;
  demand.wishes[0].shortage = {Shortage::kRefuse};
  const Plan plan = planned(machine_with(GiB(64), {GiB(8)}), demand);
  EXPECT_FALSE(plan.fits);
  EXPECT_NE(fix_like(plan, "layers of m on the CPU (--shortage cpu)"), nullptr);
}

TEST(Fixes, TheLeastBudgetIsThatOfStreaming) {
  Demand demand;
  demand.wishes = {wish_for("m", llama_card(kSevenB))};
  demand.ram = Budget{MiB(800), std::nullopt};
  const Plan plan = planned(machine_with(GiB(64)), demand);
  EXPECT_FALSE(plan.fits);
  const Fix* budget = fix_like(plan, "--ram-budget ");
  ASSERT_NE(budget, nullptr);
  const uint64_t mebibytes = std::stoull(budget->change.substr(13));
  demand.ram = Budget{MiB(mebibytes), std::nullopt};
  EXPECT_TRUE(planned(machine_with(GiB(64)), demand).fits);
  demand.ram = Budget{MiB(mebibytes - 1), std::nullopt};
  EXPECT_FALSE(planned(machine_with(GiB(64)), demand).fits);
  EXPECT_LT(mebibytes, 4096U);
}

TEST(Fixes, EveryFixOfRandomDemandsIsEnough) {
  const uint64_t seed = 20260711;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  size_t seen = 0;
  for (int i = 0; i < 400; ++i) {
    const Machine machine = random_machine(rng);
    const Demand demand = random_demand(rng);
    const auto made = plan(machine, demand);
    if (!made || made->fits) continue;
    for (const Fix& fix : made->fixes) {
      if (!fix.change.starts_with("-c ") || fix.change.find(' ', 3) != std::string::npos) continue;
      Demand changed = demand;
      const auto context = static_cast<uint32_t>(std::stoul(fix.change.substr(3)));
      for (Wish& wish : changed.wishes) {
        if (wish.engine != EngineKind::kLlama) continue;
        wish.context = std::min(context_of(wish), context);
      }
      EXPECT_TRUE(planned(machine, changed).fits) << i << " " << fix.change;
      ++seen;
    }
  }
  EXPECT_GT(seen, 5U);
}

}  // namespace
}  // namespace gantry

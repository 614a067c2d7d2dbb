// What is said of the ways that were not taken is true.
#include "plan/explain.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "plan/example.h"

namespace gantry {
namespace {

struct Told {
  Plan plan;
  std::vector<Explanation> reasons;
};

Told told(const Machine& machine, const Demand& demand) {
  Told out;
  out.plan = plan(machine, demand).value();
  out.reasons = explain(machine, demand, out.plan).value();
  return out;
}

Demand seven() {
  Demand demand;
  demand.wishes = {wish_for("m", llama_card(kSevenB))};
  demand.wishes[0].stream.streaming = Streaming::kNever;
  return demand;
}

TEST(Explain, OneWayIsTakenAndTheOthersSayWhyNot) {
  const Told all = told(machine_with(GiB(64), {GiB(8), GiB(24)}), seven());
  ASSERT_EQ(all.reasons.size(), 1U);
  size_t taken = 0;
  for (const Considered& way : all.reasons[0].considered) {
    taken += way.why_not.empty() ? 1 : 0;
    EXPECT_FALSE(way.what.empty());
    EXPECT_EQ(way.why_not.empty(), way.kind == "gpu1") << way.kind;
    const bool lacks = way.why_not.find("more on gpu0") != std::string::npos;
    EXPECT_EQ(lacks, way.kind == "gpu0") << way.kind << ": " << way.why_not;
  }
  EXPECT_EQ(taken, 1U);
  EXPECT_FALSE(all.reasons[0].better);  // nothing is faster than all on the card
  ASSERT_TRUE(all.reasons[0].cheaper);
  EXPECT_NE(all.reasons[0].cheaper->why_not.find("less on gpu1"), std::string::npos);
}

TEST(Explain, TheNextBetterIsEnoughWithThatMuchMore) {
  Demand demand = seven();
  Machine machine = machine_with(GiB(64), {GiB(8)});
  const Told now = told(machine, demand);
  ASSERT_TRUE(now.reasons[0].better);
  const Considered& better = *now.reasons[0].better;
  for (const Need& need : better.needs) {
    if (need.device == "gpu0") machine.devices[1].total = machine.devices[1].free = need.total();
  }
  const Told then = told(machine, demand);
  EXPECT_GT(then.plan.models[0].layers.resident, now.plan.models[0].layers.resident);
}

TEST(Explain, WordsAndJson) {
  Demand demand = seven();
  demand.wishes.push_back(wish_for("ear", whisper_card()));
  const Told all = told(machine_with(GiB(64), {GiB(8)}), demand);
  const std::string why = why_text(demand, all.reasons);
  EXPECT_NE(why.find("m: what was considered"), std::string::npos);
  EXPECT_NE(why.find("s a use  taken"), std::string::npos) << why;
  EXPECT_NE(next_text(all.reasons).find("m, next faster with "), std::string::npos);
  const nlohmann::json json = explanation_json(all.reasons[0]);
  EXPECT_FALSE(json["considered"].empty());
  EXPECT_TRUE(json["better"].is_object());
}

TEST(Explain, OfWhatDoesNotFit) {
  const Told all = told(machine_with(GiB(2)), seven());
  EXPECT_FALSE(all.plan.fits);
  for (const Considered& way : all.reasons[0].considered) {
    EXPECT_TRUE(way.why_not.starts_with("needs ")) << way.why_not;
  }
  EXPECT_FALSE(all.reasons[0].better);
}

}  // namespace
}  // namespace gantry

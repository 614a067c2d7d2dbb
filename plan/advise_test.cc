// Every answer holds when planned again, and the ones that people expect are among them.
#include "plan/advise.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "audit/catalogue.h"
#include "plan/catalogue.h"
#include "plan/example.h"

namespace gantry {
namespace {

Demand demand_of(const std::vector<std::string>& names, uint32_t context = 0) {
  Demand demand;
  for (const std::string& name : names) {
    demand.wishes.push_back(catalogue_wish(name).value());
    demand.wishes.back().context = context;
  }
  return demand;
}

Advice advice_for(const char* machine, const Demand& demand) {
  Result<Advice> advice = advise(*catalogue_machine(machine), demand);
  EXPECT_TRUE(advice) << advice.error().message;
  return advice.value_or(Advice{});
}

const Answer* find(const Advice& advice, AnswerKind kind, std::string_view part = "") {
  const auto found = std::ranges::find_if(advice.answers, [&](const Answer& answer) {
    return answer.kind == kind && answer.change.find(part) != std::string::npos;
  });
  return found == advice.answers.end() ? nullptr : &*found;
}

TEST(Advise, SaysWhenNothingNeedsToChange) {
  const Advice advice = advice_for("rtx3090-24g", demand_of({"llama3:8b", "whisper:large-v3"}));
  ASSERT_EQ(advice.answers.size(), 1U);
  EXPECT_EQ(advice.answers.front().kind, AnswerKind::kWhole);
  EXPECT_TRUE(advice.answers.front().plan.together);
}

TEST(Advise, ThisCardSufficesWithWhisperOnTheCpu) {
  const Advice advice =
      advice_for("rtx3060-12g", demand_of({"llama3:8b@Q8_0", "whisper:large-v3", "xtts:v2"}));
  EXPECT_FALSE(advice.wished.together);
  const Answer* answer = find(advice, AnswerKind::kPlace, "whisper:large-v3 on the CPU");
  ASSERT_NE(answer, nullptr);
  EXPECT_GT(answer->plan.models[1].on("cpu"), GiB(3));
  EXPECT_EQ(answer->plan.models[1].on("gpu0"), Bytes{});
  EXPECT_EQ(answer->plan.models[0].layers.resident, 32U);
}

TEST(Advise, NamesTheLargestSmallerQuantisationThatIsEnough) {
  const Demand wished = demand_of({"llama3:8b@F16"}, 8192);
  const Advice advice = advice_for("rtx4060-8g", wished);
  const Answer* answer = find(advice, AnswerKind::kQuantisation);
  ASSERT_NE(answer, nullptr);
  size_t larger = 0;
  for (const std::string& name : smaller_quantisations("llama3:8b@F16")) {
    if (answer->change.starts_with(name)) break;
    ++larger;
    Demand whole = demand_of({name}, 8192);
    whole.wishes[0].levers.cpu = false;
    whole.wishes[0].stream.streaming = Streaming::kNever;
    EXPECT_FALSE(plan(*catalogue_machine("rtx4060-8g"), whole)->together) << name;
  }
  EXPECT_GE(larger, 1U);  // 8.5 GB in Q8_0 at least
}

TEST(Advise, NamesTheSmallestCardThatHoldsAll) {
  const Advice advice = advice_for("rtx3060-12g", demand_of({"qwen2.5:32b"}));
  const Answer* answer = find(advice, AnswerKind::kCard);
  ASSERT_NE(answer, nullptr);
  const std::vector<CatalogueMachine> cards = catalogue_machines();
  const auto row = std::ranges::find(cards, answer->machine, &CatalogueMachine::id);
  ASSERT_NE(row, cards.end());
  EXPECT_EQ(row->accelerator_memory, GiB(24));
  EXPECT_EQ(advice.answers.back().kind, AnswerKind::kCard);
}

TEST(Advise, EveryAnswerHoldsWhenPlannedAgain) {
  const std::vector<std::vector<std::string>> households = {
      {"llama3:8b", "whisper:large-v3", "xtts:v2"},
      {"qwen3-vl:8b", "qwen2.5:7b"},
      {"llama3:70b"},
      {"mixtral:8x7b", "bge:m3"},
      {"gemma3:27b", "whisper:small"},
  };
  size_t answers = 0;
  for (const char* id : {"laptop-6g", "rtx3060-12g", "rx6900xt+w5700x", "cpu-16g", "igpu"}) {
    for (const auto& names : households) {
      const Advice advice = advice_for(id, demand_of(names));
      for (const Answer& answer : advice.answers) {
        SCOPED_TRACE(std::string(id) + ": " + answer.change);
        ++answers;
        EXPECT_TRUE(answer.plan.fits);
        EXPECT_TRUE(answer.plan.together || answer.kind == AnswerKind::kTurn);
        if (answer.kind == AnswerKind::kCard) continue;  // not this machine
        const Result<Plan> again = plan(*catalogue_machine(id), answer.demand);
        ASSERT_TRUE(again);
        EXPECT_TRUE(again->fits);
        EXPECT_TRUE(verify(*catalogue_machine(id), answer.demand, answer.plan));
      }
      // Same answers come first, the quickest before the others; a card comes last.
      EXPECT_TRUE(std::ranges::is_sorted(advice.answers, {}, [](const Answer& answer) {
        return answer.kind <= AnswerKind::kTurn ? 0 : static_cast<int>(answer.kind);
      }));
    }
  }
  EXPECT_GE(answers, 50U);
}

TEST(Advise, LeavesWhatTheUserInsistsOn) {
  Demand demand = demand_of({"llama3:8b@Q8_0", "whisper:large-v3"});
  demand.wishes[1].device = "cpu";
  const Advice advice = advice_for("rtx3060-12g", demand);
  ASSERT_FALSE(advice.answers.empty());
  for (const Answer& answer : advice.answers) {
    EXPECT_EQ(answer.plan.models[1].on("gpu0"), Bytes{}) << answer.change;
  }
}

TEST(Advise, KnowsFilesOnlyAsTheyAre) {
  Demand demand;
  demand.wishes.push_back(wish_for("/models/own.gguf", llama_card(kSevenB)));
  const Advice advice = advice_for("rtx3060-12g", demand);
  EXPECT_EQ(find(advice, AnswerKind::kQuantisation), nullptr);
  EXPECT_EQ(find(advice, AnswerKind::kModel), nullptr);
  EXPECT_NE(find(advice, AnswerKind::kCard), nullptr);
}

TEST(Advise, PassesErrorsOn) {
  const Result<Advice> none = advise(*catalogue_machine("t4"), Demand{});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kUsage);
}

TEST(Advise, CountsTheSecondsOfARound) {
  Plan plan;
  Placement model;
  model.speed.prefill = 512;
  model.speed.decode = 32;
  plan.models.push_back(model);
  Demand demand = demand_of({"llama3:8b"});
  EXPECT_DOUBLE_EQ(*seconds_of(plan, demand), 1 + 8);
  plan.models[0].stays = false;
  plan.models[0].speed.load_s = 3;
  EXPECT_DOUBLE_EQ(*seconds_of(plan, demand), 12);
  demand.wishes[0].usage.share = 2;
  EXPECT_DOUBLE_EQ(*seconds_of(plan, demand), 24);
  plan.models[0].speed = {};
  EXPECT_FALSE(seconds_of(plan, demand));
}

}  // namespace
}  // namespace gantry

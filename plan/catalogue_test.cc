// Wishes from the catalogue are plans' food: each one can be planned on each recorded machine.
#include "plan/catalogue.h"

#include <gtest/gtest.h>

#include "audit/catalogue.h"
#include "plan/need.h"
#include "plan/plan.h"

namespace gantry {
namespace {

TEST(CatalogueWish, ChoosesTheEngine) {
  const auto wish = [](const char* name) { return catalogue_wish(name).value(); };
  EXPECT_EQ(wish("llama3:8b").engine, EngineKind::kLlama);
  EXPECT_EQ(wish("llama3").name, "llama3:8b@Q4_K_M");
  EXPECT_TRUE(wish("llama3:8b").flash_attention);
  EXPECT_TRUE(wish("qwen3-vl:8b").mmproj);
  EXPECT_TRUE(wish("bge:m3").embeddings);
  EXPECT_EQ(wish("whisper:large-v3").engine, EngineKind::kWhisper);
  EXPECT_EQ(layers_of(wish("whisper:large-v3")), 64U);
  EXPECT_EQ(wish("xtts:v2").engine, EngineKind::kCommand);
  EXPECT_EQ(catalogue_wish("xtts:v3").error().code, Code::kNotFound);
}

TEST(CatalogueWish, ACommandHoldsWhatItDeclaresWhereItIs) {
  const Wish xtts = catalogue_wish("xtts:v2").value();
  const std::vector<Need> card = needs_of(xtts, "gpu0", 0, GiB(16));
  ASSERT_EQ(card.size(), 2U);
  EXPECT_EQ(card[0].device, "gpu0");
  EXPECT_GT(card[0].total(), GiB(2));  // the 2 to 3 GB of the reference figures
  EXPECT_LT(card[0].total(), GiB(3));
  EXPECT_EQ(card[1].total(), GiB(2));
  const std::vector<Need> host = needs_of(xtts, "", 0, GiB(16));
  ASSERT_EQ(host.size(), 1U);
  EXPECT_EQ(host[0].total(), *xtts.declared);
}

TEST(CatalogueWish, EveryModelCanBePlannedForEveryMachine) {
  const std::vector<CatalogueMachine> machines = catalogue_machines();
  size_t index = 0, fits = 0;
  for (const CatalogueEntry& entry : catalogue_entries()) {
    Demand demand;
    demand.wishes.push_back(catalogue_wish(entry.name).value());
    const std::string id = machines[index++ * 7 % machines.size()].id;
    const Machine machine = *catalogue_machine(id);
    const Result<Plan> made = plan(machine, demand);
    ASSERT_TRUE(made) << entry.name << " on " << id << ": " << made.error().message;
    const Result<void> sound = verify(machine, demand, *made);
    EXPECT_TRUE(sound) << entry.name << " on " << id << ": " << sound.error().message;
    fits += made->fits;
  }
  EXPECT_GT(fits, index / 2);
}

}  // namespace
}  // namespace gantry

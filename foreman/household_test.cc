// Configuration in the words of a plan.
#include "foreman/household.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

Demand of(std::initializer_list<const char*> names) {
  Demand demand;
  for (const char* name : names) {
    Wish wish;
    wish.name = name;
    demand.wishes.push_back(std::move(wish));
  }
  return demand;
}

using Sets = std::vector<std::vector<std::string>>;

TEST(Groups, AsLlamaSwapMeansThem) {
  Config config;
  config.groups = {{"chat", true, false, false, {"a", "b", "not planned"}}};
  Demand demand = of({"a", "b", "c"});
  add_groups(config, &demand);
  EXPECT_EQ(demand.apart, (Sets{{"a", "b"}}));
  EXPECT_TRUE(demand.stay.empty());

  config.groups = {{"big", false, true, false, {"a", "b"}}, {"ears", false, false, true, {"c"}}};
  demand = of({"a", "b", "c", "d"});
  add_groups(config, &demand);
  EXPECT_EQ(demand.apart, (Sets{{"a", "d"}, {"b", "d"}}));  // c is persistent
  EXPECT_EQ(demand.stay, (std::vector<std::string>{"c"}));

  config.groups = {{"one at a time", true, true, true, {"a", "b"}}};
  demand = of({"a", "b", "c"});
  add_groups(config, &demand);
  EXPECT_EQ(demand.apart, (Sets{{"a", "b"}, {"a", "c"}, {"b", "c"}}));
  EXPECT_TRUE(demand.stay.empty());
}

TEST(SetDemand, WordsBecomeLevers) {
  DemandConfig config;
  config.allow = {"q8_0", "context", "encoder", "batch", "gpu-only"};
  config.shortage = {"shrink", "refuse"};
  config.latency = "batch";
  config.audio_s = 5;
  Wish wish;
  wish.context = 8192;
  ASSERT_TRUE(set_demand(config, &wish));
  EXPECT_EQ(wish.levers.caches, (std::vector<CacheType>{CacheType::kQ8_0}));
  EXPECT_EQ(wish.levers.context_least, 2048U);
  EXPECT_TRUE(wish.levers.encoder_on_cpu);
  EXPECT_TRUE(wish.levers.smaller_batch);
  EXPECT_FALSE(wish.levers.cpu);
  EXPECT_EQ(wish.latency, Latency::kBatch);
  EXPECT_EQ(wish.usage.audio_s, 5);
  EXPECT_EQ(wish.shortage, (std::vector<Shortage>{Shortage::kShrink, Shortage::kRefuse}));
  config.context_least = 1024;
  Wish again;
  ASSERT_TRUE(set_demand(config, &again));
  EXPECT_EQ(again.levers.context_least, 1024U);
  config.shortage = {"panic"};
  EXPECT_EQ(set_demand(config, &again).error().code, Code::kUsage);
}

}  // namespace
}  // namespace gantry

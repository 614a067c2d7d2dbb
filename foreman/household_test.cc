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

class KeepApart : public testing::Test {
 protected:
  KeepApart() {
    machine_.devices = {{.name = "cpu", .total = GiB(32)}, {.name = "gpu0", .total = GiB(8)},
                        {.name = "gpu1", .total = GiB(24)}};
  }
  // A model of a kind that runs on the device, with some of the host's memory.
  Loadable on(const std::string& device, const std::string& kind, const std::string& name,
              bool whole = false) {
    ModelConfig model;
    model.name = name;
    model.whole_device = whole;
    Loadable loadable;
    loadable.name = name;
    loadable.kind = kind;
    loadable.device = device;
    loadable.shares = {{"cpu", MiB(100)}};
    if (device != "cpu") loadable.shares.push_back({device, GiB(1)});
    keep_apart(config_, machine_, model, &loadable);
    return loadable;
  }
  static bool apart(const Loadable& one, const Loadable& other) {
    for (const Share& a : one.shares) {
      for (const Share& b : other.shares) {
        if (clash(a, b)) return true;
      }
    }
    return false;
  }
  Config config_;
  Machine machine_;
};

TEST_F(KeepApart, ClassesOnOneDevice) {
  config_.exclusive = {{{"vision", "language"}, std::nullopt}};
  const Loadable sees = on("gpu0", "vision", "v"), talks = on("gpu0", "language", "l");
  EXPECT_TRUE(apart(sees, talks));
  EXPECT_TRUE(apart(talks, sees));
  EXPECT_FALSE(apart(sees, on("gpu0", "vision", "w")));
  EXPECT_FALSE(apart(sees, on("gpu0", "speech", "s")));
  EXPECT_FALSE(apart(sees, on("gpu1", "language", "l")));
  EXPECT_FALSE(apart(sees, on("cpu", "language", "l")));  // the host's bytes alone are no running
  EXPECT_TRUE(apart(on("cpu", "vision", "v"), on("cpu", "language", "l")));
}

TEST_F(KeepApart, ClassesOnADeviceTooSmall) {
  config_.exclusive = {{{"vision", "l"}, GiB(16)}};
  EXPECT_TRUE(apart(on("gpu0", "vision", "v"), on("gpu0", "language", "l")));
  EXPECT_FALSE(apart(on("gpu0", "vision", "v"), on("gpu0", "language", "m")));
  EXPECT_FALSE(apart(on("gpu1", "vision", "v"), on("gpu1", "language", "l")));
}

TEST_F(KeepApart, GroupsOnAnyDevice) {
  for (const char* name : {"a", "b", "c"}) {
    config_.models.emplace_back();
    config_.models.back().name = name;
  }
  config_.groups = {{"one at a time", true, false, false, {"a", "b"}}};
  EXPECT_TRUE(apart(on("gpu0", "language", "a"), on("gpu1", "language", "b#extreme")));
  EXPECT_FALSE(apart(on("gpu0", "language", "a"), on("gpu0", "language", "c")));
}

TEST_F(KeepApart, TheWholeDevice) {
  const Loadable alone = on("gpu0", "language", "a", true);
  EXPECT_TRUE(apart(alone, on("gpu0", "speech", "s")));
  EXPECT_FALSE(apart(alone, on("gpu1", "speech", "s")));
  EXPECT_FALSE(apart(alone, on("cpu", "speech", "s")));
}

}  // namespace
}  // namespace gantry

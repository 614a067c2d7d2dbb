// Properties of whole plans over random households: sound, the optimum, and never worse with more.
#include <gtest/gtest.h>

#include <algorithm>

#include "audit/catalogue.h"
#include "model/catalogue.h"
#include "plan/household_example.h"
#include "plan/place.h"
#include "plan/test_counts.h"
#include "plan/ways.h"

namespace gantry {
namespace {

TEST(Optimum, NeverOverABudget) {
  const uint64_t seed = 501;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  size_t fits = 0, together = 0, turns = 0, given_up = 0, clouds = 0, splits = 0, refused = 0;
  const auto count = static_cast<int>(cases(4000, 50'000));
  for (int i = 0; i < count; ++i) {
    const Machine machine = random_small_machine(rng);
    const Demand demand = random_household(rng);
    const auto made = plan_once(machine, demand);
    if (!made) {  // contradictions, and devices that are not there
      ASSERT_EQ(made.error().code, Code::kUsage) << i << " " << made.error().message;
      ++refused;
      continue;
    }
    const auto sound = verify(machine, demand, *made);
    ASSERT_TRUE(sound) << i << ": " << sound.error().message;
    fits += made->fits ? 1 : 0;
    together += made->together ? 1 : 0;
    for (const Placement& model : made->models) {
      turns += made->fits && !model.stays ? 1 : 0;
      given_up += model.alternative.empty() && model.cache_k == CacheType::kF16 ? 0 : 1;
      clouds += model.cloud ? 1 : 0;
      splits += model.splits.size() > 1 ? 1 : 0;
    }
  }
  const auto part = static_cast<size_t>(count) / 400;  // every outcome is reached
  for (const size_t seen : {fits, together, turns, given_up, clouds, splits, refused}) {
    EXPECT_GT(seen, part) << fits << " " << together << " " << turns << " " << given_up << " "
                          << clouds << " " << splits << " " << refused;
  }
}

TEST(Optimum, MoreOfAnyMemoryIsNeverSlower) {
  const uint64_t seed = 502;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  size_t seen = 0;
  const auto count = static_cast<int>(cases(1500, 30'000));
  for (int i = 0; i < count; ++i) {
    Machine machine = random_small_machine(rng);
    const Demand demand = random_household(rng);
    Least before, after;
    const auto small = plan_once(machine, demand, &before);
    if (!small || !small->fits) continue;
    const Bytes more{rng.below(MiB(300).n)};
    const size_t device = rng.below(machine.devices.size());
    machine.devices[device].free += more;
    machine.devices[device].total += more;
    if (device == 0) {
      machine.memory.available += more;
      machine.memory.total += more;
    }
    const auto large = plan_once(machine, demand, &after);
    ASSERT_TRUE(large) << i << " " << large.error().message;
    EXPECT_TRUE(large->fits) << i;
    EXPECT_LE(after.turn, before.turn) << i;
    if (after.turn == before.turn) {
      EXPECT_LE(after.cost, before.cost * (1 + 1e-9)) << i;
    }
    ++seen;
  }
  EXPECT_GT(seen, static_cast<size_t>(count) / 5);
}

// The least over every combination of ways and of who stays, written down a second time.
class Brute {
 public:
  Brute(const Machine& machine, const Demand& demand)
      : demand_(demand), rooms_(rooms_of(machine, demand).value()) {
    for (const Wish& wish : demand.wishes) {
      ways_.push_back(ways_of(machine, rooms_, wish, {demand.prefer, 0, false}));
    }
    pick_.resize(ways_.size());
  }

  size_t combinations() const {
    size_t all = 1;
    for (const Ways& ways : ways_) all *= ways.options.size();
    return all;
  }

  double least() {
    visit(0);
    return best_;
  }

 private:
  void visit(size_t model) {
    if (model < ways_.size()) {
      for (pick_[model] = 0; pick_[model] < ways_[model].options.size(); ++pick_[model]) {
        visit(model + 1);
      }
      return;
    }
    for (uint32_t stays = 0; stays < (1U << ways_.size()); ++stays) weigh(stays);
  }

  const Option& option(size_t model) const { return ways_[model].options[pick_[model]]; }

  void weigh(uint32_t stays) {
    const size_t count = ways_.size();
    for (const Room& room : rooms_) {
      uint64_t held = 0, turn = 0;
      for (size_t i = 0; i < count; ++i) {
        uint64_t bytes = 0;
        for (const Need& need : option(i).choice.needs) {
          if (need.device == room.device) bytes += need.total().n;
        }
        if ((stays >> i & 1U) != 0) {
          held += bytes;
        } else {
          turn = std::max(turn, bytes);
        }
      }
      if (held + turn > room.budget.n) return;
    }
    double shares = 0, cost = 0;
    size_t turning = 0;
    for (size_t i = 0; i < count; ++i) {
      if ((stays >> i & 1U) != 0) continue;
      shares += demand_.wishes[i].usage.share;
      ++turning;
    }
    for (size_t i = 0; i < count; ++i) {
      const Wish& wish = demand_.wishes[i];
      const double weight = wish.priority * wish.usage.share;
      cost += weight * option(i).use + option(i).penalty;
      if ((stays >> i & 1U) != 0 || turning < 2) continue;
      const double loads = wish.latency == Latency::kBatch ? 0.125 : 1;
      cost += weight * option(i).load * loads * (1 - wish.usage.share / shares);
    }
    best_ = std::min(best_, cost);
  }

  const Demand& demand_;
  std::vector<Room> rooms_;
  std::vector<Ways> ways_;
  std::vector<size_t> pick_;
  double best_ = 1e300;
};

TEST(Optimum, EqualToBruteForce) {
  const uint64_t seed = 503;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  size_t seen = 0;
  const auto count = static_cast<int>(cases(2000, 30'000));
  for (int i = 0; i < count; ++i) {
    const Machine machine = random_small_machine(rng);
    Demand demand = random_household(rng);
    demand.together.clear();
    demand.apart.clear();
    demand.stay.clear();
    for (Wish& wish : demand.wishes) wish.shortage.clear();  // what is free alone
    Least found;
    const auto made = plan_once(machine, demand, &found);
    if (!made) continue;
    Brute brute(machine, demand);
    if (brute.combinations() == 0 || brute.combinations() > 20'000) continue;
    const double least = brute.least();
    if (least >= kPenalty) continue;  // something had to shrink
    EXPECT_TRUE(made->fits) << i;
    EXPECT_NEAR(found.cost, least, 1e-9 * least) << i;
    ++seen;
  }
  EXPECT_GT(seen, static_cast<size_t>(count) / 20);
}

TEST(Shortage, WordsAreTriedInTheirOrder) {
  Demand demand;
  demand.wishes = {wish_for("a", llama_card(kSevenB)), wish_for("b", llama_card(kSevenB))};
  for (Wish& wish : demand.wishes) {
    wish.context = 16384;
    wish.stream.streaming = Streaming::kNever;
    wish.levers.caches = {CacheType::kQ4_0};
    wish.levers.context_least = 512;
    wish.shortage = {Shortage::kWait, Shortage::kShrink};
  }
  // Room for both with small caches, or for one as wished.
  const Machine machine = machine_with(GiB(64), {GiB(33)});
  const auto planned = [&] {
    const auto made = plan(machine, demand).value();
    EXPECT_TRUE(verify(machine, demand, made));
    return made;
  };
  Plan made = planned();
  ASSERT_TRUE(made.fits);
  EXPECT_FALSE(made.together);
  EXPECT_EQ(made.models[0].context, 16384U);
  EXPECT_EQ(made.models[0].cache_k, CacheType::kF16);
  EXPECT_EQ(made.models[0].layers.cpu, 0U);
  for (Wish& wish : demand.wishes) wish.shortage = {Shortage::kShrink, Shortage::kWait};
  made = planned();
  ASSERT_TRUE(made.fits);
  EXPECT_TRUE(made.together);
  EXPECT_EQ(made.models[0].layers.cpu, 0U);
  EXPECT_FALSE(made.models[0].given_up.empty());
  for (Wish& wish : demand.wishes) wish.shortage = {Shortage::kCpu, Shortage::kWait};
  made = planned();
  ASSERT_TRUE(made.fits);
  EXPECT_TRUE(made.together);
  EXPECT_EQ(made.models[0].cache_k, CacheType::kF16);
  EXPECT_GT(made.models[0].layers.cpu + made.models[1].layers.cpu, 0U);
  for (Wish& wish : demand.wishes) wish.shortage = {Shortage::kCloud};
  made = planned();
  ASSERT_TRUE(made.fits);
  EXPECT_NE(made.models[0].cloud, made.models[1].cloud);
  for (Wish& wish : demand.wishes) wish.shortage = {Shortage::kRefuse};
  made = planned();
  EXPECT_FALSE(made.fits);
  EXPECT_FALSE(made.fixes.empty());
  EXPECT_TRUE(std::ranges::any_of(made.fixes, [](const Fix& fix) {
    return fix.change == "in turn instead of together";
  }));
}

TEST(Household, GroupsAndTurns) {
  Demand demand;
  for (const char* name : {"a", "b", "c"}) {
    demand.wishes.push_back(wish_for(name, llama_card(kSevenB)));
    demand.wishes.back().stream.streaming = Streaming::kNever;
    demand.wishes.back().levers.cpu = false;
  }
  const Machine machine = machine_with(GiB(64), {GiB(20), GiB(20)});
  const auto planned = [&] {
    const auto made = plan(machine, demand).value();
    const auto sound = verify(machine, demand, made);
    EXPECT_TRUE(sound) << sound.error().message;
    return made;
  };
  Plan made = planned();
  ASSERT_TRUE(made.fits);  // two at a time: one of them stays, or all take turns
  EXPECT_FALSE(made.together);
  demand.stay = {"b"};
  made = planned();
  ASSERT_TRUE(made.fits);
  EXPECT_TRUE(made.models[1].stays);
  demand.together = {{"a", "c"}};
  made = planned();
  EXPECT_FALSE(made.fits);  // three at once are too many
  demand.stay.clear();
  made = planned();
  ASSERT_TRUE(made.fits);
  EXPECT_EQ(made.models[0].stays, made.models[2].stays);
  demand.apart = {{"b", "a"}};
  made = planned();
  ASSERT_TRUE(made.fits);
  EXPECT_FALSE(made.models[1].stays);
  demand.apart = {{"a", "c"}};
  EXPECT_EQ(plan(machine, demand).error().code, Code::kUsage);
  demand.apart = {{"a", "nobody"}};
  EXPECT_EQ(plan(machine, demand).error().code, Code::kUsage);
}

TEST(SeveralGpus, OneModelOverCardsThatDoNotHoldIt) {
  Demand demand;
  demand.wishes = {wish_for("m", llama_card(kSevenB))};
  const Machine machine = machine_with(GiB(64), {GiB(10), GiB(8)});
  const Plan made = plan(machine, demand).value();
  ASSERT_TRUE(verify(machine, demand, made));
  ASSERT_EQ(made.models[0].splits.size(), 2U);
  EXPECT_EQ(made.models[0].layers.resident, 32U);
  EXPECT_GT(made.models[0].splits[0].layers, made.models[0].splits[1].layers);
  EXPECT_NE(made.models[0].why.find("on gpu0, "), std::string::npos) << made.models[0].why;
}

TEST(SeveralGpus, SpeechGoesToTheSecondCard) {
  Demand demand;
  for (const char* name : {"whisper:large-v3", "llama3:8b@Q8_0"}) {
    const auto model = catalogue_model(name);
    ASSERT_TRUE(model) << model.error().message;
    demand.wishes.push_back(wish_for(name, model->card));
    demand.wishes.back().flash_attention = true;
  }
  Wish& language = demand.wishes[1];
  language.context = 8192;
  language.parallel = 4;
  language.device = "gpu0";  // which it fills
  const Machine machine = *catalogue_machine("rx6900xt+w5700x");
  const Plan made = plan(machine, demand).value();
  const auto sound = verify(machine, demand, made);
  ASSERT_TRUE(sound) << sound.error().message;
  ASSERT_TRUE(made.together) << plan_text(made);
  ASSERT_EQ(made.models[0].splits.size(), 1U) << plan_text(made);
  EXPECT_EQ(made.models[0].splits[0].device, "gpu1");
  ASSERT_EQ(made.models[1].splits.size(), 1U) << plan_text(made);
  EXPECT_EQ(made.models[1].splits[0].device, "gpu0");
  // Alone it would be on the better card.
  demand.wishes.pop_back();
  EXPECT_EQ(plan(machine, demand).value().models[0].splits[0].device, "gpu0");
}

TEST(Reserve, IsLeftToOthers) {
  Demand demand;
  demand.wishes = {wish_for("m", llama_card(kSevenB))};
  demand.reserve = Budget{GiB(6), std::nullopt};
  const Machine machine = machine_with(GiB(64), {GiB(16)});
  const Plan made = plan(machine, demand).value();
  ASSERT_TRUE(verify(machine, demand, made));
  EXPECT_LE(made.models[0].on("gpu0"), GiB(10));
  EXPECT_EQ(made.devices[0].budget, GiB(10));
}

}  // namespace
}  // namespace gantry

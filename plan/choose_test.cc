// choose() against an enumerator that knows only its contract, over random households; and what
// must hold for any: never over a budget, monotone, the same in another order.
#include "plan/choose.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>

#include "base/limits.h"
#include "plan/choose_example.h"
#include "plan/test_counts.h"

namespace gantry {
namespace {

__extension__ typedef unsigned __int128 Wide;

// ---- what the contract says, as plainly as can be ------------------------------------------

// Which models are loaded at once with each model, itself included.
std::vector<std::vector<bool>> units_of(const ChooseAsk& ask) {
  const size_t n = ask.ways.size();
  std::vector<std::vector<bool>> with(n, std::vector<bool>(n, false));
  for (size_t i = 0; i < n; ++i) with[i][i] = true;
  for (size_t round = 0; round < n; ++round) {
    for (const auto& [a, b] : ask.together) {
      for (size_t i = 0; i < n; ++i) {
        if (with[a][i] || with[b][i]) with[a][i] = with[b][i] = with[i][a] = with[i][b] = true;
      }
    }
  }
  return with;
}

// All that is ever loaded at once: what stays, beside each unit that takes turns.
std::vector<std::vector<bool>> moments_of(const ChooseAsk& ask, const std::vector<bool>& stays) {
  const auto with = units_of(ask);
  std::vector<std::vector<bool>> moments;
  for (size_t m = 0; m < stays.size(); ++m) {
    if (stays[m]) continue;
    std::vector<bool> loaded = stays;
    for (size_t i = 0; i < stays.size(); ++i) loaded[i] = loaded[i] || with[m][i];
    moments.push_back(loaded);
  }
  if (moments.empty()) moments.push_back(stays);
  return moments;
}

bool allowed(const ChooseAsk& ask, const std::vector<bool>& stays) {
  for (size_t m = 0; m < stays.size(); ++m) {
    if (ask.stays[m] && !stays[m]) return false;
  }
  for (const auto& moment : moments_of(ask, stays)) {
    for (const auto& [a, b] : ask.together) {
      if (stays[a] != stays[b] || moment[a] != moment[b]) return false;
    }
    for (const auto& [a, b] : ask.apart) {
      if (moment[a] && moment[b]) return false;
    }
  }
  return true;
}

bool within(const ChooseAsk& ask, const std::vector<size_t>& way,
            const std::vector<std::vector<bool>>& moments) {
  for (const auto& moment : moments) {
    for (size_t d = 0; d < ask.budgets.size(); ++d) {
      Wide sum = 0;
      for (size_t m = 0; m < way.size(); ++m) {
        if (moment[m]) sum += ask.ways[m][way[m]].bytes[d];
      }
      if (sum > ask.budgets[d]) return false;
    }
  }
  return true;
}

// How often each model finds that another unit was loaded since.
std::vector<double> swaps_of(const ChooseAsk& ask, const std::vector<bool>& stays) {
  const auto with = units_of(ask);
  double all = 0;
  for (size_t m = 0; m < stays.size(); ++m) all += stays[m] ? 0 : ask.shares[m];
  std::vector<double> swaps(stays.size(), 0);
  for (size_t m = 0; m < stays.size(); ++m) {
    if (stays[m]) continue;
    double unit = 0;
    for (size_t i = 0; i < stays.size(); ++i) unit += with[m][i] ? ask.shares[i] : 0;
    swaps[m] = unit == all ? 0 : 1 - unit / all;
  }
  return swaps;
}

double plain_cost(const ChooseAsk& ask, const std::vector<size_t>& way,
               const std::vector<double>& swaps) {
  double cost = 0;
  for (size_t m = 0; m < way.size(); ++m) {
    const Way& taken = ask.ways[m][way[m]];
    cost += taken.cost + swaps[m] * taken.swap;
  }
  return cost;
}

// Every way of every model with everything that may stay; none where nothing fits.
std::optional<double> enumerate(const ChooseAsk& ask) {
  const size_t n = ask.ways.size();
  std::optional<double> best;
  for (uint32_t mask = 0; mask < (1U << n); ++mask) {
    std::vector<bool> stays(n);
    for (size_t m = 0; m < n; ++m) stays[m] = (mask >> m & 1U) != 0;
    if (!allowed(ask, stays)) continue;
    const auto moments = moments_of(ask, stays);
    const auto swaps = swaps_of(ask, stays);
    std::vector<size_t> way(n, 0);
    for (size_t m = 0; m < n;) {
      const double cost = plain_cost(ask, way, swaps);
      if ((!best || cost < *best) && within(ask, way, moments)) best = cost;
      for (m = 0; m < n && ++way[m] == ask.ways[m].size(); ++m) way[m] = 0;
    }
  }
  return best;
}

// ---- properties -----------------------------------------------------------------------------

bool close(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max({1.0, a, b}); }

// What every answer must hold, by the contract's own arithmetic.
void expect_sound(const ChooseAsk& ask, const Chosen& chosen) {
  ASSERT_EQ(chosen.way.size(), ask.ways.size());
  ASSERT_EQ(chosen.stays.size(), ask.ways.size());
  for (size_t m = 0; m < ask.ways.size(); ++m) ASSERT_LT(chosen.way[m], ask.ways[m].size());
  ASSERT_TRUE(allowed(ask, chosen.stays));
  ASSERT_TRUE(within(ask, chosen.way, moments_of(ask, chosen.stays)));
  ASSERT_TRUE(close(chosen.cost, plain_cost(ask, chosen.way, swaps_of(ask, chosen.stays))));
  ASSERT_LE(chosen.bound, chosen.cost);
}

TEST(Choose, EqualsTheEnumerator) {
  Rng rng(5);
  uint64_t fitting = 0, refused = 0;
  const uint64_t count = quick_cases(20'000, 200'000);
  for (uint64_t i = 0; i < count; ++i) {
    const ChooseSizes sizes = i % 16 == 0 ? ChooseSizes{5, 5, 4, 30} : ChooseSizes{};
    const ChooseAsk ask = random_ask(rng, sizes);
    const auto best = enumerate(ask);
    const auto chosen = choose(ask);
    if (!best) {
      ASSERT_FALSE(chosen) << i;
      ++refused;
      continue;
    }
    ASSERT_TRUE(chosen) << i << ": " << chosen.error().message;
    ASSERT_NO_FATAL_FAILURE(expect_sound(ask, *chosen)) << i;
    ASSERT_TRUE(close(chosen->cost, *best)) << i << ": " << chosen->cost << ", not " << *best;
    ASSERT_EQ(chosen->bound, chosen->cost) << i;
    ++fitting;
  }
  EXPECT_GT(fitting, count / 3);
  EXPECT_GT(refused, count / 20);
}

TEST(Choose, NeverOverABudget) {
  Rng rng(6);
  const uint64_t count = quick_cases(100'000, 1'000'000);
  uint64_t fitting = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t bytes = i % 3 == 0 ? uint64_t{1} << (10 + rng.below(54)) : 40;
    const ChooseAsk ask = random_ask(rng, {6, 6, 4, bytes});
    const auto chosen = choose(ask);
    if (!chosen) continue;
    ASSERT_NO_FATAL_FAILURE(expect_sound(ask, *chosen)) << i;
    ++fitting;
  }
  EXPECT_GT(fitting, count / 4);
}

TEST(Choose, MoreBytesNeverCostMore) {
  Rng rng(7);
  int compared = 0;
  for (int i = 0; i < 4'000; ++i) {
    ChooseAsk ask = random_ask(rng, {5, 6, 4, 30});
    if (ask.budgets.empty()) continue;
    const auto before = choose(ask);
    for (int step = 0; step < 3; ++step) {
      uint64_t& budget = ask.budgets[rng.below(ask.budgets.size())];
      budget += 1 + rng.below(20);
    }
    const auto after = choose(ask);
    if (!before) continue;
    ASSERT_TRUE(after) << i;
    ASSERT_LE(after->cost, before->cost * (1 + 1e-12)) << i;
    ++compared;
  }
  EXPECT_GT(compared, 1'000);
}

// The models in another order, and the devices.
ChooseAsk shuffled(const ChooseAsk& ask, Rng& rng) {
  const size_t models = ask.ways.size(), devices = ask.budgets.size();
  std::vector<size_t> model(models), device(devices);
  std::iota(model.begin(), model.end(), 0);
  std::iota(device.begin(), device.end(), 0);
  for (size_t i = models; i > 1; --i) std::swap(model[i - 1], model[rng.below(i)]);
  for (size_t i = devices; i > 1; --i) std::swap(device[i - 1], device[rng.below(i)]);
  ChooseAsk out = ask;
  for (size_t d = 0; d < devices; ++d) out.budgets[d] = ask.budgets[device[d]];
  for (size_t m = 0; m < models; ++m) {
    out.ways[m] = ask.ways[model[m]];
    for (size_t w = 0; w < out.ways[m].size(); ++w) {
      for (size_t d = 0; d < devices; ++d) {
        out.ways[m][w].bytes[d] = ask.ways[model[m]][w].bytes[device[d]];
      }
    }
    out.shares[m] = ask.shares[model[m]];
    out.stays[m] = ask.stays[model[m]];
  }
  const auto now = [&model](size_t m) {
    return static_cast<size_t>(std::ranges::find(model, m) - model.begin());
  };
  for (auto* pairs : {&out.together, &out.apart}) {
    for (auto& [a, b] : *pairs) std::tie(a, b) = std::pair{now(a), now(b)};
  }
  return out;
}

TEST(Choose, AnotherOrderCostsTheSame) {
  Rng rng(8);
  for (int i = 0; i < 4'000; ++i) {
    const ChooseAsk ask = random_ask(rng, {5, 6, 4, 30});
    const auto one = choose(ask);
    const auto other = choose(shuffled(ask, rng));
    ASSERT_EQ(one.has_value(), other.has_value()) << i;
    if (!one) continue;
    ASSERT_NEAR(one->cost, other->cost, 1e-9) << i;
  }
}

TEST(Choose, TheSameAskGivesTheSameAnswer) {
  Rng rng(9);
  for (int i = 0; i < 500; ++i) {
    const ChooseAsk ask = random_ask(rng, {6, 8, 4, 30});
    const auto one = choose(ask), again = choose(ask);
    ASSERT_EQ(one.has_value(), again.has_value());
    if (!one) continue;
    EXPECT_EQ(one->way, again->way);
    EXPECT_EQ(one->stays, again->stays);
    EXPECT_EQ(one->nodes, again->nodes);
  }
}

// Models of layers on a card and in host memory.
ChooseAsk layered(Rng& rng, size_t models, size_t layers) {
  ChooseAsk ask;
  ask.budgets = {1000, 4000};
  for (size_t m = 0; m < models; ++m) {
    const uint64_t layer = 1 + rng.below(20);
    const double slow = 1 + static_cast<double>(rng.below(50));
    std::vector<Way>& ways = ask.ways.emplace_back();
    for (uint64_t n = 0; n <= layers; ++n) {
      const auto there = static_cast<double>(n), rest = static_cast<double>(layers - n);
      ways.push_back({there + slow * rest, 10 * slow, {n * layer + (n > 0 ? 30 : 0),
                                                       (layers - n) * layer}});
    }
    ask.shares.push_back(1);
    ask.stays.push_back(false);
  }
  return ask;
}

TEST(Choose, TiesGoToTheLowestWay) {
  const Way way{1, 1, {5}};
  const ChooseAsk ask{{10}, {{way, way, way}, {way, way}}, {1, 1}, {false, false}, {}, {}};
  const auto chosen = choose(ask);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->way, (std::vector<size_t>{0, 0}));
  EXPECT_EQ(chosen->stays, (std::vector<bool>{true, true}));
}

TEST(Choose, EndsAtNodesMaxWithAnHonestBound) {
  Rng rng(10);
  int unproven = 0;
  for (int i = 0; i < 20; ++i) {
    ChooseAsk ask = layered(rng, 8, 40);
    const auto proven = choose(ask);
    ASSERT_TRUE(proven);
    EXPECT_EQ(proven->bound, proven->cost);
    ask.nodes_max = 40;
    const auto early = choose(ask);
    ASSERT_TRUE(early);
    ASSERT_NO_FATAL_FAILURE(expect_sound(ask, *early));
    EXPECT_LE(early->bound, proven->cost * (1 + 1e-12));
    EXPECT_GE(early->cost, proven->cost * (1 - 1e-12));
    EXPECT_LT(early->nodes, 400U);
    unproven += early->bound < early->cost ? 1 : 0;
  }
  EXPECT_GT(unproven, 0);
}

TEST(Choose, ManyModelsEndWithinTheirNodes) {
  Rng rng(11);
  for (const size_t models : {size_t{17}, size_t{60}, size_t{kModelsMax}}) {
    ChooseAsk ask = layered(rng, models, 8);
    ask.nodes_max = 20'000;
    const auto chosen = choose(ask);
    ASSERT_TRUE(chosen) << models;
    ASSERT_NO_FATAL_FAILURE(expect_sound(ask, *chosen));
    EXPECT_GT(chosen->bound, 0);
  }
  EXPECT_EQ(choose(layered(rng, kModelsMax + 1, 1)).error().code, Code::kUsage);
}

}  // namespace
}  // namespace gantry

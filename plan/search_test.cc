// The search against dynamic programming over bytes, where there is too much to try all.
#include "plan/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "plan/choose_example.h"

namespace gantry {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

// The least cost of models that stay, by bytes held at most: of one device and integer bytes.
std::vector<double> held_costs(const ChooseAsk& ask, const std::vector<bool>& stays) {
  std::vector<double> least(ask.budgets[0] + 1, 0);
  for (size_t m = 0; m < ask.ways.size(); ++m) {
    if (!stays[m]) continue;
    std::vector<double> next(least.size(), kNone);
    for (const Way& way : ask.ways[m]) {
      for (uint64_t held = way.bytes[0]; held < least.size(); ++held) {
        next[held] = std::min(next[held], least[held - way.bytes[0]] + way.cost);
      }
    }
    least = std::move(next);
  }
  return least;
}

// Every set of models in turn; each is a unit of its own.
double plain_optimum(const ChooseAsk& ask) {
  const size_t models = ask.ways.size();
  double best = kNone;
  for (uint32_t mask = 0; mask < (1U << models); ++mask) {
    std::vector<bool> stays(models);
    double turning = 0;
    for (size_t m = 0; m < models; ++m) {
      stays[m] = (mask >> m & 1U) != 0;
      if (!stays[m]) turning += ask.shares[m];
    }
    const std::vector<double> held = held_costs(ask, stays);
    for (size_t bytes = 0; bytes < held.size(); ++bytes) {
      double cost = held[bytes];
      for (size_t m = 0; m < models; ++m) {
        if (stays[m]) continue;
        double least = kNone;
        for (const Way& way : ask.ways[m]) {
          if (way.bytes[0] + bytes > ask.budgets[0]) continue;
          least = std::min(least, way.cost + way.swap * (1 - ask.shares[m] / turning));
        }
        cost += least;
      }
      best = std::min(best, cost);
    }
  }
  return best;
}

TEST(Search, EqualsDynamicProgramming) {
  Rng rng(25);
  int in_turn = 0;
  for (int i = 0; i < 60; ++i) {
    ChooseAsk ask;
    ask.budgets = {100 + rng.below(200)};
    for (int m = 0; m < 6; ++m) {
      std::vector<Way>& ways = ask.ways.emplace_back();
      for (int w = 0; w < 40; ++w) {
        const uint64_t bytes = rng.below(120);
        const double cost = static_cast<double>(rng.below(60)) + 4000.0 / (20.0 + double(bytes));
        ways.push_back({cost, static_cast<double>(rng.below(i % 2 == 0 ? 400 : 30)), {bytes}});
      }
      ask.shares.push_back(static_cast<double>(1 + rng.below(5)));
      ask.stays.push_back(false);
    }
    const auto house = make_household(ask);
    ASSERT_TRUE(house);
    const Found found = search(*house, 1'000'000);
    ASSERT_TRUE(found.best);
    EXPECT_FALSE(found.open);
    ASSERT_NEAR(found.best->cost, plain_optimum(ask), 1e-9) << i;
    in_turn += std::ranges::count(found.best->role, Role::kTurns) > 0 ? 1 : 0;
  }
  EXPECT_GT(in_turn, 5);
}

// Ways that nearly tie in every combination: no list becomes short, so it must branch on ways.
TEST(Search, EqualsDynamicProgrammingWhereItBranches) {
  Rng rng(26);
  for (int i = 0; i < 12; ++i) {
    ChooseAsk ask;
    ask.budgets = {1501 + rng.below(900)};
    for (int m = 0; m < 8; ++m) {
      std::vector<Way>& ways = ask.ways.emplace_back();
      const uint64_t layer = 3 + rng.below(5);
      for (uint64_t n = 0; n <= 100; ++n) {
        const uint64_t bytes = n * layer + (n > 0 ? 40 : 0);
        ways.push_back({static_cast<double>((100 - n) * (layer * 10 + rng.below(2))), 0, {bytes}});
      }
      ask.shares.push_back(1);
      ask.stays.push_back(true);
    }
    const auto house = make_household(ask);
    ASSERT_TRUE(house);
    const Found found = search(*house, 4'000'000);
    ASSERT_TRUE(found.best);
    ASSERT_FALSE(found.open);
    const double least = held_costs(ask, ask.stays).back();
    ASSERT_NEAR(found.best->cost, least, 1e-9 * least) << i;
  }
}

TEST(Search, InfeasibleIsProven) {
  const std::vector<Way> ways = {{1, 1, {6}}, {2, 1, {5}}};
  const auto house = make_household({{9}, {ways, ways}, {1, 1}, {true, true}, {}, {}});
  ASSERT_TRUE(house);
  const Found found = search(*house, 1000);
  EXPECT_FALSE(found.best);
  EXPECT_FALSE(found.open);
}

}  // namespace
}  // namespace gantry

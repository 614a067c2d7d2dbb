// The blend is the least of its linear program: no answer costs less, and its prices prove it.
#include "plan/blend.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/choose_example.h"

namespace gantry {
namespace {

constexpr double kOverCost = 1e5;

// Lagrange's bound at these prices, over all ways.
double bound_at(const Household& house, const Node& node, const std::vector<double>& factors,
                const std::vector<double>& away, const std::vector<double>& price) {
  std::vector<double> held(house.stride, 0);
  for (size_t i = 0; i < price.size(); ++i) held[i % house.stride] += price[i];
  double bound = 0;
  for (const double p : held) bound -= p;
  for (size_t u = 0; u < house.units.size(); ++u) {
    const bool turns = node.role[u] == Role::kTurns;
    const double* own = turns ? price.data() + node.scenario[u] * house.stride : held.data();
    double sum = 0;
    for (const size_t m : house.units[u].models) {
      const Column& column = house.columns[m];
      double least = 1e300;
      for (uint32_t w = 0; w < column.way.size(); ++w) {
        double pays = column.cost[w] + (turns ? factors[u] * column.swap[w] : 0);
        for (size_t d = 0; d < house.stride; ++d) pays += own[d] * house.parts(m, w)[d];
        least = std::min(least, pays);
      }
      sum += least;
    }
    bound += node.role[u] == Role::kOpen ? std::min(sum, away[u]) : sum;
  }
  return bound;
}

// Fractions of each model sum to one, and hold what the budgets allow where nothing is over.
void expect_sound(const Household& house, const Node& node, const Blend& blend, bool over) {
  std::vector<double> sum(house.columns.size(), 0), held(node.scenarios() * house.stride, 0);
  for (size_t m = 0; m < sum.size(); ++m) {
    const size_t u = house.columns[m].unit;
    if (node.role[u] == Role::kOpen) sum[m] = blend.away(u);
  }
  for (const Fraction& one : blend.fractions()) {
    sum[one.model] += one.part;
    const size_t u = house.columns[one.model].unit;
    for (size_t i = 0; i < held.size(); ++i) {
      const bool here = node.role[u] != Role::kTurns || node.scenario[u] == i / house.stride;
      if (here) held[i] += one.part * house.parts(one.model, one.way)[i % house.stride];
    }
  }
  for (const double one : sum) EXPECT_NEAR(one, 1, 1e-7);
  for (const double part : held) EXPECT_TRUE(over || part <= 1 + 1e-7) << part;
}

TEST(Blend, IsTheLeastAndItsPricesProveIt) {
  Rng rng(27);
  uint64_t looked = 0;
  int compared = 0, over = 0, priced = 0;
  for (int i = 0; i < 8'000; ++i) {
    const auto house = make_household(random_ask(rng, {4, 6, 3, 12}));
    if (!house) continue;
    const AllWays all(*house);
    Node node = root_of(*house, all.live);
    for (size_t u = 0; u < house->units.size(); ++u) {
      if (node.role[u] != Role::kOpen || rng.below(3) == 0) continue;
      node.decide(*house, u, rng.below(2) == 0 ? Role::kStays : Role::kTurns);
    }
    const std::vector<double> factors(house->units.size(), 0.5);
    std::vector<double> away(house->units.size(), 0);
    for (double& cost : away) cost = static_cast<double>(rng.below(20));
    Blend blend(*house, node, factors, away, kOverCost);
    for (size_t m = 0; m < house->columns.size(); ++m) {
      for (const uint32_t w : all.lists[m]) blend.add(m, w);
    }
    ASSERT_TRUE(blend.solve(&looked)) << i;
    const double bound = bound_at(*house, node, factors, away, blend.price());
    ASSERT_NEAR(blend.cost(), bound, 1e-9 * kOverCost) << i;
    const bool is_over = blend.cost() > 1000;
    ASSERT_NO_FATAL_FAILURE(expect_sound(*house, node, blend, is_over)) << i;
    over += is_over ? 1 : 0;
    priced += std::ranges::any_of(blend.price(), [](double p) { return p > 0; }) ? 1 : 0;
    for_each_answer(*house, [&](const Answer& answer) {
      if (answer.role != node.role || !fits(*house, answer)) return;
      double cost = 0;
      for (size_t m = 0; m < answer.pick.size(); ++m) {
        const Column& column = house->columns[m];
        const bool turns = node.role[column.unit] == Role::kTurns;
        cost += column.cost[answer.pick[m]] + (turns ? 0.5 * column.swap[answer.pick[m]] : 0);
      }
      ASSERT_GE(cost, blend.cost() - 1e-9 * kOverCost) << i;
      ++compared;
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(compared, 10'000);
  EXPECT_GT(over, 50);
  EXPECT_GT(priced, 500);
}

// What is added later is taken where it is cheaper.
TEST(Blend, GoesOnFromWhereItWas) {
  const std::vector<Way> ways = {{9, 0, {2}}, {5, 0, {4}}, {1, 0, {8}}};
  const auto house =
      make_household({{12}, {ways, ways}, {1, 1}, {true, true}, {}, {}});
  ASSERT_TRUE(house);
  const AllWays all(*house);
  const Node node = root_of(*house, all.live);
  const std::vector<double> none(2, 0);
  Blend blend(*house, node, none, none, kOverCost);
  uint64_t looked = 0;
  for (size_t m = 0; m < 2; ++m) blend.add(m, 2);  // the dearest
  ASSERT_TRUE(blend.solve(&looked));
  EXPECT_NEAR(blend.cost(), 18, 1e-9);
  for (size_t m = 0; m < 2; ++m) blend.add(m, 0);
  ASSERT_TRUE(blend.solve(&looked));
  EXPECT_NEAR(blend.cost(), 18 - 8 * 8.0 / 6, 1e-9);  // 8 bytes more, 6 of them save 8
  EXPECT_NEAR(blend.price()[0], 16, 1e-9);            // 8 / 6 a byte, 12 bytes
  EXPECT_GT(looked, 0U);
}

}  // namespace
}  // namespace gantry

// Filling finds the cheapest of all combinations, and says when it was given up.
#include "plan/fill.h"

#include <gtest/gtest.h>

#include "plan/choose_example.h"

namespace gantry {
namespace {

// Without prices the bound is the sum of the least costs.
Filling filling_of(const Household& house, const AllWays& all, const std::vector<Role>& role) {
  Filling filling;
  filling.house = &house;
  filling.role = role;
  filling.factors = swap_factors(house, role);
  for (size_t m = 0; m < house.columns.size(); ++m) {
    const Column& column = house.columns[m];
    filling.live.push_back(all.lists[m]);
    const bool turns = role[column.unit] == Role::kTurns;
    filling.paid.push_back(turns ? std::vector<double>{} : column.cost);
  }
  return filling;
}

TEST(Fill, EqualsTheEnumerator) {
  Rng rng(24);
  uint64_t looked = 0;
  int found = 0;
  for (int i = 0; i < 2'000; ++i) {
    const auto house = make_household(random_ask(rng, {}));
    if (!house) continue;
    const AllWays all(*house);
    std::vector<Role> role;
    for (const Unit& unit : house->units) {
      const Role any = rng.below(2) == 0 ? Role::kStays : Role::kTurns;
      role.push_back(unit.role == Role::kOpen ? any : unit.role);
    }
    double best = 1e9;
    for_each_answer(*house, [&](const Answer& answer) {
      if (answer.role == role && fits(*house, answer)) {
        best = std::min(best, cost_of(*house, answer));
      }
    });
    Filling filling = filling_of(*house, all, role);
    filling.looked = &looked;
    filling.looked_max = UINT64_MAX;
    bool whole = false;
    const auto answer = fill(filling, 1e9, &whole);
    EXPECT_TRUE(whole);
    ASSERT_EQ(answer.has_value(), best < 1e9) << i;
    if (!answer) continue;
    ++found;
    ASSERT_TRUE(fits(*house, *answer));
    ASSERT_NEAR(cost_of(*house, *answer), best, 1e-9) << i;
    ASSERT_FALSE(fill(filling, best * (1 - 1e-9), &whole)) << "better than the best";
  }
  EXPECT_GT(found, 500);
}

TEST(Fill, SaysWhenItWasGivenUp) {
  const std::vector<Way> ways = {{1, 1, {6}}, {2, 1, {5}}, {3, 1, {4}}};
  const auto house =
      make_household({{13}, {ways, ways, ways}, {1, 1, 1}, {true, true, true}, {}, {}});
  ASSERT_TRUE(house);
  const AllWays all(*house);
  uint64_t looked = 0;
  Filling filling = filling_of(*house, all, std::vector<Role>(3, Role::kStays));
  filling.looked = &looked;
  filling.looked_max = 2;
  bool whole = true;
  (void)fill(filling, 1e9, &whole);
  EXPECT_FALSE(whole);
  filling.looked_max = 1000;
  const auto answer = fill(filling, 1e9, &whole);
  EXPECT_TRUE(whole);
  ASSERT_TRUE(answer);
  EXPECT_EQ(cost_of(*house, *answer), 8);
}

}  // namespace
}  // namespace gantry

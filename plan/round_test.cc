// What comes from rounding fits, costs what it says, and no single other way would be better.
#include "plan/round.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/choose_example.h"

namespace gantry {
namespace {

TEST(Round, FitsAndNoSingleWayIsBetter) {
  Rng rng(23);
  uint64_t looked = 0;
  int rounded = 0, repaired = 0;
  for (int i = 0; i < 4'000; ++i) {
    const auto house = make_household(random_ask(rng, {5, 6, 4, 30}));
    if (!house) continue;
    const AllWays all(*house);
    Answer start{{}, {}, 0};
    for (const Column& column : house->columns) {
      start.pick.push_back(static_cast<uint32_t>(rng.below(column.way.size())));
    }
    for (const Unit& unit : house->units) {
      start.role.push_back(unit.role == Role::kTurns ? Role::kTurns : Role::kStays);
    }
    const auto answer = round_off(*house, all.live, start, &looked);
    if (!answer) continue;
    ++rounded;
    repaired += fits(*house, start) ? 0 : 1;
    ASSERT_TRUE(fits(*house, *answer)) << i;
    ASSERT_EQ(answer->cost, cost_of(*house, *answer)) << i;
    ASSERT_NE(std::ranges::count(answer->role, Role::kTurns), 1) << i;
    for (size_t m = 0; m < house->columns.size(); ++m) {
      Answer other = *answer;
      for (other.pick[m] = 0; other.pick[m] < house->columns[m].way.size(); ++other.pick[m]) {
        if (fits(*house, other)) {
          ASSERT_GE(cost_of(*house, other), answer->cost - 1e-9) << i;
        }
      }
    }
  }
  EXPECT_GT(rounded, 1'000);
  EXPECT_GT(repaired, 300);
  EXPECT_GT(looked, 0U);
}

}  // namespace
}  // namespace gantry

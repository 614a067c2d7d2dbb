// No answer with a set's roles costs less than the set's bound, at any prices.
#include "plan/sets.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/choose_example.h"

namespace gantry {
namespace {

TEST(Sets, NoAnswerCostsLess) {
  Rng rng(22);
  uint64_t looked = 0;
  int compared = 0;
  for (int i = 0; i < 2'000; ++i) {
    const auto house = make_household(random_ask(rng, {}));
    if (!house) continue;
    const AllWays all(*house);
    const Bound bound(*house, &looked);
    const Node root = root_of(*house, all.live);
    Sets sets(*house, bound, root);
    for (int k = 0; k < 4; ++k) {
      std::vector<double> held(house->stride, 0);
      for (size_t d = 0; d < house->budgets.size(); ++d) {
        held[d] = static_cast<double>(rng.below(30)) / 3;
      }
      sets.raise(root, held);
    }
    for_each_answer(*house, [&](const Answer& answer) {
      const auto set = std::ranges::find(sets.sets, answer.role, &RoleSet::role);
      const bool alone = std::ranges::count(answer.role, Role::kTurns) == 1;
      ASSERT_EQ(set == sets.sets.end(), alone);
      if (alone || !fits(*house, answer)) return;
      ASSERT_GE(cost_of(*house, answer), set->bound * (1 - 1e-12)) << i;
      ++compared;
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(compared, 10'000);
}

}  // namespace
}  // namespace gantry

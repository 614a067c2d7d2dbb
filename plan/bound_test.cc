// No answer within a node costs less than its bound, whatever was decided.
#include "plan/bound.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/choose_example.h"

namespace gantry {
namespace {

bool agrees(const Node& node, const Answer& answer) {
  for (size_t u = 0; u < node.role.size(); ++u) {
    if (node.role[u] != Role::kOpen && node.role[u] != answer.role[u]) return false;
  }
  return true;
}

TEST(Bound, NoAnswerCostsLess) {
  Rng rng(21);
  uint64_t looked = 0;
  int compared = 0, raised_above_start = 0;
  for (int i = 0; i < 3'000; ++i) {
    const auto house = make_household(random_ask(rng, {}));
    if (!house) continue;
    const AllWays all(*house);
    const Bound bound(*house, &looked);
    Node node = root_of(*house, all.live);
    for (size_t u = 0; u < house->units.size(); ++u) {
      if (node.role[u] != Role::kOpen || rng.below(2) == 0) continue;
      node.decide(*house, u, rng.below(2) == 0 ? Role::kStays : Role::kTurns);
    }
    if (node.turning == 1 && !node.open()) continue;  // never asked for: the same as staying
    Raised raised;
    bound.raise(&node, 0, 1e6, &raised);
    const double unpriced = node.bound;
    bound.raise(&node, 40, 1e6, &raised);
    raised_above_start += node.bound > unpriced + 1e-6 ? 1 : 0;
    for_each_answer(*house, [&](const Answer& answer) {
      if (std::ranges::count(answer.role, Role::kTurns) == 1) return;
      if (!agrees(node, answer) || !fits(*house, answer)) return;
      ASSERT_GE(cost_of(*house, answer), node.bound * (1 - 1e-12)) << i;
      ++compared;
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(compared, 10'000);
  EXPECT_GT(raised_above_start, 30);
}

}  // namespace
}  // namespace gantry

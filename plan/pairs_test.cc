// No answer below the cut loses a way, and none costs less than the bound.
#include "plan/pairs.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/choose_example.h"

namespace gantry {
namespace {

TEST(Pairs, KeepEveryAnswerBelowTheCut) {
  Rng rng(31);
  uint64_t looked = 0;
  int kept = 0, dropped = 0, raised = 0, ended = 0;
  for (int i = 0; i < 4'000; ++i) {
    const auto house = make_household(random_ask(rng, {4, 5, 3, 14}));
    if (!house) continue;
    const AllWays all(*house);
    Node node = root_of(*house, all.live);
    for (size_t u = 0; u < house->units.size(); ++u) {
      if (node.role[u] != Role::kOpen) continue;
      node.decide(*house, u, rng.below(2) == 0 ? Role::kStays : Role::kTurns);
    }
    if (node.turning == 1) continue;  // the same as staying
    const double cut = 1 + static_cast<double>(rng.below(40));
    const Node before = node;
    std::deque<std::vector<uint32_t>> lists;
    const bool open = keep_pairs(*house, cut, &node, &looked, &lists);
    ended += open ? 0 : 1;
    raised += node.bound > 0 ? 1 : 0;
    dropped += static_cast<int>(lists.size());
    for_each_answer(*house, [&](const Answer& answer) {
      if (answer.role != before.role || !fits(*house, answer)) return;
      const double cost = cost_of(*house, answer);
      if (cost >= cut) return;
      ASSERT_TRUE(open) << i;
      ASSERT_GE(cost, node.bound * (1 - 1e-12)) << i;
      for (size_t m = 0; m < answer.pick.size(); ++m) {
        const bool stays = answer.role[house->columns[m].unit] == Role::kStays;
        const auto ways = stays ? node.live[m].stays : node.live[m].turns;
        ASSERT_TRUE(std::ranges::is_sorted(ways));
        ASSERT_NE(std::ranges::find(ways, answer.pick[m]), ways.end()) << i;
      }
      ++kept;
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(kept, 10'000);
  EXPECT_GT(dropped, 300);
  EXPECT_GT(raised, 500);
  EXPECT_GT(ended, 100);
}

// Two that stay on one card: half of each would do, but only whole ones exist.
TEST(Pairs, RaisesTheBoundWhereOnlyOneFits) {
  const std::vector<Way> ways = {{1, 0, {6}}, {11, 0, {0}}};
  const auto house = make_household({{9}, {ways, ways}, {1, 1}, {true, true}, {}, {}});
  ASSERT_TRUE(house);
  const AllWays all(*house);
  Node node = root_of(*house, all.live);
  uint64_t looked = 0;
  std::deque<std::vector<uint32_t>> lists;
  ASSERT_TRUE(keep_pairs(*house, 20, &node, &looked, &lists));
  EXPECT_NEAR(node.bound, 12, 1e-9);
  EXPECT_FALSE(keep_pairs(*house, 11.9, &node, &looked, &lists));
}

}  // namespace
}  // namespace gantry

// Prices stay what they are in sum when a unit begins to take turns.
#include "plan/node.h"

#include <gtest/gtest.h>

#include "plan/choose_example.h"

namespace gantry {
namespace {

TEST(Node, ANewScenarioTakesItsShareOfThePrices) {
  const std::vector<Way> ways = {{1, 1, {6}}, {2, 1, {3}}};
  const auto house =
      make_household({{8}, {ways, ways, ways}, {1, 1, 1}, {false, false, false}, {}, {}});
  ASSERT_TRUE(house);
  const AllWays all(*house);
  Node node = root_of(*house, all.live);
  node.price[0] = 6;
  for (size_t u = 0; u < 3; ++u) {
    node.decide(*house, u, Role::kTurns);
    EXPECT_DOUBLE_EQ(node.held_price()[0], 6);
    EXPECT_EQ(node.price.size(), (u + 1) * house->stride);
  }
}

}  // namespace
}  // namespace gantry

// Asks that contradict themselves, with their place; exact sums; what is left out.
#include "plan/household.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gantry {
namespace {

ChooseAsk three_models() {
  const std::vector<Way> ways = {{1, 2, {6, 1}}, {3, 4, {2, 1}}};
  return {{10, 9}, {ways, ways, ways}, {1, 2, 3}, {false, false, false}, {}, {}};
}

std::string refusal(const ChooseAsk& ask) {
  const auto house = make_household(ask);
  if (house) return "none";
  EXPECT_EQ(house.error().code, Code::kUsage);
  return house.error().message;
}

TEST(Household, CostsThatAreNoneAreRefusedWithTheirPlace) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -1.0, 1e101}) {
    ChooseAsk ask = three_models();
    ask.ways[1][1].cost = bad;
    EXPECT_EQ(refusal(ask), "choice: ways[1][1].cost is no finite cost");
    ask = three_models();
    ask.ways[2][0].swap = bad;
    EXPECT_EQ(refusal(ask), "choice: ways[2][0].swap is no finite cost");
    ask = three_models();
    ask.shares[2] = bad;
    EXPECT_EQ(refusal(ask), "choice: shares[2] is no finite number above zero");
  }
}

TEST(Household, SizesThatDoNotGoTogether) {
  ChooseAsk ask = three_models();
  ask.ways[0][1].bytes.pop_back();
  EXPECT_EQ(refusal(ask), "choice: ways[0][1].bytes has another number of devices than budgets");
  ask = three_models();
  ask.shares.pop_back();
  EXPECT_EQ(refusal(ask), "choice: shares has another length than ways");
  ask = three_models();
  ask.stays.push_back(true);
  EXPECT_EQ(refusal(ask), "choice: stays has another length than ways");
  ask = three_models();
  ask.ways[1].clear();
  EXPECT_EQ(refusal(ask), "choice: ways[1] is empty");
  EXPECT_EQ(refusal({}), "choice: ways is empty: there is no model to choose for");
  ask = three_models();
  ask.together = {{0, 1}, {1, 3}};
  EXPECT_EQ(refusal(ask), "choice: together[1] names a model that is not there");
}

TEST(Household, Contradictions) {
  ChooseAsk ask = three_models();
  ask.together = {{0, 1}, {1, 2}};
  ask.apart = {{0, 2}};
  EXPECT_EQ(refusal(ask), "choice: apart[0] are loaded at once, as together says");
  ask.together.clear();
  ask.apart = {{1, 1}};
  EXPECT_EQ(refusal(ask), "choice: apart[0] are loaded at once, as together says");
  ask.apart = {{0, 2}};
  ask.stays[2] = true;
  EXPECT_EQ(refusal(ask), "choice: apart[0] are loaded at once, as stays says");
}

TEST(Household, UnitsAndRoles) {
  ChooseAsk ask = three_models();
  ask.together = {{2, 0}};
  ask.stays[2] = true;
  const auto house = make_household(ask);
  ASSERT_TRUE(house);
  ASSERT_EQ(house->units.size(), 2U);
  EXPECT_EQ(house->units[0].models, (std::vector<size_t>{0, 2}));
  EXPECT_EQ(house->units[0].share, 4);
  EXPECT_EQ(house->units[0].role, Role::kStays);
  EXPECT_EQ(house->units[1].role, Role::kOpen);
  EXPECT_EQ(house->columns[2].unit, 0U);
}

TEST(Household, LeavesOutWhatCannotFitAndDevicesThatDecideNothing) {
  ChooseAsk ask = three_models();
  ask.ways[0].insert(ask.ways[0].begin(), Way{0, 0, {11, 0}});
  const auto house = make_household(ask);
  ASSERT_TRUE(house);
  EXPECT_EQ(house->columns[0].way, (std::vector<size_t>{1, 2}));
  EXPECT_EQ(house->budgets, (std::vector<uint64_t>{10}));  // of the other device all have room
  ask.ways[0].resize(1);
  EXPECT_EQ(make_household(ask).error().code, Code::kDoesNotFit);
}

TEST(Household, SumsDoNotWrap) {
  const std::vector<Way> ways = {{1, 1, {UINT64_MAX}}, {2, 1, {UINT64_MAX / 2}}};
  const ChooseAsk ask{{UINT64_MAX}, {ways, ways, ways}, {1, 1, 1}, {false, false, false}, {}, {}};
  const auto house = make_household(ask);
  ASSERT_TRUE(house);
  const std::vector<Role> all(3, Role::kStays);
  EXPECT_FALSE(fits(*house, {{0, 0, 0}, all, 0}));
  EXPECT_FALSE(fits(*house, {{1, 1, 1}, all, 0}));
  const std::vector<Role> two = {Role::kStays, Role::kTurns, Role::kTurns};
  EXPECT_TRUE(fits(*house, {{1, 1, 1}, two, 0}));
  EXPECT_FALSE(fits(*house, {{1, 1, 0}, two, 0}));
}

TEST(Household, SwapsAreAsLikelyAsTheOthersAreUsed) {
  const auto house = make_household(three_models());
  ASSERT_TRUE(house);
  const Role stays = Role::kStays, turns = Role::kTurns;
  EXPECT_EQ(cost_of(*house, {{0, 0, 1}, {stays, stays, stays}, 0}), 5);
  EXPECT_EQ(cost_of(*house, {{0, 0, 1}, {stays, turns, stays}, 0}), 5);
  EXPECT_DOUBLE_EQ(cost_of(*house, {{0, 0, 1}, {stays, turns, turns}, 0}),
                   5 + 2 * (1 - 2.0 / 5) + 4 * (1 - 3.0 / 5));
}

}  // namespace
}  // namespace gantry

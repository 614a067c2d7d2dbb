// Which of several models a mode takes: all orders, ties, missing figures.
#include "foreman/choice.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gantry {
namespace {

using Places = std::vector<size_t>;

Candidate one(const std::string& name, std::optional<double> factor, bool fits = true) {
  return {.name = name, .device = "cpu", .fits = fits, .factor = factor, .measured = true};
}

Places by(Mode mode, const std::vector<Candidate>& all, const std::string& current = "") {
  return ladder(all, mode, 0.5, current);
}

TEST(Choice, EachModeTakesItsOwn) {
  const std::vector<Candidate> ears = {one("large", 1.5), one("base", 0.3), one("micro", 0.02)};
  EXPECT_EQ(by(Mode::kAccuracy, ears), (Places{0, 1, 2}));
  EXPECT_EQ(by(Mode::kBalanced, ears), (Places{1, 2}));
  EXPECT_EQ(by(Mode::kSpeed, ears), (Places{2}));
}

TEST(Choice, OnlyOfThoseThatFit) {
  std::vector<Candidate> ears = {one("large", 1.5, false), one("base", 0.3), one("micro", 0.02)};
  EXPECT_EQ(by(Mode::kAccuracy, ears), (Places{1, 2}));
  ears[2].fits = false;
  EXPECT_EQ(by(Mode::kSpeed, ears), (Places{1}));
  ears[1].fits = false;
  for (const Mode mode : {Mode::kAccuracy, Mode::kBalanced, Mode::kSpeed}) {
    EXPECT_TRUE(by(mode, ears).empty());
  }
  EXPECT_TRUE(by(Mode::kSpeed, {}).empty());
}

TEST(Choice, WhereNoneKeepsUpTheFastest) {
  EXPECT_EQ(by(Mode::kBalanced, {one("a", 3), one("b", 0.9), one("c", 2)}), (Places{1}));
  EXPECT_EQ(by(Mode::kAccuracy, {one("a", 3), one("b", 0.9), one("c", 2)}), (Places{0, 2, 1}));
}

TEST(Choice, OfEqualsTheBetter) {
  const std::vector<Candidate> same = {one("a", 0.4), one("b", 0.4), one("c", 0.4)};
  EXPECT_EQ(by(Mode::kSpeed, same), (Places{0}));
  EXPECT_EQ(by(Mode::kBalanced, same), (Places{0}));
  EXPECT_EQ(by(Mode::kAccuracy, same), (Places{0})) << "a step to an equal one gains nothing";
}

TEST(Choice, WhoHasNoFigureIsTriedInItsPlace) {
  const std::vector<Candidate> unknown = {one("a", {}), one("b", {}), one("c", {})};
  EXPECT_EQ(by(Mode::kAccuracy, unknown), (Places{0, 1, 2}));
  EXPECT_EQ(by(Mode::kBalanced, unknown), (Places{0, 1, 2}));
  EXPECT_EQ(by(Mode::kSpeed, unknown), (Places{2}));
  // The first was measured and does not keep up: the next one is tried, then the last.
  EXPECT_EQ(by(Mode::kBalanced, {one("a", 2), one("b", {}), one("c", {})}), (Places{1, 2}));
  EXPECT_EQ(by(Mode::kBalanced, {one("a", 2), one("b", 1), one("c", {})}), (Places{2}));
  EXPECT_EQ(by(Mode::kBalanced, {one("a", 2), one("b", 1), one("c", 0.7)}), (Places{2}));
  EXPECT_EQ(by(Mode::kSpeed, {one("a", 0.2), one("b", {}), one("c", 0.4)}), (Places{1}));
  EXPECT_EQ(by(Mode::kSpeed, {one("a", {}), one("b", 0.1)}), (Places{1}));
}

TEST(Choice, FiguresNearTheLimitChangeNothingToAndFro) {
  const auto near = [](double best) {
    return std::vector<Candidate>{one("best", best), one("next", 0.1)};
  };
  EXPECT_EQ(by(Mode::kBalanced, near(0.5)), (Places{0, 1}));
  EXPECT_EQ(by(Mode::kBalanced, near(0.55)), (Places{1}));
  EXPECT_EQ(by(Mode::kBalanced, near(0.55), "next"), (Places{1}));
  EXPECT_EQ(by(Mode::kBalanced, near(0.55), "best"), (Places{0, 1}));
  EXPECT_EQ(by(Mode::kBalanced, near(0.61), "best"), (Places{1}));
}

// Of all orders of figures, known and not: the laws of the page, by a plainer way to find out.
TEST(Choice, LawsHoldForEveryOrder) {
  const std::vector<std::optional<double>> figures = {std::nullopt, 0.1, 0.5, 0.5, 2.0};
  const Places places = {0, 1, 2, 3};
  size_t seen = 0;
  for (size_t code = 0; code < 10'000; ++code) {
    std::vector<Candidate> all;
    size_t rest = code;
    for (size_t i = 0; i < 4; ++i, rest /= 10) {
      all.push_back(one(std::to_string(i), figures[rest % 5], rest % 10 < 5));
    }
    const auto fits = [&](size_t i) { return all[i].fits; };
    const bool any = std::ranges::any_of(places, fits);
    for (const Mode mode : {Mode::kAccuracy, Mode::kBalanced, Mode::kSpeed}) {
      const Places rungs = by(mode, all);
      ASSERT_EQ(rungs.empty(), !any);
      if (!any) continue;
      ++seen;
      ASSERT_TRUE(std::ranges::all_of(rungs, fits));
      for (size_t i = 1; i < rungs.size(); ++i) {
        const auto &before = all[rungs[i - 1]].factor, &now = all[rungs[i]].factor;
        if (before && now) {
          ASSERT_GE(*before, *now) << "each step is faster";
        }
      }
      const size_t first = *std::ranges::find_if(places, fits);
      ASSERT_TRUE(mode != Mode::kAccuracy || rungs.front() == first);
      ASSERT_TRUE(mode != Mode::kSpeed || rungs.size() == 1);
      if (mode != Mode::kBalanced) continue;
      const auto keeps = [&](size_t i) {
        return all[i].fits && (!all[i].factor || *all[i].factor <= 0.5);
      };
      const auto best = std::ranges::find_if(places, keeps);
      ASSERT_EQ(rungs.front(),
                best != places.end() ? *best : by(Mode::kSpeed, all).front());
    }
  }
  EXPECT_GT(seen, 20'000U);
}

TEST(Choice, SaysWhy) {
  Candidate known = one("a", 0.25);
  EXPECT_EQ(taken_why(known, Mode::kSpeed, 0.5),
            "speed: the fastest that fits; 0.25 s of work for a second of sound, measured");
  known.measured = false;
  EXPECT_EQ(taken_why(known, Mode::kBalanced, 0.5),
            "balanced: the best that keeps up; 0.25 s of work for a second of sound, predicted");
  EXPECT_EQ(taken_why(known, Mode::kBalanced, 0.1),
            "balanced: none keeps up with 0.1, the fastest; 0.25 s of work for a second of sound, "
            "predicted");
  EXPECT_EQ(taken_why(one("a", {}), Mode::kBalanced, 0.5),
            "balanced: the best that keeps up; not measured yet");
  EXPECT_EQ(taken_why(known, Mode::kAccuracy, 0.5), "accuracy: the first that can be had here");
}

}  // namespace
}  // namespace gantry

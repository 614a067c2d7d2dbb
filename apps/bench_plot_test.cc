// The chart's numbers, and that no text of a model breaks out of it.
#include "apps/bench_plot.h"

#include <gtest/gtest.h>

#include <limits>

namespace gantry {
namespace {

TEST(AxisStep, RoundAndFewEnough) {
  EXPECT_DOUBLE_EQ(axis_step(10, 5), 2);
  EXPECT_DOUBLE_EQ(axis_step(11, 5), 5);
  EXPECT_DOUBLE_EQ(axis_step(0.4, 5), 0.1);
  EXPECT_DOUBLE_EQ(axis_step(4321, 5), 1000);
  EXPECT_DOUBLE_EQ(axis_step(0, 5), 1);
  EXPECT_DOUBLE_EQ(axis_step(std::numeric_limits<double>::infinity(), 5), 1);
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

TEST(BarChart, ABarForEachAndAWhiskerWhereThereIsAnInterval) {
  const std::string svg = bar_chart_svg(
      "Title", "note", {{"Decode", "tokens/s", {{"a", 5, 4, 6}, {"b", 10, 10, 10}}},
                        {"Prefill", "tokens/s", {{"a", 0, 0, 0}}}});
  EXPECT_EQ(count(svg, "class=\"bar\""), 3U);
  EXPECT_EQ(count(svg, "class=\"whisker\""), 1U);
  EXPECT_EQ(count(svg, "tokens/s"), 2U);
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  // The longest bar reaches the axis' end, 480 wide: 10 of 10.
  EXPECT_NE(svg.find("width=\"480.0\" height=\"18.0\""), std::string::npos);
  EXPECT_NE(svg.find("width=\"240.0\" height=\"18.0\""), std::string::npos);
}

TEST(BarChart, NamesAreText) {
  const std::string svg =
      bar_chart_svg("<script>\"&", "\x01", {{"p", "u", {{"</svg><x>", 1, 1, 1}}}});
  EXPECT_EQ(svg.find("<script>"), std::string::npos);
  EXPECT_EQ(count(svg, "</svg>"), 1U);
  EXPECT_EQ(svg.find('\x01'), std::string::npos);
}

TEST(BarChart, NothingIsStillAPicture) {
  EXPECT_TRUE(bar_chart_svg("t", "", {}).ends_with("</svg>\n"));
  EXPECT_TRUE(bar_chart_svg("t", "", {{"p", "u", {}}}).ends_with("</svg>\n"));
}

}  // namespace
}  // namespace gantry

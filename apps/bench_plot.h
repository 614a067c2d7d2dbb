// A bar chart as SVG: titles, units, intervals. Pure.
#pragma once

#include <string>
#include <vector>

namespace gantry {

struct Bar {
  std::string label;
  double value = 0, low = 0, high = 0;  // the whisker; low == high: none
};

struct Panel {
  std::string title;  // "Decode"
  std::string unit;   // "tokens/s"
  std::vector<Bar> bars;
};

// One panel below the other, each with an axis from zero. Readable on white and on dark pages.
std::string bar_chart_svg(const std::string& title, const std::string& note,
                          const std::vector<Panel>& panels);

// 1, 2 or 5 times a power of ten, so that at most so many of them reach `most`.
double axis_step(double most, int steps);

}  // namespace gantry

// Writes the SVG.
#include "apps/bench_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace gantry {

namespace {

constexpr double kWidth = 760, kLeft = 190, kRight = 90, kRow = 30, kBar = 18;
constexpr double kHead = 64, kPanelHead = 34, kAxis = 40;
constexpr double kPlot = kWidth - kLeft - kRight;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string number(double value) {
  const double size = std::abs(value);
  if (size >= 100) return fmt::format("{:.0f}", value);
  if (size >= 10) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

double panel_height(const Panel& panel) {
  return kPanelHead + kRow * static_cast<double>(panel.bars.size()) + kAxis;
}

std::string bar_svg(const Bar& bar, double y, double scale) {
  std::string out = fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n"
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"bar\"/>\n",
      kLeft - 8, y + kBar - 4, escaped(bar.label), kLeft, y, std::max(0.0, bar.value * scale),
      kBar);
  const double middle = y + kBar / 2;
  if (bar.high > bar.low) {
    out += fmt::format(
        "<path class=\"whisker\" d=\"M{0:.1f} {2:.1f}H{1:.1f}M{0:.1f} {3:.1f}V{4:.1f}M{1:.1f} "
        "{3:.1f}V{4:.1f}\"/>\n",
        kLeft + bar.low * scale, kLeft + bar.high * scale, middle, middle - 4, middle + 4);
  }
  const double end = kLeft + std::max(bar.value, bar.high) * scale;
  return out + fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", end + 6, y + kBar - 4,
                           number(bar.value));
}

std::string panel_svg(const Panel& panel, double top) {
  double most = 0;
  for (const Bar& bar : panel.bars) most = std::max({most, bar.value, bar.high});
  if (!(most > 0)) most = 1;
  const double step = axis_step(most, 5);
  const double end = std::ceil(most / step) * step;
  const double scale = kPlot / end;
  const double first = top + kPanelHead;
  const double bottom = first + kRow * static_cast<double>(panel.bars.size());
  std::string out = fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"panel\">{}</text>\n",
                                kLeft, top + 20, escaped(panel.title));
  for (double tick = 0; tick <= end * 1.0001; tick += step) {
    const double x = kLeft + tick * scale;
    out += fmt::format(
        "<path class=\"grid\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/>\n"
        "<text x=\"{0:.1f}\" y=\"{3:.1f}\" text-anchor=\"middle\" class=\"tick\">{4}</text>\n",
        x, first - 4, bottom, bottom + 14, tick == 0 ? "0" : number(tick));
  }
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\" class=\"tick\">{}"
                     "</text>\n",
                     kLeft + kPlot / 2, bottom + 30, escaped(panel.unit));
  for (size_t i = 0; i < panel.bars.size(); ++i) {
    const double y = first + kRow * static_cast<double>(i) + (kRow - kBar) / 2;
    out += bar_svg(panel.bars[i], y, scale);
  }
  return out;
}

}  // namespace

double axis_step(double most, int steps) {
  if (!(most > 0) || !std::isfinite(most) || steps < 1) return 1;
  const double raw = most / steps;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power * 1.0000001) return factor * power;
  }
  return 10 * power;
}

std::string bar_chart_svg(const std::string& title, const std::string& note,
                          const std::vector<Panel>& panels) {
  double height = kHead + 10;
  for (const Panel& panel : panels) height += panel_height(panel);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" role=\"img\" aria-label=\"{2}\">\n"
      "<style>text{{font:13px system-ui,sans-serif;fill:#222}}.title{{font-size:17px;"
      "font-weight:600}}.panel{{font-weight:600}}.tick,.note{{font-size:11px;fill:#555}}"
      ".bar{{fill:#2f6f9f}}.whisker{{stroke:#111;stroke-width:1.5;fill:none}}"
      ".grid{{stroke:#ddd;fill:none}}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text x=\"20\" y=\"28\" class=\"title\">{2}</text>\n"
      "<text x=\"20\" y=\"48\" class=\"note\">{3}</text>\n",
      kWidth, height, escaped(title), escaped(note));
  double top = kHead;
  for (const Panel& panel : panels) {
    out += panel_svg(panel, top);
    top += panel_height(panel);
  }
  return out + "</svg>\n";
}

}  // namespace gantry

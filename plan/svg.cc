// Bars of bytes. Each model has a colour, its kinds of bytes are shades of it.
#include "plan/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "plan/place.h"

namespace gantry {

namespace {

constexpr double kWidth = 900, kLeft = 20, kBar = 860, kBarHeight = 30, kRow = 66, kTop = 50;
constexpr double kLegendRow = 22;
constexpr double kLabelLeast = 46;  // narrower segments have no name in them
constexpr double kCharacter = 7.2;  // of the name's font, in pixels
// Apart for the eye, also in the common kinds of colour blindness (Okabe and Ito).
constexpr std::array kColours = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                 "#56b4e9", "#d55e00", "#b2a800", "#7f7f7f"};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&apos;"; break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) out += c;
    }
  }
  return out;
}

std::string shortened(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  size_t cut = most > 1 ? most - 1 : 0;
  // Not within a character of several bytes.
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80) --cut;
  return text.substr(0, cut) + "…";
}

// What is on one device at one time.
struct Moment {
  const DeviceShare* share = nullptr;
  std::string when;                // "while A, B" or empty
  std::vector<size_t> models;
};

std::vector<Moment> moments_of(const Demand& demand, const Plan& plan) {
  const std::vector<size_t> groups = groups_of(demand);
  std::vector<Moment> out;
  for (const DeviceShare& share : plan.devices) {
    const auto there = [&](size_t i) { return plan.models[i].on(share.name).n > 0; };
    Moment always{&share, {}, {}};
    std::vector<Moment> turns;
    for (size_t i = 0; i < plan.models.size(); ++i) {
      if (plan.models[i].stays && there(i)) always.models.push_back(i);
    }
    for (size_t group = 0; group < plan.models.size(); ++group) {
      Moment turn = always;
      for (size_t i = 0; i < plan.models.size(); ++i) {
        if (groups[i] != group || plan.models[i].stays || !there(i)) continue;
        turn.models.push_back(i);
        turn.when += (turn.when.empty() ? " while " : ", ") + plan.models[i].name;
      }
      if (!turn.when.empty()) turns.push_back(std::move(turn));
    }
    if (turns.empty()) {
      out.push_back(std::move(always));
    } else {
      out.insert(out.end(), turns.begin(), turns.end());
    }
  }
  return out;
}

const char* colour_of(size_t model) { return kColours[model % kColours.size()]; }

class Picture {
 public:
  Picture(const Demand& demand, const Plan& plan) : demand_(demand), plan_(plan) {}

  std::string text() {
    const std::vector<Moment> moments = moments_of(demand_, plan_);
    double y = kTop;
    for (const Moment& moment : moments) {
      row(moment, y);
      y += kRow;
    }
    for (size_t i = 0; i < plan_.models.size(); ++i) {
      legend(i, y);
      y += kLegendRow;
    }
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"{0}\" "
        "height=\"{1:.0f}\" viewBox=\"0 0 {0} {1:.0f}\" font-family=\"sans-serif\" "
        "font-size=\"13\">\n<rect width=\"{0}\" height=\"{1:.0f}\" fill=\"#ffffff\"/>\n"
        "<text x=\"{2}\" y=\"28\" font-size=\"17\" fill=\"#222222\">{3}</text>\n{4}</svg>\n",
        kWidth, y + 30, kLeft, title(), body_);
  }

 private:
  std::string title() const {
    if (!plan_.fits) return "It does not fit";
    return plan_.together ? "All at the same time" : "In turn";
  }

  void row(const Moment& moment, double y) {
    const DeviceShare& share = *moment.share;
    Bytes sum;
    for (const size_t i : moment.models) sum += plan_.models[i].on(share.name);
    const auto whole = static_cast<double>(std::max({sum.n, share.budget.n, uint64_t{1}}));
    const std::string label = fmt::format("{}{}: {} of {}", share.name, moment.when,
                                          format_bytes(sum), format_bytes(share.budget));
    words(kLeft, y, shortened(label, 110), sum > share.budget ? "#b00020" : "#222222");
    const double budget = kBar * static_cast<double>(share.budget.n) / whole;
    box(kLeft, y + 8, budget, "#eeeeee", 1, "#999999");
    double x = kLeft;
    for (const size_t i : moment.models) {
      const double before = x;
      for (const Need& need : plan_.models[i].needs) {
        if (need.device != share.name) continue;
        for (const auto& [bytes, shade] : {std::pair{need.weights, 1.0}, {need.kv, 0.75},
                                           {need.compute, 0.55}, {need.overhead, 0.38}}) {
          const double width = kBar * static_cast<double>(bytes.n) / whole;
          if (width > 0) box(x, y + 8, width, colour_of(i), shade, "");
          x += width;
        }
      }
      name(plan_.models[i].name, before, x, y);
    }
  }

  void name(const std::string& text, double from, double to, double y) {
    if (to - from < kLabelLeast) return;
    const auto most = static_cast<size_t>((to - from - 8) / kCharacter);
    words(from + 5, y + 28, shortened(text, most), "#ffffff", true);
  }

  void legend(size_t model, double y) {
    const Placement& placement = plan_.models[model];
    body_ += fmt::format("<rect x=\"{}\" y=\"{:.1f}\" width=\"13\" height=\"13\" fill=\"{}\"/>\n",
                         kLeft, y - 11, colour_of(model));
    words(kLeft + 20, y, shortened(placement.name + ": " + placement.why, 125), "#222222");
  }

  void box(double x, double y, double width, const char* fill, double shade, const char* line) {
    body_ += fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{}\" "
                         "fill=\"{}\" fill-opacity=\"{}\"",
                         x, y, width, kBarHeight, fill, shade);
    if (*line != '\0') body_ += fmt::format(" stroke=\"{}\"", line);
    body_ += "/>\n";
  }

  // `outlined`: legible on any shade.
  void words(double x, double y, const std::string& text, const char* fill,
             bool outlined = false) {
    body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"{}\"{}>{}</text>\n", x, y, fill,
                         outlined ? " stroke=\"#333333\" stroke-width=\"2.5\" "
                                    "paint-order=\"stroke\" font-weight=\"bold\" font-size=\"12\""
                                  : "",
                         escaped(text));
  }

  const Demand& demand_;
  const Plan& plan_;
  std::string body_;
};

}  // namespace

std::string plan_svg(const Demand& demand, const Plan& plan) {
  return Picture(demand, plan).text();
}

}  // namespace gantry

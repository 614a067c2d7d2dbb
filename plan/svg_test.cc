// The picture is well-formed whatever models are called, and its bars stay within.
#include "plan/svg.h"

#include <gtest/gtest.h>

#include <regex>

#include "plan/example.h"

namespace gantry {
namespace {

Demand household() {
  Demand demand;
  demand.wishes = {wish_for("<b>&\"quoted'\x01 \xC3\xA9", whisper_card()),
                   wish_for("chat", llama_card(kMicro)),
                   wish_for(std::string(300, 'x'), llama_card(kMicro))};
  return demand;
}

// Every tag that opens is closed; what is between tags has no bare & or <.
void expect_well_formed(const std::string& svg) {
  std::vector<std::string> open;
  size_t at = 0;
  while (at < svg.size()) {
    const size_t start = svg.find('<', at);
    const std::string text = svg.substr(at, start == std::string::npos ? start : start - at);
    static const std::regex bare("&(?!(amp|lt|gt|quot|apos);)");
    EXPECT_FALSE(std::regex_search(text, bare)) << text;
    if (start == std::string::npos) break;
    const size_t end = svg.find('>', start);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = svg.substr(start + 1, end - start - 1);
    EXPECT_EQ(tag.find('<'), std::string::npos) << tag;
    const std::string name = tag.substr(tag[0] == '/' ? 1 : 0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(tag.substr(1), open.back());
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end + 1;
  }
  EXPECT_TRUE(open.empty());
  for (const char c : svg) {
    EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 || c == '\n') << int(c);
  }
}

TEST(Svg, WellFormedAndWithinItsWidth) {
  for (const Bytes memory : {GiB(8), MiB(80), MiB(10)}) {
    const Machine machine = machine_with(memory, {MiB(340), MiB(300)});
    const Demand demand = household();
    const std::string svg = plan_svg(demand, plan(machine, demand).value());
    expect_well_formed(svg);
    EXPECT_NE(svg.find("&lt;b&gt;&amp;&quot;quoted&apos; \xC3\xA9"), std::string::npos);
    EXPECT_EQ(svg.find(std::string(200, 'x')), std::string::npos);  // shortened
    const std::regex box("<rect x=\"([0-9.]+)\" y=\"[0-9.]+\" width=\"([0-9.]+)\"");
    size_t bars = 0;
    for (std::sregex_iterator it(svg.begin(), svg.end(), box), end; it != end; ++it, ++bars) {
      EXPECT_LE(std::stod((*it)[1]) + std::stod((*it)[2]), 881.0);
    }
    EXPECT_GT(bars, 5U);
    EXPECT_NE(svg.find("gpu0"), std::string::npos);
  }
}

TEST(Svg, ABarForEachTurn) {
  Demand demand = household();
  for (Wish& wish : demand.wishes) wish.stream.streaming = Streaming::kNever;
  demand.apart = {{demand.wishes[0].name, "chat"}};
  const Plan made = plan(machine_with(GiB(1)), demand).value();
  ASSERT_TRUE(made.fits);
  EXPECT_FALSE(made.together);
  const std::string svg = plan_svg(demand, made);
  EXPECT_NE(svg.find("cpu while chat:"), std::string::npos) << svg;
  EXPECT_NE(svg.find("cpu while &lt;b"), std::string::npos);
}

}  // namespace
}  // namespace gantry

// Tests of typed values and of suggestions.
#include "config/values.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

YamlNode word(const std::string& text) {
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.plain = true;
  node.text = text;
  return node;
}

TEST(Values, NearestWord) {
  const std::string_view known[] = {"listen", "ram_budget", "models"};
  EXPECT_EQ(nearest("ramBudget", known), "ram_budget");
  EXPECT_EQ(nearest("model", known), "models");
  EXPECT_EQ(nearest("lsiten", known), "listen");
  EXPECT_EQ(nearest("completely_else", known), "");
  EXPECT_EQ(nearest("x", known), "");
  EXPECT_EQ(nearest(std::string(5000, 'x'), known), "");
}

TEST(Values, CountsAtTheirLimits) {
  const ConfigReader reader("f", nullptr);
  EXPECT_EQ(reader.count(word("1"), 1, 5), 1U);
  EXPECT_EQ(reader.count(word("5"), 1, 5), 5U);
  EXPECT_FALSE(reader.count(word("0"), 1, 5));
  EXPECT_FALSE(reader.count(word("6"), 1, 5));
  EXPECT_FALSE(reader.count(word("99999999999999999999"), 1, UINT32_MAX));
  EXPECT_FALSE(reader.count(word(""), 0, 5));
  EXPECT_FALSE(reader.count(word("3x"), 0, 5));
}

TEST(Values, Flags) {
  const ConfigReader reader("f", nullptr);
  for (const char* yes : {"true", "True", "YES", "on"}) EXPECT_EQ(reader.flag(word(yes)), true);
  for (const char* no : {"false", "no", "Off"}) EXPECT_EQ(reader.flag(word(no)), false);
  EXPECT_FALSE(reader.flag(word("1")));
}

TEST(Values, FilesAreRelativeToTheirConfig) {
  EXPECT_EQ(ConfigReader("/etc/gantry/c.yaml", nullptr).file(word("m.gguf")),
            "/etc/gantry/m.gguf");
  EXPECT_EQ(ConfigReader("/etc/gantry/c.yaml", nullptr).file(word("/m.gguf")), "/m.gguf");
  EXPECT_EQ(ConfigReader("/etc/gantry/c.yaml", nullptr).file(word("~/m.gguf")), "~/m.gguf");
  EXPECT_FALSE(ConfigReader("/etc/gantry/c.yaml", nullptr).file(word("")));
}

TEST(Values, MacrosExpandWhatCameBefore) {
  const ConfigReader reader("f", nullptr);
  const Macros macros = {{"a", "1"}, {"b", "x 1"}};
  EXPECT_EQ(reader.expand(word("${a} ${b} ${PORT} ${env.X}"), macros), "1 x 1 ${PORT} ${env.X}");
  EXPECT_EQ(reader.expand(word("$a ${a"), macros), "$a ${a");
  EXPECT_FALSE(reader.expand(word("${c}"), macros));
  EXPECT_FALSE(reader.expand(word("${}"), macros));
}

TEST(Values, ExpansionAtTheLimitAndOneOver) {
  const ConfigReader reader("f", nullptr);
  const Macros macros = {{"a", std::string(kMacroTextMax - 1, 'x')}};
  EXPECT_TRUE(reader.expand(word("${a}y"), macros));
  const auto over = reader.expand(word("${a}yy"), macros);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace gantry

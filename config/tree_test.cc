// Tests of the YAML tree: places, limits, aliases.
#include "config/tree.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace gantry {
namespace {

std::string message(const std::string& text) {
  const auto tree = read_yaml(text, "f");
  return tree ? "ok" : tree.error().message;
}

TEST(Tree, KeepsOrderKindsAndPlaces) {
  const auto tree = read_yaml("b: 1\na:\n  - \"2\"\n  - ~\n", "f");
  ASSERT_TRUE(tree) << tree.error().message;
  ASSERT_EQ(tree->entries.size(), 2U);
  EXPECT_EQ(tree->entries[0].key.text, "b");
  EXPECT_TRUE(tree->entries[0].value.plain);
  const YamlNode* list = tree->find("a");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(list->items.size(), 2U);
  EXPECT_FALSE(list->items[0].plain);
  EXPECT_EQ(list->items[1].kind, YamlNode::Kind::kNull);
  EXPECT_EQ(place("f", list->items[0]), "f:3:5");
  EXPECT_EQ(tree->find("c"), nullptr);
}

TEST(Tree, EmptyTextIsAnEmptyMap) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n"}) {
    const auto tree = read_yaml(text, "f");
    ASSERT_TRUE(tree) << text;
    EXPECT_TRUE(tree->entries.empty());
  }
}

TEST(Tree, AliasesAndMergeKeys) {
  const auto tree = read_yaml(
      "base: &b {x: 1, y: 2}\nm:\n  <<: *b\n  y: 3\nn: *b\nl:\n  <<: [*b, {z: 4}]\n", "f");
  ASSERT_TRUE(tree) << tree.error().message;
  EXPECT_EQ(tree->find("m")->find("x")->text, "1");
  EXPECT_EQ(tree->find("m")->find("y")->text, "3");
  EXPECT_EQ(tree->find("n")->find("y")->text, "2");
  EXPECT_EQ(tree->find("l")->find("z")->text, "4");
}

TEST(Tree, RefusesWithThePlace) {
  EXPECT_EQ(message("a: 1\nb: 2\na: 3\n"), "f:3:1: duplicate key \"a\"");
  EXPECT_EQ(message("a:\n\tb: 1\n"), "f:2:1: a tab at the start of a line");
  EXPECT_EQ(message("a:\n  \tb: 1\n  c: 2\n").substr(0, 4), "f:2:");
  EXPECT_EQ(message(std::string("a: \0b\n", 6)), "f:1:4: a control character in the text");
  EXPECT_EQ(message("- 1\n"), "f:1:1: the file must be a map of keys");
  EXPECT_EQ(message("word\n"), "f:1:1: the file must be a map of keys");
  EXPECT_EQ(message("a: 1\n---\nb: 2\n"), "f: more than one document");
  EXPECT_EQ(message("{a: 1\n").substr(0, 2), "f:");
  EXPECT_EQ(message("[a]: 1\n"), "f:1:1: a key must be a word");
  EXPECT_EQ(message("a: &x [*x]\n"), "f:1:8: an alias inside itself");
  EXPECT_NE(message("a: *nowhere\n"), "ok");
  EXPECT_EQ(message("a: \"open\n"), "f:1:9: not YAML: illegal EOF in scalar");
  EXPECT_EQ(message("<<: 3\n"), "f:1:5: << wants a map");
}

TEST(Tree, SizeAtTheLimitAndOneOver) {
  std::string text = "a: 1\n#";
  text.resize(kConfigMax.n, 'x');
  EXPECT_EQ(message(text), "ok");
  EXPECT_EQ(message(text + "x"), "f is larger than 1.0 MiB");
}

std::string nested(uint32_t depth) {
  return std::string("a: ") + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "\n";
}

TEST(Tree, DepthAtTheLimitAndOneOver) {
  EXPECT_EQ(message(nested(kYamlDepthMax)), "ok");
  EXPECT_NE(message(nested(kYamlDepthMax + 1)).find("nested deeper"), std::string::npos);
  EXPECT_NE(message(nested(200'000)), "ok");  // yaml-cpp's own recursion is guarded too
  EXPECT_NE(message("a: " + std::string(500'000, '{')), "ok");
  std::string block;
  for (uint32_t i = 0; i < 900; ++i) block += std::string(i, ' ') + "a:\n";
  EXPECT_NE(message(block), "ok");
}

TEST(Tree, NodesAtTheLimitAndOneOver) {
  std::string list = "a: [";  // the map, its key, the list
  for (uint32_t i = 3; i < kYamlNodesMax; ++i) list += "1,";
  EXPECT_EQ(message(list + "]\n"), "ok");
  EXPECT_NE(message(list + "1]\n").find("more than 50000 values"), std::string::npos);
}

TEST(Tree, AliasBombIsRefusedQuickly) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string below = std::string("*a") + std::to_string(i - 1);
    bomb += std::string("a") + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += below + ",";
    bomb += "]\n";
  }
  EXPECT_NE(message(bomb).find("more than 50000 values"), std::string::npos);
}

TEST(Tree, EveryTruncationIsAnswered) {
  const std::string text = "a: &x {b: [1, 'two', \"th\\\"ree\"]}\nc: |\n  block\n  text\nd: *x\n";
  for (size_t n = 0; n <= text.size(); ++n) {
    const auto tree = read_yaml(text.substr(0, n), "f");
    if (!tree) {
      EXPECT_FALSE(tree.error().message.empty());
    }
  }
}

}  // namespace
}  // namespace gantry

// What is nearest, and that no input is too long for it.
#include "base/nearest.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

const std::vector<std::string> kKnown = {"llama3:8b", "llama3:70b", "qwen2.5:7b", "whisper:tiny"};

TEST(Nearest, FindsWhatWasMeant) {
  EXPECT_EQ(nearest_name(kKnown, "lama3:8b"), "llama3:8b");
  EXPECT_EQ(nearest_name(kKnown, "llama3:80b"), "llama3:8b");  // one deleted, as 70b is one changed
  EXPECT_EQ(nearest_name(kKnown, "qwen25:7b"), "qwen2.5:7b");
  EXPECT_EQ(nearest_name(kKnown, "whisper:tniy"), "whisper:tiny");
}

TEST(Nearest, ASwapIsOneMistake) {
  EXPECT_EQ(nearest_name({"bca", "abcd"}, "bac"), "bca");
  EXPECT_EQ(nearest_name({"xyz", "ab"}, "ba"), "ab");
  // What begins alike is meant more often.
  EXPECT_EQ(nearest_name({"t4-16g", "rtx3060-12g"}, "rtx9999"), "rtx3060-12g");
}

TEST(Nearest, HoldsForNothingAndForLongNames) {
  EXPECT_EQ(nearest_name({}, "x"), "");
  EXPECT_EQ(nearest_name(kKnown, ""), "llama3:8b");
  const std::string at(kNearestNameMax, 'a'), over(kNearestNameMax + 1, 'a');
  EXPECT_EQ(nearest_name({"b", at}, at), at);
  EXPECT_EQ(nearest_name({"b", over}, over), over);
  EXPECT_EQ(nearest_name({"b", at}, std::string(1'000'000, 'a')), at);
}

}  // namespace
}  // namespace gantry

// Which of the flags are one wish, and which contradict each other.
#include "apps/streaming.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(StreamingFlags, OneWishAtMost) {
  std::string file;
  StreamingFlags flags;
  EXPECT_EQ(flags.word(&file), "");
  flags.layers = 8;
  EXPECT_EQ(flags.word(&file), "8");
  flags.whole = true;
  const auto both = flags.word(&file);
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().code, Code::kUsage);
  EXPECT_NE(both.error().message.find("--num-gpu-layers and --no-offload"), std::string::npos);
  flags.layers.reset();
  EXPECT_EQ(flags.word(&file), "off");
  flags = {};
  flags.automatic = true;
  EXPECT_EQ(flags.word(&file), "auto");
}

TEST(StreamingFlags, ConfigIsAPresetOrAFile) {
  std::string file;
  StreamingFlags flags;
  flags.config = "consumer";
  EXPECT_EQ(flags.word(&file), "consumer");
  EXPECT_EQ(file, "");
  flags.config = "gantry.yaml";
  EXPECT_EQ(flags.word(&file), "");
  EXPECT_EQ(file, "gantry.yaml");
  flags.automatic = true;  // no contradiction: the file says nothing of it
  EXPECT_EQ(flags.word(&file), "auto");
  flags.config = "fastest";
  flags.automatic = false;
  const auto unknown = flags.word(&file);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kUsage);
  flags.config.clear();
  flags.layers = 513;
  EXPECT_FALSE(flags.word(&file));
}

}  // namespace
}  // namespace gantry

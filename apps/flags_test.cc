// llama.cpp's flags reach our parser as long ones.
#include "apps/flags.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

std::vector<std::string> run(std::vector<std::string> args) {
  std::vector<char*> argv = {nullptr};
  for (std::string& arg : args) argv.push_back(arg.data());
  return normalized_flags(static_cast<int>(argv.size()), argv.data());
}

TEST(Flags, SeveralLettersBehindOneDash) {
  EXPECT_EQ(run({"plan", "m", "-ctk", "q8_0", "-ctv=q4_0", "-c", "4096"}),
            (std::vector<std::string>{"plan", "m", "--ctk", "q8_0", "--ctv=q4_0", "-c", "4096"}));
  EXPECT_EQ(run({"-ub", "512", "-fa", "on", "-ts=1,2"}),
            (std::vector<std::string>{"--ub", "512", "--fa", "on", "--ts=1,2"}));
}

TEST(Flags, OthersAndWhatFollowsTwoDashesStay) {
  EXPECT_EQ(run({"-cx", "-c", "--ctk", "--", "-ctk"}),
            (std::vector<std::string>{"-cx", "-c", "--ctk", "--", "-ctk"}));
  EXPECT_TRUE(run({}).empty());
}

}  // namespace
}  // namespace gantry

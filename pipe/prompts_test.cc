// Prompts: the micro models' exact words, and the task spelt out for others.
#include "pipe/prompts.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

std::string two_lines(PromptStyle style) {
  return part_line(style, {Millis(0), Millis(900), "open the door", 1}) + "\n" +
         part_line(style, {Millis(61500), Millis(62000), "thanks", 1});
}

TEST(Prompts, MicroModelsGetTheWordsTheyWereTrainedOn) {
  const PromptStyle style = prompt_style("micro-minutes");
  EXPECT_EQ(part_prompt(style, two_lines(style)), "Minutes of this part:\nopen the door\nthanks");
  const std::vector<std::string> lists = {"- a\n- b", "- c"};
  EXPECT_EQ(join_prompt(style, lists), "Join these minutes:\n- a\n- b\n\n- c");
  EXPECT_EQ(screen_prompt(style), "What is on the screen?");
  EXPECT_EQ(part_sizes(style).lists, 2U);
}

TEST(Prompts, OtherModelsGetTheTaskAndTimes) {
  const PromptStyle style = prompt_style("llama3:8b");
  const std::string prompt = part_prompt(style, two_lines(style));
  EXPECT_NE(prompt.find("bullet list"), std::string::npos);
  EXPECT_NE(prompt.find("[1:01.5] thanks"), std::string::npos);
  EXPECT_GT(part_sizes(style).lines, part_sizes(PromptStyle::kMicro).lines);
}

}  // namespace
}  // namespace gantry

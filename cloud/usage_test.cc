// Usage from whole answers and from streams, in any pieces.
#include "cloud/usage.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

std::optional<Usage> read(std::string_view text, bool events, size_t step) {
  UsageReader reader(events);
  for (size_t at = 0; at < text.size(); at += step) reader.feed(text.substr(at, step));
  return reader.usage();
}

TEST(Usage, OfWholeAnswers) {
  for (const size_t step : {1, 7, 1000}) {
    const auto chat = read(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}})",
                           false, step);
    ASSERT_TRUE(chat);
    EXPECT_EQ(chat->prompt, 3U);
    EXPECT_EQ(chat->completion, 5U);
  }
  EXPECT_EQ(read(R"({"usage":{"prompt_tokens":9,"total_tokens":9}})", false, 9)->completion, 0U);
  EXPECT_EQ(read(R"({"usage":{"input_tokens":4,"output_tokens":6}})", false, 9)->completion, 6U);
}

TEST(Usage, OfStreams) {
  const std::string stream =
      "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\r\n\r\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2}}\n\n"
      "data: [DONE]\n\n";
  for (const size_t step : {1, 5, 1000}) EXPECT_EQ(read(stream, true, step)->prompt, 11U);
  EXPECT_EQ(read("data: {\"response\":{\"usage\":{\"input_tokens\":8,\"output_tokens\":1}}}", true,
                 10)->prompt, 8U);
}

TEST(Usage, IsNothingWhereTheAnswerDoesNotSay) {
  for (const char* text : {"", "{", "[1]", "{\"usage\":3}", "{\"usage\":{}}",
                           "{\"usage\":{\"prompt_tokens\":-1}}",
                           "{\"usage\":{\"prompt_tokens\":\"9\"}}"}) {
    EXPECT_FALSE(read(text, false, 3)) << text;
    EXPECT_FALSE(read(text, true, 3)) << text;
  }
}

}  // namespace
}  // namespace gantry

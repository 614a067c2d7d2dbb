// However the pieces are cut.
#include "http/stream_lines.h"

#include <gtest/gtest.h>

namespace gantry::http {
namespace {

TEST(StreamLines, AnyCutGivesTheSame) {
  const std::string text =
      "data: one\n\ndata: two\r\n: comment\nevent: x\ndata: [DONE]\n\ndata: ha";
  for (size_t step = 1; step <= text.size(); ++step) {
    StreamLines lines;
    std::vector<std::string> out;
    for (size_t at = 0; at < text.size(); at += step) {
      for (std::string& line : lines.feed(std::string_view(text).substr(at, step))) {
        out.push_back(std::move(line));
      }
    }
    EXPECT_EQ(out, (std::vector<std::string>{"one", "two", "[DONE]"})) << step;
  }
}

TEST(StreamLines, ALineHasALimit) {
  StreamLines lines;
  EXPECT_TRUE(lines.feed("data: " + std::string(StreamLines::kLineMax, 'x')).empty());
  EXPECT_EQ(lines.feed("data: next\n"), std::vector<std::string>{"next"});
}

}  // namespace
}  // namespace gantry::http

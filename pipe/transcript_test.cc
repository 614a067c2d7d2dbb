// Transcripts: every format, and reading back.
#include "pipe/transcript.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

std::vector<Segment> sample() {
  return {{Millis(0), Millis(1250), "hello there", 0.9},
          {Millis(3'725'040), Millis(3'726'000), "bye \"you\"", 0.5}};
}

TEST(Transcript, Text) {
  EXPECT_EQ(*render_transcript(sample(), "text"), "hello there\nbye \"you\"\n");
}

TEST(Transcript, Srt) {
  EXPECT_EQ(*render_transcript(sample(), "srt"),
            "1\n00:00:00,000 --> 00:00:01,250\nhello there\n\n"
            "2\n01:02:05,040 --> 01:02:06,000\nbye \"you\"\n\n");
}

TEST(Transcript, Vtt) {
  const std::string text = *render_transcript(sample(), "vtt");
  EXPECT_TRUE(text.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nhello there\n"));
}

TEST(Transcript, JsonReadsBack) {
  const nlohmann::json parsed = nlohmann::json::parse(*render_transcript(sample(), "json"));
  const Result<std::vector<Segment>> back = parse_segments(parsed["segments"]);
  ASSERT_TRUE(back);
  ASSERT_EQ(back->size(), 2U);
  EXPECT_EQ((*back)[1].start, Millis(3'725'040));
  EXPECT_EQ((*back)[1].text, "bye \"you\"");
  EXPECT_DOUBLE_EQ((*back)[0].confidence, 0.9);
}

TEST(Transcript, RefusesOtherFormatsAndDamage) {
  EXPECT_EQ(render_transcript(sample(), "docx").error().code, Code::kUsage);
  EXPECT_EQ(render_transcript(sample(), "rttm").error().code, Code::kUnsupported);
  EXPECT_FALSE(parse_segments(nlohmann::json::parse("{}")));
  EXPECT_FALSE(parse_segments(nlohmann::json::parse("[1]")));
  EXPECT_FALSE(
      parse_segments(nlohmann::json::parse("[{\"start\":0,\"end\":\"x\",\"text\":\"\"}]")));
}

TEST(Transcript, TimesNeverGoBelowZero) {
  EXPECT_EQ(timestamp(Millis(-5), ','), "00:00:00,000");
  EXPECT_EQ(short_time(Millis(-5)), "0:00.0");
}

}  // namespace
}  // namespace gantry

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

TEST(Transcript, JsonSaysWhoEncodedAndOtherFormatsDoNot) {
  std::vector<Segment> segments = sample();
  segments[0].encoder = "NPU";
  const nlohmann::json parsed = nlohmann::json::parse(*render_transcript(segments, "json"));
  EXPECT_EQ(parsed["segments"][0]["encoder"], "NPU");
  EXPECT_FALSE(parsed["segments"][1].contains("encoder"));
  const Result<std::vector<Segment>> back = parse_segments(parsed["segments"]);
  ASSERT_TRUE(back);
  EXPECT_EQ((*back)[0].encoder, "NPU");
  EXPECT_EQ((*back)[1].encoder, "");
  EXPECT_EQ(*render_transcript(segments, "srt"), *render_transcript(sample(), "srt"));
  nlohmann::json odd = parsed["segments"];
  odd[0]["encoder"] = 7;
  EXPECT_EQ((*parse_segments(odd))[0].encoder, "");
}

TEST(Transcript, WordsAndDoubtsReadBackAndTextHasAMark) {
  std::vector<Segment> segments = sample();
  segments[0].words = {{Millis(0), Millis(500), "hello", 0.75},
                       {Millis(500), Millis(1250), "there", 1}};
  segments[0].avg_logprob = -0.125;
  segments[0].no_speech = 0.5;
  segments[1].low_confidence = true;
  const nlohmann::json parsed = nlohmann::json::parse(*render_transcript(segments, "json"));
  EXPECT_EQ(parsed["segments"][0]["words"][1]["word"], "there");
  EXPECT_FALSE(parsed["segments"][0].contains("low_confidence"));
  EXPECT_EQ(parsed["segments"][1]["low_confidence"], true);
  EXPECT_FALSE(parsed["segments"][1].contains("words"));
  const Result<std::vector<Segment>> back = parse_segments(parsed["segments"]);
  ASSERT_TRUE(back);
  EXPECT_EQ((*back)[0].words, segments[0].words);
  EXPECT_EQ((*back)[0].avg_logprob, -0.125);
  EXPECT_EQ((*back)[0].no_speech, 0.5);
  EXPECT_FALSE((*back)[0].low_confidence);
  EXPECT_TRUE((*back)[1].low_confidence);
  EXPECT_EQ(*render_transcript(segments, "text"), "hello there\n(?) bye \"you\"\n");
  segments[1].speaker = 0;
  EXPECT_TRUE(render_transcript(segments, "text")->ends_with("speaker 1: (?) bye \"you\"\n"));
  for (const char* bad : {R"(7)", R"([1])", R"([{"word":"a","start":0,"end":1}])",
                          R"([{"word":7,"start":0,"end":1,"probability":1}])",
                          R"([{"word":"a","start":1e300,"end":1,"probability":1}])"}) {
    nlohmann::json odd = parsed["segments"];
    odd[0]["words"] = nlohmann::json::parse(bad);
    EXPECT_FALSE(parse_segments(odd)) << bad;
  }
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

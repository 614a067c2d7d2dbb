// Tests of the shapes of a transcript.
#include "serve/audio_format.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

using nlohmann::json;

Heard two() {
  Heard heard;
  heard.segments = {{Millis{0}, Millis{1500}, " hello there ", 0.5},
                    {Millis{2000}, Millis{3250}, "again", 0.0}};
  heard.duration = Millis{4000};
  heard.language = "en";
  return heard;
}

TEST(AudioFormat, DurationOfAWav) {
  EXPECT_EQ(wav_duration(Bytes{44 + 32'000}), Millis{1000});
  EXPECT_EQ(wav_duration(Bytes{44}), Millis{0});
  EXPECT_EQ(wav_duration(Bytes{10}), Millis{0});
}

TEST(AudioFormat, JsonAndText) {
  EXPECT_EQ(json::parse(render_heard(two(), "json")->body)["text"], "hello there again");
  const auto text = render_heard(two(), "text");
  EXPECT_EQ(text->body, "hello there again\n");
  EXPECT_TRUE(text->header("Content-Type").starts_with("text/plain"));
  EXPECT_EQ(json::parse(render_heard({}, "json")->body)["text"], "");
}

TEST(AudioFormat, Verbose) {
  const json value = json::parse(render_heard(two(), "verbose_json")->body);
  EXPECT_EQ(value["duration"], 4.0);
  EXPECT_EQ(value["language"], "en");
  ASSERT_EQ(value["segments"].size(), 2u);
  EXPECT_EQ(value["segments"][0]["id"], 0);
  EXPECT_EQ(value["segments"][0]["end"], 1.5);
  EXPECT_NEAR(value["segments"][0]["avg_logprob"].get<double>(), -0.693, 0.001);
  EXPECT_TRUE(value["segments"][1]["avg_logprob"].is_number()) << "no infinity";
}

TEST(AudioFormat, Subtitles) {
  const auto srt = render_heard(two(), "srt");
  ASSERT_TRUE(srt);
  EXPECT_NE(srt->body.find("00:00:00,000 --> 00:00:01,500"), std::string::npos);
  const auto vtt = render_heard(two(), "vtt");
  ASSERT_TRUE(vtt);
  EXPECT_TRUE(vtt->body.starts_with("WEBVTT"));
  EXPECT_TRUE(vtt->header("Content-Type").starts_with("text/vtt"));
}

}  // namespace
}  // namespace gantry

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

TEST(AudioFormat, JsonAndText) {
  EXPECT_EQ(json::parse(render_heard(two(), "json")->body)["text"], "hello there again");
  const auto text = render_heard(two(), "text");
  EXPECT_EQ(text->body, "hello there again\n");
  EXPECT_TRUE(text->header("Content-Type").starts_with("text/plain"));
  EXPECT_EQ(json::parse(render_heard({}, "json")->body)["text"], "");
}

TEST(AudioFormat, TheDeviceIsSaidWhereItIsKnown) {
  Heard heard = two();
  EXPECT_FALSE(json::parse(render_heard(heard, "json")->body).contains("device"));
  heard.device = "NPU";
  for (const char* format : {"json", "verbose_json"}) {
    EXPECT_EQ(json::parse(render_heard(heard, format)->body)["device"], "NPU");
  }
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

Heard doubtful() {
  Heard heard = two();
  heard.segments[0].words = {{Millis{0}, Millis{700}, "hello", 0.9},
                             {Millis{700}, Millis{1500}, "there", 0.4}};
  heard.segments[0].avg_logprob = -0.25;
  heard.segments[0].no_speech = 0.125;
  heard.segments[1].low_confidence = true;
  return heard;
}

TEST(AudioFormat, WhatTheEngineSaysOfItself) {
  const json value = json::parse(render_heard(doubtful(), "verbose_json")->body);
  EXPECT_FALSE(value.contains("words"));  // nobody asked
  EXPECT_EQ(value["segments"][0]["avg_logprob"], -0.25);
  EXPECT_EQ(value["segments"][0]["no_speech_prob"], 0.125);
  EXPECT_FALSE(value["segments"][0].contains("low_confidence"));
  EXPECT_EQ(value["segments"][1]["low_confidence"], true);
  EXPECT_EQ(value["text"], "hello there again");
  EXPECT_EQ(json::parse(render_heard(doubtful(), "json")->body)["low_confidence"], true);
  EXPECT_FALSE(json::parse(render_heard(two(), "json")->body).contains("low_confidence"));
  EXPECT_EQ(render_heard(doubtful(), "text")->body, "hello there (?) again\n");
  EXPECT_NE(render_heard(doubtful(), "srt")->body.find("(?) again"), std::string::npos);
}

TEST(AudioFormat, WordsBesideSegmentsOrInTheirPlace) {
  Heard heard = doubtful();
  heard.words = true;
  const json both = json::parse(render_heard(heard, "verbose_json")->body);
  ASSERT_EQ(both["words"].size(), 2u);
  EXPECT_EQ(both["words"][1],
            (json{{"word", "there"}, {"start", 0.7}, {"end", 1.5}, {"probability", 0.4}}));
  EXPECT_EQ(both["segments"].size(), 2u);
  heard.only_words = true;
  EXPECT_FALSE(json::parse(render_heard(heard, "verbose_json")->body).contains("segments"));
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

// Turns in and out, and over a transcript.
#include "pipe/speakers.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

const std::vector<SpeakerTurn> kTurns = {{Millis(0), Millis(1'500), 0},
                                         {Millis(1'500), Millis(4'250), 1}};

TEST(Speakers, AsJsonAndBack) {
  EXPECT_EQ(*parse_turns(turns_json(kTurns)), kTurns);
  for (const char* bad : {"{}", "[1]", R"([{"start":0,"end":1}])",
                          R"([{"start":0,"end":1,"speaker":-1}])",
                          R"([{"start":"0","end":1,"speaker":1}])"}) {
    EXPECT_FALSE(parse_turns(nlohmann::json::parse(bad))) << bad;
  }
}

TEST(Speakers, AsRttm) {
  EXPECT_EQ(rttm(kTurns, "my talk.wav"),
            "SPEAKER my_talk.wav 1 0.000 1.500 <NA> <NA> speaker_1 <NA> <NA>\n"
            "SPEAKER my_talk.wav 1 1.500 2.750 <NA> <NA> speaker_2 <NA> <NA>\n");
  EXPECT_EQ(rttm({}, "x"), "");
}

TEST(Speakers, ASegmentIsTheirsWhoSpeakMostOfIt) {
  std::vector<Segment> segments = {{Millis(100), Millis(1'400), "a"},
                                   {Millis(1'000), Millis(2'600), "b"},
                                   {Millis(1'000), Millis(2'000), "c"},
                                   {Millis(5'000), Millis(6'000), "d"}};
  give_speakers(kTurns, &segments);
  EXPECT_EQ(segments[0].speaker, 0U);
  EXPECT_EQ(segments[1].speaker, 1U);
  EXPECT_EQ(segments[2].speaker, 0U);  // half and half: the lower number
  EXPECT_EQ(segments[3].speaker, std::nullopt);
  EXPECT_EQ(turns_of(segments).size(), 3U);
  EXPECT_EQ(speaker_name(0), "speaker 1");
}

}  // namespace
}  // namespace gantry

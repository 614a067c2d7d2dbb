// Detectors: asked where one is named, and only there.
#include "pipe/detect.h"

#include <gtest/gtest.h>

#include "pipe/fake_job.h"

namespace gantry {
namespace {

TEST(Detect, NobodyIsAskedWhereNoDetectorIsNamed) {
  FakeForemanForPipes foreman;
  http::Cancel cancel{false};
  const Result<Hearing> hearing = hearing_for(foreman, "ear", "/a.wav", cancel);
  ASSERT_TRUE(hearing);
  EXPECT_EQ(hearing->wav, "/a.wav");
  EXPECT_FALSE(hearing->speech);
  EXPECT_TRUE(foreman.opened.empty());
}

TEST(Detect, ItsTurnsAreStretchesAndItsSessionEnds) {
  FakeForemanForPipes foreman;
  foreman.detectors["ear"] = "vad";
  foreman.worker.turns = {{Millis(0), Millis(320), 0}, {Millis(900), Millis(1'800), 0}};
  http::Cancel cancel{false};
  const Result<Hearing> hearing = hearing_for(foreman, "ear", "/a.wav", cancel);
  ASSERT_TRUE(hearing);
  EXPECT_EQ(hearing->speech, (std::vector<SpeechSpan>{{Millis(0), Millis(320)},
                                                   {Millis(900), Millis(1'800)}}));
  EXPECT_EQ(foreman.opened, std::vector<std::string>{"vad"});
  EXPECT_EQ(foreman.open_now, 0);
}

TEST(Detect, ADetectorThatFailsIsAnError) {
  FakeForemanForPipes foreman;
  foreman.detectors["ear"] = "vad";
  http::Cancel cancel{false};
  foreman.worker.dead = Error{Code::kWorkerFailed, "died"};
  EXPECT_EQ(hearing_for(foreman, "ear", "/a.wav", cancel).error().code, Code::kWorkerFailed);
  foreman.refuse["vad"] = Error{Code::kDoesNotFit, "no room"};
  EXPECT_EQ(hearing_for(foreman, "ear", "/a.wav", cancel).error().code, Code::kDoesNotFit);
}

TEST(Detect, StretchesAreKeptAsTheyAreAndDamageIsNone) {
  const std::vector<SpeechSpan> speech = {{Millis(20), Millis(40)},
                                          {Millis(500), Millis(36'000'000)}};
  EXPECT_EQ(parse_stretches(stretches_json(speech)), speech);
  EXPECT_EQ(parse_stretches(stretches_json({})), std::vector<SpeechSpan>{});
  for (const char* bad : {"{}", "[1]", "[1,\"2\"]", "[1.5,2]", "null"}) {
    EXPECT_FALSE(parse_stretches(nlohmann::json::parse(bad))) << bad;
  }
}

}  // namespace
}  // namespace gantry

// Sentences in order, and what becomes of them when a voice fails or nobody waits any more.
#include "pipe/mouth.h"

#include <gtest/gtest.h>

#include "pipe/fake_job.h"

namespace gantry {
namespace {

class MouthTest : public testing::Test {
 protected:
  FakeForemanForPipes foreman_;
  http::Cancel cancel_{false};
};

TEST_F(MouthTest, SaysAllInOrderInOneSession) {
  Mouth mouth(foreman_, {"amy"}, "low");
  for (const char* text : {"one", "two", "three"}) mouth.say(text);
  const auto spoken = mouth.finish(cancel_);
  ASSERT_TRUE(spoken) << spoken.error().message;
  EXPECT_EQ(spoken->sentences, 3U);
  EXPECT_EQ(spoken->pcm.size(), 2 * 11U);
  EXPECT_EQ(spoken->rate, 8'000U);
  EXPECT_TRUE(spoken->first_sound);
  EXPECT_EQ(foreman_.opened, std::vector<std::string>{"amy"});
  ASSERT_EQ(foreman_.worker.said.size(), 3U);
  EXPECT_EQ(foreman_.worker.said[1].text, "two");
  EXPECT_EQ(foreman_.worker.said[1].voice, "low");
  EXPECT_EQ(spoken->report.model, "amy");
}

TEST_F(MouthTest, WithoutASentenceNothingIsOpened) {
  Mouth mouth(foreman_, {"amy"}, "");
  const auto spoken = mouth.finish(cancel_);
  ASSERT_TRUE(spoken);
  EXPECT_FALSE(spoken->first_sound);
  EXPECT_TRUE(foreman_.opened.empty());
}

TEST_F(MouthTest, AnotherVoiceTakesOverBeforeTheFirstSentenceAndNotAfterIt) {
  foreman_.refuse["amy"] = Error{Code::kDoesNotFit, "too large"};
  {
    Mouth mouth(foreman_, {"amy", "espeak"}, "");
    mouth.say("one");
    mouth.say("two");
    const auto spoken = mouth.finish(cancel_);
    ASSERT_TRUE(spoken) << spoken.error().message;
    EXPECT_EQ(spoken->report.model, "espeak");
    EXPECT_EQ(spoken->sentences, 2U);
  }
  foreman_.refuse.clear();
  foreman_.worker.said.clear();
  foreman_.worker.speaks_most = 1;
  Mouth mouth(foreman_, {"amy", "espeak"}, "");
  mouth.say("one");
  mouth.say("two");
  EXPECT_EQ(mouth.finish(cancel_).error().code, Code::kWorkerFailed);
  EXPECT_EQ(foreman_.worker.said.size(), 1U);
}

TEST_F(MouthTest, ACancelAndAnEndAreObeyed) {
  {
    const Mouth unfinished(foreman_, {"amy"}, "");
  }
  Mouth mouth(foreman_, {"amy"}, "");
  mouth.say("one");
  cancel_ = true;
  EXPECT_EQ(mouth.finish(cancel_).error().code, Code::kCancelled);
}

}  // namespace
}  // namespace gantry

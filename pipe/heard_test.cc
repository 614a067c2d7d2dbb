// Parts of a transcript: kept as it grows, read back in a chain, heard again where damaged.
#include "pipe/heard.h"

#include <gtest/gtest.h>

#include "pipe/fake_job.h"
#include "pipe/transcript.h"

namespace gantry {
namespace {

Segment at(int64_t second) {
  Segment segment{Millis(second * 1000), Millis(second * 1000 + 900), std::to_string(second), 0.5};
  segment.words = {{segment.start, segment.end, segment.text, 0.25}};
  segment.low_confidence = second % 20 == 10;
  return segment;
}

class HeardTest : public testing::Test {
 protected:
  // A worker that hears a piece every ten seconds, up to `end`.
  void hear(Heard* heard, int64_t end) {
    for (int64_t s = heard->until().count() / 1000; s < end; s += 10) {
      heard->add(at(s), at(s).start);
    }
  }
  FakeForemanForPipes foreman_;
  FakeJobContext context_{foreman_, {.kind = "x"}};
};

TEST_F(HeardTest, APartIsKeptEveryThirtySecondsAndReadBack) {
  {
    Heard heard(context_);
    EXPECT_EQ(heard.until(), Millis(0));
    hear(&heard, 30);
    EXPECT_TRUE(context_.kept.empty());
    heard.add(at(30), at(30).start);
    EXPECT_EQ(context_.kept.size(), 1U);
    EXPECT_EQ(heard.until(), Millis(30'000));
  }
  Heard second(context_);
  EXPECT_EQ(second.until(), Millis(30'000));
  ASSERT_EQ(second.segments().size(), 3U);
  hear(&second, 200);
  EXPECT_EQ(context_.kept.size(), 6U);
  Heard third(context_);
  EXPECT_EQ(third.until(), Millis(180'000));
  ASSERT_EQ(third.segments().size(), 18U);
  for (size_t i = 0; i < 18; ++i) {
    EXPECT_EQ(segment_json(third.segments()[i]), segment_json(at(static_cast<int64_t>(i) * 10)));
  }
  EXPECT_TRUE(context_.events.empty());
}

TEST_F(HeardTest, ADamagedPartAndThoseBehindItAreHeardAgain) {
  Heard first(context_);
  hear(&first, 200);
  const std::string sound = context_.kept["heard 2"];
  for (const std::string& bad : std::vector<std::string>{
           "", "{}", "[]", "null", sound.substr(0, sound.size() / 2), context_.kept["heard 3"],
           R"({"from_ms":60000,"until_ms":60000,"segments":[]})",
           R"({"from_ms":60000,"until_ms":90000,"segments":[{}]})",
           R"({"from_ms":60000,"until_ms":"90000","segments":[]})"}) {
    context_.kept["heard 2"] = bad;
    Heard heard(context_);
    EXPECT_EQ(heard.until(), Millis(60'000)) << bad;
    EXPECT_EQ(heard.segments().size(), 6U) << bad;
  }
  context_.kept.erase("heard 2");
  Heard heard(context_);
  EXPECT_EQ(heard.until(), Millis(60'000));
  hear(&heard, 100);
  EXPECT_EQ(context_.kept["heard 2"], sound);
}

TEST_F(HeardTest, WhatCannotBeKeptIsSaidOnceAndLosesNothing) {
  context_.fail_saving = Error{Code::kDiskFull, "no space"};
  Heard heard(context_);
  hear(&heard, 200);
  ASSERT_EQ(context_.events.size(), 1U);
  EXPECT_EQ(context_.events[0]["type"], "warning");
  EXPECT_NE(context_.events[0]["message"].get<std::string>().find("no space"), std::string::npos);
  EXPECT_EQ(heard.until(), Millis(0));
  context_.fail_saving.reset();
  heard.add(at(200), at(200).start);
  const Heard kept(context_);
  EXPECT_EQ(kept.until(), Millis(200'000));
  EXPECT_EQ(kept.segments().size(), 20U);
}

}  // namespace
}  // namespace gantry

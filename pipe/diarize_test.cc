// The job, and the step of others.
#include "pipe/diarize.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pipe/executors.h"
#include "pipe/fake_job.h"

namespace gantry {
namespace {

ModelStatus model(const std::string& name, const std::string& kind) {
  ModelStatus status;
  status.name = name;
  status.kind = kind;
  return status;
}

class DiarizeTest : public testing::Test {
 protected:
  DiarizeTest() {
    foreman_.known = {model("a", "voice"), model("who", "diarization"), model("z", "diarization")};
    foreman_.worker.turns = {{Millis(0), Millis(900), 0}, {Millis(1'000), Millis(2'000), 1}};
    foreman_.worker.heard = {{Millis(0), Millis(800), "one", 1},
                             {Millis(1'100), Millis(1'900), "two", 1}};
  }
  Result<nlohmann::json> run(const std::string& kind, const std::string& params) {
    context_ = std::make_unique<FakeJobContext>(
        foreman_, JobSpec{.kind = kind, .params = params, .files = {"/a.wav"}});
    auto result = make_executors(foreman_.os).at(kind)->run(*context_);
    if (!result) return fail(result.error());
    return nlohmann::json::parse(*result);
  }
  FakeForemanForPipes foreman_;
  std::unique_ptr<FakeJobContext> context_;
};

TEST_F(DiarizeTest, TurnsByTheFirstModelOfItsKind) {
  const auto page = run("diarize", R"({"speakers":2})");
  ASSERT_TRUE(page);
  EXPECT_EQ((*page)["turns"].size(), 2U);
  EXPECT_EQ((*page)["turns"][1]["speaker"], 1);
  EXPECT_EQ(foreman_.opened, std::vector<std::string>{"who"});
  EXPECT_TRUE(context_->kept.contains("turns"));
  EXPECT_FALSE(context_->went_back);
}

TEST_F(DiarizeTest, OursComesWhenThereIsNoOther) {
  foreman_.known = {model("speakers", "diarization"), model("who", "diarization")};
  ASSERT_TRUE(run("diarize", "{}"));
  EXPECT_EQ(foreman_.opened, std::vector<std::string>{"who"});
  foreman_.opened.clear();
  foreman_.known = {model("a", "voice"), model("speakers", "diarization")};
  ASSERT_TRUE(run("diarize", "{}"));
  ASSERT_TRUE(run("transcribe", R"({"speakers":0})"));
  EXPECT_EQ(foreman_.opened.front(), "speakers");
  EXPECT_EQ(foreman_.opened.back(), "speakers");
}

TEST_F(DiarizeTest, WhatIsKeptIsNotDoneAgain) {
  ASSERT_TRUE(run("diarize", "{}"));
  const auto kept = context_->kept;
  foreman_.opened.clear();
  FakeJobContext again(foreman_, {.kind = "diarize", .params = "{}", .files = {"/a.wav"}});
  again.kept = kept;
  ASSERT_TRUE(make_diarize(foreman_.os)->run(again));
  EXPECT_TRUE(foreman_.opened.empty());
}

TEST_F(DiarizeTest, SpeakersBesideTheirWords) {
  const auto page = run("transcribe", R"({"speakers":2})");
  ASSERT_TRUE(page);
  EXPECT_EQ((*page)["segments"][0]["speaker"], 0);
  EXPECT_EQ((*page)["segments"][1]["speaker"], 1);
  EXPECT_EQ((*page)["steps"].size(), 3U);
  const auto plain = run("transcribe", "{}");
  ASSERT_TRUE(plain);
  EXPECT_FALSE((*plain)["segments"][0].contains("speaker"));
}

TEST_F(DiarizeTest, WithoutAModelOrWithWrongParams) {
  foreman_.known = {};
  const auto none = run("diarize", "{}");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kNotFound);
  const auto executor = make_diarize(foreman_.os);
  const auto code = [&](const std::string& params) {
    const auto checked = executor->check({.params = params, .files = {"/a"}});
    return checked ? Code::kInternal : checked.error().code;
  };
  for (const char* bad : {R"({"speakers":65})", R"({"speakers":-1})", R"({"threshold":2.1})",
                          R"({"model":1})", R"({"voice":"x"})"}) {
    EXPECT_EQ(code(bad), Code::kUsage) << bad;
  }
  EXPECT_EQ(code(R"({"speakers":64})"), Code::kInternal);
  EXPECT_FALSE(executor->check({.params = "{}"}));
}

}  // namespace
}  // namespace gantry

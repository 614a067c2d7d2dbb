// Modes in a whole foreman over scripted workers: who answers, by figures, words and pressure.
#include "foreman/modes.h"

#include <gmock/gmock.h>

#include <future>

#include "foreman/test_bench.h"

namespace gantry {
namespace {

using testing::HasSubstr;

class ModesTest : public ForemanBench {
 protected:
  void SetUp() override {
    for (const char* name : {"large", "base", "micro"}) {
      add_model(name, MiB(100));
      config.models.back().kind = "speech";
      config.models.back().parallel = 1;
    }
    ModelConfig ear;
    ear.name = "ear";
    ear.kind = "speech";
    ear.one_of = {"large", "base", "micro"};
    ear.aliases = {"ohr"};
    ear.step_after_s = 1;
    config.models.push_back(ear);
    ForemanBench::SetUp();
  }
  void TearDown() override { foreman.reset(); }
  ModelConfig& model(const std::string& name) {
    return *std::ranges::find(config.models, name, &ModelConfig::name);
  }
  Result<std::unique_ptr<Session>> open(const std::string& name) {
    return foreman->open(name, never_, false);
  }
  std::string answers(const std::string& name) {
    Result<std::unique_ptr<Session>> session = open(name);
    return session ? (*session)->model() : session.error().message;
  }
  // A use of it that took so much of a second for each second of sound.
  void takes(const std::string& name, double factor) {
    Result<std::unique_ptr<Session>> session = open(name);
    ASSERT_TRUE(session) << session.error().message;
    (*session)->heard(100, 100 * factor);
  }
  ModeStatus status() { return foreman->modes().at(0); }

  const http::Cancel never_{false};
};

TEST_F(ModesTest, EachIsTriedUntilFiguresDecide) {
  EXPECT_EQ(answers("ear"), "large") << "nobody knows better yet";
  takes("large", 2);
  EXPECT_EQ(answers("ear"), "base");
  takes("base", 0.3);
  EXPECT_EQ(answers("ear"), "base");
  takes("micro", 0.01);
  EXPECT_EQ(answers("ohr"), "base");
  const auto session = open("ear");
  EXPECT_EQ((*session)->why(), "balanced: the best that keeps up; 0.3 s of work for a second of "
                               "sound, measured");
  const ModeStatus now = status();
  EXPECT_EQ(now.taken, "base");
  EXPECT_EQ(now.members[0].factor, 2);
  EXPECT_TRUE(now.members[2].measured);
}

TEST_F(ModesTest, AModeIsSetWhileItRunsAndKept) {
  takes("large", 2);
  takes("base", 0.3);
  takes("micro", 0.01);
  auto running = open("ear");
  ASSERT_TRUE(foreman->set_mode("ohr", Mode::kAccuracy));
  EXPECT_EQ(answers("ear"), "large");
  EXPECT_EQ((*running)->model(), "base") << "what runs goes on";
  EXPECT_TRUE((*running)->worker().alive());
  running = fail(Code::kCancelled, "done");
  ASSERT_TRUE(foreman->set_mode("ear", Mode::kSpeed));
  EXPECT_EQ(answers("ear"), "micro");
  ASSERT_TRUE(start());
  EXPECT_EQ(answers("ear"), "micro") << "over a restart";
  EXPECT_EQ(status().mode, Mode::kSpeed);
  EXPECT_EQ(status().configured, Mode::kBalanced);
  ASSERT_TRUE(foreman->set_mode("ear", std::nullopt));
  EXPECT_EQ(answers("ear"), "base");
  const auto nobody = foreman->set_mode("micro", Mode::kSpeed);
  EXPECT_EQ(nobody.error().code, Code::kNotFound);
  EXPECT_THAT(nobody.error().remedy, HasSubstr("ear"));
}

TEST_F(ModesTest, WhoCannotBeHadIsPassedOver) {
  model("large").memory = MiB(900);  // the budget is 600 MiB
  FakeScript broken;
  broken.fails = true;
  host.script("base", broken);
  ASSERT_TRUE(start());
  const auto session = open("ear");
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ((*session)->model(), "micro");
  EXPECT_FALSE(status().members[0].fits);
  EXPECT_THAT(status().members[0].trouble, HasSubstr("900"));
}

TEST_F(ModesTest, WhereNoneCanBeHadEachSaysWhy) {
  for (const char* name : {"large", "base", "micro"}) model(name).memory = MiB(900);
  ASSERT_TRUE(start());
  const auto session = open("ear");
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kDoesNotFit);
  EXPECT_THAT(session.error().message, HasSubstr("large: large needs 900"));
  EXPECT_THAT(session.error().message, HasSubstr("micro: micro needs 900"));
  EXPECT_TRUE(status().taken.empty());
}

TEST_F(ModesTest, AJobTellsWhoHeardItAndWhy) {
  takes("large", 0.1);
  const std::string id = *submit({{"model", "ear"}});
  const Job done = wait(id);
  EXPECT_EQ(done.state, JobState::kDone);
  const nlohmann::json answered = nlohmann::json::parse(done.answered, nullptr, false);
  ASSERT_EQ(answered.size(), 1U) << done.answered;
  EXPECT_EQ(answered[0]["model"], "large");
  EXPECT_THAT(answered[0]["why"].get<std::string>(), HasSubstr("balanced: the best"));
  JobSpec spec;
  spec.kind = "steps";
  spec.params = R"({"model":"ear"})";
  spec.device = "cpu";
  spec.shortage = {"wait"};
  const Job hinted = wait(*foreman->submit(spec));
  EXPECT_THAT(hinted.answered, HasSubstr("large#device=cpu#shortage=wait"));
}

TEST_F(ModesTest, LoadingItLoadsTheOneThatWouldAnswer) {
  ASSERT_TRUE(foreman->load("ear", false));
  const auto state = [&](const std::string& name) {
    for (const ModelStatus& seen : foreman->models()) {
      if (seen.name == name) return seen.state;
    }
    return std::string();
  };
  EXPECT_EQ(state("large"), "ready");
  EXPECT_EQ(state("ear"), "unloaded") << "it is nothing of its own";
  ASSERT_TRUE(foreman->unload("ear"));
  EXPECT_EQ(state("large"), "unloaded");
}

// A line that does not move makes the choice step down, and whoever waits goes with it.
TEST_F(ModesTest, ALineStepsDownAndTheOneWhoWaitsGoesThere) {
  takes("large", 0.4);
  takes("base", 0.2);
  takes("micro", 0.01);
  auto holder = open("ear");
  EXPECT_EQ((*holder)->model(), "large");
  auto other = open("ear");
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_EQ((*other)->model(), "base");
  EXPECT_THAT((*other)->why(), HasSubstr("balanced: 1 step below large, because a request"));
  EXPECT_EQ(status().level, 1U);
  EXPECT_EQ(status().taken, "base");
  EXPECT_THAT(status().pressure, HasSubstr("in line"));
  holder = fail(Code::kCancelled, "done");
  other = fail(Code::kCancelled, "done");
  until([&] { return status().level == 0; });
  EXPECT_EQ(status().changes, 2U);
  EXPECT_EQ(answers("ear"), "large");
}

TEST_F(ModesTest, MemoryOfOthersStepsDown) {
  model("large").memory = MiB(400);
  ASSERT_TRUE(start());
  live->set("cpu", MiB(150));
  const auto session = open("ear");
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ((*session)->model(), "base");
  EXPECT_THAT((*session)->why(), HasSubstr("other programs hold the memory"));
}

TEST_F(ModesTest, HeatAndStallsStepDownWhereItIsUsed) {
  for (const auto& [celsius, stalled, says] :
       {std::tuple{97.0, 0.0, "97 C"}, std::tuple{60.0, 40.0, "40 %"}}) {
    ASSERT_TRUE(start());
    auto used = open("ear");
    live->feel("cpu", false, celsius, stalled);
    until([&] { return status().level == 2; });
    EXPECT_THAT(status().pressure, HasSubstr(says));
    EXPECT_EQ(answers("ear"), "micro");
    live->feel("cpu", false, 60, 0);
    until([&] { return status().level < 2; });
    used = fail(Code::kCancelled, "done");
  }
}

}  // namespace
}  // namespace gantry

// Tests of who answers: here, or a relay; relays' /health is a real HTTP server.
#include "foreman/router.h"

#include <gmock/gmock.h>

#include "foreman/test_bench.h"

namespace gantry {
namespace {

using testing::HasSubstr;

class RouterTest : public ForemanBench {
 protected:
  void SetUp() override {
    for (auto& [server, status] : {std::tie(first_, first_status_),
                                   std::tie(second_, second_status_)}) {
      auto served = http::serve({.listen = {{"", "127.0.0.1", 0}}},
                                [&status = status](http::Exchange& exchange) {
                                  exchange.reply({status, {}, ""});
                                });
      ASSERT_TRUE(served);
      server = std::move(*served);
    }
    add_relay("far", *first_);
    add_relay("further", *second_);
    add_model("huge", MiB(900));  // the budget is 600 MiB
    for (ModelConfig& model : config.models) {
      if (!is_relay(model)) model.cloud = {"far", "further"};
    }
    ForemanBench::SetUp();
  }
  void TearDown() override { foreman.reset(); }
  void add_relay(const std::string& name, const http::Server& server) {
    add_model(name, MiB(10));
    config.models.back().cmd = "gantry-relay --listen 127.0.0.1:${PORT}";
    FakeScript script;
    script.address = server.addresses().front();
    host.script(name, script);
  }
  ModelConfig& model(const std::string& name) {
    return *std::ranges::find(config.models, name, &ModelConfig::name);
  }
  Result<std::unique_ptr<Session>> open(const std::string& name, bool stays = false) {
    return foreman->open(name, never_, false, stays);
  }
  std::string answers(const std::string& name) {
    Result<std::unique_ptr<Session>> session = open(name);
    return session ? (*session)->model() : session.error().message;
  }

  const http::Cancel never_{false};
  std::atomic<int> first_status_{200}, second_status_{200};
  std::unique_ptr<http::Server> first_, second_;
};

TEST_F(RouterTest, WhatFitsStaysAndWhatDoesNotGoesToARelay) {
  auto here = open("small");
  ASSERT_TRUE(here);
  EXPECT_EQ((*here)->model(), "small");
  EXPECT_EQ((*here)->why(), "");
  auto there = open("huge");
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_EQ((*there)->model(), "far");
  EXPECT_EQ((*there)->device(), "cloud");
  EXPECT_THAT((*there)->why(), HasSubstr("huge needs 900"));
  auto asked = open("far");
  ASSERT_TRUE(asked);
  EXPECT_EQ((*asked)->why(), "") << "whoever asks for it gets it for no other reason";
}

TEST_F(RouterTest, LoadingMeansHere) {
  EXPECT_EQ(foreman->load("huge", false).error().remedy, "far answers for it");
  EXPECT_TRUE(foreman->load("far", false));
  EXPECT_TRUE(foreman->load("small", false));
}

TEST_F(RouterTest, WhatIsPrivateStaysHere) {
  const auto private_one = open("huge", true);
  EXPECT_EQ(private_one.error().code, Code::kDoesNotFit);
  EXPECT_THAT(private_one.error().message, HasSubstr("a private request does not go to far"));
  EXPECT_EQ(open("far", true).error().code, Code::kPermission);
  EXPECT_EQ(host.starts("far"), 0);
  EXPECT_TRUE(open("small", true));
}

TEST_F(RouterTest, DeniedWinsOverAllowed) {
  config.cloud_allow = {"huge", "far"};
  ASSERT_TRUE(start());
  EXPECT_EQ(answers("huge"), "far");
  EXPECT_EQ(answers("far"), "far");
  EXPECT_THAT(answers("further"), HasSubstr("not among those that may leave"));
  config.cloud_deny = {"far"};
  ASSERT_TRUE(start());
  EXPECT_EQ(answers("huge"), "further");
  EXPECT_THAT(answers("far"), HasSubstr("do not leave this machine"));
  config.cloud_deny = {"huge"};
  ASSERT_TRUE(start());
  EXPECT_THAT(answers("huge"), HasSubstr("huge is among those that do not leave"));
  config.cloud_deny = {};
  config.cloud_allow = std::vector<std::string>{};
  ASSERT_TRUE(start());
  EXPECT_THAT(answers("huge"), HasSubstr("not among those that may leave"));
}

TEST_F(RouterTest, WordsOnShortageWithoutCloudKeepItHere) {
  model("huge").demand.shortage = {"wait", "refuse"};
  ASSERT_TRUE(start());
  EXPECT_EQ(open("huge").error().code, Code::kDoesNotFit);
  model("huge").demand.shortage = {"wait", "cloud"};
  ASSERT_TRUE(start());
  EXPECT_EQ(answers("huge"), "far");
}

TEST_F(RouterTest, ARestingRelayIsPassedOver) {
  first_status_ = 503;
  EXPECT_EQ(answers("huge"), "further");
  second_status_ = 503;
  const auto nobody = open("huge");
  EXPECT_EQ(nobody.error().code, Code::kDoesNotFit);
  EXPECT_THAT(nobody.error().message, HasSubstr("far rests"));
  EXPECT_THAT(nobody.error().message, HasSubstr("further rests"));
}

TEST_F(RouterTest, AWorkerThatCannotStartHasAWayOut) {
  FakeScript script;
  script.fails = true;
  host.script("small", script);
  auto session = open("small");
  ASSERT_TRUE(session);
  EXPECT_EQ((*session)->model(), "far");
  EXPECT_THAT((*session)->why(), HasSubstr("boom"));
}

TEST_F(RouterTest, AWorkerThatDiesAgainAndAgainIsLeftAloneForAWhile) {
  for (int i = 1; i <= 2; ++i) {
    ASSERT_EQ(answers("small"), "small") << "the first death is no habit";
    until([&] { return host.starts("small") == i; });
    host.crash("small");
    until([&] {
      for (const ModelStatus& seen : foreman->models()) {
        if (seen.name == "small" && seen.state == "unloaded") return true;
      }
      return false;
    });
  }
  EXPECT_EQ(answers("small"), "far");
  first_status_ = second_status_ = 503;
  EXPECT_EQ(answers("small"), "small") << "with nobody elsewhere its rest is waited for";
}

TEST_F(RouterTest, WhoWaitsTooLongGoesElsewhere) {
  model("small").parallel = 1;
  model("small").cloud_after_s = 1;
  ASSERT_TRUE(start());
  auto holder = open("small");
  ASSERT_TRUE(holder);
  auto other = open("small");
  ASSERT_TRUE(other);
  EXPECT_EQ((*other)->model(), "far");
  EXPECT_THAT((*other)->why(), HasSubstr("not free in time"));
}

TEST_F(RouterTest, AJobTellsWhoAnsweredAndWhy) {
  const std::string id = *submit({{"model", "huge"}, {"steps", 2}});
  const Job done = wait(id);
  EXPECT_EQ(done.state, JobState::kDone);
  EXPECT_EQ(done.device, "cloud");
  const nlohmann::json answered = nlohmann::json::parse(done.answered, nullptr, false);
  ASSERT_EQ(answered.size(), 1U) << done.answered;
  EXPECT_EQ(answered[0]["model"], "far");
  EXPECT_THAT(answered[0]["why"].get<std::string>(), HasSubstr("huge needs"));
  ASSERT_TRUE(start());  // it is on the disk
  EXPECT_EQ(foreman->job(id)->answered, done.answered);
}

TEST_F(RouterTest, APrivateJobNeverLeaves) {
  JobSpec spec;
  spec.kind = "steps";
  spec.params = R"({"model":"huge"})";
  spec.stays = true;
  const Job refused = wait(*foreman->submit(spec));
  EXPECT_EQ(refused.state, JobState::kFailed);
  EXPECT_TRUE(refused.spec.stays);
  spec.params = R"({"model":"far"})";
  EXPECT_EQ(wait(*foreman->submit(spec)).error->code, Code::kPermission);
  EXPECT_EQ(host.starts("far"), 0);
  spec.shortage = {"cloud"};
  EXPECT_EQ(foreman->submit(spec).error().code, Code::kUsage);
  spec.stays = false;
  for (const std::vector<std::string>& late : {std::vector<std::string>{"cloud", "wait"},
                                               {"cloud", "refuse", "cpu"}}) {
    spec.shortage = late;
    EXPECT_THAT(foreman->submit(spec).error().message, HasSubstr("last way out"));
  }
  spec.shortage = {"wait", "cloud", "refuse"};
  spec.params = R"({"model":"huge"})";
  EXPECT_EQ(wait(*foreman->submit(spec)).device, "cloud");
}

}  // namespace
}  // namespace gantry

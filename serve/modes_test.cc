// Tests of modes through the server.
#include <gmock/gmock.h>

#include "serve/test_server.h"

namespace gantry {
namespace {

class Modes : public ApiTest {
 protected:
  Modes() {
    ModeStatus ear;
    ear.model = "ear";
    ear.taken = "little";
    ear.why = "speed: the fastest";
    ear.level = 1;
    ear.changes = 3;
    ear.pressure = "gpu0 is throttled by heat";
    ear.members = {{.name = "big", .trouble = "too big"},
                   {.name = "little", .device = "cpu", .fits = true, .factor = 0.25,
                    .measured = true}};
    foreman_.mode_table = {ear};
    ModelStatus listed;
    listed.name = "ear";
    listed.kind = "speech";
    listed.one_of = {"big", "little"};
    foreman_.table.push_back(listed);
  }
};

TEST_F(Modes, AreListedWithFiguresAndReasons) {
  start();
  const json all = json::parse(get("/v1/modes").body);
  ASSERT_EQ(all["data"].size(), 1U);
  const json& ear = all["data"][0];
  EXPECT_EQ(ear["mode"], "balanced");
  EXPECT_EQ(ear["configured"], "balanced");
  EXPECT_EQ(ear["taken"], "little");
  EXPECT_EQ(ear["level"], 1);
  EXPECT_EQ(ear["pressure"], "gpu0 is throttled by heat");
  EXPECT_EQ(ear["members"][0]["trouble"], "too big");
  EXPECT_TRUE(ear["members"][0]["real_time_factor"].is_null());
  EXPECT_EQ(ear["members"][1]["real_time_factor"], 0.25);
  EXPECT_EQ(json::parse(get("/running").body)["modes"], all["data"]);
  EXPECT_EQ(json::parse(get("/v1/models/ear").body)["one_of"], json::array({"big", "little"}));
  EXPECT_FALSE(json::parse(get("/v1/models/chat").body).contains("one_of"));
  const std::string metrics = get("/metrics").body;
  for (const char* line : {
           "gantry_mode_taken{model=\"ear\",taken=\"little\",mode=\"balanced\"} 1\n",
           "gantry_mode_level{model=\"ear\"} 1\n", "gantry_mode_changes_total{model=\"ear\"} 3\n",
           "gantry_real_time_factor{model=\"little\",device=\"cpu\",of=\"ear\",by=\"measured\"} "
           "0.25\n"}) {
    EXPECT_NE(metrics.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(metrics.find("model=\"big\",device"), std::string::npos);
}

TEST_F(Modes, AreSetAndTakenBack) {
  start();
  const json set = json::parse(post("/v1/modes/ear", json{{"mode", "speed"}}).body);
  EXPECT_EQ(set["mode"], "speed");
  EXPECT_EQ(set["configured"], "balanced");
  EXPECT_EQ(foreman_.mode_table[0].mode, Mode::kSpeed);
  EXPECT_EQ(json::parse(post("/v1/modes/ear", json{{"mode", nullptr}}).body)["mode"], "balanced");
  for (const json& bad : {json{{"mode", "fast"}}, json{{"mode", 1}}, json::object()}) {
    EXPECT_EQ(error_of(post("/v1/modes/ear", bad)), "400 invalid_request_error usage mode");
  }
  EXPECT_EQ(post("/v1/modes/chat", json{{"mode", "speed"}}).status, 404);
}

}  // namespace
}  // namespace gantry

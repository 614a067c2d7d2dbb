// Tests of health, models, running, loading, logs and metrics through the server.
#include "serve/test_server.h"

namespace gantry {
namespace {

class Models : public ApiTest {};

TEST_F(Models, Health) {
  start();
  const auto response = get("/health");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json::parse(response.body), (json{{"status", "ok"}, {"version", "1.2.3"}}));
}

TEST_F(Models, ListsThemWithoutLoading) {
  start();
  const json list = json::parse(get("/v1/models").body);
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 4u);
  EXPECT_EQ(list["data"][0]["id"], "chat");
  EXPECT_EQ(json::parse(get("/v1/models/ears").body)["kind"], "speech");
  EXPECT_EQ(error_of(get("/v1/models/nobody")),
            "404 invalid_request_error model_not_found model");
  foreman_.table[0].name = "org/chat";
  EXPECT_EQ(json::parse(get("/v1/models/org/chat").body)["id"], "org/chat");
  EXPECT_EQ(json::parse(get("/v1/models/org%2Fchat").body)["id"], "org/chat");
  EXPECT_EQ(foreman_.opened, 0);
}

TEST_F(Models, HistoryIsPredictedBesideMeasured) {
  LoadSeen seen;
  seen.model = "chat";
  seen.end = LoadEnd::kGrew;
  seen.sessions = 2;
  seen.bytes = {{"cpu", Bytes{100}, Bytes{150}}, {"gpu0", Bytes{7}, std::nullopt}};
  seen.load_s = 0.5;
  foreman_.loads = {seen, seen};
  foreman_.loads[1].model = "a b";
  start();
  const json all = json::parse(get("/v1/history").body);
  ASSERT_EQ(all["data"].size(), 2u);
  const json& load = all["data"][0];
  EXPECT_EQ(load["model"], "chat");
  EXPECT_EQ(load["end"], "grew");
  EXPECT_EQ(load["devices"][0]["predicted_bytes"], 100);
  EXPECT_EQ(load["devices"][0]["measured_bytes"], 150);
  EXPECT_EQ(load["devices"][0]["error"], 0.5);
  EXPECT_TRUE(load["devices"][1]["measured_bytes"].is_null());
  EXPECT_EQ(load["load_seconds"]["measured"], 0.5);
  EXPECT_TRUE(load["decode"]["predicted"].is_null());
  const json one = json::parse(get("/v1/history?model=a%20b").body);
  ASSERT_EQ(one["data"].size(), 1u);
  EXPECT_EQ(one["data"][0]["model"], "a b");
}

TEST_F(Models, RunningShowsThoseThatHoldMemory) {
  foreman_.table[1].state = "ready";
  foreman_.table[1].placement.needs = {{"cpu", {}, {}, {}, {}}};
  options_.ram_budget = "300MiB";
  start();
  const json whole = json::parse(get("/running").body);
  EXPECT_EQ(whole["ram_budget"], "300MiB");
  EXPECT_EQ(whole["vram_budget"], "");
  ASSERT_EQ(whole["devices"].size(), 1u);
  EXPECT_EQ(whole["devices"][0]["booked_bytes"], 104857600);
  EXPECT_EQ(whole["devices"][0]["elsewhere_bytes"], 52428800);
  EXPECT_EQ(whole["devices"][0]["strangers"][0]["name"], "train");
  const json& running = whole["running"];
  ASSERT_EQ(running.size(), 1u);
  EXPECT_EQ(running[0]["model"], "ears");
  EXPECT_EQ(running[0]["devices"], json::array({"cpu"}));
}

TEST_F(Models, LoadAndUnload) {
  start();
  EXPECT_EQ(post("/models/load", json{{"model", "chat"}}).status, 200);
  EXPECT_EQ(foreman_.loaded, "chat");
  EXPECT_FALSE(foreman_.trusted);
  EXPECT_EQ(post_local("/models/load", json{{"model", "/a.gguf"}}).status, 200);
  EXPECT_TRUE(foreman_.trusted);
  EXPECT_EQ(error_of(post("/models/load", json{{"model", "/a.gguf"}})),
            "400 invalid_request_error usage model");
  EXPECT_EQ(error_of(post("/models/load", json::object())),
            "400 invalid_request_error usage model");
  foreman_.open_fault = Error{Code::kDoesNotFit, "too big", "shrink"};
  EXPECT_EQ(error_of(post("/models/load", json{{"model", "chat"}})),
            "507 server_error does_not_fit");
  EXPECT_EQ(post("/models/unload", json{{"model", "chat"}}).status, 200);
  EXPECT_EQ(foreman_.unloaded, "chat");
}

TEST_F(Models, LogsForTheOwner) {
  start();
  EXPECT_EQ(get_local("/v1/logs/chat").body, "last words\n");
  EXPECT_EQ(error_of(get_local("/v1/logs/nobody")),
            "404 invalid_request_error model_not_found model");
}

TEST_F(Models, MetricsCountRoutesNotPaths) {
  start();
  get("/v1/models/ears");
  get("/v1/models/nobody");
  get("/whatever?secret=1");
  ask(tcp(), {"GET", "/health", {{"Origin", "http://evil"}}, {}});
  const auto response = get("/metrics");
  EXPECT_EQ(response.header("Content-Type"), "text/plain; version=0.0.4");
  for (const char* line : {
           "gantry_http_requests_total{route=\"/v1/models/{*}\",status=\"200\"} 1\n",
           "gantry_http_requests_total{route=\"/v1/models/{*}\",status=\"404\"} 1\n",
           "gantry_http_requests_total{route=\"unknown\",status=\"404\"} 1\n",
           "gantry_http_requests_total{route=\"refused\",status=\"403\"} 1\n",
           "gantry_ledger_budget_bytes{device=\"cpu\"} 314572800\n",
       }) {
    EXPECT_NE(response.body.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(response.body.find("whatever"), std::string::npos);
  EXPECT_EQ(response.body.find("process_resident_memory_bytes 0\n"), std::string::npos);
}

}  // namespace
}  // namespace gantry

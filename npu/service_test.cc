// The service over TCP with the shipped embedding model; generation is language_test.cc's.
#include "npu/service.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "npu/test_model.h"

namespace gantry {
namespace {

using nlohmann::json;

class NpuServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    core = std::move(*OvCore::open(*os, {.threads = 1}));
    auto model = EmbedModel::open(*os, *core, clock, shipped_embed());
    ASSERT_TRUE(model) << describe(model.error());
    models.embedders.push_back(std::move(*model));
    options.listen.port = 0;
    options.devices = core->devices();
    start();
  }
  void start() {
    service.reset();
    auto started = serve_npu(options, models, *os, *log);
    ASSERT_TRUE(started) << describe(started.error());
    service = std::move(*started);
  }
  http::Response ask(const std::string& method, const std::string& target,
                     const std::string& body = "", http::Headers extra = {}) {
    http::Request request{method, target, {}, body};
    request.headers = {{"Host", service->address().text()}};
    for (auto& header : extra) request.headers.push_back(header);
    const auto response = http::fetch(service->address(), request, {});
    EXPECT_TRUE(response) << (response ? "" : describe(response.error()));
    return response ? *response : http::Response{.status = 0};
  }
  json body_of(const http::Response& response, int status) {
    EXPECT_EQ(response.status, status) << response.body.substr(0, 300);
    return json::parse(response.body, nullptr, false);
  }

  std::unique_ptr<Os> os = make_real_os();
  RealClock clock;
  std::unique_ptr<OvCore> core;
  std::unique_ptr<Log> log = silent_log();
  NpuModels models;
  NpuServiceOptions options;
  std::unique_ptr<NpuService> service;
};

TEST_F(NpuServiceTest, HealthSaysWhatAnswers) {
  const json health = body_of(ask("GET", "/health"), 200);
  EXPECT_EQ(health["status"], "ok");
  EXPECT_FALSE(health["devices"].empty());
  EXPECT_EQ(health["models"][0]["name"], "micro-embed-en");
  EXPECT_EQ(health["answering"], health["models"][0]["device"]);
  if (core->devices().size() == 1) {
    EXPECT_EQ(health["note"], "no NPU: OpenVINO's CPU device answers");
  }
}

TEST_F(NpuServiceTest, BothShapesGiveTheSameVectors) {
  const json ours =
      body_of(ask("POST", "/embeddings", R"({"texts":["open the door","stop"]})"), 200);
  EXPECT_EQ(ours["embeddings"].size(), 2U);
  EXPECT_EQ(ours["embeddings"][0].size(), 96U);
  EXPECT_EQ(ours["model"], "micro-embed-en");
  EXPECT_TRUE(ours["truncated"].empty());
  const json theirs = body_of(
      ask("POST", "/v1/embeddings", R"({"model":"micro-embed-en","input":["open the door"]})"),
      200);
  for (size_t i = 0; i < 96; ++i) {
    EXPECT_NEAR(theirs["data"][0]["embedding"][i].get<double>(),
                ours["embeddings"][0][i].get<double>(), 1e-5);
  }
  const json packed = body_of(
      ask("POST", "/v1/embeddings", R"({"input":"open","encoding_format":"base64"})"), 200);
  EXPECT_EQ(packed["data"][0]["embedding"].get<std::string>().size(), 96U * 4 / 3 * 4);
  EXPECT_EQ(body_of(ask("GET", "/v1/models"), 200)["data"][0]["id"], "micro-embed-en");
  EXPECT_NE(ask("GET", "/metrics").body.find("gantry_npu_texts_total{model=\"micro-embed-en\""),
            std::string::npos);
}

TEST_F(NpuServiceTest, WhatIsWrongIsSaid) {
  const json unknown =
      body_of(ask("POST", "/embeddings", R"({"texts":["a"],"model":"bge-small-en"})"), 404);
  EXPECT_NE(unknown["error"]["message"].get<std::string>().find("installed: micro-embed-en"),
            std::string::npos);
  EXPECT_EQ(unknown["error"]["code"], "model_not_found");
  body_of(ask("POST", "/inference", R"({"prompt":"a","model":"micro-embed-en"})"), 400);
  body_of(ask("POST", "/embeddings", "{"), 400);
  body_of(ask("POST", "/embeddings", "{\"texts\":[\"\xFF\"]}"), 400);
  body_of(ask("POST", "/nothing", "{}"), 404);
  EXPECT_EQ(ask("GET", "/embeddings").header("Allow"), "POST");
}

TEST_F(NpuServiceTest, StrangersAreKeptOut) {
  EXPECT_EQ(ask("GET", "/health", "", {{"Origin", "https://evil.example"}}).status, 403);
  options.guard.api_key = "secret";
  start();
  EXPECT_EQ(ask("GET", "/health").status, 401);
  EXPECT_EQ(ask("GET", "/health", "", {{"Authorization", "Bearer secret"}}).status, 200);
  NpuServiceOptions open = options;
  open.guard.api_key.clear();
  open.listen.host = "0.0.0.0";
  EXPECT_EQ(serve_npu(open, models, *os, *log).error().code, Code::kUsage);
  open.listen = service->address();
  EXPECT_EQ(serve_npu(open, models, *os, *log).error().code, Code::kBusy);
}

}  // namespace
}  // namespace gantry

// Tests of the shapes that scripts rely on.
#include "serve/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

using nlohmann::json;

TEST(JobJson, HasTheKeysThatScriptsRelyOn) {
  Job job;
  job.id = "id";
  job.spec.kind = "transcribe";
  job.attempts = 2;
  job.device = "cpu";
  const json value = job_json(job);
  for (const char* key : {"id", "kind", "state", "attempts", "device", "result", "error"}) {
    EXPECT_TRUE(value.contains(key)) << key;
  }
  EXPECT_EQ(value["state"], "queued");
  EXPECT_EQ(value["attempts"], 2);
  EXPECT_TRUE(value["result"].is_null());
  EXPECT_TRUE(value["error"].is_null());
  EXPECT_TRUE(value["started"].is_null());
  EXPECT_TRUE(value["part_of"].is_null());
  job.part_of = "whole";
  job.part = "part-3";
  EXPECT_EQ(job_json(job)["part_of"], "whole");
  EXPECT_EQ(job_json(job)["part"], "part-3");
}

TEST(JobJson, ResultsAreValuesOrText) {
  Job job;
  job.state = JobState::kDone;
  job.error = Error{Code::kCorrupt, "no audio", "record again"};
  std::string result = "{\"text\":\"a\"}";
  EXPECT_EQ(job_json(job, &result)["result"]["text"], "a");
  result = "- point";
  EXPECT_EQ(job_json(job, &result)["result"], "- point");
  result = "{broken";
  EXPECT_EQ(job_json(job, &result)["result"], "{broken");
  EXPECT_EQ(job_json(job)["error"]["code"], "corrupt");
  EXPECT_EQ(job_json(job)["error"]["message"], "no audio");
  EXPECT_EQ(job_json(job)["error"]["remedy"], "record again");
}

TEST(ModelJson, LooksLikeOpenAis) {
  ModelStatus model;
  model.name = "a";
  model.kind = "speech";
  model.state = "ready";
  model.pid = 7;
  model.measured = Bytes{5};
  EXPECT_EQ(model_json(model)["id"], "a");
  EXPECT_EQ(model_json(model)["object"], "model");
  EXPECT_EQ(running_json(model)["model"], "a");
  EXPECT_EQ(running_json(model)["pid"], 7);
  EXPECT_EQ(running_json(model)["measured_bytes"], 5);
  const json device = ledger_json({"cpu", Bytes{3}, Bytes{2}, Bytes{1}});
  EXPECT_EQ(device, (json{{"name", "cpu"},
                          {"budget_bytes", 3},
                          {"booked_bytes", 2},
                          {"measured_peak_bytes", 1},
                          {"elsewhere_bytes", 0},
                          {"strangers", json::array()}}));
}

}  // namespace
}  // namespace gantry

// The worker's command line, its events, and what is read out of them.
#include "apps/bench_run.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gantry {
namespace {

bool has(const std::vector<std::string>& argv, const std::string& a, const std::string& b) {
  const auto at = std::ranges::find(argv, a);
  return at != argv.end() && at + 1 != argv.end() && *(at + 1) == b;
}

std::string env(const ProcessSpec& spec, const std::string& name) {
  std::string value;
  for (const auto& [key, text] : spec.env) {
    if (key != name) continue;
    EXPECT_TRUE(value.empty()) << name << " is there twice";
    value = text;
  }
  return value;
}

TEST(WorkerSpec, TheStreamerGetsItsPluginAndItsSettings) {
  BenchPlan plan{.worker = "w", .plugin = "p.so", .model = "m.gguf", .vram_budget = "6GiB"};
  plan.sequences = 8;
  const ProcessSpec spec = worker_spec(plan, *parse_setup("resident=8,placement=tail"));
  EXPECT_TRUE(has(spec.argv, "--plugin", "p.so"));
  EXPECT_TRUE(has(spec.argv, "-s", "8"));
  EXPECT_EQ(env(spec, "GANTRY_STREAM_RESIDENT"), "8");
  EXPECT_EQ(env(spec, "GANTRY_STREAM_DEVICE_BUDGET"), "6GiB");
  EXPECT_TRUE(spec.bare_env);
  // What a configuration says wins over what all have in common.
  EXPECT_EQ(env(worker_spec(plan, *parse_setup("device_budget=1GiB")),
                "GANTRY_STREAM_DEVICE_BUDGET"), "1GiB");
}

TEST(WorkerSpec, TheOthersGetNeither) {
  const BenchPlan plan{.worker = "w", .plugin = "p.so", .model = "m.gguf"};
  const ProcessSpec spec = worker_spec(plan, *parse_setup("ngl=3"));
  EXPECT_EQ(std::ranges::find(spec.argv, "--plugin"), spec.argv.end());
  EXPECT_TRUE(has(spec.argv, "--num-gpu-layers", "3"));
  EXPECT_TRUE(std::ranges::none_of(
      spec.env, [](const auto& one) { return one.first.starts_with("GANTRY_STREAM_"); }));
}

TEST(TakeEvent, GathersAndPassesErrorsOn) {
  BenchRun run;
  EXPECT_TRUE(take_event(R"({"event":"loaded","seconds":1})", &run));
  EXPECT_TRUE(take_event(R"({"event":"iteration","decode":{"tokens_per_second":2}})", &run));
  EXPECT_TRUE(take_event(R"({"event":"done"})", &run));
  EXPECT_EQ(run.iterations.size(), 1U);
  EXPECT_FALSE(run.done.is_null());
  const auto error = take_event(
      R"({"event":"error","code":"does_not_fit","message":"m","remedy":"r"})", &run);
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code, Code::kDoesNotFit);
  EXPECT_EQ(error.error().remedy, "r");
  for (const char* bad : {"", "[]", "ggml: hello", R"({"event":"what"})", R"({"event":7})"}) {
    const auto got = take_event(bad, &run);
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().code, Code::kCorrupt) << bad;
  }
}

TEST(Series, FieldsOfAllIterationsOfAllRuns) {
  BenchRun one, two;
  ASSERT_TRUE(take_event(R"({"event":"iteration","decode":{"tokens_per_second":2}})", &one));
  ASSERT_TRUE(take_event(
      R"({"event":"iteration","prefill":null,"decode":{"stream":{"disk_bytes":9},)"
      R"("tokens_per_second":4}})", &two));
  EXPECT_EQ(series({one, two}, "decode", "tokens_per_second"), (std::vector<double>{2, 4}));
  EXPECT_EQ(series({one, two}, "decode", "stream/disk_bytes"), (std::vector<double>{9}));
  EXPECT_TRUE(series({one, two}, "prefill", "tokens_per_second").empty());
}

}  // namespace
}  // namespace gantry

// Tests of what scripts and people read.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "plan/example.h"

namespace gantry {
namespace {

using nlohmann::json;

Demand two_models() {
  Demand demand;
  demand.wishes = {wish_for("micro-asr", whisper_card()),
                   wish_for("micro-minutes", llama_card(kMicro))};
  demand.ram = Budget{MiB(60), std::nullopt};
  return demand;
}

TEST(PlanJson, ShapeThatScriptsRelyOn) {
  Machine machine = machine_with(GiB(8));
  machine.devices[0].bandwidth.memory_bytes_per_s = 2e10;
  const json out = plan_json(plan(machine, two_models()).value());
  EXPECT_EQ(out["fits"], true);
  EXPECT_EQ(out["together"], false);
  ASSERT_EQ(out["turns"].size(), 2U);
  EXPECT_EQ(out["turns"][0]["models"], json({"micro-asr"}));
  EXPECT_TRUE(out["turns"][0]["load_s"].is_null());  // the disk was not measured
  const json& device = out["devices"][0];
  EXPECT_EQ(device["name"], "cpu");
  uint64_t sum = 0;
  for (const char* key : {"weights", "kv", "compute", "overhead"}) {
    sum += device[key].get<uint64_t>();
  }
  EXPECT_EQ(device["total"], sum);
  EXPECT_EQ(device["budget"], MiB(60).n);
  const json& model = out["models"][1];
  EXPECT_EQ(model["name"], "micro-minutes");
  EXPECT_EQ(model["layers"], (json{{"resident", 0}, {"streamed", 0}, {"cpu", 8}}));
  EXPECT_TRUE(model["speed"]["prefill"].is_null());
  EXPECT_TRUE(model["speed"]["decode"].is_number());
  EXPECT_TRUE(out["models"][0]["speed"]["decode"].is_null());
  EXPECT_EQ(model["needs"][0]["device"], "cpu");
  EXPECT_TRUE(out["fixes"].empty());
}

TEST(PlanJson, FixesWhenItDoesNotFit) {
  Demand demand = two_models();
  demand.ram = Budget{MiB(30), std::nullopt};
  const json out = plan_json(plan(machine_with(GiB(8)), demand).value());
  EXPECT_EQ(out["fits"], false);
  ASSERT_FALSE(out["fixes"].empty());
  EXPECT_TRUE(out["fixes"][0]["change"].is_string());
  EXPECT_TRUE(out["fixes"][0]["saves_bytes"].is_number_unsigned());
}

TEST(PlanText, ATableAndWhy) {
  const std::string text = plan_text(plan(machine_with(GiB(8)), two_models()).value());
  EXPECT_NE(text.find("model          device    weights      cache    compute   overhead "
                      "     total\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("micro-asr      cpu      11.7 MiB  864.0 KiB"), std::string::npos) << text;
  EXPECT_NE(text.find("They fit one at a time: loading one unloads another.\n  1. micro-asr\n"
                      "  2. micro-minutes\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("  micro-minutes: all 8 layers on the CPU: there is no accelerator"),
            std::string::npos)
      << text;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << line;
  }
}

TEST(PlanText, SaysWhatWouldBeEnough) {
  Demand demand = two_models();
  demand.ram = Budget{MiB(30), std::nullopt};
  const std::string text = plan_text(plan(machine_with(GiB(8)), demand).value());
  EXPECT_NE(text.find("It does not fit."), std::string::npos) << text;
  EXPECT_NE(text.find("does not fit: needs "), std::string::npos) << text;
  EXPECT_NE(text.find("Enough would be one of:\n  --ram-budget "), std::string::npos) << text;
  demand.wishes = {wish_for("big", llama_card(kSevenB))};
  demand.wishes[0].stream.streaming = Streaming::kNever;
  demand.ram = Budget{MiB(100), std::nullopt};
  const std::string hopeless = plan_text(plan(machine_with(MiB(200)), demand).value());
  EXPECT_NE(hopeless.find("use a smaller model"), std::string::npos) << hopeless;
}

}  // namespace
}  // namespace gantry

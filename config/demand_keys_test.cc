// What a model's demand may say, and what is said of anything else.
#include "config/demand_keys.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

Result<DemandConfig> demand_of(const std::string& keys) {
  auto config = parse_config("models:\n  m:\n    file: m.gguf\n" + keys, "/home/u/gantry.yaml");
  if (!config) return fail(config.error());
  return config->models.at(0).demand;
}

TEST(DemandKeys, AllOfThem) {
  const auto demand = demand_of(R"(    purpose: chat
    priority: 2.5
    latency: batch
    share: 0.25
    prompt_tokens: 2048
    output_tokens: 128
    audio_s: 30
    allow: [q8_0, q4_0, context, encoder, batch]
    context_least: 2048
    shortage: [wait, shrink, cpu, cloud, refuse]
    alternatives: [small.gguf, /models/tiny.gguf]
    device: gpu1
    cap: 0.6
    compute_type: Q4_K
)");
  ASSERT_TRUE(demand) << demand.error().message;
  EXPECT_EQ(demand->purpose, "chat");
  EXPECT_EQ(demand->priority, 2.5);
  EXPECT_EQ(demand->latency, "batch");
  EXPECT_EQ(demand->share, 0.25);
  EXPECT_EQ(demand->prompt_tokens, 2048U);
  EXPECT_EQ(demand->output_tokens, 128U);
  EXPECT_EQ(demand->audio_s, 30U);
  EXPECT_EQ(demand->allow.size(), 5U);
  EXPECT_EQ(demand->context_least, 2048U);
  EXPECT_EQ(demand->shortage.front(), "wait");
  EXPECT_EQ(demand->alternatives,
            (std::vector<std::string>{"/home/u/small.gguf", "/models/tiny.gguf"}));
  EXPECT_EQ(demand->device, "gpu1");
  ASSERT_TRUE(demand->cap);
  EXPECT_EQ(demand->cap->fraction, 0.6);
  EXPECT_EQ(demand->compute_type, "Q4_K");
}

TEST(DemandKeys, CapsAsBudgets) {
  EXPECT_EQ(demand_of("    cap: 6GiB\n")->cap->bytes, GiB(6));
  EXPECT_EQ(demand_of("    cap: 60%\n")->cap->fraction, 0.6);
  EXPECT_EQ(demand_of("    cap: 1.0\n")->cap->fraction, 1.0);
  EXPECT_FALSE(demand_of("    cap: 0.0\n"));
}

TEST(DemandKeys, RefusalsNameThePlace) {
  for (const char* wrong :
       {"    priority: 0\n", "    priority: 1001\n", "    priority: high\n", "    share: -1\n",
        "    latency: soon\n", "    allow: [q9_9]\n", "    allow: q8_0\n",
        "    shortage: [wait, wait]\n", "    shortage: [panic]\n", "    context_least: 0\n",
        "    alternatives: [a, b, c, d, e, f, g, h, i]\n", "    alternatives: ['']\n"}) {
    const auto demand = demand_of(wrong);
    ASSERT_FALSE(demand) << wrong;
    EXPECT_EQ(demand.error().code, Code::kCorrupt) << wrong;
    EXPECT_TRUE(demand.error().message.starts_with("/home/u/gantry.yaml:4:")) << wrong;
  }
  EXPECT_NE(demand_of("    latency: soon\n").error().remedy.find("interactive or batch"),
            std::string::npos);
  EXPECT_TRUE(demand_of("    alternatives: [a, b, c, d, e, f, g, h]\n"));
}

TEST(DemandKeys, OfTheWholeFile) {
  const auto config = parse_config("prefer: energy\ncompute_type: Q8_0\n", "f");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->prefer, "energy");
  EXPECT_EQ(config->compute_type, "Q8_0");
  EXPECT_FALSE(parse_config("prefer: cheapness\n", "f"));
}

}  // namespace
}  // namespace gantry

// The engine's dry run of shipped and of broken files; lab/plan compares it with the formulas.
#include "worker/dry_run.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "worker/test_bench.h"

namespace gantry {
namespace {

class DryRun : public testing::Test {
 protected:
  void SetUp() override {
    if (!exists(options_.model) || !exists(options_.engine_dir)) {
      GTEST_SKIP() << "the micro model or the engines are not there";
    }
  }
  Code code() const { return dry_run(options_).error().code; }

  TestFolder folder_;
  DryRunOptions options_{.model = model_file("micro-minutes.gguf"),
                         .engine_dir = GANTRY_ENGINE_DIR,
                         .devices = "none",
                         .context = 1024};
};

TEST_F(DryRun, SaysWhatAContextWouldHold) {
  const auto small = dry_run(options_);
  ASSERT_TRUE(small) << small.error().message;
  EXPECT_TRUE(small->at("devices").empty());
  const auto host = small->at("host");
  EXPECT_GT(host.at("model").get<uint64_t>(), 1U << 20);
  EXPECT_GT(host.at("compute").get<uint64_t>(), 1U << 20);
  options_.context = 512;
  const auto smaller = dry_run(options_);
  ASSERT_TRUE(smaller) << smaller.error().message;
  EXPECT_EQ(smaller->at("host").at("context").get<uint64_t>() * 2,
            host.at("context").get<uint64_t>());
  EXPECT_LT(smaller->at("host").at("compute").get<uint64_t>(),
            host.at("compute").get<uint64_t>());
}

TEST_F(DryRun, RowsOfAnswersAreInTheHostsCompute) {
  const auto one = dry_run(options_);
  options_.parallel = 4;
  options_.context *= 4;
  const auto four = dry_run(options_);
  ASSERT_TRUE(one && four);
  const auto output = one->at("host").at("output").get<uint64_t>();
  EXPECT_EQ(output, 596U * sizeof(float));  // the words of this model
  EXPECT_EQ(four->at("host").at("output").get<uint64_t>(), 4 * output);
  uint64_t buffers = 0;
  for (const auto& row : one->at("buffers")) buffers += row.at("compute").get<uint64_t>();
  EXPECT_EQ(one->at("host").at("compute").get<uint64_t>(), buffers + output);
  // Of an embedding model: for each token of a batch, and the answer beside it.
  options_.parallel = 1;
  options_.context = options_.ubatch = 128;
  options_.embeddings = true;
  options_.model = model_file("micro-embed-en.gguf");
  const auto embeds = dry_run(options_);
  ASSERT_TRUE(embeds) << embeds.error().message;
  const auto rows = embeds->at("host").at("output").get<uint64_t>();
  EXPECT_EQ(rows % (128 * sizeof(float)), 0U);
  EXPECT_GT(rows, 128 * sizeof(float) * 200);
}

TEST_F(DryRun, TheEncoderHasWeightsAndAGraph) {
  options_.model = model_file("micro-vision.gguf");
  options_.mmproj = model_file("micro-vision-mmproj.gguf");
  const auto seen = dry_run(options_);
  ASSERT_TRUE(seen) << seen.error().message;
  const auto host = seen->at("host");
  EXPECT_GT(host.at("mmproj").get<uint64_t>(), 1U << 20);
  // 0.54 MiB are logged by llama-server.
  EXPECT_GT(host.at("mmproj_compute").get<uint64_t>(), 500U << 10);
  EXPECT_LT(host.at("mmproj_compute").get<uint64_t>(), 700U << 10);
}

TEST_F(DryRun, BadFilesAreNamed) {
  options_.model = folder_.file("nothing.gguf");
  EXPECT_EQ(code(), Code::kNotFound);
  options_.model = folder_.write("cut.gguf", slurp(model_file("micro-minutes.gguf")).substr(0, 99));
  EXPECT_EQ(code(), Code::kCorrupt);
  options_.model = model_file("micro-minutes.gguf");
  options_.mmproj = options_.model;
  EXPECT_EQ(code(), Code::kUnsupported);
}

TEST_F(DryRun, BadFlagsAreNamed) {
  const DryRunOptions good = options_;
  const auto refused = [&](auto change) {
    options_ = good;
    change(options_);
    return code();
  };
  EXPECT_EQ(refused([](DryRunOptions& o) { o.context = 0; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.context = kContextMax + 1; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.parallel = 0; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.parallel = 1U << 20; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.ubatch = 0; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.batch = (1U << 20) + 1; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.pooling = "most"; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.split_mode = "row"; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.cache_k = "q3"; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.flash_attention = "perhaps"; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.tensor_split = "1,x"; }), Code::kUsage);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.devices = "CUDA7"; }), Code::kUnavailable);
  EXPECT_EQ(refused([](DryRunOptions& o) { o.plugin = "/nothing.so"; }), Code::kUnavailable);
}

TEST_F(DryRun, WhatTheEngineRefusesIsInItsWords) {
  options_.cache_v = "q8_0";  // not without flash attention
  const auto refused = dry_run(options_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("cannot make a context"), std::string::npos);
}

}  // namespace
}  // namespace gantry

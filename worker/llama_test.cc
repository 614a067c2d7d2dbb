// The command line of llama-server, flag by flag.
#include "worker/llama.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/test_bench.h"

namespace gantry {
namespace {

using testing::Contains;
using testing::Not;
using Argv = std::vector<std::string>;

WorkerSpec spec() {
  WorkerSpec s;
  s.model = "m";
  s.file = "/models/m.gguf";
  s.placement.context = 1024;
  return s;
}

Argv argv(const WorkerSpec& s) {
  WorkerContext context;
  context.engine_dir = "/engines";
  return llama_argv(context, s, "/run/x.sock").value_or(Argv{});
}

// The word after `flag`; empty when the flag is not there.
std::string value(const Argv& words, const std::string& flag) {
  const auto at = std::ranges::find(words, flag);
  return at == words.end() || at + 1 == words.end() ? "" : *(at + 1);
}

TEST(LlamaArgv, CarriesOutThePlan) {
  WorkerSpec s = spec();
  s.parallel = 3;
  s.ubatch = 256;
  const Argv a = argv(s);
  EXPECT_EQ(a[0], "/engines/llama-server");
  EXPECT_EQ(value(a, "-m"), "/models/m.gguf");
  EXPECT_EQ(value(a, "-c"), "3072");  // the server divides by -np
  EXPECT_EQ(value(a, "-np"), "3");
  EXPECT_EQ(value(a, "-b"), "256");
  EXPECT_EQ(value(a, "-ub"), "256");
  EXPECT_EQ(value(a, "--host"), "/run/x.sock");
  EXPECT_EQ(value(a, "-ctk"), "f16");
  EXPECT_EQ(value(a, "-fa"), "off");
  EXPECT_EQ(value(a, "--cache-ram"), "0");
  EXPECT_EQ(value(a, "--alias"), spec().model);
  EXPECT_THAT(a, Contains("--offline"));
  EXPECT_THAT(a, Contains("--no-ui"));
  EXPECT_THAT(a, Contains("--no-slots"));
  EXPECT_THAT(a, Not(Contains("--embeddings")));
}

TEST(LlamaArgv, BatchesNeverExceedTheContext) {
  WorkerSpec s = spec();
  s.placement.context = 64;
  EXPECT_EQ(value(argv(s), "-ub"), "64");
  s.embeddings = true;  // an encoder needs its whole input in one batch
  s.placement.context = 2048;
  EXPECT_EQ(value(argv(s), "-ub"), "2048");
  EXPECT_THAT(argv(s), Contains("--embeddings"));
  EXPECT_THAT(argv(s), Not(Contains("--pooling")));
  s.pooling = "mean";
  EXPECT_EQ(value(argv(s), "--pooling"), "mean");
}

TEST(LlamaArgv, WhatHearsRemembersNothing) {
  WorkerSpec s = spec();
  EXPECT_THAT(argv(s), Not(Contains("--no-cache-prompt")));
  s.voice.engine = "speech";
  EXPECT_THAT(argv(s), Contains("--no-cache-prompt"));
}

TEST(LlamaArgv, PicturesHaveALimitWhereTheirSizeIsOpen) {
  WorkerSpec s = spec();
  s.mmproj = "/models/p.gguf";
  EXPECT_THAT(argv(s), Not(Contains("--image-max-tokens")));
  s.image_tokens = 2116;
  EXPECT_EQ(value(argv(s), "--image-max-tokens"), "2116");
}

TEST(LlamaArgv, WithoutAcceleratorNoDeviceIsTouched) {
  WorkerSpec s = spec();
  s.mmproj = "/models/p.gguf";
  EXPECT_EQ(value(argv(s), "-ngl"), "0");
  EXPECT_EQ(value(argv(s), "--device"), "none");
  EXPECT_EQ(value(argv(s), "--mmproj"), "/models/p.gguf");
  EXPECT_THAT(argv(s), Contains("--no-mmproj-offload"));
  s.placement.layers.resident = 12;
  s.devices = {"CUDA0", "CUDA1"};
  EXPECT_EQ(value(argv(s), "-ngl"), "13");  // the output counts as one more
  EXPECT_EQ(value(argv(s), "--device"), "CUDA0,CUDA1");
  EXPECT_THAT(argv(s), Not(Contains("--no-mmproj-offload")));
  s.devices.clear();
  EXPECT_THAT(argv(s), Not(Contains("--device")));
}

TEST(LlamaArgv, DraftAndAdaptersGoWithTheModel) {
  WorkerSpec s = spec();
  EXPECT_THAT(argv(s), Not(Contains("--lora")));
  EXPECT_THAT(argv(s), Not(Contains("-md")));
  s.lora = {"/models/a.gguf", "/models/b.gguf"};
  s.draft = "/models/d.gguf";
  EXPECT_EQ(value(argv(s), "--lora"), "/models/a.gguf,/models/b.gguf");
  EXPECT_EQ(value(argv(s), "-md"), "/models/d.gguf");
  EXPECT_EQ(value(argv(s), "--spec-type"), "draft-simple");
  EXPECT_EQ(value(argv(s), "--spec-draft-n-max"), std::to_string(kDraftTokens));
  EXPECT_EQ(value(argv(s), "-ngld"), "0");
  EXPECT_EQ(value(argv(s), "-devd"), "none");
  s.placement.layers = {8, 0, 4};
  s.placement.splits = {{"gpu0", 5}, {"gpu1", 3}};
  s.devices = {"CUDA0", "CUDA1"};
  s.cache_k = CacheType::kQ8_0;
  EXPECT_EQ(value(argv(s), "-ngld"), "99");
  EXPECT_EQ(value(argv(s), "-devd"), "CUDA0");
  EXPECT_EQ(value(argv(s), "-ctkd"), "q8_0");
  EXPECT_EQ(value(argv(s), "-ctvd"), "f16");
}

TEST(LlamaArgv, LayersOverSeveralAccelerators) {
  WorkerSpec s = spec();
  s.mmproj = "/models/p.gguf";
  s.devices = {"CUDA0", "CUDA1"};
  s.placement.layers.resident = 30;
  s.placement.splits = {{"gpu0", 12}, {"gpu1", 18}};
  EXPECT_EQ(value(argv(s), "-ngl"), "31");
  EXPECT_EQ(value(argv(s), "--device"), "CUDA0,CUDA1");
  EXPECT_EQ(value(argv(s), "--split-mode"), "layer");
  EXPECT_EQ(value(argv(s), "--tensor-split"), "12,19");  // the output is with the last
  EXPECT_THAT(argv(s), Not(Contains("--no-mmproj-offload")));
  s.placement.encoder_on_cpu = true;
  EXPECT_THAT(argv(s), Contains("--no-mmproj-offload"));
  s.placement.splits = {{"gpu0", 30}};
  EXPECT_THAT(argv(s), Not(Contains("--tensor-split")));
}

TEST(LlamaArgv, TensorsAreSplitByThePlannedShares) {
  WorkerSpec s = spec();
  s.placement.layers = {32, 0, 0};
  s.placement.split_mode = SplitMode::kTensor;
  s.placement.splits = {{"gpu0", 32, 5}, {"gpu1", 32, 3}};
  s.devices = {"CUDA0", "CUDA1"};
  s.flash_attention = true;  // the engine refuses without
  const Argv a = argv(s);
  EXPECT_EQ(value(a, "-ngl"), "33");
  EXPECT_EQ(value(a, "--device"), "CUDA0,CUDA1");
  EXPECT_EQ(value(a, "--split-mode"), "tensor");
  EXPECT_EQ(value(a, "--tensor-split"), "5,3");
  EXPECT_EQ(value(a, "-fa"), "on");
}

WorkerSpec streaming() {
  WorkerSpec s = spec();
  s.placement.layers = {12, 16, 0};
  s.placement.stream = StreamPlan{};
  s.placement.stream->device = "cpu";
  s.placement.stream->device_budget = Bytes{123456789};
  return s;
}

std::string of(const std::vector<std::pair<std::string, std::string>>& env,
               const std::string& name) {
  for (const auto& [key, text] : env) {
    if (key == name) return text;
  }
  return "-";
}

TEST(LlamaArgv, StreamedModelsRunOnTheStreamersDevice) {
  WorkerSpec s = streaming();
  s.mmproj = "/models/p.gguf";
  EXPECT_EQ(value(argv(s), "-ngl"), "99");
  EXPECT_EQ(value(argv(s), "--device"), "Gantry0");
  EXPECT_EQ(value(argv(s), "--load-mode"), "none");
  EXPECT_THAT(argv(s), Contains("--no-warmup"));
  EXPECT_THAT(argv(s), Contains("--no-mmproj-offload"));
  EXPECT_THAT(argv(s), Not(Contains("--spec-type")));
  s.placement.stream->lookup = true;
  EXPECT_EQ(value(argv(s), "--spec-type"), "ngram-simple");
  EXPECT_EQ(value(argv(s), "--spec-ngram-simple-size-m"), "8");
  s.placement.stream->device = "gpu0";
  s.devices = {"CUDA0"};
  EXPECT_EQ(value(argv(s), "--device"), "Gantry0");
  EXPECT_THAT(argv(s), Not(Contains("--no-mmproj-offload")));
}

TEST(LlamaArgv, TheStreamerIsToldItsPlacement) {
  WorkerContext context;
  context.worker_exe = "/opt/gantry/bin/gantry-worker";
  WorkerSpec s = streaming();
  auto env = stream_environment(context, s, "/run/x.stats");
  EXPECT_EQ(of(env, "GGML_BACKEND_PATH"), "/opt/gantry/bin/libggml-gantry.so");
  EXPECT_EQ(of(env, "GANTRY_STREAM_INNER"), "CPU");
  EXPECT_EQ(of(env, "GANTRY_STREAM_DEVICE_BUDGET"), "123456789");
  EXPECT_EQ(of(env, "GANTRY_STREAM_STATS"), "/run/x.stats");
  EXPECT_EQ(of(env, "GANTRY_STREAM_EXPERTS"), "1");
  for (const char* absent : {"RESIDENT", "HOST_BUDGET", "TRACE"}) {
    EXPECT_EQ(of(env, std::string("GANTRY_STREAM_") + absent), "-") << absent;
  }
  s.placement.stream->device = "gpu0";
  s.placement.stream->host_budget = MiB(1);
  s.placement.stream->resident_layers = 0;
  s.placement.stream->experts = MiB(2);
  s.devices = {"CUDA0"};
  s.trace_file = "/tmp/t.json";
  env = stream_environment(context, s, "");
  EXPECT_EQ(of(env, "GANTRY_STREAM_INNER"), "CUDA0");
  EXPECT_EQ(of(env, "GANTRY_STREAM_HOST_BUDGET"), "1048576");
  EXPECT_EQ(of(env, "GANTRY_STREAM_RESIDENT"), "0");
  EXPECT_EQ(of(env, "GANTRY_STREAM_EXPERTS"), "2097152");
  EXPECT_EQ(of(env, "GANTRY_STREAM_TRACE"), "/tmp/t.json");
  EXPECT_TRUE(stream_environment(context, spec(), "/run/x.stats").empty());
}

TEST(StartLlama, WithoutTheStreamerItSaysWhatIsMissing) {
  WorkerContext context;
  context.run_dir = "/tmp";
  context.worker_exe = "/nowhere/gantry-worker";
  const auto os = make_real_os();
  const auto started = start_llama(*os, context, streaming());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kUnavailable);
  EXPECT_NE(started.error().message.find("/nowhere/libggml-gantry.so"), std::string::npos);
}

TEST(LlamaArgv, QuantisedValuesNeedFlashAttention) {
  WorkerSpec s = spec();
  s.cache_v = CacheType::kQ8_0;
  EXPECT_EQ(value(argv(s), "-ctv"), "q8_0");
  EXPECT_EQ(value(argv(s), "-fa"), "on");
  s.cache_v = CacheType::kBf16;
  EXPECT_EQ(value(argv(s), "-fa"), "off");
  s.flash_attention = true;
  EXPECT_EQ(value(argv(s), "-fa"), "on");
}

TEST(LlamaArgv, ThreadsArePerformanceCores) {
  Cpu cpu;
  cpu.threads = 12;
  cpu.p_cores = {0, 1, 2, 3, 4, 5, 6, 7};
  cpu.e_cores = {8, 9, 10, 11};
  WorkerContext context;
  context.cpu = &cpu;
  const Result<Argv> a = llama_argv(context, spec(), "/run/x.sock");
  ASSERT_TRUE(a);
  EXPECT_EQ(value(*a, "-t"), "8");
  EXPECT_EQ(value(*a, "-tb"), "8");
}

TEST(LlamaArgv, SocketPathsHaveALimit) {
  const WorkerContext context;
  const std::string fits = "/" + std::string(kSocketPathMax - 1, 'a');
  EXPECT_TRUE(llama_argv(context, spec(), fits));
  const auto got = llama_argv(context, spec(), fits + "a");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kUsage);
  EXPECT_FALSE(llama_argv(context, spec(), "relative.sock"));
  WorkerSpec nothing = spec();
  nothing.file.clear();
  EXPECT_EQ(llama_argv(context, nothing, "/a.sock").error().code, Code::kUsage);
}

}  // namespace
}  // namespace gantry

// The keys, and the command that they become.
#include "config/npu_worker_config.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

Result<Config> load(FakeOs& os, const std::string& text) {
  os.files["/etc/gantry/config.yaml"] = text;
  return load_config(os, "", {});
}

TEST(NpuWorkerKeys, ACommandOfOurOwn) {
  FakeOs os;
  os.files["/m/chat.gguf"] = std::string(1'000, 'x');
  os.files["/etc/gantry/ear.bin"] = std::string(2'000, 'x');
  os.dirs.insert("/m/bge");
  os.files["/m/bge/openvino_model.bin"] = std::string(3'000, 'x');
  const auto config = load(os, R"(models: {chat: {file: /m/chat.gguf}}
npu_worker:
  port: 9001
  device: npu,cpu
  models: [chat, ear.bin, near=/m/bge]
)");
  ASSERT_TRUE(config) << config.error().message;
  const ModelConfig& model = config->models.back();
  EXPECT_EQ(model.name, "npu-worker");
  EXPECT_EQ(model.kind, "npu-worker");
  EXPECT_EQ(model.cmd, "gantry-npu --listen 127.0.0.1 --port 9001 --device npu,cpu"
                       " --model 'chat=/m/chat.gguf' --model 'ear=/etc/gantry/ear.bin'"
                       " --model 'near=/m/bge'");
  EXPECT_EQ(model.ttl_s, 0U);
  EXPECT_EQ(*model.memory,
            MiB(192) + Bytes{4'000} + MiB(256) + Bytes{8'000} + MiB(256) + Bytes{6'000});
  EXPECT_EQ(model.proxy, "own-socket");
}

TEST(NpuWorkerKeys, LargeFilesAreNoBerts) {
  FakeOs os;
  const std::string keys = "npu_worker: {models: [/m/big.gguf]}\n";
  os.files["/m/big.gguf"] = std::string(3 << 20, 'x');
  EXPECT_EQ(*load(os, keys)->models.back().memory, MiB(192) + MiB(12) + MiB(256));
  EXPECT_EQ(*load(os, "npu_worker: {memory: 3GiB, models: [/m/big.gguf]}\n")
                 ->models.back().memory,
            GiB(3));
}

TEST(NpuWorkerKeys, WhatIsWrongHasItsPlace) {
  FakeOs os;
  os.files["/m/a.gguf"] = "x";
  for (const auto& [text, says] :
       {std::pair{"npu_worker: 8081", ":1:13: "},
        {"npu_worker: {port: 0}", ":1:20: "},
        {"npu_worker: {port: 65536}", ":1:20: "},
        {"npu_worker: {prot: 1}", "did you mean \"port\"?"},
        {"npu_worker: {models: []}", "want 1 to 16 models"},
        {"npu_worker: {models: [\"a'b\"]}", ":1:23: "},
        {"npu_worker: {models: [/m/a.gguf, nobody]}", ":1:34: npu_worker has no model \"nobody\""},
        {"npu_worker: {device: '--x'}", "no chain of devices"},
        {"npu_worker: {listen: '--x'}", "no address"},
        {"npu_worker: {listen: 0.0.0.0}", "no key_file"},
        {"models: {npu-worker: {file: /m/a.gguf}}\nnpu_worker: {models: [/m/a.gguf]}",
         "is taken by a model"}}) {
    const auto wrong = load(os, text);
    ASSERT_FALSE(wrong) << text;
    const std::string told = describe(wrong.error());
    EXPECT_NE(told.find(says), std::string::npos) << text << ": " << told;
  }
}

TEST(NpuWorkerKeys, WithoutItThereIsNone) {
  FakeOs os;
  const auto config = load(os, "listen: 127.0.0.1:1\n");
  ASSERT_TRUE(config);
  for (const ModelConfig& model : config->models) EXPECT_NE(model.name, "npu-worker");
}

}  // namespace
}  // namespace gantry

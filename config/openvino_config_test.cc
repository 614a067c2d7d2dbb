// Tests of engine: openvino, from the file to the command.
#include "config/openvino_config.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

Result<Config> load(FakeOs& os, const std::string& keys) {
  os.files["/etc/gantry/config.yaml"] = "models: {e: {" + keys + "}}\n";
  return load_config(os, "", {});
}

TEST(Openvino, ACommandOfOurOwn) {
  FakeOs os;
  os.files["/m/bge.gguf"] = std::string(1'000, 'x');
  const auto config = load(os, "engine: openvino, file: /m/bge.gguf, "
                               "options: {device: 'npu,cpu', threads: 2}");
  ASSERT_TRUE(config) << config.error().message;
  const ModelConfig& model = config->models[0];
  EXPECT_EQ(model.cmd, "gantry-npu --listen 127.0.0.1 --port ${PORT} --device npu,cpu --threads 2 "
                       "--model 'e=/m/bge.gguf'");
  EXPECT_EQ(model.kind, "embedding");
  EXPECT_EQ(model.file, "/m/bge.gguf");
  EXPECT_EQ(*model.memory, MiB(192) + Bytes{4'000});
  EXPECT_EQ(*load(os, "engine: openvino, file: /m/bge.gguf, memory: 1GiB")->models[0].memory,
            GiB(1));
}

TEST(Openvino, WhatItIsNot) {
  FakeOs os;
  for (const auto& [keys, says] :
       {std::pair{"engine: openvino", "needs file"},
        {"engine: openvino, file: /m, cmd: x", "no cmd"},
        {"engine: openvino, file: /m, kind: language", "computes embeddings"},
        {"engine: openvino, file: \"/m'x\"", "cannot be given"},
        {"engine: openvino, file: /m, aliases: [f]", "one name"},
        {"engine: openvino, file: /m, options: {voice: 1}", "no option"},
        {"engine: openvino, file: /m, options: {threads: 513}", ""},
        {"engine: openvino, file: /m, options: {device: '--help'}", "no chain of devices"},
        {"engine: openvino, file: /m, options: []", ""}}) {
    const auto wrong = load(os, keys);
    ASSERT_FALSE(wrong) << keys;
    EXPECT_NE(wrong.error().message.find(says), std::string::npos) << wrong.error().message;
  }
}

}  // namespace
}  // namespace gantry

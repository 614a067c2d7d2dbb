// Writes what the fuzzer of model files starts from: right files of several kinds and every named
// fault. Usage: model_seeds FOLDER
#include <cstdio>
#include <fstream>
#include <string>

#include "model/faults.h"

namespace {

constexpr size_t kSeedMax = 16'384;  // bytes; larger inputs slow the fuzzer down

bool write_seed(const std::string& folder, const std::string& name, const std::string& bytes) {
  if (bytes.size() > kSeedMax) return true;
  std::ofstream out(folder + "/" + name, std::ios::binary);
  out << bytes;
  return out.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: model_seeds FOLDER\n");
    return 2;
  }
  const std::string folder = argv[1];
  bool good = true;
  for (const char* name : {"llama", "gemma2", "gemma3", "gemma3n", "gemma4", "llama4", "deepseek2",
                           "jamba", "mamba", "rwkv7", "qwen3next", "falcon-h1", "bert", "gpt-oss",
                           "nemotron_h", "cohere2moe", "lfm2", "kimi-linear", "minimax-01"}) {
    gantry::GgufForge forge = gantry::forge_language(name);
    forge.without("tokenizer.ggml.tokens");
    for (gantry::ForgedTensor& tensor : forge.tensors) {
      if (!tensor.shape.empty()) tensor.shape = {32};
    }
    good = good && write_seed(folder, std::string("right_") + name, forge.bytes());
  }
  good = good && write_seed(folder, "right_projector", gantry::forge_projector().bytes());
  gantry::WhisperForge whisper = gantry::forge_whisper(8);
  good = good && write_seed(folder, "right_whisper", whisper.bytes());
  size_t count = 0;
  for (const auto& faults : {gantry::gguf_faults(), gantry::geometry_faults(),
                             gantry::whisper_faults(), gantry::stranger_faults()}) {
    for (const gantry::Fault& fault : faults) {
      good = good && write_seed(folder, "fault_" + std::to_string(count++), fault.bytes);
    }
  }
  return good ? 0 : 1;
}

// `gantry-worker dry-run`: llama.cpp loads a model and makes a context without taking the memory,
// as its own --fit does, and says how many bytes each device would hold. The process is one in
// which untrusted model bytes may be opened, and ends with the answer.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/card.h"

namespace gantry {

constexpr uint32_t kDryRunDevicesMax = 16;  // llama.cpp's own limit

// What llama-server is told, by the names of its flags; see llama_argv.
struct DryRunOptions {
  std::string model;
  std::string mmproj;
  std::string engine_dir;          // folder of ggml's backends
  std::string plugin;              // a ggml backend to load besides
  std::string devices;             // names, by commas; "none"; empty: all there are
  std::string tensor_split;        // numbers, by commas: layers by device
  uint32_t context = 4096;         // -c: of all sequences together
  uint32_t parallel = 1;
  uint32_t batch = 0;              // 0: as ubatch
  uint32_t ubatch = 512;
  std::string cache_k = "f16", cache_v = "f16";
  std::string flash_attention = "off";
  int gpu_layers = 0;              // -1: all
  bool embeddings = false;
  std::string pooling;             // of embeddings; empty: the model's own
  std::string split_mode = "layer";  // the only one there is
  bool encoder_offload = true;     // the encoder is on the first device
  bool op_offload = true;
  bool repack = true;
};

// {"devices":[{"name","model","context","compute"}],"host":{...,"output"},"buffers":[{"type",
// "host","model","context","compute"}]}. "host" is all memory of the host, pinned or not; its
// "compute" has the "output" in it: rows of answers, which llama.cpp's own breakdown leaves out.
// With an encoder "mmproj" is its weights and "mmproj_compute" its graph at the size it warms up
// with, both as the CPU would hold them: llama.cpp takes the memory to find out, and a device has
// better use for it. kNotFound, kCorrupt, kUnsupported: the files;
// kUsage: a flag; kUnavailable: a device; kWorkerFailed: what llama.cpp refused, in its words.
[[nodiscard]] Result<nlohmann::json> dry_run(const DryRunOptions& options);

}  // namespace gantry

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
  uint32_t ubatch = 512;           // -b is the same
  std::string cache_k = "f16", cache_v = "f16";
  std::string flash_attention = "off";
  int gpu_layers = 0;              // -1: all
  bool embeddings = false;
  bool op_offload = true;
  bool repack = true;
};

// {"devices":[{"name","model","context","compute","mmproj"}],"host":{...},"buffers":[{"type",
// "device","host","model","context","compute"}]}. "host" is all memory of the host, pinned or not;
// "mmproj" is the encoder with its graph. kNotFound, kCorrupt, kUnsupported: the files;
// kUsage: a flag; kUnavailable: a device; kWorkerFailed: what llama.cpp refused, in its words.
[[nodiscard]] Result<nlohmann::json> dry_run(const DryRunOptions& options);

}  // namespace gantry

// `gantry-worker measure`: loads one model with libllama as told, reads and writes tokens so many
// times, and says how fast that was, what was moved for it and what memory it took.
#pragma once

#include <atomic>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"

namespace gantry {

constexpr int kMeasureTokensMax = 1 << 20;
constexpr int kMeasureSequencesMax = 256;
constexpr int kMeasureRunsMax = 1000;

struct MeasureOptions {
  std::string model;
  std::string engine_dir;    // folder of ggml's backends
  std::string plugin;        // a ggml backend to load besides; its device then gets the layers
  std::string device;        // a device by its ggml name; empty: the plugin's, else all there are
  std::string load_mode = "auto";        // llama.cpp's words: auto none mmap mlock mmap+mlock dio
  std::string flash_attention = "auto";  // auto on off
  int gpu_layers = -1;       // -1: all of them
  int threads = 0;           // 0: one for each processor this process may use
  int batch = 2048;
  int ubatch = 512;
  int context = 0;           // tokens; 0: what the run needs
  int prompt = 512;          // tokens read per iteration
  int decode = 32;           // tokens written per sequence and iteration
  int sequences = 1;         // written at once; all share the prompt
  int warmup = 1;            // iterations that are not reported
  int iterations = 3;
  bool repack = true;        // ggml's rearranged copies of CPU weights
  bool op_offload = true;    // large batches of host weights on a device
};

// kUsage with the flag's name.
[[nodiscard]] Result<void> check_measure(const MeasureOptions& options);

// Events, in order: one "loaded", one "iteration" for each that counts, one "done". Phases are
// {"tokens","seconds","tokens_per_second","read_bytes","stream"}; read_bytes is what this process
// had fetched from storage meanwhile, "stream" the change of the plugin's counters, absent without
// one. "done" has the peak of memory by tier, the plugin's whole statistics and a hash of every
// token written, which is equal for equal output. On_event is called on the calling thread. Ends
// with kCancelled soon after `cancel` is set, with everything released.
[[nodiscard]] Result<void> measure(const MeasureOptions& options, const std::atomic<bool>& cancel,
                                   const std::function<void(const nlohmann::json&)>& on_event);

// The same as JSON lines on `out`, an error as {"event":"error","code","message","remedy"} and as a
// line on stderr. Returns the exit status.
int measure_to(int out, const MeasureOptions& options, const std::atomic<bool>& cancel);

}  // namespace gantry

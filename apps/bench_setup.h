// What `gantry bench` measures: configurations by name, and what each keeps where. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/card.h"

namespace gantry {

// One way to run a model.
struct BenchSetup {
  std::string name;     // as the user wrote it
  bool stream = true;   // through the streaming plugin; else ggml's own devices
  std::vector<std::pair<std::string, std::string>> options;  // the plugin's: {"resident", "8"}
  int gpu_layers = -1;               // -1: all
  std::string load_mode = "auto";    // llama.cpp's words
  bool repack = false;               // rearranged CPU weights: faster prompts, a second copy
};

// "balanced" and the other presets, "auto"; "no-offload" (the whole model on the device), "cpu",
// "mmap" (llama.cpp from the page cache); or settings: "resident=8,placement=tail",
// "ngl=10", "device_budget=6GiB,ring=64MiB". kUsage names the word and what there is.
[[nodiscard]] Result<BenchSetup> parse_setup(std::string_view text);

// The plugin's options as environment variables: {"GANTRY_STREAM_RESIDENT", "8"}.
std::vector<std::pair<std::string, std::string>> stream_environment(const BenchSetup& setup);

// What a preset means for a model, as predicted from the file alone.
struct PresetRow {
  std::string preset;
  uint32_t resident_layers = 0, layers = 0;
  Bytes resident;  // weights that stay on the device
  Bytes ring;      // where the others pass through
  Bytes streamed;  // weights that move for every token of one sequence, or batch
  Bytes total;     // resident, ring and what is given for KV cache and compute buffers
};
// The streamer's own choice of layers: the last ones, or such that streamed ones lie between them.
enum class Spread { kTail, kInterleave };
// Baseline first, then light to extreme. kv_compute: on the same device.
[[nodiscard]] Result<std::vector<PresetRow>> preset_table(const ModelCard& card, Spread spread,
                                                          Bytes kv_compute);
// One of the streamer's presets or its aliases.
bool is_preset(std::string_view name);

// Tokens a second of one sequence: weights are read from memory while the streamed ones arrive.
// Nothing where a bandwidth is not known.
std::optional<double> predicted_decode(const PresetRow& row, std::optional<double> memory_per_s,
                                       std::optional<double> arrival_per_s);

}  // namespace gantry

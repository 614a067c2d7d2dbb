// What the user may say about streaming: from GANTRY_STREAM_* variables, or from a small file.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "stream/reader.h"

namespace gantry {

// Layers kept on the device, of kPresetDepth. kAuto: as much as live free memory allows.
enum class Preset { kAuto, kWhole, kLight, kModerate, kBalanced, kAggressive, kExtreme };
constexpr uint32_t kPresetDepth = 28;

// kTail: the last layers are resident. kInterleave: streamed ones lie among them.
enum class LayerOrder { kTail, kInterleave };

// Where the KV cache of layers that are not resident rests. kHost: in host memory, moved with the
// layer's weights; only beside a device of its own memory.
enum class CacheHome { kDevice, kHost };

struct StreamOptions {
  std::string inner;  // ggml's name of the inner device; empty: first GPU that is no RPC, else CPU
  Preset preset = Preset::kAuto;
  std::optional<uint32_t> resident_layers;  // wins over the preset
  std::optional<Budget> device_budget;      // weights, ring, experts, KV cache, activations
  std::optional<Bytes> host_budget;         // weights in host memory beside a device of its own
  std::optional<Bytes> ring;
  std::optional<Bytes> experts;
  LayerOrder order = LayerOrder::kInterleave;
  ReaderKind io = ReaderKind::kAuto;
  CacheHome kv = CacheHome::kDevice;
  bool exact = false;       // small batches are not shared with the CPU
  bool summary = true;      // one line on stderr when a model is unloaded
  std::string stats_file;   // the statistics page; empty: none
  std::string trace_file;   // Chrome trace, written when the model is unloaded; empty: none
};

// A value for a name, or nothing. Names are lower case and without prefix: "device_budget".
using OptionSource = std::function<std::optional<std::string>(const std::string& name)>;

// kUsage names the option and what it takes.
[[nodiscard]] Result<StreamOptions> parse_options(const OptionSource& source);

// "key = value" lines, # comments. kUsage names line and key; unknown keys are refused.
[[nodiscard]] Result<OptionSource> parse_option_file(std::string_view text);

// GANTRY_STREAM_NAME, over the file that GANTRY_STREAM_CONFIG names.
[[nodiscard]] Result<StreamOptions> options_from_environment();

// "balanced", or an alias by the class of GPU: "consumer", "workstation", ... (docs/offloading.md).
std::optional<Preset> preset_from_name(std::string_view name);
std::string_view preset_name(Preset preset);

// Resident layers of a model of this depth; kAuto and kWhole: all.
uint32_t preset_layers(Preset preset, uint32_t depth);

}  // namespace gantry

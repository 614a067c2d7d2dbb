// Demand: the models a user wants, how much each matters, and what may be changed to make them fit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "model/card.h"

namespace gantry {

// kVoice: gantry-voice and gantry-espeak, whose bytes are declared.
enum class EngineKind { kLlama, kWhisper, kCommand, kMedia, kVoice };

// Whether a llama model may be larger than its device. kAuto: it streams where it does not fit, or
// where that is faster. kAlways: so many layers stay, even where more would fit.
enum class Preset;  // of the streamer: stream/options.h
enum class Streaming { kAuto, kNever, kAlways };
struct StreamWish {
  Streaming streaming = Streaming::kAuto;
  std::optional<uint32_t> resident_layers;  // kAlways: exactly so many,
  Preset preset{};                          // or the share of a preset
};
// "auto", "off", a preset of the streamer or one of its aliases, or a number of layers.
[[nodiscard]] Result<StreamWish> parse_stream_wish(std::string_view text);

// A person waits, or a queue does: a queue's jobs go through a loaded model many at a time.
enum class Latency { kInteractive, kBatch };

// What to do when it does not fit as wished, in the user's order.
enum class Shortage { kWait, kShrink, kCpu, kCloud, kRefuse };

// What the planner may change besides layers and devices, and only when it does not fit otherwise.
struct Levers {
  std::vector<CacheType> caches;  // besides those wished, from good to small
  uint32_t context_least = 0;     // tokens; 0: the context stays as wished
  bool encoder_on_cpu = false;    // of vision and audio encoders
  bool smaller_batch = false;     // ubatch down to 64
  bool cpu = true;                // layers may be computed there
};

// One use of the model, for weighing phases; and how often it is used compared with others.
struct Usage {
  double share = 1;
  double prompt_tokens = 512, output_tokens = 256;
  double audio_s = 60;  // kWhisper
};

// Bytes of one model on one device, by kind.
struct Need {
  std::string device;
  Bytes weights;
  Bytes kv;
  Bytes compute;
  Bytes overhead;  // process, libraries, runtime context
  Bytes total() const { return weights + kv + compute + overhead; }
  bool operator==(const Need&) const = default;
};

// Consecutive layers on one accelerator, the output matrix with the last; or a share of every
// layer and of the output.
enum class SplitMode { kLayer, kTensor };
struct Split {
  std::string device;
  uint32_t layers = 0;
  uint32_t share = 0;  // kTensor: of the sum of all
};

// What the engine itself says of a file in one placement, in the place of the formulas' figures.
struct DryRun {
  uint32_t context = 0, parallel = 1, ubatch = 512;
  CacheType cache_k = CacheType::kF16, cache_v = CacheType::kF16;
  bool encoder_on_cpu = false;
  std::vector<Split> splits;  // empty: all on the CPU
  std::vector<Need> needs;    // without overhead
  Bytes excess;               // the most that it is above the formulas on a device
};

// In the place of the wished model when that does not fit: a smaller quantisation, another model.
struct Alternative {
  std::string name;
  ModelCard card;
  std::optional<ModelCard> mmproj;
  std::vector<DryRun> dry_runs = {};  // of this file
};

// What an external command holds where it computes on an accelerator, and its work.
struct Accelerated {
  Bytes device;  // there, without the runtime's context
  Bytes host;    // of its process beside that
  // For one second of sound: floating-point operations, and weights read one step after another.
  double operations = 0, sequential_bytes = 0;
};

// One model as the user wants it.
struct Wish {
  std::string name;
  std::string purpose;      // "chat", "transcription"; for a person
  double priority = 1;      // seconds of a model with 2 weigh twice as much
  Usage usage;
  Latency latency = Latency::kInteractive;
  std::vector<Shortage> shortage;  // empty: whatever makes it fit without other words
  Levers levers;
  std::vector<Alternative> alternatives;
  std::string insisted;     // the alternative that was taken for its type; empty: none
  std::string device;       // the only one it may compute on, "cpu" or an accelerator; empty: any
  std::optional<Budget> cap;  // of each accelerator, for this model: a fraction of 0.6
  EngineKind engine = EngineKind::kLlama;
  std::optional<ModelCard> card;    // absent for kMedia, kCommand, kVoice
  std::optional<ModelCard> mmproj;  // the vision encoder beside it
  std::optional<ModelCard> draft;   // a small model that guesses what this one verifies
  Bytes lora;                       // files of adapters, together
  uint32_t adapters = 0;            // of them
  uint32_t context = 0;  // tokens per sequence, at most what was trained; 0: min(trained, 4096)
  uint32_t parallel = 1;            // sequences at once; kWhisper: pieces of a recording
  CacheType cache_k = CacheType::kF16;
  CacheType cache_v = CacheType::kF16;
  uint32_t ubatch = 512;
  bool flash_attention = false;     // implied by a quantised cache_v, as in llama.cpp
  bool embeddings = false;          // inputs go through whole, in one physical batch
  bool encoder_on_cpu = false;      // the vision encoder, where layers are on an accelerator
  bool openvino_encoder = false;    // kWhisper: OpenVINO's libraries and its copy of the encoder
  bool small_media = false;         // kMedia: gantry-decode instead of ffmpeg
  StreamWish stream;                // kLlama
  // The user's own figure for an external command; absent: it has host memory to itself. For
  // kMedia: a measured figure in the place of the built-in one.
  std::optional<Bytes> declared;
  std::optional<Accelerated> accelerated;  // kCommand that can; otherwise `declared` on the CPU
  // Overhead of one worker process of this engine as measured on this machine; absent: the
  // built-in figure.
  std::optional<Bytes> measured_overhead;
  std::vector<DryRun> dry_runs;  // of the card's file
};

// A draft model guesses so many tokens, which are verified in one pass with the one before.
constexpr uint32_t kDraftTokens = 8;

enum class Prefer { kSpeed, kEnergy };

struct Demand {
  std::vector<Wish> wishes;
  std::vector<std::vector<std::string>> together;  // names that must be loaded at once
  std::vector<std::vector<std::string>> apart;     // of which no two may be loaded at once
  std::vector<std::string> stay;                   // loaded all the time
  Prefer prefer = Prefer::kSpeed;
  std::optional<Budget> reserve;  // of each accelerator, left to others on top of what they hold
  std::optional<Budget> vram;  // per accelerator; absent: what is free
  std::optional<Budget> ram;   // for all workers together; absent: kPlanRamFraction of usable
};

// Where nobody set a budget; the rest is the desktop's, the page cache's and ours.
constexpr double kPlanRamFraction = 0.8;

}  // namespace gantry

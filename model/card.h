// ModelCard: the checked facts of one model file. Parsers here are pure functions over bytes that
// nobody vouches for: every size is checked before it is used.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/encoder_style.h"

namespace gantry {

// Dimensions beyond these are no model that we know; they also keep products in 64 bits.
constexpr uint32_t kLayersMax = 512;  // as in llama.cpp
constexpr uint32_t kEmbdMax = 1 << 20;
constexpr uint32_t kHeadsMax = 1 << 16;
constexpr uint32_t kKvWidthMax = 1 << 24;
constexpr uint32_t kContextMax = 1U << 30;

enum class ModelFormat { kGguf, kWhisper };
enum class CacheType { kF32, kF16, kBf16, kQ8_0, kQ5_1, kQ5_0, kQ4_1, kQ4_0 };
constexpr std::array<CacheType, 8> kCacheTypes = {
    CacheType::kF32,  CacheType::kF16,  CacheType::kBf16, CacheType::kQ8_0,
    CacheType::kQ5_1, CacheType::kQ5_0, CacheType::kQ4_1, CacheType::kQ4_0};

std::string_view cache_type_name(CacheType type);  // llama.cpp's -ctk words: "f16", "q8_0"
[[nodiscard]] Result<CacheType> parse_cache_type(std::string_view name);
// Bytes of one cache row of so many elements; rows are whole blocks, rounded up.
Bytes cache_row_bytes(CacheType type, uint32_t width);

// Where tensors belong; bytes as they lie in the file (quantised, without padding).
enum class Part { kEmbedding, kLayer, kOutput, kEncoder, kProjector, kOther };
std::string_view part_name(Part part);  // "embedding", "layer", ...

// Matrices that several devices can have a slice of each, as llama.cpp's --split-mode tensor cuts
// them: between heads, or along the width of the feed-forward part.
struct Sliced {
  uint64_t bytes = 0;
  uint64_t row = 0;    // elements in a row of the matrix whose rows are cut; 0: there is none
  uint32_t block = 1;  // that matrix is cut between blocks of so many
};

struct TensorGroup {
  Part part = Part::kOther;
  int layer = -1;  // index for kLayer, else -1
  Bytes bytes;
  Bytes expert_bytes;  // of those, in routed experts
  uint32_t tensors = 0;
  // Bytes of each tensor in the file's order, routed experts apart: what a streamer places.
  std::vector<uint64_t> sizes, expert_sizes;
  // Bytes by tensor type ("Q4_K"), routed experts apart; empty: all as the card's quantisation.
  std::map<std::string, uint64_t> types, expert_types;
  // Of a layer; what is in neither is whole on each device. Of the output, cut between words, the
  // second.
  Sliced heads, width;
};

// Attention geometry of one layer; zero widths: the layer keeps no KV cache.
struct LayerKv {
  uint32_t k_width = 0;  // n_head_kv * head size of K, in elements per token
  uint32_t v_width = 0;
  uint32_t window = 0;   // sliding window in tokens, 0: the whole context
  uint32_t k_head = 0;   // head sizes; a quantised cache needs whole blocks of them
  uint32_t v_head = 0;
};

// Widths of the layers that keep a state instead of a cache; zeros where there are none.
struct Mixer {
  uint32_t kernel = 0;  // of the convolution, or of lfm2's, which has nothing else
  uint32_t inner = 0;
  uint32_t state = 0;
  uint32_t groups = 0;
  uint32_t steps = 0;   // mamba: rank of the time step; mamba2: heads
};

// How the cache is laid out at run time; llama.cpp's defaults.
struct CacheShape {
  uint32_t ubatch = 512;   // a windowed layer holds its window and one batch
  uint32_t sequences = 1;  // that share one unified cache
};

struct ModelCard {
  ModelFormat format = ModelFormat::kGguf;
  std::string architecture;   // "llama", "bert", "clip", "whisper"
  std::string name;           // general.name, may be empty; printable characters only
  std::string quantisation;   // the type most bytes are in: "Q4_K", "F16"
  Bytes file_bytes;
  Bytes weight_bytes;         // sum of groups
  uint64_t parameters = 0;
  uint32_t layers = 0;        // of clip: encoder blocks; of whisper: text layers
  uint32_t embd = 0;
  uint32_t heads = 0;         // the most of any layer, as heads_kv and ffn
  uint32_t heads_kv = 0;
  uint32_t ffn = 0;
  uint32_t vocab = 0;
  uint32_t context_trained = 0;
  uint32_t experts = 0;
  uint32_t experts_used = 0;
  uint32_t expert_ffn = 0;  // of one routed expert; 0: as ffn
  uint32_t shared_ffn = 0;  // of the experts that every token uses
  Mixer mixer;
  bool has_chat_template = false;
  std::vector<TensorGroup> groups;  // embedding, layer 0.., output, encoder, ...; none empty
  std::vector<LayerKv> kv;          // one a layer; empty: no KV cache (encoders, embeddings)
  Bytes state_bytes;  // per sequence whatever the context: recurrent state, whisper's cross cache
  // whisper only
  uint32_t audio_context = 0;
  uint32_t audio_layers = 0;
  uint32_t audio_mels = 0;        // of clip with an audio encoder, too
  uint32_t text_context = 0;
  uint32_t audio_channels = 0;    // of clip with convolutions in two dimensions
  std::string audio_projector;    // of clip alone: "qwen3a", "parakeet"; empty: it hears nothing
  AudioStyle audio;               // of clip alone
  // clip with a vision encoder only; in pixels
  uint32_t image_size = 0;
  uint32_t patch_size = 0;
  VisionStyle vision;

  Bytes bytes_in(Part part) const;  // all layers together for kLayer
  Bytes kv_bytes_per_token(CacheType k, CacheType v) const;  // all layers, window ignored
  // Windows respected; cells in steps of 256, as llama.cpp allocates them. No state_bytes.
  Bytes kv_bytes(uint32_t context, CacheType k, CacheType v, CacheShape shape = {}) const;
  // kUnsupported where a head does not divide into the blocks of a quantised type, and for
  // whisper, whose cache is always f16.
  [[nodiscard]] Result<void> check_cache(CacheType k, CacheType v) const;
};

// From the whole file's bytes (mapped: only metadata pages are touched). Uses at most
// 16 MiB + 4x the metadata of memory. kCorrupt, kTooLarge or kUnsupported with the offending
// field, offset and value in the message.
[[nodiscard]] Result<ModelCard> read_card(std::span<const std::byte> file);

nlohmann::json card_json(const ModelCard& card);     // `gantry inspect --json`
std::string card_text(const ModelCard& card);        // `gantry inspect`

}  // namespace gantry

// From bytes to a card: the format by its magic, then tensors into groups; and what caches cost.
#include "model/card.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>

#include "model/geometry.h"
#include "model/gguf.h"
#include "model/sniff.h"
#include "model/tensor_type.h"
#include "model/text.h"
#include "model/whisper.h"

namespace gantry {

namespace {

constexpr uint32_t kCellStep = 256;  // llama.cpp and whisper.cpp round caches up to this many
constexpr uint32_t kF16Bytes = 2;

struct CacheRow {
  CacheType type;
  std::string_view name;
  uint32_t tensor_type;
};
constexpr std::array<CacheRow, kCacheTypes.size()> kCacheRows = {{{CacheType::kF32, "f32", 0},
                                                                  {CacheType::kF16, "f16", 1},
                                                                  {CacheType::kBf16, "bf16", 30},
                                                                  {CacheType::kQ8_0, "q8_0", 8},
                                                                  {CacheType::kQ5_1, "q5_1", 7},
                                                                  {CacheType::kQ5_0, "q5_0", 6},
                                                                  {CacheType::kQ4_1, "q4_1", 3},
                                                                  {CacheType::kQ4_0, "q4_0", 2}}};

const CacheRow& cache_row(CacheType type) { return kCacheRows[static_cast<size_t>(type)]; }
const TensorType& stored_as(CacheType type) { return *tensor_type(cache_row(type).tensor_type); }

uint64_t times(uint64_t a, uint64_t b) { return checked_mul(a, b).value_or(UINT64_MAX); }

uint64_t whole_cells(uint64_t tokens) { return (tokens + kCellStep - 1) / kCellStep * kCellStep; }

// A tensor's group, and whether it holds routed experts.
struct Place {
  Part part = Part::kOther;
  int layer = -1;
  bool expert = false;
};

// The N of "N." at the front of text; -1 where there is none.
int leading_index(std::string_view text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.') return -1;
  return value;
}

// "ffn_up_exps.weight", or, in files of early MoE models, "ffn_up.3.weight".
bool is_expert(std::string_view in_layer) {
  if (in_layer.find("_exps.") != std::string_view::npos) return true;
  for (const std::string_view prefix : {"ffn_gate.", "ffn_up.", "ffn_down."}) {
    if (in_layer.starts_with(prefix)) return leading_index(in_layer.substr(prefix.size())) >= 0;
  }
  return false;
}

struct PrefixRow {
  std::string_view prefix;
  Part part;
};
constexpr std::array kPrefixes = std::to_array<PrefixRow>({
    {"token_embd", Part::kEmbedding},   {"per_layer_token_embd", Part::kEmbedding},
    {"position_embd", Part::kEmbedding}, {"token_types", Part::kEmbedding},
    {"output", Part::kOutput},          {"cls", Part::kOutput},
    {"dense_", Part::kOutput},          {"dec.output", Part::kOutput},
    {"v.", Part::kEncoder},             {"a.", Part::kEncoder},
    {"enc.", Part::kEncoder},           {"mm.", Part::kProjector},
    {"resampler.", Part::kProjector},   {"adapter.", Part::kProjector},
    {"model.", Part::kProjector},
});

Place place_of(std::string_view name) {
  for (const std::string_view prefix : {"blk.", "dec.blk."}) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    const int layer = leading_index(rest);
    if (layer < 0) return {};
    return {Part::kLayer, layer, is_expert(rest.substr(rest.find('.') + 1))};
  }
  for (const PrefixRow& row : kPrefixes) {
    if (name.starts_with(row.prefix)) return {row.part};
  }
  return {};
}

Place whisper_place_of(std::string_view name) {
  if (name.starts_with("encoder.")) return {Part::kEncoder};
  constexpr std::string_view kBlocks = "decoder.blocks.";
  if (name.starts_with(kBlocks)) {
    return {Part::kLayer, leading_index(name.substr(kBlocks.size()))};
  }
  return {name.starts_with("decoder.ln.") ? Part::kOutput : Part::kEmbedding};
}

// Adds up tensors by group and by type.
class Groups {
 public:
  void add(const Place& place, uint32_t type, uint64_t elements, uint64_t bytes) {
    TensorGroup& group = groups_[{place.part, place.layer}];
    group.part = place.part;
    group.layer = place.layer;
    group.bytes += Bytes{bytes};
    if (place.expert) group.expert_bytes += Bytes{bytes};
    (place.expert ? group.expert_sizes : group.sizes).push_back(bytes);
    (place.expert ? group.expert_types : group.types)[std::string(tensor_type(type)->name)] +=
        bytes;
    ++group.tensors;
    by_type_[type] += bytes;
    parameters_ += elements;  // at most 2^16 tensors within one file: no overflow
  }
  void finish(ModelCard& card) const {
    for (const auto& [key, group] : groups_) {
      card.groups.push_back(group);
      card.weight_bytes += group.bytes;
    }
    card.parameters = parameters_;
    const auto most = std::max_element(by_type_.begin(), by_type_.end());
    const auto type = static_cast<uint32_t>(most - by_type_.begin());
    if (*most > 0) card.quantisation = tensor_type(type)->name;
  }

 private:
  std::map<std::pair<Part, int>, TensorGroup> groups_;
  std::array<uint64_t, kTensorTypeCount> by_type_{};
  uint64_t parameters_ = 0;
};

Result<ModelCard> read_gguf_card(std::span<const std::byte> file) {
  const Result<Gguf> gguf = read_gguf(file);
  if (!gguf) return fail(gguf.error());
  ModelCard card;
  if (const Result<void> read = read_geometry(*gguf, card); !read) return fail(read.error());
  card.file_bytes = Bytes{file.size()};
  Groups groups;
  for (const GgufTensor& tensor : gguf->tensors) {
    const Place place = place_of(tensor.name);
    if (place.layer >= static_cast<int>(card.layers)) {
      return fail(Code::kCorrupt,
                  fmt::format("tensor {} is of layer {}, but block_count is {}",
                              quoted(tensor.name), place.layer, card.layers),
                  "the file is damaged or not a model: fetch it again");
    }
    groups.add(place, tensor.type, tensor.elements, tensor.bytes);
  }
  groups.finish(card);
  return card;
}

Result<ModelCard> read_whisper_card(std::span<const std::byte> file) {
  const Result<WhisperFile> whisper = read_whisper(file);
  if (!whisper) return fail(whisper.error());
  const WhisperShape& shape = whisper->shape;
  ModelCard card;
  card.format = ModelFormat::kWhisper;
  card.architecture = "whisper";
  card.file_bytes = Bytes{file.size()};
  card.layers = shape.text_layers;
  card.embd = shape.text_state;
  card.heads = card.heads_kv = shape.text_heads;
  card.ffn = 4 * shape.text_state;
  card.vocab = shape.vocab;
  card.context_trained = card.text_context = shape.text_context;
  card.audio_context = shape.audio_context;
  card.audio_layers = shape.audio_layers;
  const uint32_t head = shape.text_state / shape.text_heads;
  card.kv.assign(shape.text_layers, {shape.text_state, shape.text_state, 0, head, head});
  // Keys and values of the encoder's output for each text layer, and one layer's scratch pair.
  card.state_bytes.n = 2 * kF16Bytes * whole_cells(shape.audio_context) *
                       (uint64_t{shape.text_layers} * shape.text_state + shape.audio_state);
  Groups groups;
  for (const WhisperTensor& tensor : whisper->tensors) {
    groups.add(whisper_place_of(tensor.name), tensor.type, tensor.elements, tensor.bytes);
  }
  groups.finish(card);
  return card;
}

}  // namespace

std::string_view cache_type_name(CacheType type) { return cache_row(type).name; }

Result<CacheType> parse_cache_type(std::string_view name) {
  for (const CacheRow& row : kCacheRows) {
    if (row.name == name) return row.type;
  }
  return fail(Code::kUsage, fmt::format("{} is no cache type", quoted(name)),
              "use f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0");
}

Bytes cache_row_bytes(CacheType type, uint32_t width) {
  const TensorType& stored = stored_as(type);
  return Bytes{(uint64_t{width} + stored.block - 1) / stored.block * stored.bytes};
}

std::string_view part_name(Part part) {
  constexpr std::array<std::string_view, 6> kNames = {"embedding", "layer",     "output",
                                                      "encoder",   "projector", "other"};
  return kNames[static_cast<size_t>(part)];
}

Bytes ModelCard::bytes_in(Part part) const {
  Bytes sum;
  for (const TensorGroup& group : groups) {
    if (group.part == part) sum += group.bytes;
  }
  return sum;
}

Bytes ModelCard::kv_bytes_per_token(CacheType k, CacheType v) const {
  Bytes sum;
  for (const LayerKv& layer : kv) {
    sum += cache_row_bytes(k, layer.k_width) + cache_row_bytes(v, layer.v_width);
  }
  return sum;
}

Bytes ModelCard::kv_bytes(uint32_t context, CacheType k, CacheType v, CacheShape shape) const {
  const uint64_t cells = whole_cells(context);
  Bytes sum;
  for (const LayerKv& layer : kv) {
    const uint64_t needed = times(layer.window, shape.sequences) + shape.ubatch;
    const uint64_t held = layer.window == 0 ? cells : whole_cells(std::min(cells, needed));
    const Bytes row = cache_row_bytes(k, layer.k_width) + cache_row_bytes(v, layer.v_width);
    sum += Bytes{times(held, row.n)};
  }
  return sum;
}

Result<void> ModelCard::check_cache(CacheType k, CacheType v) const {
  if (format == ModelFormat::kWhisper && (k != CacheType::kF16 || v != CacheType::kF16)) {
    return fail(Code::kUnsupported, "a whisper model keeps its cache in f16", "leave the type out");
  }
  const auto check = [](CacheType type, uint32_t head, const char* which) -> Result<void> {
    const uint32_t block = stored_as(type).block;
    if (head % block == 0) return {};
    return fail(Code::kUnsupported,
                fmt::format("a {} cache of type {} needs heads of a multiple of {}, this model's "
                            "have {}", which, cache_type_name(type), block, head),
                fmt::format("use f16 for the {} cache", which));
  };
  for (const LayerKv& layer : kv) {
    if (Result<void> fits = check(k, layer.k_head, "K"); !fits) return fits;
    if (Result<void> fits = check(v, layer.v_head, "V"); !fits) return fits;
  }
  return {};
}

Result<ModelCard> read_card(std::span<const std::byte> file) {
  uint32_t magic = 0;
  if (file.size() >= sizeof(magic)) std::memcpy(&magic, file.data(), sizeof(magic));
  constexpr uint32_t kGgufMagic = 0x46554747;
  if (magic == kGgufMagic) return read_gguf_card(file);
  if (magic == kWhisperMagic) return read_whisper_card(file);
  const Lookalike seen = look_at(file);
  return fail(Code::kCorrupt, fmt::format("not a model file: it is {}", seen.what),
              std::string(seen.remedy));
}

}  // namespace gantry

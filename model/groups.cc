// Names of tensors to groups, and what follows from a whisper model's numbers.
#include "model/groups.h"

#include <algorithm>
#include <charconv>

namespace gantry {

namespace {

constexpr uint32_t kCellStep = 256;  // whisper.cpp rounds caches up to this many
constexpr uint32_t kF16Bytes = 2;

uint64_t whole_cells(uint64_t tokens) { return (tokens + kCellStep - 1) / kCellStep * kCellStep; }

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

struct SliceRow {
  std::string_view name;
  Slice slice;
};
constexpr std::array kSlices = std::to_array<SliceRow>({
    {"attn_q.weight", Slice::kHeads},
    {"attn_k.weight", Slice::kHeads},
    {"attn_v.weight", Slice::kHeads},
    {"attn_qkv.weight", Slice::kHeads},
    {"attn_q.bias", Slice::kHeads},
    {"attn_k.bias", Slice::kHeads},
    {"attn_v.bias", Slice::kHeads},
    {"attn_qkv.bias", Slice::kHeads},
    {"attn_gate.weight", Slice::kHeads},
    {"attn_sinks.weight", Slice::kHeads},
    {"attn_output.weight", Slice::kHeadRows},
    {"ffn_up.weight", Slice::kWidth},
    {"ffn_up.bias", Slice::kWidth},
    {"ffn_up_exps.weight", Slice::kWidth},
    {"ffn_up_exps.bias", Slice::kWidth},
    {"ffn_gate.weight", Slice::kWidth},
    {"ffn_gate.bias", Slice::kWidth},
    {"ffn_gate_exps.weight", Slice::kWidth},
    {"ffn_gate_exps.bias", Slice::kWidth},
    {"ffn_gate_up.weight", Slice::kWidth},
    {"ffn_gate_up_exps.weight", Slice::kWidth},
    {"ffn_down.weight", Slice::kWidthRows},
    {"ffn_down_exps.weight", Slice::kWidthRows},
});

Slice slice_of(std::string_view in_layer) {
  const auto found = std::ranges::find(kSlices, in_layer, &SliceRow::name);
  return found == kSlices.end() ? Slice::kWhole : found->slice;
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

}  // namespace

TensorPlace gguf_place(std::string_view name) {
  for (const std::string_view prefix : {"blk.", "dec.blk."}) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    const int layer = leading_index(rest);
    if (layer < 0) return {};
    const std::string_view in_layer = rest.substr(rest.find('.') + 1);
    return {Part::kLayer, layer, is_expert(in_layer), slice_of(in_layer)};
  }
  if (name == "output.weight") return {Part::kOutput, -1, false, Slice::kWords};
  for (const PrefixRow& row : kPrefixes) {
    if (name.starts_with(row.prefix)) return {row.part};
  }
  return {};
}

TensorPlace whisper_place(std::string_view name) {
  if (name.starts_with("encoder.")) return {Part::kEncoder};
  constexpr std::string_view kBlocks = "decoder.blocks.";
  if (name.starts_with(kBlocks)) {
    return {Part::kLayer, leading_index(name.substr(kBlocks.size()))};
  }
  return {name.starts_with("decoder.ln.") ? Part::kOutput : Part::kEmbedding};
}

void CardGroups::add(const TensorPlace& place, uint32_t type, uint64_t elements, uint64_t bytes,
                     uint64_t row) {
  TensorGroup& group = groups_[{place.part, place.layer}];
  group.part = place.part;
  group.layer = place.layer;
  group.bytes += Bytes{bytes};
  if (place.expert) group.expert_bytes += Bytes{bytes};
  (place.expert ? group.expert_sizes : group.sizes).push_back(bytes);
  (place.expert ? group.expert_types : group.types)[std::string(tensor_type(type)->name)] +=
      bytes;
  if (place.slice != Slice::kWhole && row > 0) {
    const bool heads = place.slice == Slice::kHeads || place.slice == Slice::kHeadRows;
    Sliced& sliced = heads ? group.heads : group.width;
    sliced.bytes += bytes;
    if (place.slice == Slice::kHeadRows || place.slice == Slice::kWidthRows) {
      sliced.row = row;
      sliced.block = tensor_type(type)->block;
    }
    if (place.slice == Slice::kWords) sliced.row = elements / row;
  }
  ++group.tensors;
  by_type_[type] += bytes;
  parameters_ += elements;  // at most 2^16 tensors within one file: no overflow
}

void CardGroups::finish(ModelCard* card) const {
  for (const auto& [key, group] : groups_) {
    card->groups.push_back(group);
    card->weight_bytes += group.bytes;
  }
  card->parameters = parameters_;
  const auto most = std::max_element(by_type_.begin(), by_type_.end());
  const auto type = static_cast<uint32_t>(most - by_type_.begin());
  if (*most > 0) card->quantisation = tensor_type(type)->name;
}

void whisper_geometry(const WhisperShape& shape, ModelCard* card) {
  card->format = ModelFormat::kWhisper;
  card->architecture = "whisper";
  card->layers = shape.text_layers;
  card->embd = shape.text_state;
  card->heads = card->heads_kv = shape.text_heads;
  card->ffn = 4 * shape.text_state;
  card->vocab = shape.vocab;
  card->context_trained = card->text_context = shape.text_context;
  card->audio_context = shape.audio_context;
  card->audio_layers = shape.audio_layers;
  card->audio_mels = shape.mels;
  const uint32_t head = shape.text_state / shape.text_heads;
  card->kv.assign(shape.text_layers, {shape.text_state, shape.text_state, 0, head, head});
  // Keys and values of the encoder's output for each text layer, and one layer's scratch pair.
  card->state_bytes.n = 2 * kF16Bytes * whole_cells(shape.audio_context) *
                       (uint64_t{shape.text_layers} * shape.text_state + shape.audio_state);
}

}  // namespace gantry

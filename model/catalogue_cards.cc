// Tensors are drafted as for `gantry synth`, then stored as llama-quantize would. Encoders of
// images are spelled out here, with the names of llama.cpp's mtmd.
#include "model/catalogue_cards.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/groups.h"
#include "model/synth_arch.h"
#include "model/tensor_type.h"

namespace gantry {

namespace {

constexpr uint32_t kF32 = 0, kF16 = 1;
constexpr std::string_view kNomic = "nomic-bert";

uint64_t elements_of(const std::vector<uint64_t>& shape) {
  uint64_t n = 1;
  for (const uint64_t size : shape) n *= size;  // the catalogue's own numbers: they fit
  return n;
}

void add_tensor(std::string_view name, const std::vector<uint64_t>& shape, uint32_t type,
                CardGroups* groups) {
  const uint64_t elements = elements_of(shape);
  groups->add(gguf_place(name), type, elements, tensor_bytes(*tensor_type(type), elements).value(),
              shape.front());
}

// Gated feed-forward, one matrix for q, k and v, no biases, positions by rotation.
void draft_nomic(SynthDraft* draft) {
  const SynthShape& size = draft->size();
  const uint64_t embd = size.embd, ff = size.ff;
  draft->matrix("token_embd.weight", {embd, size.vocab});
  draft->small("token_types.weight", {embd, 2}, SynthFill::kNormal, 1);
  const auto norm = [&](const std::string& name) {
    draft->norm(name, embd);
    draft->bias(name, embd);
  };
  norm("token_embd_norm");
  for (uint32_t layer = 0; layer < size.layers; ++layer) {
    draft->use_layer(layer);
    draft->matrix(draft->in_layer("attn_qkv.weight"), {embd, 3 * embd});
    draft->matrix(draft->in_layer("attn_output.weight"), {embd, embd});
    norm(draft->in_layer("attn_output_norm"));
    for (const char* part : {"ffn_up.weight", "ffn_gate.weight"}) {
      draft->matrix(draft->in_layer(part), {embd, ff});
    }
    draft->matrix(draft->in_layer("ffn_down.weight"), {ff, embd});
    norm(draft->in_layer("layer_output_norm"));
  }
}

std::vector<SynthTensor> drafted(const SynthShape& size) {
  SynthDraft draft(size, *synth_quant("F16"));
  if (size.architecture == kNomic) {
    draft_nomic(&draft);
  } else {
    draft_architecture(&draft);
  }
  return std::move(draft.tensors);
}

void add_caches(const LanguageShape& shape, uint32_t head, ModelCard* card) {
  const std::string_view architecture = shape.size.architecture;
  if (is_encoder(architecture) || architecture == kNomic) return;  // keeps none
  for (uint32_t i = 0; i < shape.size.layers; ++i) {
    const bool windowed = shape.every > 0 && i % shape.every != shape.every - 1;
    const uint32_t width = shape.size.kv_heads * head;
    card->kv.push_back({width, width, windowed ? shape.window : 0, head, head});
  }
}

// Collects an encoder's tensors: matrices in F16, the rest in F32.
class EncoderTensors {
 public:
  void weight(const std::string& name, uint64_t in, uint64_t out, bool bias = true) {
    add_tensor(name + ".weight", {in, out}, kF16, &groups);
    if (bias) plain(name + ".bias", out);
  }
  void plain(const std::string& name, uint64_t elements) {
    add_tensor(name, {elements}, kF32, &groups);
  }
  void norm(const std::string& name, uint64_t width, bool bias = true) {
    plain(name + ".weight", width);
    if (bias) plain(name + ".bias", width);
  }
  CardGroups groups;
};

// Layer norms and two matrices, or RMS norms and three with a gate.
void add_blocks(const EncoderShape& shape, EncoderTensors* out) {
  const uint64_t embd = shape.embd, ffn = shape.ffn;
  const bool gated = shape.style == EncoderStyle::kQwen25Vl;
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string block = fmt::format("v.blk.{}.", layer);
    out->norm(block + "ln1", embd, !gated);
    out->norm(block + "ln2", embd, !gated);
    for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_out"}) {
      out->weight(block + part, embd, embd);
    }
    if (gated) out->weight(block + "ffn_gate", embd, ffn);
    out->weight(block + "ffn_up", embd, ffn);
    out->weight(block + "ffn_down", ffn, embd);
  }
}

// Four patches become one token: widths are four times the encoder's.
void add_merger(const std::string& name, uint64_t width, uint64_t embd, EncoderTensors* out) {
  out->weight(name + ".fc1", 4 * width, 4 * width);
  out->weight(name + ".fc2", 4 * width, embd);
}

VisionStyle style_of(const EncoderShape& shape) {
  VisionStyle style;
  style.norm_behind = true;
  switch (shape.style) {
    case EncoderStyle::kSiglip:
      style.projector = "gemma3";
      style.merge = 4;
      break;
    case EncoderStyle::kQwen25Vl:
      style.projector = "qwen2.5vl_merger";
      style.merge = 2;
      style.full_every = 8;
      break;
    case EncoderStyle::kQwen3Vl:
      style.projector = "qwen3vl_merger";
      style.merge = 2;
      break;
  }
  for (const uint32_t layer : shape.deepstack) {
    if (layer > 0) style.deepstack.push_back(layer);
  }
  return style;
}

}  // namespace

ModelCard language_card(const LanguageShape& shape, Mix mix) {
  SynthShape size = shape.size;
  if (size.head_size == 0) size.head_size = size.embd / size.heads;
  ModelCard card;
  card.architecture = shape.file_architecture.empty() ? size.architecture : shape.file_architecture;
  card.name = shape.name;
  card.layers = size.layers;
  card.embd = size.embd;
  card.heads = size.heads;
  card.heads_kv = size.kv_heads;
  const bool own_ff = size.architecture == "qwen3moe";  // of one expert, and of a dense layer
  card.ffn = own_ff ? size.ff * size.experts_used : size.ff;
  card.vocab = size.vocab;
  card.context_trained = size.context;
  card.experts = size.experts;
  card.experts_used = size.experts_used;
  if (own_ff) card.expert_ffn = size.ff;
  card.has_chat_template = !is_encoder(size.architecture) && size.architecture != kNomic;
  add_caches(shape, size.head_size, &card);
  const QuantizedModel model{size.layers, size.heads, size.kv_heads, size.experts, size.tied};
  CardGroups groups;
  for (const SynthTensor& tensor : drafted(size)) {
    const uint32_t type = tensor.type == kF32
                              ? kF32
                              : quantized_type(mix, model, tensor.name, tensor.shape.front());
    add_tensor(tensor.name, tensor.shape, type, &groups);
  }
  groups.finish(&card);
  card.file_bytes = card.weight_bytes + metadata_bytes(shape.tokens);
  return card;
}

ModelCard encoder_card(const EncoderShape& shape, uint32_t embd) {
  ModelCard card;
  card.architecture = "clip";
  card.name = shape.name;
  card.layers = shape.layers;
  card.embd = shape.embd;
  card.heads = card.heads_kv = shape.heads;
  card.ffn = shape.ffn;
  card.image_size = shape.image;
  card.patch_size = shape.patch;
  card.vision = style_of(shape);
  EncoderTensors out;
  const uint64_t side = shape.image / shape.patch, width = shape.embd;
  const uint64_t pixels = uint64_t{3} * shape.patch * shape.patch;
  out.weight("v.patch_embd", pixels, width);
  add_blocks(shape, &out);
  if (shape.style == EncoderStyle::kSiglip) {
    out.plain("v.position_embd.weight", width * side * side);
    out.norm("v.post_ln", width);
    out.weight("mm.input_projection", width, embd, false);
    out.norm("mm.soft_emb_norm", width, false);
  } else {
    out.weight("v.patch_embd.1", pixels, width, false);  // films come in pairs of pictures
    add_merger("mm", width, embd, &out);
  }
  if (shape.style == EncoderStyle::kQwen3Vl) {
    out.plain("v.position_embd.weight", width * side * side);
    out.norm("v.post_ln", width);
    for (const uint32_t layer : card.vision.deepstack) {
      const std::string name = fmt::format("v.deepstack.{}", layer);
      out.norm(name + ".norm", 4 * width);
      add_merger(name, width, embd, &out);
    }
  }
  out.groups.finish(&card);
  card.file_bytes = card.weight_bytes + KiB(32);
  return card;
}

bool speech_mix(Mix mix) {
  const uint32_t block = tensor_type(mix_base(mix))->block;
  return (block <= 32 && mix != Mix::kBf16 && mix != Mix::kIq4Nl);
}

ModelCard speech_card(const SpeechShape& shape, Mix mix) {
  ModelCard card;
  whisper_geometry(shape.shape, &card);
  card.name = shape.name;
  std::deque<std::string> names;
  CardGroups groups;
  uint64_t headers = 0;
  for (const WhisperTensor& tensor : whisper_tensors(shape.shape, mix_base(mix), &names)) {
    groups.add(whisper_place(tensor.name), tensor.type, tensor.elements, tensor.bytes);
    const auto sizes = std::ranges::count_if(tensor.shape, [](uint64_t n) { return n > 1; });
    headers += 12 + 4 * static_cast<uint64_t>(sizes) + tensor.name.size();
  }
  groups.finish(&card);
  card.file_bytes = card.weight_bytes + Bytes{headers + shape.head_bytes};
  return card;
}

}  // namespace gantry

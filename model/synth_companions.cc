// Names and keys as llama.cpp's adapter loader and mtmd (ggml 0.25.3) read them.
#include "model/synth_companions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "model/card.h"
#include "model/synth_gguf.h"

namespace gantry {

namespace {

constexpr uint32_t kF32 = 0, kF16 = 1;
constexpr uint32_t kFtypeF16 = 1;

SynthTensor matrix(std::string name, uint64_t in, uint64_t out, double spread) {
  return {.name = std::move(name), .shape = {in, out}, .type = kF16,
          .fill = SynthFill::kNormal, .spread = spread};
}

double even_spread(uint64_t in) { return 1 / std::sqrt(static_cast<double>(in)); }

bool is_adapted(const GgufTensor& tensor) {
  const std::string_view name = tensor.name;
  const size_t dot = name.find('.', std::string_view("blk.").size());
  if (!name.starts_with("blk.") || !name.ends_with(".weight") || tensor.dimensions != 2 ||
      dot == std::string_view::npos) {
    return false;
  }
  const std::string_view part = name.substr(dot + 1);
  return (part.starts_with("attn_") || part.starts_with("ffn_")) &&
         !part.starts_with("ffn_gate_inp");
}

Result<std::string> architecture_of(const Gguf& base) {
  const GgufPair* pair = base.find("general.architecture");
  const std::string_view name = pair == nullptr ? "" : pair->text().value_or("");
  const GgufPair* type = base.find("general.type");
  const bool model = type == nullptr || type->text().value_or("") == "model";
  if (name.empty() || name == "clip" || !model) {
    return fail(Code::kUnsupported, "--of is no language model", "name a model's file");
  }
  return std::string(name);
}

// Tensors of one part of the encoder, with their biases.
struct Encoder {
  void weight(const std::string& name, uint64_t in, uint64_t out) {
    tensors.push_back(matrix(name + ".weight", in, out, even_spread(in)));
    bias(name, out);
  }
  void norm(const std::string& name, uint64_t width, bool biased = true) {
    tensors.push_back({.name = name + ".weight", .shape = {width}, .type = kF32,
                       .fill = SynthFill::kOnes, .spread = 0.1});
    if (biased) bias(name, width);
  }
  void bias(const std::string& name, uint64_t width) {
    tensors.push_back({.name = name + ".bias", .shape = {width}, .type = kF32,
                       .fill = SynthFill::kNormal, .spread = 0.02});
  }
  std::vector<SynthTensor> tensors;
};

constexpr std::array<std::string_view, 4> kProjectors{"mlp", "gemma3", "qwen2.5vl_merger",
                                                      "qwen3vl_merger"};
constexpr uint32_t kFullEvery = 8;

// Which tensors a kind of encoder has; LLaVA's has what none of these says.
struct Kind {
  explicit Kind(std::string_view projector)
      : gemma(projector == "gemma3"), qwen25(projector == "qwen2.5vl_merger"),
        qwen3(projector == "qwen3vl_merger") {}
  bool qwen() const { return qwen25 || qwen3; }
  bool mlp() const { return !gemma && !qwen(); }
  bool gemma, qwen25, qwen3;
};

// Three layers, evenly spread, whose features are projected, too.
std::vector<uint32_t> deepstack_of(const Kind& kind, uint32_t layers) {
  if (!kind.qwen3) return {};
  std::vector<uint32_t> out;
  for (uint32_t i = 1; i <= 3; ++i) {
    const uint32_t layer = i * layers / 4;
    if (out.empty() || layer > out.back()) out.push_back(layer);
  }
  return out;
}

void add_patches(const SynthEncoder& shape, const Kind& kind, Encoder* out) {
  const uint64_t side = shape.image / shape.patch;
  const double patch_spread = even_spread(uint64_t{shape.patch} * shape.patch * 3);
  const auto kernel = [&](const char* name) {
    out->tensors.push_back({.name = name, .shape = {shape.patch, shape.patch, 3, shape.embd},
                            .type = kF16, .fill = SynthFill::kNormal, .spread = patch_spread});
  };
  kernel("v.patch_embd.weight");
  if (kind.qwen()) kernel("v.patch_embd.weight.1");
  if (kind.qwen3 || kind.gemma) out->bias("v.patch_embd", shape.embd);
  if (!kind.qwen25) {
    out->tensors.push_back({.name = "v.position_embd.weight", .shape = {shape.embd, side * side},
                            .type = kF32, .fill = SynthFill::kNormal, .spread = 0.5});
  }
  if (kind.mlp()) out->norm("v.pre_ln", shape.embd);
}

void add_block(const SynthEncoder& shape, const Kind& kind, const std::string& block,
               Encoder* out) {
  out->norm(block + "ln1", shape.embd, !kind.qwen25);
  if (kind.qwen3) {
    out->weight(block + "attn_qkv", shape.embd, 3 * uint64_t{shape.embd});
  } else {
    for (const char* part : {"attn_q", "attn_k", "attn_v"}) {
      out->weight(block + part, shape.embd, shape.embd);
    }
  }
  out->weight(block + "attn_out", shape.embd, shape.embd);
  out->norm(block + "ln2", shape.embd, !kind.qwen25);
  if (kind.qwen25) out->weight(block + "ffn_gate", shape.embd, shape.ff);
  out->weight(block + "ffn_up", shape.embd, shape.ff);
  out->weight(block + "ffn_down", shape.ff, shape.embd);
}

void add_projection(const SynthEncoder& shape, const Kind& kind, uint32_t layers, uint64_t embd,
                    Encoder* out) {
  const uint64_t four = 4 * uint64_t{shape.embd};
  if (!kind.mlp()) out->norm("v.post_ln", shape.embd, !kind.qwen25);
  if (kind.gemma) {
    out->tensors.push_back(matrix("mm.input_projection.weight", embd, shape.embd,
                                  even_spread(shape.embd)));
    out->norm("mm.soft_emb_norm", shape.embd, false);
    return;
  }
  out->weight("mm.0", kind.qwen() ? four : shape.embd, kind.qwen() ? four : embd);
  out->weight("mm.2", kind.qwen() ? four : embd, embd);
  for (const uint32_t layer : deepstack_of(kind, layers)) {
    const std::string name = fmt::format("v.deepstack.{}.", layer);
    out->norm(name + "norm", four, true);
    out->weight(name + "fc1", four, four);
    out->weight(name + "fc2", four, embd);
  }
}

std::vector<SynthTensor> encoder_tensors(const SynthEncoder& shape, uint32_t layers,
                                         uint64_t embd) {
  const Kind kind(shape.projector);
  Encoder encoder;
  add_patches(shape, kind, &encoder);
  for (uint32_t layer = 0; layer < layers; ++layer) {
    add_block(shape, kind, fmt::format("v.blk.{}.", layer), &encoder);
  }
  add_projection(shape, kind, layers, embd, &encoder);
  return std::move(encoder.tensors);
}

}  // namespace

std::span<const std::string_view> synth_projectors() { return kProjectors; }

Result<SynthModel> synth_lora(const Gguf& base, uint32_t rank, uint64_t seed) {
  if (rank == 0 || rank > kSynthRankMax) {
    return fail(rank == 0 ? Code::kUsage : Code::kTooLarge, fmt::format("--rank is {}", rank),
                fmt::format("use 1 to {}", kSynthRankMax));
  }
  Result<std::string> architecture = architecture_of(base);
  if (!architecture) return fail(architecture.error());
  const GgufPair* layers = base.find(*architecture + ".block_count");
  SynthModel model{.name = "lora", .architecture = *architecture, .quant = "F16", .head = {},
                   .tensors = {}, .seed = seed};
  if (layers != nullptr) model.layers = static_cast<uint32_t>(layers->whole().value_or(0));
  GgufHead head;
  head.general(model.architecture, "adapter", "synth-lora", kFtypeF16);
  head.set("adapter.type", "lora");
  head.set("adapter.lora.alpha", static_cast<float>(rank));  // the product is taken as it is
  std::vector<SynthTensor> tensors;
  for (const GgufTensor& tensor : base.tensors) {
    if (!is_adapted(tensor)) continue;
    const std::string name(tensor.name);
    tensors.push_back(matrix(name + ".lora_a", tensor.shape[0], rank,
                             even_spread(tensor.shape[0])));
    tensors.push_back(matrix(name + ".lora_b", rank, tensor.shape[1], even_spread(rank) / 3));
  }
  if (tensors.empty()) {
    return fail(Code::kUnsupported, "--of has no matrices that an adapter could change",
                "name a language model's file");
  }
  head.finish(std::move(tensors), &model);
  return model;
}

Result<SynthModel> synth_projector(const Gguf& base, uint32_t layers, uint64_t seed,
                                   const SynthEncoder& shape) {
  if (layers < 2 || layers > kLayersMax) {
    return fail(layers < 2 ? Code::kUsage : Code::kTooLarge, fmt::format("--layers is {}", layers),
                fmt::format("use 2 to {}; the last one is not computed", kLayersMax));
  }
  const Kind kind(shape.projector);
  if (std::ranges::find(kProjectors, shape.projector) == kProjectors.end()) {
    return fail(Code::kUsage, fmt::format("--projector is {}", shape.projector),
                fmt::format("use {}", fmt::join(kProjectors, ", ")));
  }
  Result<std::string> architecture = architecture_of(base);
  if (!architecture) return fail(architecture.error());
  uint64_t embd = 0;
  for (const GgufTensor& tensor : base.tensors) {
    if (tensor.name == "token_embd.weight") embd = tensor.shape[0];
  }
  if (embd == 0) {
    return fail(Code::kUnsupported, "--of has no embedding", "name a language model's file");
  }
  SynthModel model{.name = "mmproj", .architecture = "clip", .quant = "F16", .head = {},
                   .tensors = {}, .layers = layers, .seed = seed};
  GgufHead head;
  head.general("clip", "mmproj", "synth-mmproj", kFtypeF16);
  head.set("clip.has_vision_encoder", true);
  head.set("clip.projector_type", shape.projector);
  head.set(kind.qwen25 ? "clip.use_silu" : "clip.use_gelu", true);
  if (kind.qwen()) head.set("clip.vision.spatial_merge_size", uint32_t{2});
  if (kind.qwen25) head.set("clip.vision.n_wa_pattern", kFullEvery);
  head.set("clip.vision.image_size", shape.image);
  head.set("clip.vision.patch_size", shape.patch);
  head.set("clip.vision.embedding_length", shape.embd);
  head.set("clip.vision.feed_forward_length", shape.ff);
  head.set("clip.vision.projection_dim", static_cast<uint32_t>(embd));
  head.set("clip.vision.block_count", layers);
  head.set("clip.vision.attention.head_count", shape.heads);
  head.set("clip.vision.attention.layer_norm_epsilon", 1e-5F);
  head.set("clip.vision.image_mean", std::vector<float>(3, 0.5F));
  head.set("clip.vision.image_std", std::vector<float>(3, 0.5F));
  head.finish(encoder_tensors(shape, layers, embd), &model);
  return model;
}

}  // namespace gantry

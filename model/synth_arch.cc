// Tensor names, shapes and keys as llama.cpp (ggml 0.25.3) loads them.
#include "model/synth_arch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "model/synth_mixers.h"
#include "model/tensor_type.h"

namespace gantry {

namespace {

constexpr uint32_t kF32 = 0, kF16 = 1, kQ8_0 = 8;

// Numbers of the last column are llama.cpp's "ftype".
constexpr std::array kQuants = std::to_array<SynthQuant>({
    {"F32", 0, 0, 0},
    {"F16", 1, 1, 1},
    {"BF16", 30, 30, 32},
    {"Q8_0", 8, 8, 7},
    {"Q6_K", 14, 14, 18},
    {"Q5_K", 13, 13, 16},
    {"Q5_K_M", 13, 14, 17},
    {"Q5_1", 7, 7, 9},
    {"Q5_0", 6, 6, 8},
    {"Q4_K", 12, 12, 14},
    {"Q4_K_M", 12, 14, 15},
    {"Q4_1", 3, 3, 3},
    {"Q4_0", 2, 2, 2},
    {"IQ4_NL", 20, 20, 25},
    {"IQ4_XS", 23, 23, 30},
    {"NVFP4", 40, 40, 39},
    {"MXFP4", 39, 39, 38},
    {"Q3_K", 11, 11, 11},
    {"Q2_K", 10, 10, 10},
    {"IQ3_S", 21, 21, 26},
    {"IQ3_XXS", 18, 18, 23},
    {"IQ2_S", 22, 22, 28},
    {"IQ2_XS", 17, 17, 20},
    {"IQ2_XXS", 16, 16, 19},
    {"IQ1_S", 19, 19, 24},
});

// How the transformers differ.
struct Style {
  std::string_view architecture;
  bool qkv_bias = false;
  bool qk_norm = false;
  bool fused = false;       // one matrix for q, k and v, one for gate and up
  bool post_norm = false;   // norms behind attention and feed-forward too
  bool layer_norm = false;  // with biases everywhere, no gate, one norm a layer
  void (*keys)(SynthDraft*) = nullptr;
};

void gemma_keys(SynthDraft* draft) {
  draft->key("attention.sliding_window", std::min(draft->size().context, 1024U));
}

void gemma2_keys(SynthDraft* draft) {
  gemma_keys(draft);
  draft->key("attn_logit_softcapping", 50.0F);
  draft->key("final_logit_softcapping", 30.0F);
}

void granite_keys(SynthDraft* draft) {
  const auto head = static_cast<float>(std::max(draft->size().head_size, 1U));
  draft->key("attention.scale", 1.0F / std::sqrt(head));
  draft->key("embedding_scale", 12.0F);
  draft->key("residual_scale", 0.22F);
  draft->key("logit_scale", 0.5F);  // divides
}

void phi2_keys(SynthDraft* draft) {
  draft->key("attention.layer_norm_epsilon", 1e-5F);
  draft->key("rope.dimension_count", draft->size().head_size / 4 * 2);
}

constexpr std::array kStyles = std::to_array<Style>({
    {.architecture = "llama"},
    {.architecture = "qwen2", .qkv_bias = true},
    {.architecture = "qwen3", .qk_norm = true},
    {.architecture = "qwen3moe", .qk_norm = true},
    {.architecture = "gemma2", .post_norm = true, .keys = gemma2_keys},
    {.architecture = "gemma3", .qk_norm = true, .post_norm = true, .keys = gemma_keys},
    {.architecture = "phi2", .layer_norm = true, .keys = phi2_keys},
    {.architecture = "phi3", .fused = true},
    {.architecture = "granite", .keys = granite_keys},
    {.architecture = "granitehybrid", .keys = granite_keys},
    {.architecture = "jamba"},
    {.architecture = "lfm2", .qk_norm = true},
    {.architecture = "mamba"},
    {.architecture = "mamba2"},
});

bool is_gemma(std::string_view architecture) { return architecture.starts_with("gemma"); }

// Half of the layers, as llama-quantize spreads its larger types: the first and the last eighth,
// and every third between.
bool is_favoured(uint32_t layer, uint32_t layers) {
  const uint32_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

void draft_attention(SynthDraft* draft, const Style& style) {
  const SynthShape& size = draft->size();
  const uint64_t embd = size.embd, q = uint64_t{size.heads} * size.head_size;
  const uint64_t kv = uint64_t{size.kv_heads} * size.head_size;
  const auto name = [&](const char* part) { return draft->in_layer(part); };
  if (style.fused) {
    draft->matrix(name("attn_qkv.weight"), {embd, q + 2 * kv});
  } else {
    draft->matrix(name("attn_q.weight"), {embd, q});
    draft->matrix(name("attn_k.weight"), {embd, kv});
    draft->matrix(name("attn_v.weight"), {embd, kv}, SynthDraft::Weight::kMore);
  }
  if (style.qkv_bias || style.layer_norm) {
    draft->bias(name("attn_q"), q);
    draft->bias(name("attn_k"), kv);
    draft->bias(name("attn_v"), kv);
  }
  if (style.qk_norm) {
    draft->norm(name("attn_q_norm"), size.head_size);
    draft->norm(name("attn_k_norm"), size.head_size);
  }
  draft->matrix(name("attn_output.weight"), {q, embd});
  if (style.layer_norm) draft->bias(name("attn_output"), embd);
  if (style.post_norm) draft->norm(name("post_attention_norm"), embd);
}

void draft_experts(SynthDraft* draft) {
  const SynthShape& size = draft->size();
  const uint64_t embd = size.embd, ff = size.ff, experts = size.experts;
  draft->small(draft->in_layer("ffn_gate_inp.weight"), {embd, experts}, SynthFill::kNormal,
               1 / std::sqrt(static_cast<double>(embd)));
  draft->matrix(draft->in_layer("ffn_gate_exps.weight"), {embd, ff, experts});
  draft->matrix(draft->in_layer("ffn_up_exps.weight"), {embd, ff, experts});
  draft->matrix(draft->in_layer("ffn_down_exps.weight"), {ff, embd, experts},
                SynthDraft::Weight::kMore);
}

void draft_feed_forward(SynthDraft* draft, const Style& style) {
  const SynthShape& size = draft->size();
  const uint64_t embd = size.embd, ff = size.ff;
  if (!style.layer_norm) draft->norm(draft->in_layer("ffn_norm"), embd);
  if (size.experts > 0) return draft_experts(draft);
  if (!style.fused && !style.layer_norm) {
    draft->matrix(draft->in_layer("ffn_gate.weight"), {embd, ff});
  }
  draft->matrix(draft->in_layer("ffn_up.weight"), {embd, style.fused ? 2 * ff : ff});
  if (style.layer_norm) draft->bias(draft->in_layer("ffn_up"), ff);
  draft->matrix(draft->in_layer("ffn_down.weight"), {ff, embd}, SynthDraft::Weight::kMore);
  if (style.layer_norm) draft->bias(draft->in_layer("ffn_down"), embd);
  if (style.post_norm) draft->norm(draft->in_layer("post_ffw_norm"), embd);
}

// The embedding is small, so that what a token means comes from the layers: otherwise the model
// with a tied output would repeat its last token for ever. Gemma multiplies it by sqrt(embd).
void draft_embedding(SynthDraft* draft) {
  const SynthShape& size = draft->size();
  SynthTensor& embedding = draft->matrix(
      "token_embd.weight", {size.embd, size.vocab},
      size.tied ? SynthDraft::Weight::kOutput : SynthDraft::Weight::kPlain);
  if (is_gemma(size.architecture)) embedding.spread = std::pow(size.embd, -0.75);
  if (size.tied) embedding.zero_rows = 2;
}

// The rows of the tokens that end a text are zero: their logits never win.
void draft_output(SynthDraft* draft, const Style& style) {
  const SynthShape& size = draft->size();
  const char* norm = size.architecture == "lfm2" ? "token_embd_norm" : "output_norm";
  draft->norm(norm, size.embd);
  if (style.layer_norm) draft->bias(norm, size.embd);
  if (!size.tied) {
    draft->matrix("output.weight", {size.embd, size.vocab}, SynthDraft::Weight::kOutput)
        .zero_rows = 2;
    if (style.layer_norm) {
      draft->small("output.bias", {size.vocab}, SynthFill::kNormal, 0.02);
    }
  }
}

void draft_common_keys(SynthDraft* draft) {
  const SynthShape& size = draft->size();
  draft->key("block_count", size.layers);
  draft->key("context_length", size.context);
  draft->key("embedding_length", size.embd);
  draft->key("vocab_size", size.vocab);
  if (!has_attention(size.architecture)) {
    draft->key("feed_forward_length", 0U);
    draft->key("attention.head_count", 0U);
    return;
  }
  const bool own_ff = size.architecture == "qwen3moe";
  draft->key("feed_forward_length", own_ff ? size.ff * size.experts_used : size.ff);
  if (own_ff) draft->key("expert_feed_forward_length", size.ff);
  draft->key("attention.head_count", size.heads);
  if (size.head_size * size.heads != size.embd) {
    draft->key("attention.key_length", size.head_size);
    draft->key("attention.value_length", size.head_size);
  }
  if (size.experts > 0) {
    draft->key("expert_count", size.experts);
    draft->key("expert_used_count", size.experts_used);
  }
}

void draft_transformer(SynthDraft* draft, const Style& style) {
  const SynthShape& size = draft->size();
  draft_common_keys(draft);
  if (!style.layer_norm) draft->key("attention.layer_norm_rms_epsilon", 1e-5F);
  if (style.keys != nullptr) style.keys(draft);
  if (has_attention(size.architecture)) {
    if (style.keys != phi2_keys) draft->key("rope.dimension_count", size.head_size);
    draft->key("rope.freq_base", size.context > 4096 ? 500000.0F : 10000.0F);
  }
  const std::vector<uint32_t> kv_heads = draft_mixer_keys(draft);
  draft_embedding(draft);
  for (uint32_t layer = 0; layer < size.layers; ++layer) {
    draft->use_layer(layer);
    draft->norm(draft->in_layer("attn_norm"), size.embd);
    if (style.layer_norm) draft->bias(draft->in_layer("attn_norm"), size.embd);
    if (kv_heads[layer] > 0) {
      draft_attention(draft, style);
    } else {
      draft_mixer(draft);
    }
    if (has_attention(size.architecture)) draft_feed_forward(draft, style);
  }
  draft_output(draft, style);
}

// A BERT encoder: norms behind, biases everywhere, learnt positions.
void draft_encoder(SynthDraft* draft) {
  const SynthShape& size = draft->size();
  const Style style{.architecture = "bert", .layer_norm = true};
  draft_common_keys(draft);
  draft->key("attention.layer_norm_epsilon", 1e-12F);
  draft->key("attention.causal", false);
  draft->key("pooling_type", 2U);  // the first token's state
  draft->head.set("tokenizer.ggml.token_type_count", 2U);
  draft_embedding(draft);
  const double spread = 1 / std::sqrt(static_cast<double>(size.embd));
  draft->small("token_types.weight", {size.embd, 2}, SynthFill::kNormal, spread);
  draft->small("position_embd.weight", {size.embd, size.context}, SynthFill::kNormal, spread);
  const auto norm = [&](const std::string& name) {
    draft->norm(name, size.embd);
    draft->bias(name, size.embd);
  };
  norm("token_embd_norm");
  for (uint32_t layer = 0; layer < size.layers; ++layer) {
    draft->use_layer(layer);
    draft_attention(draft, style);
    norm(draft->in_layer("attn_output_norm"));
    draft_feed_forward(draft, style);
    norm(draft->in_layer("layer_output_norm"));
  }
}

}  // namespace

const SynthQuant* synth_quant(std::string_view name) {
  const auto* found = std::ranges::find(kQuants, name, &SynthQuant::name);
  return found == kQuants.end() ? nullptr : found;
}

std::vector<std::string_view> synth_quants() {
  std::vector<std::string_view> names;
  for (const SynthQuant& quant : kQuants) names.push_back(quant.name);
  return names;
}

std::string SynthDraft::in_layer(std::string_view name) const {
  return fmt::format("blk.{}.{}", layer_, name);
}

// Widths that are no whole number of blocks get a type with smaller ones; the widths that matter
// have been checked before.
uint32_t SynthDraft::type_for(uint64_t width, Weight weight) const {
  const bool more = weight == Weight::kOutput ||
                    (weight == Weight::kMore && is_favoured(layer_, size_.layers));
  const uint32_t type = more ? quant_.more : quant_.type;
  if (width % tensor_type(type)->block == 0) return type;
  return width % tensor_type(kQ8_0)->block == 0 ? kQ8_0 : kF16;
}

SynthTensor& SynthDraft::matrix(std::string name, std::vector<uint64_t> shape, Weight weight) {
  const uint64_t width = shape[0];
  tensors.push_back({.name = std::move(name), .shape = std::move(shape),
                     .type = type_for(width, weight), .fill = SynthFill::kNormal,
                     .spread = 1 / std::sqrt(static_cast<double>(width))});
  return tensors.back();
}

SynthTensor& SynthDraft::small(std::string name, std::vector<uint64_t> shape, SynthFill fill,
                               double spread) {
  tensors.push_back({.name = std::move(name), .shape = std::move(shape), .type = kF32,
                     .fill = fill, .spread = spread});
  return tensors.back();
}

bool has_attention(std::string_view architecture) {
  return architecture != "mamba" && architecture != "mamba2";
}

bool is_encoder(std::string_view architecture) { return architecture == "bert"; }

bool draft_architecture(SynthDraft* draft) {
  const std::string_view architecture = draft->size().architecture;
  if (is_encoder(architecture)) {
    draft_encoder(draft);
    return true;
  }
  const auto* style = std::ranges::find(kStyles, architecture, &Style::architecture);
  if (style == kStyles.end()) return false;
  draft_transformer(draft, *style);
  return true;
}

}  // namespace gantry

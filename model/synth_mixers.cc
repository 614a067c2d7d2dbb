// States as llama.cpp (ggml 0.25.3) lays them out.
#include "model/synth_mixers.h"

#include <array>
#include <cmath>

namespace gantry {

namespace {

constexpr uint32_t kKernel = 4, kConvolutionCache = 3;

// Sizes of a state; an inner width of twice the embedding is the only one that llama.cpp supports.
struct State {
  uint32_t inner = 0;
  uint32_t size = 0;
  uint32_t steps = 0;   // mamba: rank of the time step; mamba2: heads
  uint32_t groups = 0;  // mamba2 only
};

bool has_heads(std::string_view architecture) {
  return architecture == "mamba2" || architecture == "granitehybrid";
}

State state_of(const SynthShape& size) {
  const uint32_t inner = 2 * size.embd;
  if (has_heads(size.architecture)) return {inner, 64, inner / 64, 1};
  return {inner, 16, (size.embd + 15) / 16, 0};
}

void draft_convolution(SynthDraft* draft, uint64_t width) {
  draft->small(draft->in_layer("ssm_conv1d.weight"), {kKernel, width}, SynthFill::kNormal, 0.5);
  draft->bias(draft->in_layer("ssm_conv1d"), width);
}

void draft_mamba(SynthDraft* draft, bool norms) {
  const uint64_t embd = draft->size().embd;
  const State state = state_of(draft->size());
  const uint64_t inner = state.inner;
  draft->matrix(draft->in_layer("ssm_in.weight"), {embd, 2 * inner});
  draft_convolution(draft, inner);
  draft->matrix(draft->in_layer("ssm_x.weight"), {inner, state.steps + 2 * state.size});
  draft->matrix(draft->in_layer("ssm_dt.weight"), {state.steps, inner});
  draft->small(draft->in_layer("ssm_dt.bias"), {inner}, SynthFill::kTimeStep, 0);
  if (norms) {
    draft->norm(draft->in_layer("ssm_dt_norm"), state.steps);
    draft->norm(draft->in_layer("ssm_b_norm"), state.size);
    draft->norm(draft->in_layer("ssm_c_norm"), state.size);
  }
  draft->small(draft->in_layer("ssm_a"), {state.size, inner}, SynthFill::kDecay, 0);
  draft->small(draft->in_layer("ssm_d"), {inner}, SynthFill::kOnes, 0.1);
  draft->matrix(draft->in_layer("ssm_out.weight"), {inner, embd});
}

void draft_mamba2(SynthDraft* draft) {
  const uint64_t embd = draft->size().embd;
  const State state = state_of(draft->size());
  const uint64_t inner = state.inner, convolved = inner + 2 * state.groups * state.size;
  draft->matrix(draft->in_layer("ssm_in.weight"), {embd, inner + convolved + state.steps});
  draft_convolution(draft, convolved);
  draft->small(draft->in_layer("ssm_dt.bias"), {state.steps}, SynthFill::kTimeStep, 0);
  draft->small(draft->in_layer("ssm_a"), {1, state.steps}, SynthFill::kHeadDecay, 0);
  draft->small(draft->in_layer("ssm_d"), {1, state.steps}, SynthFill::kOnes, 0.1);
  draft->small(draft->in_layer("ssm_norm.weight"), {inner / state.groups, state.groups},
               SynthFill::kOnes, 0.1);
  draft->matrix(draft->in_layer("ssm_out.weight"), {inner, embd});
}

void draft_short_convolution(SynthDraft* draft) {
  const uint64_t embd = draft->size().embd;
  draft->small(draft->in_layer("shortconv.conv.weight"), {kConvolutionCache, embd},
               SynthFill::kNormal, 0.5);
  draft->matrix(draft->in_layer("shortconv.in_proj.weight"), {embd, 3 * embd});
  draft->matrix(draft->in_layer("shortconv.out_proj.weight"), {embd, embd});
}

}  // namespace

std::vector<uint32_t> draft_mixer_keys(SynthDraft* draft) {
  const SynthShape& size = draft->size();
  const std::string_view architecture = size.architecture;
  const bool convolves = architecture == "lfm2";
  const bool hybrid = convolves || architecture == "jamba" || architecture == "granitehybrid";
  const bool attends = has_attention(architecture);
  std::vector<uint32_t> kv_heads(size.layers, attends ? size.kv_heads : 0);
  for (uint32_t layer = 0; hybrid && layer + 1 < size.layers; ++layer) {
    if (layer % 4 != 3) kv_heads[layer] = 0;
  }
  if (hybrid) {
    draft->key("attention.head_count_kv", kv_heads);
  } else if (attends) {
    draft->key("attention.head_count_kv", size.kv_heads);
  }
  if (convolves) draft->key("shortconv.l_cache", kConvolutionCache);
  if (convolves || (attends && !hybrid)) return kv_heads;
  const State state = state_of(size);
  draft->key("ssm.conv_kernel", kKernel);
  draft->key("ssm.inner_size", state.inner);
  draft->key("ssm.state_size", state.size);
  draft->key("ssm.time_step_rank", state.steps);
  if (state.groups > 0) draft->key("ssm.group_count", state.groups);
  return kv_heads;
}

void draft_mixer(SynthDraft* draft) {
  const std::string_view architecture = draft->size().architecture;
  if (architecture == "lfm2") return draft_short_convolution(draft);
  if (has_heads(architecture)) return draft_mamba2(draft);
  draft_mamba(draft, architecture == "jamba");
}

}  // namespace gantry

// Files that stand beside a model: a LoRA adapter for it, and a vision projector.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/gguf.h"
#include "model/synth.h"

namespace gantry {

constexpr uint32_t kSynthRankMax = 1 << 12;

// An adapter for every attention and feed-forward matrix of `base`, F16, experts left alone. It
// moves each output by about a third of its own size: what the model says changes, and stays sane.
[[nodiscard]] Result<SynthModel> synth_lora(const Gguf& base, uint32_t rank, uint64_t seed);

struct SynthEncoder {
  uint32_t image = 112, patch = 14;  // in pixels
  uint32_t embd = 256, ff = 512, heads = 4;
  std::string projector = "mlp";     // one of synth_projectors()
};

// As files name them: LLaVA's, Gemma 3's, Qwen2.5-VL's and Qwen3-VL's.
std::span<const std::string_view> synth_projectors();

// A vision encoder of `layers` blocks with a projection onto the embedding of `base`, F16. The
// shape is the caller's word: patches and heads divide their wholes.
[[nodiscard]] Result<SynthModel> synth_projector(const Gguf& base, uint32_t layers, uint64_t seed,
                                                 const SynthEncoder& shape = {});

}  // namespace gantry

// A BERT from a GGUF file as an OpenVINO graph, so that any such file is served without Python.
#pragma once

#include <cstddef>
#include <memory>
#include <openvino/openvino.hpp>
#include <span>

#include "base/result.h"
#include "npu/limits.h"
#include "npu/pooling.h"

namespace gantry {

struct BertFacts {
  uint32_t layers = 0, width = 0, heads = 0, ffn = 0;
  uint32_t context = 0;  // positions the model has
  float eps = 1e-12F;
  Pooling pooling = Pooling::kMean;
};

struct BertGraph {
  BertFacts facts;
  // input_ids, attention_mask: i64 (batch, tokens), both free; last_hidden_state: f32 (batch,
  // tokens, width). Token types are those of a first sentence.
  std::shared_ptr<ov::Model> model;
};

// Pure. Weights of any type that ggml knows become f32. The activation is GELU's tanh form, as
// llama.cpp computes it. kCorrupt or kUnsupported name the tensor or key.
[[nodiscard]] Result<BertGraph> bert_graph(std::span<const std::byte> file);

}  // namespace gantry
